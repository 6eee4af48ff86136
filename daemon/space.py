"""Free space: while there is too little, nothing new is taken in.

Comes in: folders that are written to. Goes out: whether there is room, and one line of the log for
each change. Never deletes anything.
"""

import shutil
import sqlite3
from collections.abc import Sequence
from pathlib import Path

import structlog

from daemon.files import NO_SPACE, shown

_log = structlog.get_logger()


class Space:
    """Watches over the room on the disks of a station.

    Args:
        folders: Where the daemon writes.
        min_free_bytes: With less than this in one of them, the disk counts as full.
    """

    def __init__(self, folders: Sequence[Path], min_free_bytes: float) -> None:
        self._folders = folders
        self._min_free_bytes = min_free_bytes
        self.full = False

    def look(self) -> bool:
        """Look whether there is room again."""
        for folder in self._folders:
            if shutil.disk_usage(folder).free < self._min_free_bytes:
                self.ran_out(f"less than min_free_mb is free at {shown(folder)}")
                return False
        if self.full:
            self.full = False
            _log.info("disk_has_space", folders=[shown(folder) for folder in self._folders])
        return True

    def ran_out(self, why: str) -> None:
        """Something could not be written."""
        if not self.full:
            _log.warning("disk_full", why=why, what_to_do="free some space; work resumes alone")
        self.full = True


def is_no_space(error: Exception) -> bool:
    """Whether an error of SQLite or of the system means that the disk is full."""
    if isinstance(error, sqlite3.Error):
        return error.sqlite_errorcode in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE)
    return isinstance(error, OSError) and error.errno in NO_SPACE
