"""The copy process: copies results and originals to other disks, and compares them there.

`jobs.file_copies` asks it from the daemon, since a share may be slow, or hang whoever writes to it.
A copy lies under a name of its own until the daemon gives it the name that is free by then, so
that nothing is decided here and a process that is killed has published nothing.
"""

import errno
import stat
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import assert_never

from daemon.system.files import copy_durably, part_path, same_content, shown
from daemon.system.helper_process import Ready, prepare_helper


@dataclass(frozen=True)
class CopyQuestion:
    """Have a file copied into a folder, under a name that only this program uses.

    Attributes:
        source: The file.
        folder: Gets the copy.
        size_bytes: Size of the file when this was asked.
        mtime_ns: Its time then: a file that changed is another question.
        part: Where the copy lies before it has a name, see `part_path`.
    """

    source: Path
    folder: Path
    size_bytes: int
    mtime_ns: int
    part: Path

    @classmethod
    def about(cls, source: Path, folder: Path) -> "CopyQuestion":
        """The question about a file as it is now."""
        status = source.lstat()
        part = part_path(source, folder)
        return cls(source, folder, status.st_size, status.st_mtime_ns, part)


@dataclass(frozen=True)
class CompareQuestion:
    """Do two files of one size hold the same bytes?

    Attributes:
        source: The file that is to get a name.
        other: What has that name.
        size_bytes: Size of both.
        times_ns: The time of each, and when the second was last changed in any way.
    """

    source: Path
    other: Path
    size_bytes: int
    times_ns: tuple[int, int, int]


Question = CopyQuestion | CompareQuestion


@dataclass(frozen=True)
class Copied:
    """The copy is whole and durable."""

    size_bytes: int


@dataclass(frozen=True)
class Compared:
    """Whether the files hold the same bytes."""

    same: bool


Answer = Copied | Compared | OSError


def unequal_at_sight(source: Path, other: Path) -> bool | CompareQuestion:
    """Compare two files without reading them: whether they differ, or the question to ask."""
    first, second = source.lstat(), other.lstat()
    if not (stat.S_ISREG(first.st_mode) and stat.S_ISREG(second.st_mode)):
        return True
    if (first.st_dev, first.st_ino) == (second.st_dev, second.st_ino):
        return False
    if first.st_size != second.st_size:
        return True
    times = (first.st_mtime_ns, second.st_mtime_ns, second.st_ctime_ns)
    return CompareQuestion(source, other, first.st_size, times)


def run_copier(pipe: Connection, parent: int) -> None:
    """Answer questions until the parent ends; the main function of the copy process."""
    prepare_helper(parent)
    serve(pipe)


def serve(pipe: Connection) -> None:
    """Answer questions that come through a pipe until it is closed."""
    try:
        pipe.send(Ready())
        while True:
            pipe.send(answer(pipe.recv()))
    except (EOFError, OSError):
        return


def answer(question: Question) -> Answer:
    """Answer one question; what the file system refuses is an answer, and leaves nothing."""
    try:
        match question:
            case CopyQuestion():
                return _copy(question)
            case CompareQuestion():
                return Compared(same_content(question.source, question.other))
            case _:
                assert_never(question)
    except OSError as error:
        return error
    except Exception as error:
        why = f"it cannot be copied: {type(error).__name__}: {error}"
        return OSError(errno.EINVAL, why, shown(question.source))


def _copy(question: CopyQuestion) -> Copied:
    part = question.part
    try:
        copy_durably(question.source, part)
        return Copied(part.lstat().st_size)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
