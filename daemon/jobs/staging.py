"""Staging folders: where an executor writes the results of a lease until they are published."""

import contextlib
import shutil
from pathlib import Path

from daemon.jobs.ledger.reader import LedgerReader


class Staging:
    """The staging folders of one station, each named by the fence of its lease."""

    def __init__(self, folder: Path, ledger: LedgerReader) -> None:
        """Look after one folder of folders.

        Args:
            folder: Holds a folder for each lease.
            ledger: Says which of them are about to be published.
        """
        self._folder = folder
        self._ledger = ledger

    def path(self, fence: int) -> Path:
        """Where the results of a lease are written."""
        return self._folder / str(fence)

    def make(self, fence: int) -> Path:
        """Make the folder of a new lease."""
        path = self.path(fence)
        path.mkdir()
        return path

    def discard(self, fence: int) -> None:
        """Remove what was staged under a lease, unless it is about to be published."""
        if not self._ledger.publishing(fence):
            discard(self.path(fence))

    def discard_all(self) -> None:
        """Remove every folder that nothing will be published from."""
        for path in self._folder.iterdir():
            if path.name.isdecimal():
                self.discard(int(path.name))


def discard(staging: Path) -> None:
    """Remove a staging folder and what lies in it."""
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(staging)
