"""How many orders may be in flight at once.

Comes in: courses. Goes out: whether the next may begin. Keeps no count of its own.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from daemon.course import Course

AHEAD_PASSES = 6
"""Orders are begun until they hold the pixels of so many forward passes, so that groups fill."""

AHEAD_ORDERS = 6
"""So many orders are begun in any case, so that the device has work while others are read."""


@dataclass(frozen=True)
class Budget:
    """What is in flight at most.

    Attributes:
        memory_bytes: For all of it.
        pass_pixels: Pixels of one forward pass.
    """

    memory_bytes: int
    pass_pixels: int

    def allows(self, course: Course[Any], flying: Collection[Course[Any]]) -> bool:
        """Whether an order may begin beside those in flight; alone, any order may."""
        if not flying:
            return True
        if course.alone or any(other.alone for other in flying):
            return False
        if course.bytes + sum(other.bytes for other in flying) > self.memory_bytes:
            return False
        asking = [other for other in flying if not other.writing]
        pixels = course.pixels + sum(other.pixels for other in asking)
        return len(asking) < AHEAD_ORDERS or pixels <= AHEAD_PASSES * self.pass_pixels
