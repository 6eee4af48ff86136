"""Free disk space: while there is too little, no photograph is taken in and no job started.

Each change between full and free is logged once. Nothing is ever deleted here.
"""

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import structlog

from daemon.system.disk_probe import DiskProbe
from daemon.system.errors import LedgerError
from daemon.system.files import NO_SPACE, shown

_log = structlog.get_logger()

STAYS_FULL_S = 30.0
"""Seconds a disk must stay full before `once` gives up."""


class DiskSpace:
    """Knows whether the disks of a station are full.

    Attributes:
        full_folder: A folder on the disk that was found full last, if that is known.
    """

    def __init__(
        self, folders: Sequence[Path], min_free_bytes: float, disks: DiskProbe | None = None
    ) -> None:
        """Begin with disks that are not full.

        Args:
            folders: Where the daemon writes.
            min_free_bytes: With less free space than this in one of them, the disk is full.
            disks: Knows which of them do not answer, which counts as not full.
        """
        self._disks = disks or DiskProbe()
        self._folders = folders
        self._min_free_bytes = min_free_bytes
        self._low = False
        self._full_since: float | None = None
        self.full_folder: Path | None = None

    @property
    def full(self) -> bool:
        """Whether the disk was full when it was last looked at or written to."""
        return self._full_since is not None

    def look(self, now: float) -> bool:
        """Say whether there is room to start anything; `now` in monotonic seconds."""
        there = [folder for folder in self._folders if self._disks.answers(folder)]
        low = [folder for folder in there if _free_bytes(folder) < self._min_free_bytes]
        self._low = bool(low)
        if low:
            self.ran_out(f"less than min_free_mb is free at {shown(low[0])}", now, low[0])
        return not low

    def ran_out(self, why: str, now: float, folder: Path | None = None) -> None:
        """Take note that something could not be written.

        Args:
            why: What could not be written.
            now: Monotonic seconds.
            folder: Where, if that is known.
        """
        self.full_folder = folder or self.full_folder
        if self._full_since is None:
            _log.warning("disk_full", why=why, what_to_do="free some space; work resumes alone")
            self._full_since = now

    def sufficed(self) -> None:
        """Take note that all that had to be written was written."""
        if self._full_since is not None and not self._low:
            self._full_since = self.full_folder = None
            _log.info("disk_has_space", folders=[shown(folder) for folder in self._folders])

    def stays_full(self, now: float) -> bool:
        """Whether it is no use to wait for space; `now` in monotonic seconds."""
        return self._full_since is not None and (
            self._low or now - self._full_since >= STAYS_FULL_S
        )


def _free_bytes(folder: Path) -> int:
    """Free bytes on the disk of a folder, which may be gone; no limit where a disk is away."""
    try:
        while not folder.is_dir() and folder != folder.parent:
            folder = folder.parent
        return shutil.disk_usage(folder).free
    except OSError:
        return sys.maxsize


def is_no_space(error: BaseException) -> bool:
    """Whether an error of the ledger or of the file system means that the disk is full."""
    if isinstance(error, OSError):
        return error.errno in NO_SPACE
    return isinstance(error, LedgerError) and error.no_space
