"""Faults of the file system or the terminal that end a command: in words, and as exit codes."""

import contextlib
import errno
import io
import os
import sys
from pathlib import Path
from typing import TextIO

from daemon.cli.context import complain
from daemon.system.files import NO_SPACE, shown

CANNOT_WRITE, INPUT_OUTPUT, NO_PERMISSION = 73, 74, 77
"""Exit codes of sysexits.h."""

_IN_THE_WAY = frozenset(
    (
        *(*NO_SPACE, errno.EROFS, errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ENOTEMPTY),
        *(errno.ENAMETOOLONG, errno.EFBIG, errno.ELOOP, errno.ETXTBSY, errno.EXDEV),
    )
)
"""Error numbers of a place where nothing can be written, whoever tries it and when."""

_REMEDIES = dict.fromkeys(NO_SPACE, "free some space, or use another disk") | {
    errno.EROFS: "mount it to be written, or use another place",
    errno.ENOTDIR: "a file is where a folder must be",
    errno.EISDIR: "a folder is where a file must be",
    errno.EACCES: "run as a user who may, or fix its mode",
    errno.EPERM: "run as a user who may, or fix its mode",
    errno.EMFILE: "raise the number of open files (`ulimit -n`)",
}


class _Output(io.TextIOWrapper):
    """A stream that remembers why it could not be written: its errors name no file.

    Attributes:
        fault: Why, if so.
    """

    fault: OSError | None = None

    def write(self, text: str) -> int:
        """Write text as any stream does."""
        try:
            return super().write(text)
        except OSError as error:
            self.fault = error
            raise


def watch_output() -> None:
    """Have standard output remember its faults; call this before anything is printed."""
    old = sys.stdout
    if isinstance(old, io.TextIOWrapper):
        encoding, errors = old.encoding, old.errors
        by_line, through = old.line_buffering, old.write_through
        sys.stdout = _Output(
            old.detach(), encoding, errors, line_buffering=by_line, write_through=through
        )


def fault_code(error: OSError) -> int:
    """Say on stderr what the system refused, and return the exit code for it.

    Where that was standard output, 0: `flushed` tells, as for what was printed without an error.
    """
    if _fault_of(sys.stdout):
        return 0
    where = next((name for name in (error.filename, error.filename2) if name is not None), None)
    place = f"{shown(where)}: " if isinstance(where, str | Path) else ""
    remedy = _REMEDIES.get(error.errno or 0)
    complain(f"{place}{error.strerror or error}" + (f"; {remedy}" if remedy else ""))
    if isinstance(error, PermissionError):
        return NO_PERMISSION
    return CANNOT_WRITE if error.errno in _IN_THE_WAY else INPUT_OUTPUT


def flushed(code: int) -> int:
    """Write what was printed, and return the exit code with which the command ends.

    Args:
        code: Its own exit code, which says more than that nobody reads what it printed.
    """
    error = _fault_of(sys.stdout)
    return code if error is None else _output_lost(error) or code


def let_go_of_output() -> None:
    """Drop what cannot be written, or Python would complain once more while it exits."""
    for stream in (sys.stdout, sys.stderr):
        if _fault_of(stream) is not None:
            with contextlib.suppress(OSError, ValueError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _output_lost(error: OSError) -> int:
    """The exit code for output that cannot be written; 0 if its reader has seen enough."""
    if isinstance(error, BrokenPipeError):
        return 0
    complain(f"standard output cannot be written: {error.strerror or error}")
    return INPUT_OUTPUT


def _fault_of(stream: TextIO) -> OSError | None:
    """Why what was printed could not be written, if so."""
    if isinstance(stream, _Output) and stream.fault is not None:
        return stream.fault
    try:
        stream.flush()
    except OSError as error:
        return error
    return None
