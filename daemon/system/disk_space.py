"""Free space: while there is too little, nothing new is taken in.

Comes in: folders that are written to. Goes out: whether there is room, and one line of the log for
each change. Never deletes anything.
"""

import shutil
from collections.abc import Sequence
from pathlib import Path

import structlog

from daemon.system.errors import LedgerError
from daemon.system.files import NO_SPACE, shown

_log = structlog.get_logger()

LASTS_S = 30.0
"""A disk that is full for so long may stay so."""


class DiskSpace:
    """Watches over the room on the disks of a station.

    Args:
        folders: Where the daemon writes.
        min_free_bytes: With less than this in one of them, the disk counts as full.
    """

    def __init__(self, folders: Sequence[Path], min_free_bytes: float) -> None:
        self._folders = folders
        self._min_free_bytes = min_free_bytes
        self._low = False
        self._full_since: float | None = None

    @property
    def full(self) -> bool:
        """Whether the disk is full, as far as is known."""
        return self._full_since is not None

    def look(self, now: float) -> bool:
        """Look whether there is room to begin anything; `now` in monotonic seconds."""
        low = [f for f in self._folders if _free_bytes(f) < self._min_free_bytes]
        self._low = bool(low)
        if low:
            self.ran_out(f"less than min_free_mb is free at {shown(low[0])}", now)
        return not low

    def ran_out(self, why: str, now: float) -> None:
        """Something could not be written; `now` in monotonic seconds."""
        if self._full_since is None:
            _log.warning("disk_full", why=why, what_to_do="free some space; work resumes alone")
            self._full_since = now

    def sufficed(self) -> None:
        """Whatever had to be written could be."""
        if self._full_since is not None and not self._low:
            self._full_since = None
            _log.info("disk_has_space", folders=[shown(folder) for folder in self._folders])

    def stays_full(self, now: float) -> bool:
        """Whether waiting is vain for now; `now` in monotonic seconds."""
        return self._full_since is not None and (self._low or now - self._full_since >= LASTS_S)


def _free_bytes(folder: Path) -> int:
    """Free where a folder is, or was: somebody may have removed it, and it is made again."""
    while not folder.is_dir() and folder != folder.parent:
        folder = folder.parent
    return shutil.disk_usage(folder).free


def is_no_space(error: BaseException) -> bool:
    """Whether an error of the ledger or of the file system means that the disk is full."""
    if isinstance(error, OSError):
        return error.errno in NO_SPACE
    return isinstance(error, LedgerError) and error.no_space
