"""What lies in an inbox: files that have arrived, and those that are claimed together."""

import math
from dataclasses import dataclass, field
from pathlib import Path

from daemon.config.station import InboxFolder


@dataclass(frozen=True)
class Arrival:
    """A regular file in an inbox that has stopped changing.

    Attributes:
        folder: The inbox it lies in.
        relative: Its path below that folder; undecodable bytes as surrogates.
        size_bytes: Its size when last seen.
        mtime_ns: Its time of change when last seen.
        settled_s: How long it was watched without a change.
        missed: A scan found it, though events should have told of it.
        came_at: When it came there, or was last changed, UTC seconds since the epoch; endless
            where that does not count.
    """

    folder: InboxFolder
    relative: Path
    size_bytes: int
    mtime_ns: int
    settled_s: float = field(default=0.0, compare=False)
    missed: bool = field(default=False, compare=False)
    came_at: float = field(default=math.inf, compare=False)

    @property
    def path(self) -> Path:
        """Where it lies."""
        return self.folder.path / self.relative


@dataclass(frozen=True)
class Claim:
    """What the intake wants taken out of an inbox together.

    Attributes:
        arrivals: The photographs: one, two for a pair.
        recipe: The recipe's name; "" where none matches.
        mask: NAME.mask.png of the first photograph.
        hints: NAME.hints.png of the first photograph.
        stem: What the result's file name starts with.
        refusal: Why it goes to failed/ at once, or "".
    """

    arrivals: tuple[Arrival, ...]
    recipe: str
    stem: str
    mask: Arrival | None = None
    hints: Arrival | None = None
    refusal: str = ""

    @property
    def files(self) -> tuple[Arrival, ...]:
        """The photographs and their side files."""
        return (*self.arrivals, *(side for side in (self.mask, self.hints) if side is not None))
