"""Copiers of files: in a thread of this process, held up by a test, or killed in the middle."""

import errno
import os
import signal
import threading
from functools import partial
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

import daemon.jobs.copy_process as copying
from daemon.jobs.copy_process import run_copier, serve
from daemon.system.files import copy_durably
from daemon.system.helper_process import Death, HelperProcess

MARK = "TOY_COPIER_MARK"
"""Environment variable with the path of the file that says that a copier was killed."""


class CopierThread:
    """A copier in a thread, so that a test can replace what it calls."""

    def __init__(self) -> None:
        self.pipe, self._theirs = Pipe()
        self._thread = threading.Thread(target=serve, args=(self._theirs,), daemon=True)
        self._thread.start()

    def kill(self) -> None:
        """Close the pipe, as the end of a process does; what it is at goes on."""
        self._theirs.close()

    def is_stopped(self) -> bool:
        return False

    def end(self) -> Death:
        self.pipe.close()
        return Death("ended")


class HeldUpCopies:
    """Copies that write half and wait until they may go on.

    Attributes:
        begun: Set once one has written half.
        may_go_on: Set by the test.
    """

    def __init__(self) -> None:
        self.begun, self.may_go_on = threading.Event(), threading.Event()
        self.killed = False

    def copy(self, source: Path, target: Path) -> None:
        """As `copy_durably`."""
        target.write_bytes(source.read_bytes()[: source.stat().st_size // 2])
        self.begun.set()
        assert self.may_go_on.wait(60)
        if self.killed:
            raise OSError(errno.EIO, "killed")
        copy_durably(source, target)


def run_toy_copier(pipe: Connection, parent: int) -> None:
    """As `run_copier`, but the first copy of all kills it when half is written."""

    def copy(source: Path, target: Path) -> None:
        mark = Path(os.environ[MARK])
        if not mark.exists():
            mark.touch()
            target.write_bytes(source.read_bytes()[: source.stat().st_size // 2])
            os.kill(os.getpid(), signal.SIGKILL)
        copy_durably(source, target)

    vars(copying)["copy_durably"] = copy
    run_copier(pipe, parent)


ToyCopier = partial(HelperProcess, run_toy_copier)


def put_on_another_disk(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have no file linked into a folder, or one below, from elsewhere."""
    real = os.link

    def link(source: Path, target: Path, **folders: int | None) -> None:
        if Path(target).is_relative_to(folder) and not Path(source).is_relative_to(folder):
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), str(source), None, str(target))
        real(source, target, **folders)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "link", link)
