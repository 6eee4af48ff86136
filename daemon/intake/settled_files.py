"""Files that have settled and wait in their folders until the sorter takes them."""

import os
from dataclasses import dataclass, field
from pathlib import Path

from daemon.intake.arrivals import Arrival
from daemon.intake.reader_process import Answer, HeaderRead, Refused, Vanished


@dataclass(slots=True)
class SettledFile:
    """A file that has settled and has not been claimed, or that was claimed and left in its place.

    Attributes:
        arrival: The file.
        path: Its path as text, for which the system is asked sooner than for a `Path`.
        since_s: When it settled, monotonic seconds.
        since_utc: When it settled, UTC seconds since the epoch.
        fresh: It was not claimed yet; one that was can only complete a pair or serve as a mask.
        header: What its header says, once that was read.
        asked: Its header was asked for.
        why: What it waits for.
        stuck: Nothing that arrives can let it go on; a person must see to it.
    """

    arrival: Arrival
    path: str
    since_s: float
    since_utc: float
    fresh: bool = True
    header: HeaderRead | Refused | Vanished | None = None
    asked: bool = False
    why: str = ""
    stuck: bool = False

    def is_unchanged(self) -> bool:
        """Whether the file is still as it was when it settled."""
        try:
            status = os.lstat(self.path)
        except OSError:
            return False
        seen = self.arrival
        return (status.st_size, status.st_mtime_ns) == (seen.size_bytes, seen.mtime_ns)


@dataclass(slots=True)
class SettledFolder:
    """The settled files of one folder.

    Attributes:
        path: The folder.
        root: The inbox folder that it lies in; on the way from there no link is followed.
        files: Its files, by name.
        stale: Something changed since the decision.
        awaited: Number of headers that were asked for and not answered yet.
    """

    path: str
    root: Path
    files: dict[str, SettledFile] = field(default_factory=dict)
    stale: bool = True
    awaited: int = 0

    @property
    def awaits_header(self) -> bool:
        """Whether a file waits for its header to be read."""
        return any(file.asked and file.header is None for file in self.files.values())

    def header_read(self, file: SettledFile, answer: Answer) -> None:
        """Take the answer about a file's header; the folder is decided anew."""
        self.awaited -= 1
        if isinstance(answer, HeaderRead | Refused | Vanished):
            file.header = answer
            self.stale = True
