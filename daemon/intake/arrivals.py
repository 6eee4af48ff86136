"""Arrivals: files that have settled in an inbox, and those that are claimed together."""

import math
from dataclasses import dataclass, field
from pathlib import Path

from daemon.config.station import InboxFolder


@dataclass(frozen=True)
class Arrival:
    """A regular file in an inbox that has stopped changing.

    Attributes:
        folder: The inbox folder that it lies in.
        relative: Its path below that folder; undecodable bytes as surrogates.
        size_bytes: Its size when it was last seen.
        mtime_ns: The time of its last change when it was last seen.
        settled_s: How long it was watched without a change, in seconds.
        missed: A scan found it, although an event should have told of it.
        came_at: When it came there or was last changed, UTC seconds since the epoch; infinite
            where that does not matter.
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
        """Its whole path."""
        return self.folder.path / self.relative


@dataclass(frozen=True)
class Claim:
    """Files that are to be taken out of an inbox together: a photograph or pair with side files.

    Attributes:
        arrivals: The photographs: one, or the two of a pair.
        recipe: Name of the recipe; "" where none takes them.
        stem: How the file name of the result begins.
        mask: NAME.mask.png of the first photograph.
        hints: NAME.hints.png of the first photograph.
        companions: What lies beside the photographs and goes where they go; nobody reads it.
        refusal: Why the files go to failed/ at once, or "".
        remedy: What to do about that; "" if `refusal` already tells.
        changes: Keys of the recipe's steps and their values for this job alone.
    """

    arrivals: tuple[Arrival, ...]
    recipe: str
    stem: str
    mask: Arrival | None = None
    hints: Arrival | None = None
    companions: tuple[Arrival, ...] = ()
    refusal: str = ""
    remedy: str = ""
    changes: tuple[str, ...] = ()

    @property
    def files(self) -> tuple[Arrival, ...]:
        """The photographs, their side files and their companions."""
        sides = (side for side in (self.mask, self.hints) if side is not None)
        return (*self.arrivals, *sides, *self.companions)
