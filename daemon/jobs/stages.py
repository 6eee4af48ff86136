"""The stages of a photograph's way and its ends, as they are counted and measured.

Comes in: nothing. Goes out: the names, and the types in which they travel. Measures nothing itself.
"""

from dataclasses import dataclass
from typing import Literal

Stage = Literal["settle", "claim", "queue", "decode", "restore", "device", "encode", "publish"]
"""settle: from the last change seen until the file counts as whole; claim: until its group is
moved, hashed and queued; queue: since it came, until it is leased; decode, restore (other
photographs' turns included), device (its share of the passes) and encode: see `Timing`; publish:
until its group stands in outbox/."""


@dataclass(frozen=True)
class StageDuration:
    """How long one photograph (or pair) spent in a stage.

    Attributes:
        stage: Which.
        recipe: Name of its recipe.
        seconds: How long.
    """

    stage: Stage
    recipe: str
    seconds: float


@dataclass(frozen=True)
class JobEnded:
    """A job that came to its end.

    Attributes:
        recipe: Its name; "" where none matched.
        how: duplicate: its result stood already; rejected: the photograph is at fault; failed:
            something else was.
    """

    recipe: str
    how: Literal["restored", "duplicate", "rejected", "failed"]


@dataclass(frozen=True)
class Delivered:
    """What was brought to its end at one time.

    Attributes:
        ended: Jobs that came to their end.
        durations: How long photographs were in which stage.
        no_space: The disk was full for one of them.
    """

    ended: tuple[JobEnded, ...] = ()
    durations: tuple[StageDuration, ...] = ()
    no_space: bool = False

    @property
    def done(self) -> int:
        """How many jobs have a result."""
        return len(self.ended) - self.failed

    @property
    def failed(self) -> int:
        """How many jobs ended in failed/."""
        return sum(job.how in ("rejected", "failed") for job in self.ended)
