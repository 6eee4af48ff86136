"""Entries of the ledger: what was claimed together, and how far its job has come.

The frozen types for rows, and the text in which the ledger keeps claims and paths.
"""

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from daemon.config.station import InboxFolder
from daemon.jobs.failure_reasons import Reason
from daemon.jobs.ledger.database import Row
from daemon.photo import Header, Photo
from daemon.photo.notes import NoteKind
from daemon.system.files import shown

State = Literal[
    "claiming", "queued", "held", "leased", "publishing", "published", "done", "failing", "failed"
]


@dataclass(frozen=True)
class ClaimedFile:
    """One file of a claim.

    Attributes:
        role: Its part in the job; a companion has none and only goes where its photograph goes.
        relative: Its path below the inbox folder it came from.
        path: Where it lies once claimed: in the work folder, or where it was if originals stay.
        size_bytes: Its size when it was claimed.
        mtime_ns: Its modification time when it was claimed.
        digest: sha256, hex; "" until it is queued.
        header: The header of a photograph; None until it is queued.
    """

    role: Literal["photo", "mask", "hints", "companion"]
    relative: Path
    path: Path
    size_bytes: int
    mtime_ns: int
    digest: str = ""
    header: Header | None = None


@dataclass(frozen=True)
class ClaimedFiles:
    """Files that were claimed together: as intended at first, then with digests and headers.

    Attributes:
        folder: The inbox that they came from.
        stem: How the file name of the result begins.
        files: The files.
        changes: Keys of the recipe's steps and their values for this job alone, see
            `config.step_changes`.
    """

    folder: InboxFolder
    stem: str
    files: tuple[ClaimedFile, ...]
    changes: tuple[str, ...] = ()

    @property
    def photos(self) -> tuple[ClaimedFile, ...]:
        """The photographs, without their side files."""
        return tuple(file for file in self.files if file.role == "photo")

    @property
    def inputs(self) -> tuple[ClaimedFile, ...]:
        """Files that the result is made of: all but the companions."""
        return tuple(file for file in self.files if file.role != "companion")

    @property
    def beneath(self) -> Path | None:
        """The inbox folder, if the files are still in it, where others may write; else None."""
        return self.folder.path if self.folder.originals == "leave" else None

    @property
    def labels(self) -> dict[Path, str]:
        """Names of the files in messages, by their paths: their places below the inbox."""
        return {file.path: shown(file.relative) for file in self.files}

    @property
    def place(self) -> bytes:
        """Where the first photograph came from: below its inbox; the full path of a bulk job's."""
        first = self.files[0]
        return os.fsencode(first.path if self.folder.bulk else first.relative)


@dataclass(frozen=True)
class Entry:
    """A job as the ledger knows it.

    Attributes:
        row: Its number in the ledger.
        state: How far it has come; see `writer`.
        recipe: Name of its recipe; "" while its content has not decided.
        claim: Its files.
        id: What is done to what; "" until it is leased.
        fence: Number of its last lease, 0 before the first.
        attempts: Passing faults that it met.
        deaths: Workers that died by themselves while it alone was in flight.
        crashes: Times that the daemon was killed while it was in flight.
        group: Number of its group of suspects, one of which may have killed a process: they run
            with nothing beside them. 0 if it is no suspect.
        publication: Its `Publication` as JSON while it is published, else "".
        reason: Why it fails; `NO_REASON` if it does not.
        queued_at: When it was queued, UTC seconds since the epoch.
    """

    row: int
    state: State
    recipe: str
    claim: ClaimedFiles
    id: str
    fence: int
    attempts: int
    deaths: int
    crashes: int
    group: int
    publication: str
    reason: Reason
    queued_at: float

    @property
    def photo_name(self) -> str:
        """Name of the job's first photograph in logs: its place below the inbox."""
        return shown(self.claim.files[0].relative)


@dataclass(frozen=True)
class Original:
    """A file of a finished job in the archive.

    Attributes:
        path: Where it lies.
        row: Its job; the last one if several put the same file there.
        position: Its index among the files of its claim, from 0; beyond them: a companion that
            came later.
        size_bytes: Its size.
        mtime_ns: Its modification time.
        at: When it went there, UTC seconds since the epoch.
    """

    path: Path
    row: int
    position: int
    size_bytes: int
    mtime_ns: int
    at: float


@dataclass(frozen=True)
class QueueCount:
    """How many jobs of a recipe are in which part of their way."""

    recipe: str
    queued: int
    in_flight: int
    done: int
    failed: int


@dataclass(frozen=True)
class NoteCounts:
    """How many results have notes.

    Attributes:
        results: Results with at least one.
        kinds: Results with a note of a kind, for each kind that occurs, the most frequent first.
    """

    results: int = 0
    kinds: tuple[tuple[NoteKind, int], ...] = ()

    def describe(self) -> str:
        """Such as "2 results have notes: steps not needed (2), guessed colours (1)"; or ""."""
        if not self.results:
            return ""
        who = "1 result has" if self.results == 1 else f"{self.results} results have"
        counted = ", ".join(f"{kind.words} ({number})" for kind, number in self.kinds)
        return f"{who} notes: {counted}"


@dataclass(frozen=True)
class Waiting:
    """Jobs of a recipe that wait to be leased.

    Attributes:
        recipe: Its name; "" while their content has not decided.
        jobs: How many.
        oldest_s: Seconds that the first of them has waited.
    """

    recipe: str
    jobs: int
    oldest_s: float


@dataclass(frozen=True)
class Failure:
    """A job that ended in failed/.

    Attributes:
        path: Where its first photograph is, or would be if originals stay in their place: the
            reason lies beside it.
        photo: Where the photograph is.
        label: What its reason calls the photograph.
        recipe: Name of its recipe.
        reason: Why it failed, and what to do, as one text.
        at: When, UTC seconds since the epoch.
    """

    path: Path
    photo: Path
    label: str
    recipe: str
    reason: str
    at: float


def photos_of(files: Sequence[ClaimedFile], beneath: Path | None = None) -> tuple[Photo, ...]:
    """The photographs among queued files, side files with the first.

    Args:
        files: The files.
        beneath: See `ClaimedFiles.beneath`.
    """
    first, *others = (photo_of(file, beneath) for file in files if file.role == "photo")
    for file in files:
        match file.role:
            case "mask":
                first = replace(first, mask=file.path, mask_label=shown(file.relative))
            case "hints":
                first = replace(first, hints=file.path, hints_label=shown(file.relative))
    return (first, *others)


def photo_of(file: ClaimedFile, beneath: Path | None = None) -> Photo:
    """A queued photograph without its side files; `beneath`: see `ClaimedFiles.beneath`."""
    if file.header is None:
        raise RuntimeError(f"{file.path} was queued without a header")
    label = shown(file.relative)
    name = file.relative.name
    return Photo(file.path, name, file.digest, file.header, label=label, beneath=beneath)


def _header_of(values: dict[str, Any]) -> Header:
    """A header from JSON, which knows no tuples; headers from before pages were kept have none."""
    sizes = tuple((width, height) for width, height in values.pop("page_sizes", ()))
    return Header(**values, page_sizes=sizes)


def path_text(path: Path) -> str:
    """A path as ASCII: undecodable bytes survive as escaped surrogates."""
    return json.dumps(str(path))


def claim_text(claim: ClaimedFiles) -> str:
    """A claim as JSON."""
    return json.dumps(asdict(claim), default=str)


def failure_of(row: Row) -> Failure:
    """The failure that a row of the table `job` tells of."""
    claim = json.loads(row["claim"])
    first = claim["files"][0]
    went_to = Path(json.loads(row["failed_to"] or '""'))
    return Failure(
        path=went_to,
        photo=Path(first["path"]) if claim["folder"]["originals"] == "leave" else went_to,
        label=shown(first["relative"]),
        recipe=row["recipe"],
        reason=str(Reason(row["reason"], row["remedy"])),
        at=row["ended_at"],
    )


def entry_of(row: Row) -> Entry:
    """The entry that a whole row of the table `job` holds."""
    claim = json.loads(row["claim"])
    folder = claim["folder"]
    for key in ("path", "outbox", "failed", "archive"):
        folder[key] = Path(folder[key])
    files = []
    for file in claim["files"]:
        header = _header_of(file.pop("header")) if file["header"] else None
        known = ClaimedFile(**file | {"header": None})
        files.append(
            replace(known, relative=Path(known.relative), path=Path(known.path), header=header)
        )
    return Entry(
        row=row["row"],
        state=row["state"],
        recipe=row["recipe"],
        claim=ClaimedFiles(
            *(InboxFolder(**folder), claim["stem"], tuple(files)),
            changes=tuple(claim.get("changes", ())),
        ),
        id=row["id"],
        fence=row["fence"],
        attempts=row["attempts"],
        deaths=row["deaths"],
        crashes=row["crashes"],
        group=row["alone"],
        publication=row["publication"],
        reason=Reason(row["reason"], row["remedy"]),
        queued_at=row["queued_at"],
    )
