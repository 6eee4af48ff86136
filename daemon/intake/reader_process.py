"""The reader process: reads ends, headers and digests of files before they are queued; copies them.

`intake.file_reader` asks it from the daemon, since a file may hang or kill whoever reads it, and a
large one takes minutes. Here are the questions, their answers and what the process does.
"""

import contextlib
import stat
from collections.abc import Callable
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import assert_never

from daemon.jobs.ledger.entries import ClaimedFile, ClaimedFiles
from daemon.photo import Header, Limits, is_truncated, read_header, refuse_large_file
from daemon.system.errors import PhotoError, photo_message
from daemon.system.files import NO_SPACE, make_folder, os_error_text, sha256_of, shown
from daemon.system.helper_process import Ready, prepare_helper
from daemon.system.shared_folder import give_back, take_copy


@dataclass(frozen=True)
class EndQuestion:
    """Does a file end early? No link is followed below `beneath`."""

    path: Path
    beneath: Path


@dataclass(frozen=True)
class HeaderQuestion:
    """What is in a photograph's header?

    Attributes:
        path: The photograph.
        relative: Its path below its inbox, for messages.
        beneath: Its inbox, below which no link is followed.
    """

    path: Path
    relative: Path
    beneath: Path


@dataclass(frozen=True)
class ClaimQuestion:
    """What are the digests and headers of claimed files?

    Attributes:
        claim: The files.
        origins: Where files that lie on another disk are to be taken from first, in their order;
            empty if all are taken.
    """

    claim: ClaimedFiles
    origins: tuple[Path, ...] = ()


Question = EndQuestion | HeaderQuestion | ClaimQuestion


@dataclass(frozen=True)
class EndRead:
    """Whether the file ends early; not if that cannot be told."""

    truncated: bool


@dataclass(frozen=True)
class HeaderRead:
    """The header of a photograph."""

    header: Header


@dataclass(frozen=True)
class Vanished:
    """The photograph whose header was asked for is gone."""


@dataclass(frozen=True)
class ClaimRead:
    """The claim with digests and headers."""

    claim: ClaimedFiles


@dataclass(frozen=True)
class Refused:
    """Files that cannot be read, or are no photographs.

    Attributes:
        why: What is wrong, for people.
        remedy: What to do; "" if `why` already tells.
    """

    why: str
    remedy: str = ""


@dataclass(frozen=True)
class NotTaken:
    """A file of a claim that could not be taken from its place, so that none was read."""

    origin: Path
    error: OSError


Answer = EndRead | HeaderRead | Vanished | ClaimRead | Refused | NotTaken


@dataclass(frozen=True)
class Began:
    """From the reader process: a step of the question begins.

    Attributes:
        label: What people call the file.
        size_bytes: How much there is to read of it.
        taken_from: Where it is taken from; None if it is read where it lies.
    """

    label: str
    size_bytes: int
    taken_from: Path | None = None


FromReader = Ready | Began | Answer
"""Messages of the reader process: `Ready` once, then steps and one answer for each question."""


def run_reader(pipe: Connection, limits: Limits, parent: int) -> None:
    """Answer questions until the parent ends; the main function of the reader process.

    Args:
        pipe: Connection to the parent.
        limits: Larger photographs are refused.
        parent: Process id of the parent.
    """
    prepare_helper(parent)
    serve(pipe, limits)


def serve(pipe: Connection, limits: Limits) -> None:
    """Answer questions that come through a pipe until it is closed."""
    try:
        pipe.send(Ready())
        while True:
            question: Question = pipe.recv()
            pipe.send(answer(question, limits, pipe.send))
    except (EOFError, OSError):
        return


def answer(question: Question, limits: Limits, began: Callable[[Began], None]) -> Answer:
    """Answer one question; whatever a file does to its reader is an answer.

    Args:
        question: What is asked.
        limits: Larger photographs are refused.
        began: Called before each step that may take long.
    """
    match question:
        case EndQuestion():
            return _read_end(question)
        case HeaderQuestion():
            return _read_header(question, limits, began)
        case ClaimQuestion():
            return _take(question, limits, began) or _read_claim(question.claim, limits, began)
        case _:
            assert_never(question)


def _read_end(question: EndQuestion) -> EndRead:
    try:
        return EndRead(is_truncated(question.path, beneath=question.beneath))
    except Exception:  # whoever reads it will say what is wrong
        return EndRead(truncated=False)


def _read_header(
    question: HeaderQuestion, limits: Limits, began: Callable[[Began], None]
) -> Answer:
    label = shown(question.relative)
    try:
        began(Began(label, question.path.lstat().st_size))
        name, beneath = str(question.relative), question.beneath
        return HeaderRead(read_header(question.path, limits, name=name, beneath=beneath))
    except (FileNotFoundError, NotADirectoryError):
        return Vanished()
    except PhotoError as error:
        return _refused(error)
    except OSError as error:
        return Refused(f"{label}: it cannot be read: {error.strerror}")
    except Exception as error:
        return Refused(_unexpected(label, error))


def _take(
    question: ClaimQuestion, limits: Limits, began: Callable[[Began], None]
) -> NotTaken | None:
    """Copy the files of a claim that are not in the work folder yet; None if all are there."""
    for origin, file in zip(question.origins, question.claim.files, strict=False):
        try:
            if file.path.exists():
                continue
            began(Began(shown(file.relative), origin.lstat().st_size, origin))
            make_folder(file.path.parent)
            take_copy(origin, file.path, question.claim.folder.path, limits.max_file_mb * 1e6)
        except OSError as error:
            if error.errno not in NO_SPACE:
                _give_back(question)
            return NotTaken(origin, error)
    return None


def _give_back(question: ClaimQuestion) -> None:
    """Return the files that were taken: a copy to another disk is nothing for the loop."""
    with contextlib.suppress(OSError):  # whoever hears that they were not taken tries it, too
        for origin, file in zip(question.origins, question.claim.files, strict=False):
            if file.path.exists():
                key = file.path.parent.name[:8]
                give_back(file.path, origin, question.claim.folder.path, key)


def _read_claim(
    claim: ClaimedFiles, limits: Limits, began: Callable[[Began], None]
) -> ClaimRead | Refused:
    try:
        files = tuple(_read_file(file, claim.beneath, limits, began) for file in claim.files)
        return ClaimRead(replace(claim, files=files))
    except PhotoError as error:
        return _refused(error)
    except OSError as error:
        return Refused(os_error_text(error, claim.labels))
    except Exception as error:
        return Refused(_unexpected(shown(claim.files[0].relative), error))


def _read_file(
    file: ClaimedFile, beneath: Path | None, limits: Limits, began: Callable[[Began], None]
) -> ClaimedFile:
    label = shown(file.relative)
    status = file.path.lstat()  # before the hash, so that a write meanwhile is noticed later
    if not stat.S_ISREG(status.st_mode):
        raise PhotoError(label, "it is not a regular file any more")
    refuse_large_file(status.st_size, label, limits)
    began(Began(label, status.st_size))
    header = None
    if file.role == "photo":
        header = read_header(file.path, limits, name=str(file.relative), beneath=beneath)
    digest = sha256_of(file.path, beneath)
    return replace(
        file,
        size_bytes=status.st_size,
        mtime_ns=status.st_mtime_ns,
        digest=digest,
        header=header,
    )


def _refused(error: PhotoError) -> Refused:
    return Refused(photo_message(error.photo, error.why, ""), error.remedy)


def _unexpected(label: str, error: Exception) -> str:
    return f"{label}: cannot be read: {type(error).__name__}: {error}"
