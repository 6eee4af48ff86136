"""Requests: what people ask of a running daemon, and what it answers.

A request is one JSON file in `.restored/requests/`, named ID.json. It appears whole, because it is
written under a hidden name and renamed. `kind` says what is asked, and one model per kind says what
else it holds. The daemon takes requests in order of their names; an id begins with the time.

Whoever is in the station's group may write there, so nothing of a request is trusted: it is opened
without following links and without blocking, must be a regular file of at most 1 MB, and whatever
is wrong with it, it is set aside as ID.refused. `.restored/answers/ID.json` says what became of it.
"""

import contextlib
import errno
import json
import os
import random
import secrets
import stat
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import structlog
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PlainSerializer,
    PlainValidator,
    TypeAdapter,
    ValidationError,
)

from daemon.config.recipe import RECIPE_NAME
from daemon.config.station import Station
from daemon.system.clock import LATEST_S
from daemon.system.errors import UsageError
from daemon.system.files import NO_SPACE, fit_name, make_folder, shown
from daemon.system.json_files import MAX_JSON_BYTES, read_json, write_whole
from daemon.system.text import printable

_log = structlog.get_logger()

MAX_REDO = 64
"""Most jobs in one redo request: the daemon takes one such request in each turn of its loop."""

MAX_ROOTS = 10_000
"""Most files and folders of one bulk job; they are looked at in one turn of the loop."""

_MAX_CHANGES = 16
_MAX_CHANGE = 4096
_MAX_PATHS = 64
_MAX_NAME = 255
_MAX_PATH_BYTES = 4096
_MAX_KNOWN = 1024
"""Most requests held in memory at once; those behind them wait in the folder."""

_MAX_OF_SORT = 64
"""Most requests of one person and sort that are offered at once."""

_READ_S = 0.2
"""Seconds in which requests are read in one turn of the loop; the next turn reads on."""

_KEEP_S = 7 * 86400.0
"""Age in seconds after which answers, refused and half-written requests are removed."""

_MAX_REASON = 500
"""Most characters of a reason, which may repeat what the request holds."""

_NOT_ITS_FAULT = (errno.ENOENT, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EINTR)
"""Errors that say nothing about the request itself: it is read another time."""


def _read_path(value: object) -> Path:
    """Validate an absolute path; undecodable bytes are surrogates, as everywhere in Python."""
    if not isinstance(value, str | Path):
        raise ValueError("a path must be text")
    raw = os.fsencode(value)
    path = Path(value)
    if not path.is_absolute() or ".." in path.parts or b"\0" in raw:
        raise ValueError("a path must be absolute, without .. and NUL")
    if len(raw) > _MAX_PATH_BYTES:
        raise ValueError(f"a path may have at most {_MAX_PATH_BYTES} bytes")
    return path


_Path = Annotated[Path, PlainValidator(_read_path), PlainSerializer(str)]
_Name = Annotated[str, Field(strict=True, min_length=1, max_length=_MAX_NAME)]
_Time = Annotated[float, Field(strict=True, ge=0, le=LATEST_S, allow_inf_nan=False)]
_Row = Annotated[int, Field(strict=True, ge=1, le=2**63 - 1)]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class RetryRequest(_Model):
    """Look again at originals that failed and stayed in their place, as if they were new.

    Attributes:
        paths: A photograph in an inbox, its side files and, of a pair, its other half.
    """

    kind: Literal["retry"] = "retry"
    paths: Annotated[tuple[_Path, ...], Field(min_length=1, max_length=_MAX_PATHS)]


class RedoRequest(_Model):
    """Do finished jobs again.

    Attributes:
        rows: Their rows in the ledger.
    """

    kind: Literal["redo"] = "redo"
    rows: Annotated[tuple[_Row, ...], Field(min_length=1, max_length=MAX_REDO)]


class AgainRequest(_Model):
    """Restore the photograph of a finished job once more, with another recipe or other values.

    Attributes:
        row: Its row in the ledger.
        recipe: Name of the recipe; None for that of the job.
        changes: Keys of its steps and their values, such as "denoise.realism=0.5".
    """

    kind: Literal["again"] = "again"
    row: _Row
    recipe: Annotated[str, Field(strict=True, pattern=RECIPE_NAME)] | None = None
    changes: Annotated[
        tuple[Annotated[str, Field(strict=True, max_length=_MAX_CHANGE)], ...],
        Field(max_length=_MAX_CHANGES),
    ] = ()


class ChooseRequest(_Model):
    """Of several results of one photograph keep one in the outbox and set the others aside.

    Attributes:
        row: Row of the job whose result stays.
        others: Rows of the jobs whose results go to `.unchosen` in their outbox.
    """

    kind: Literal["choose"] = "choose"
    row: _Row
    others: Annotated[tuple[_Row, ...], Field(max_length=MAX_REDO)]


class ReloadRequest(_Model):
    """Read the recipes again."""

    kind: Literal["reload"] = "reload"


class PauseRequest(_Model):
    """Start no job of the station until it is resumed."""

    kind: Literal["pause"] = "pause"


class ResumeRequest(_Model):
    """Start jobs again."""

    kind: Literal["resume"] = "resume"


class BulkSubmitRequest(_Model):
    """Restore folders where they lie.

    Attributes:
        name: Name of the bulk job; one that is taken gets a number.
        recipe: Name of the recipe.
        roots: Files and folders.
        at: When this was asked, UTC seconds since the epoch.
        starts_at: When the job may begin, UTC seconds since the epoch.
    """

    kind: Literal["bulk_submit"] = "bulk_submit"
    name: _Name
    recipe: Annotated[str, Field(strict=True, pattern=RECIPE_NAME)]
    roots: Annotated[tuple[_Path, ...], Field(min_length=1, max_length=MAX_ROOTS)]
    at: _Time
    starts_at: _Time = 0.0


class BulkPauseRequest(_Model):
    """Start no more of a bulk job."""

    kind: Literal["bulk_pause"] = "bulk_pause"
    name: _Name


class BulkResumeRequest(_Model):
    """Go on with a bulk job that is paused."""

    kind: Literal["bulk_resume"] = "bulk_resume"
    name: _Name


class BulkCancelRequest(_Model):
    """End a bulk job; what is done stays."""

    kind: Literal["bulk_cancel"] = "bulk_cancel"
    name: _Name


class BulkRetryRequest(_Model):
    """Try again what of a bulk job had failed when this was asked.

    Attributes:
        name: Name of the bulk job.
        at: When it was asked, UTC seconds since the epoch.
    """

    kind: Literal["bulk_retry"] = "bulk_retry"
    name: _Name
    at: _Time


BulkRequest = (
    BulkSubmitRequest | BulkPauseRequest | BulkResumeRequest | BulkCancelRequest | BulkRetryRequest
)
Request = (
    RetryRequest
    | RedoRequest
    | AgainRequest
    | ChooseRequest
    | ReloadRequest
    | PauseRequest
    | ResumeRequest
    | BulkRequest
)

_REQUEST: TypeAdapter[Request] = TypeAdapter(Annotated[Request, Field(discriminator="kind")])


RequestState = Literal["done", "begun", "held_up"]
"""What became of a request in one turn: done; begun, and more of it follows in the next; held up by
the file system, and tried again."""


class Answer(BaseModel):
    """The answer to a request.

    Attributes:
        state: Taken: it was carried out, or the daemon has recorded it.
        reason: Why it was refused, or "".
    """

    state: Literal["taken", "refused"]
    reason: str = ""


@dataclass(frozen=True)
class Pending:
    """A request without an answer; `id` names its file and its answer."""

    id: str
    request: Request


@dataclass(frozen=True)
class _Seen:
    """A request as it is remembered: its owner's user id and its sort."""

    owner: int
    sort: str


def _sort_of(request: Request) -> str:
    """Requests of one sort stay in order: a pause and its end, all about bulk jobs."""
    match request:
        case PauseRequest() | ResumeRequest():
            return "pause"
        case RetryRequest() | RedoRequest() | AgainRequest() | ChooseRequest() | ReloadRequest():
            return request.kind
        case _:
            return "bulk"


def leave(station: Station, request: Request) -> str:
    """Leave a request for the daemon, which takes it now or when it runs next.

    Returns:
        Its id.

    Raises:
        UsageError: It has more than 1 MB.
    """
    request_id = f"{time.time_ns():020}-{secrets.token_hex(8)}"
    leave_as(station, request, request_id)
    return request_id


def leave_as(station: Station, request: Request, request_id: str) -> None:
    """Leave a request under an id; it replaces one of the same id."""
    text = json.dumps(request.model_dump())
    if len(text) > MAX_JSON_BYTES:
        raise UsageError(
            f"more than {MAX_JSON_BYTES >> 20} MB is asked at once; name folders, not files"
        )
    folder, owner = station.requests, station.state.stat()
    with contextlib.suppress(FileExistsError):
        folder.mkdir()
        # An older version made the station. Whoever of its group asks first makes the folder.
        folder.chmod(stat.S_IMODE(owner.st_mode))
    if os.geteuid() == 0 and folder.stat().st_uid == 0:
        os.chown(folder, owner.st_uid, owner.st_gid)
    part = folder / f".{secrets.token_hex(8)}.part"
    # By its handle: whoever may write into the folder could put a link in the place of the file.
    handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o664)
    try:
        with open(handle, "w") as file:  # noqa: PTH123  # it is open already
            file.write(text)
            os.fchmod(handle, 0o664)
            if os.geteuid() == 0:  # the daemon's own user must be able to take what root asks
                os.fchown(handle, owner.st_uid, owner.st_gid)
        part.rename(folder / f"{request_id}.json")
    except OSError as error:  # a full disk, above all; a write names no file
        part.unlink(missing_ok=True)
        raise OSError(error.errno, error.strerror, error.filename or str(folder)) from error


def waiting_requests(station: Station) -> list[Pending]:
    """The requests that no daemon has taken yet, in order; invalid ones are left out."""
    found: list[Pending] = []
    for name in _names(station.requests):
        with contextlib.suppress(UsageError, OSError):
            found.append(Pending(_id_of(name), _read(station.requests / name)))
    return found


def answer_to(station: Station, request_id: str) -> Answer | None:
    """The daemon's answer to a request; None if there is none yet, or not any more."""
    try:
        return Answer.model_validate_json((station.answers / f"{request_id}.json").read_bytes())
    except (OSError, ValidationError):
        return None


class RequestFolder:
    """The daemon's side: reads requests, sets invalid ones aside, and answers.

    However many requests somebody leaves, and whatever their names, they hold back nobody else's
    and none of another sort for ever: of each person and sort the first ones are offered.
    """

    def __init__(self, station: Station, group: int | None = None) -> None:
        """Begin without having read any.

        Args:
            station: The station whose requests are read.
            group: Group of the answers; None leaves it to the system.
        """
        self._folder = station.requests
        self._answers = station.answers
        self._group = group
        self._known: dict[str, Pending] = {}
        self._seen: dict[str, _Seen] = {}
        """Every request that was read; what it asks in detail may have been dropped."""
        self._last_answer: dict[int, int] = {}
        """Number of the last answer to each person, by user id."""
        self._answered: set[str] = set()
        """Files that were answered and can be neither removed nor set aside: they count once."""

    def pending(self, held_up: Collection[str] = ()) -> list[Pending]:
        """The requests that wait for an answer, in order; the first of each sort if there are many.

        Args:
            held_up: Ids of those that the file system holds up; they keep no other one back.
        """
        names = [name for name in _names(self._folder) if name not in self._answered]
        there = set(names)
        self._seen = {name: seen for name, seen in self._seen.items() if name in there}
        self._known = {name: one for name, one in self._known.items() if name in there}
        self._read_new([name for name in names if name not in self._seen])
        offered: dict[tuple[int, str, bool], list[str]] = {}
        for name in names:
            if (seen := self._seen.get(name)) is not None:
                sort = (seen.owner, seen.sort, _id_of(name) in held_up)
                offered.setdefault(sort, []).append(name)
        most = min(_MAX_OF_SORT, max(1, _MAX_KNOWN // max(1, len(offered))))
        chosen = sorted(name for of_sort in offered.values() for name in of_sort[:most])
        for name in chosen:
            if name not in self._known:
                self._learn(name)
        self._known = {name: self._known[name] for name in chosen if name in self._known}
        return list(self._known.values())

    def next_in_turn(self, waiting: Sequence[Pending]) -> Pending:
        """The first request of whoever has been answered longest ago; `waiting` is not empty."""

        def last_answer(pending: Pending) -> int:
            seen = self._seen.get(f"{pending.id}.json")
            return self._last_answer.get(seen.owner, -1) if seen is not None else -1

        return min(waiting, key=last_answer)

    def _read_new(self, names: list[str]) -> None:
        """Read requests for as long as a turn may take; of too many any, so that each has luck."""
        if len(names) > _MAX_KNOWN:
            random.shuffle(names)
        until = time.monotonic() + _READ_S
        for name in names:
            self._learn(name)
            if time.monotonic() >= until:
                break

    def _learn(self, name: str) -> None:
        """Read a request, or set it aside."""
        path = self._folder / name
        try:
            request = _read(path)
            self._seen[name] = _Seen(path.lstat().st_uid, _sort_of(request))
        except OSError:
            return
        except UsageError as error:
            self._set_aside(name, str(error))
            return
        self._known[name] = Pending(_id_of(name), request)

    def is_empty(self, but: Collection[str] = ()) -> bool:
        """Whether no request waits for an answer, except those with these ids."""
        names = (name for name in _names(self._folder) if name not in self._answered)
        return all(_id_of(name) in but for name in names)

    def take(self, pending: Pending) -> None:
        """Answer that a request was taken, and remove it."""
        self._answer(pending.id, Answer(state="taken"))
        self._count_answer(pending)
        name = f"{pending.id}.json"
        try:
            (self._folder / name).unlink(missing_ok=True)
        except OSError as error:  # it belongs to somebody else; what it asks for is done
            self._answered.add(name)
            request = shown(self._folder / name)
            _log.warning("request_not_removed", request=request, why=str(error))

    def refuse(self, pending: Pending, reason: str) -> None:
        """Answer that a request is refused, and set it aside."""
        self._set_aside(f"{pending.id}.json", reason)

    def _count_answer(self, pending: Pending) -> None:
        seen = self._seen.get(f"{pending.id}.json")
        if seen is not None:
            self._last_answer[seen.owner] = 1 + max(self._last_answer.values(), default=0)

    def prune(self, now: float) -> None:
        """Remove old answers, refused and half-written requests; `now` in UTC seconds."""
        old = (*self._folder.glob("*.refused"), *self._folder.glob(".*.part"))
        for path in (*self._answers.glob("*.json"), *old):
            with contextlib.suppress(OSError):  # a folder, or somebody else's: it stays
                if not 0 <= now - path.lstat().st_mtime <= _KEEP_S:
                    path.unlink()

    def _set_aside(self, name: str, reason: str) -> None:
        reason = printable(reason)[:_MAX_REASON]
        self._answer(_id_of(name), Answer(state="refused", reason=reason))
        aside = self._folder / fit_name(f"{_id_of(name)}.refused", room=0)
        try:
            (self._folder / name).rename(aside)
        except OSError:  # it belongs to somebody else, or something is in the way
            self._answered.add(name)
            aside = self._folder / name
        _log.warning("request_refused", request=shown(aside), why=reason)

    def _answer(self, request_id: str, answer: Answer) -> None:
        target = self._answers / f"{request_id}.json"
        try:
            make_folder(self._answers, self._group)
            write_whole(target, answer.model_dump())
            if self._group is not None:
                os.chown(target, -1, self._group)
        except OSError as error:
            if error.errno in NO_SPACE:
                raise
            _log.warning("answer_not_written", answer=shown(target), why=str(error))


def _names(folder: Path) -> list[str]:
    """Names of the files that may be requests, in order."""
    try:
        with os.scandir(folder) as entries:
            found = [e.name for e in entries if e.name.endswith(".json") and e.name[0] != "."]
    except FileNotFoundError:
        return []
    return sorted(found)


def _id_of(name: str) -> str:
    return name.removesuffix(".json")


def _read(path: Path) -> Request:
    """Read and validate a request.

    Raises:
        UsageError: It is invalid.
        OSError: It is gone, or this process lacks file handles or memory.
    """
    try:
        return _REQUEST.validate_python(read_json(path))
    except OSError as error:
        if error.errno in _NOT_ITS_FAULT:
            raise
        raise UsageError(error.strerror or str(error)) from error
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"])) or "the whole file"
        raise UsageError(f"{where}: {first['msg']}") from error
    except Exception as error:
        raise UsageError(str(error) or type(error).__name__) from error
