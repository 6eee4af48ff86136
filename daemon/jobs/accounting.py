"""Accounting for metrics: how long photographs spend in each stage, and how their jobs end."""

from dataclasses import dataclass
from typing import Literal

Stage = Literal["settle", "claim", "queue", "decode", "restore", "device", "encode", "publish"]
"""settle: from the last change until the file counts as complete; claim: until its group is moved,
hashed and queued; queue: from its arrival until it is leased; decode, restore (other photographs'
turns included), device (its share of the forward passes) and encode: see `Timing`; publish: until
its group is in outbox/."""


@dataclass(frozen=True)
class StageDuration:
    """How long one photograph (or pair) spent in a stage.

    Attributes:
        stage: The stage.
        recipe: Name of its recipe.
        seconds: Duration.
    """

    stage: Stage
    recipe: str
    seconds: float


@dataclass(frozen=True)
class JobEnded:
    """A job that came to its end.

    Attributes:
        recipe: Its name; "" where none matched.
        how: restored; duplicate: its result was there already; rejected: the photograph is at
            fault; failed: something else is.
    """

    recipe: str
    how: Literal["restored", "duplicate", "rejected", "failed"]


@dataclass(frozen=True)
class Delivered:
    """Jobs that came to their end together.

    Attributes:
        ended: The jobs.
        durations: How long photographs were in which stages.
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
