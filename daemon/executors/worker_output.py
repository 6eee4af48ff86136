"""Output of a worker process and its libraries: events of the log, and its last words.

Both ends are here. Whatever writes to files 1 and 2 in the worker, also C code, writes to a pipe
that a thread of the parent reads.
"""

import contextlib
import os
import threading
from collections import deque
from collections.abc import Callable
from multiprocessing.connection import Connection

import structlog

from daemon.messages.tasks import Compute
from daemon.system.logging import tell_warnings

_log = structlog.get_logger()

_MAX_LOGGED = 200
"""Lines of one worker that are logged; the others are counted."""

_MAX_LINE_BYTES = 4096
"""Longest line that is kept whole."""

_LAST_WORDS = 3
"""Lines that tell why a worker ended."""

WorkerMain = Callable[[Connection, Compute, int], None]
"""(pipe, compute, parent) -> None: the main function of a worker process."""


def run_with_output(
    output: Connection, worker: WorkerMain, pipe: Connection, compute: Compute, parent: int
) -> None:
    """Run a worker whose output goes to a pipe; the main function of the worker process."""
    for number in (1, 2):
        os.dup2(output.fileno(), number)
    output.close()
    tell_warnings(_print_warning)
    worker(pipe, compute, parent)


def _print_warning(what: str, where: str) -> None:
    """Print a warning on one line."""
    text = f"{what} ({where})"
    os.write(2, text.replace("\n", " ").encode(errors="backslashreplace") + b"\n")


class OutputReader:
    """Reads the output of one worker until its end, in a thread of its own."""

    def __init__(self, output: Connection) -> None:
        """Begin to read; `output` is closed at its end."""
        self._output = output
        self._last: deque[str] = deque(maxlen=_LAST_WORDS)
        self._lines = 0
        self._thread = threading.Thread(target=self._read, name="worker-output", daemon=True)
        self._thread.start()

    def last_words(self, wait_s: float = 1.0) -> str:
        """The last lines, after the worker has ended; "" if it said nothing."""
        self._thread.join(wait_s)  # a process that the worker started may live on
        return " / ".join(self._last)

    def _read(self) -> None:
        rest = b""
        with self._output, contextlib.suppress(OSError):
            while chunk := os.read(self._output.fileno(), 65536):
                *lines, rest = (rest + chunk).replace(b"\r", b"\n").split(b"\n")
                for line in lines:
                    self._take(line)
                if len(rest) > _MAX_LINE_BYTES:
                    self._take(rest)
                    rest = b""
        self._take(rest)
        if self._lines > _MAX_LOGGED:
            _log.warning("worker_output_dropped", lines=self._lines - _MAX_LOGGED)

    def _take(self, line: bytes) -> None:
        text = line[:_MAX_LINE_BYTES].decode(errors="backslashreplace").strip()
        if not text:
            return
        self._last.append(text)
        self._lines += 1
        if self._lines <= _MAX_LOGGED:
            _log.warning("worker_output", text=text)
