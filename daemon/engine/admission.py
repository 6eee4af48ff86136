"""How many orders may be in flight at once.

Comes in: courses. Goes out: whether the next may begin. Keeps no count of its own.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from daemon.engine.model_cache import ModelCache, Slot
from daemon.engine.runs import TaskRun

AHEAD_PASSES = 6
"""Orders are begun until they hold the pixels of so many forward passes, so that groups fill."""

AHEAD_ORDERS = 6
"""So many orders are begun in any case, so that the device has work while others are read."""


@dataclass(frozen=True)
class InFlightLimit:
    """What is in flight at most.

    Attributes:
        memory_bytes: For all of it.
        pass_pixels: Pixels of one forward pass.
    """

    memory_bytes: int
    pass_pixels: int

    def allows(self, run: TaskRun[Any], flying: Collection[TaskRun[Any]]) -> bool:
        """Whether an order may begin beside those in flight; alone, any order may."""
        if not flying:
            return True
        if run.alone or any(other.alone for other in flying):
            return False
        if run.bytes + sum(other.bytes for other in flying) > self.memory_bytes:
            return False
        asking = [other for other in flying if not other.writing]
        pixels = run.pixels + sum(other.pixels for other in asking)
        return len(asking) < AHEAD_ORDERS or pixels <= AHEAD_PASSES * self.pass_pixels


def next_to_start(
    waiting: Sequence[TaskRun[Any]],
    asking: Collection[Slot],
    model_cache: ModelCache,
    now: float,
) -> int | None:
    """Which order begins next.

    While the last model that was loaded has its slice of time, orders go first whose models are
    loaded. After that it goes by arrival; and if an order in flight waits for a model that has no
    room beside those at work, none begins that would keep them at work: so the room comes soon.

    Args:
        waiting: Orders by arrival, at least one.
        asking: Models of the orders in flight.
        residency: The models on the device.
        now: Monotonic seconds.

    Returns:
        Its index, or None if it is better that none begins.
    """
    if now - model_cache.loaded_at < model_cache.slice_s:
        ready = (
            index
            for index, run in enumerate(waiting)
            if all(model_cache.welcomes(reference) for reference in run.models)
        )
        return next(ready, 0)
    if all(model_cache.admits(slot, asking) for slot in asking):
        return 0
    at_work = {slot.reference for slot in asking if model_cache.is_resident(slot)}
    others = (i for i, run in enumerate(waiting) if not at_work.intersection(run.models))
    return next(others, None)
