"""The stream that the log goes to; a line that cannot be written is counted, never raised.

A log is a side output: a full disk, a closed pipe or a reader that has stopped must not end or
block whoever logs.
"""

import errno
import os
import select
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TextIO

_PATIENCE_S = 1.0
"""Seconds that a line waits for a reader that does not read; after a lost line none waits."""


@dataclass(frozen=True)
class LostLines:
    """Lines of the log that could not be written.

    Attributes:
        lines: How many, since the last one that could.
        why: Why the last of them could not.
        since: When the first was lost, UTC seconds since the epoch.
    """

    lines: int
    why: str
    since: float


class LogStream:
    """Writes lines to a stream; used by every thread.

    Args:
        target: Where they go.
        told: The line that tells what was lost, once lines can be written again.
        direct: Write to the file below the stream at once, so that a reader that has stopped does
            not block and no part of a line stays in a buffer.
    """

    def __init__(self, target: TextIO, told: Callable[[LostLines], str], *, direct: bool) -> None:
        self._target = target
        self._told = told
        self._descriptor = _descriptor_of(target) if direct else None
        self._lock = threading.RLock()
        self._torn = False
        self.lost: LostLines | None = None

    def write(self, text: str) -> None:
        """Write a line, or count it as lost."""
        with self._lock:
            try:
                self._write(text)
            except Exception as error:  # whatever it is, work goes on
                why = (isinstance(error, OSError) and error.strerror) or str(error)
                before = self.lost
                since = before.since if before else time.time()
                self.lost = LostLines(before.lines + 1 if before else 1, why, since)
                return
            lost, self.lost = self.lost, None
        if lost:
            self.write(self._told(lost) + "\n")

    def flush(self) -> None:
        """Do nothing: each line is written at once."""

    def _write(self, text: str) -> None:
        if self._descriptor is None:
            self._target.write(text)
            self._target.flush()
            return
        if self._target.closed:  # its number may be that of another file now, even of the ledger
            raise ValueError("it is closed")
        rest = text.encode("utf-8", "backslashreplace")
        rest = b"\n" + rest if self._torn else rest
        ready = select.poll()
        ready.register(self._descriptor, select.POLLOUT)
        while rest:
            if not ready.poll(0 if self.lost else _PATIENCE_S * 1000):
                raise BlockingIOError(errno.EAGAIN, "nobody reads it")
            # A pipe that is ready takes this much without blocking (POSIX).
            written = os.write(self._descriptor, rest[: select.PIPE_BUF])
            rest = rest[written:]
            self._torn = bool(rest)


def _descriptor_of(target: TextIO) -> int | None:
    try:
        return target.fileno()
    except (OSError, ValueError, AttributeError):
        return None
