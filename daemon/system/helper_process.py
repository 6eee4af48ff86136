"""Helper processes: spawned children that do for the daemon what may hang or kill whoever does it.

A helper answers questions that come through a pipe, and ends with the thread that started it.
"""

import multiprocessing
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from typing import Protocol

from daemon.system import logging as log
from daemon.system.kernel_kills import is_stopped, read_kernel_kills
from daemon.system.processes import (
    die_first_without_memory,
    end_with_parent,
    how_it_ended,
    is_ended_from_outside,
)

START_S = 120.0
"""Seconds for a helper to start."""

_BLOCKED_SIGNALS = {signal.SIGINT, signal.SIGTERM}


@dataclass(frozen=True)
class Ready:
    """From a helper, once and first: it has started."""


@dataclass(frozen=True)
class Death:
    """How a helper ended, in words that follow its name; `outside`: somebody else ended it."""

    how: str
    outside: bool = False


class HelperHandle(Protocol):
    """A helper as seen from the daemon.

    Attributes:
        pipe: Connection to it.
    """

    pipe: Connection

    def kill(self) -> None:
        """End it now; any thread may call this."""

    def is_stopped(self) -> bool:
        """Whether somebody has stopped it, so that it is no file that holds it up."""

    def end(self) -> Death:
        """Wait until it has ended; one that does not end by itself is killed."""


class HelperProcess:
    """A helper in a spawned process."""

    def __init__(self, main: Callable[..., None], *values: object) -> None:
        """Start it.

        Args:
            main: Main function of the process, called with its end of the pipe, `values` and the
                process id of the parent; importable by name, as the process is spawned.
            values: What `main` needs.

        Raises:
            OSError: The system has no room for another process.
        """
        self._kills_before = read_kernel_kills()
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        with theirs:
            self._process = context.Process(
                target=main, args=(theirs, *values, os.getpid()), daemon=True
            )
            self._process.start()

    def kill(self) -> None:
        """End it now."""
        self._process.kill()

    def is_stopped(self) -> bool:
        """Whether somebody has stopped it."""
        return self._process.pid is not None and is_stopped(self._process.pid)

    def end(self) -> Death:
        """Wait until it has ended; one that the system does not let go is left behind."""
        self.pipe.close()
        self._process.join(1.0)
        self._process.kill()
        self._process.join(5.0)
        code = self._process.exitcode
        outside = is_ended_from_outside(code, self._kills_before)
        return Death(how_it_ended(code, outside=outside), outside)


def prepare_thread() -> None:
    """Prepare the thread that starts helpers: Ctrl-C must not hit one before it ignores that."""
    resource_tracker.ensure_running()
    signal.pthread_sigmask(signal.SIG_BLOCK, _BLOCKED_SIGNALS)


def prepare_helper(parent: int) -> None:
    """Prepare this process to be a helper: it leaves signals to its parent and ends with it."""
    for number in _BLOCKED_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    end_with_parent(parent)
    die_first_without_memory()
    log.configure()
