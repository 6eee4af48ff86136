"""Jobs as the page shows them, read from the ledger, the records and the reasons.

Everything is read when it is asked for; nothing is written and nothing is kept. A photograph is
named by the row of its job and its role in it, never by a path.
"""

import contextlib
import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from daemon.config.station import Station
from daemon.jobs.failure_reasons import has_reason
from daemon.jobs.ledger import originals as original_rows
from daemon.jobs.ledger.entries import Entry
from daemon.jobs.ledger.listing import (
    Cursor,
    ListedJob,
    ended_jobs,
    jobs_of_photograph,
    listed_job,
    open_jobs,
)
from daemon.jobs.ledger.reader import LedgerReader
from daemon.jobs.publication import read_record, record_path
from daemon.service.record_words import record_in_words
from daemon.system.errors import ConfigError, LedgerError
from daemon.system.files import shown
from daemon.web.language import Language

JobState = Literal["waiting", "held", "working", "done", "failed"]

_STATES: dict[str, JobState] = {
    "claiming": "waiting",
    "queued": "waiting",
    "held": "held",
    "leased": "working",
    "publishing": "working",
    "published": "working",
    "failing": "working",
    "done": "done",
    "failed": "failed",
}

MAX_PAGE = 200
"""Most jobs of one page."""

_MAX_OUTPUTS = 64
"""Most files of a result that are shown."""

_MAX_VERSIONS = 24
"""Most results of one photograph that are shown beside each other."""


class _View(BaseModel):
    model_config = ConfigDict(frozen=True)


class PictureView(_View):
    """A picture that can be looked at.

    Attributes:
        role: Its part in the job: `original`, `result`, or one of these with a number.
        name: Its file's name.
        width: In pixels; 0 if that is not known without reading it.
        height: In pixels.
        bytes: Size of the file.
        version: Changes when the file does; part of the addresses of what is drawn of it.
    """

    role: str
    name: str
    width: int = 0
    height: int = 0
    bytes: int = 0
    version: str = ""


class JobView(_View):
    """A photograph with its recipe, and what became of it.

    Attributes:
        row: Its number, by which all routes name it.
        state: How far it has come.
        recipe: Name of its recipe; "" while its content has not decided.
        name: Name of its first photograph.
        folder: Where that lay below its inbox.
        bulk: Name of its bulk job; "" if people dropped it.
        queued_at: UTC seconds since the epoch; 0 for not yet.
        ended_at: UTC seconds since the epoch; 0 for not yet.
        originals: Its photographs, as far as they are there.
        results: Files of its result, the main one first, as far as they are there.
        why: Why it failed, or "".
        remedy: What to do about that, or "".
        can_retry: Whether it lies in failed/ and can go back to its inbox.
        changes: Keys of the recipe's steps and their values for this job alone.
    """

    row: int
    state: JobState
    recipe: str
    name: str
    folder: str = ""
    bulk: str = ""
    queued_at: float = 0.0
    ended_at: float = 0.0
    originals: tuple[PictureView, ...] = ()
    results: tuple[PictureView, ...] = ()
    why: str = ""
    remedy: str = ""
    can_retry: bool = False
    changes: tuple[str, ...] = ()


class JobDetails(JobView):
    """A job with its record.

    Attributes:
        words: The record in words.
        record: The record itself; empty where there is none.
        versions: Other results of the same photograph, the latest first.
    """

    words: tuple[str, ...] = ()
    record: dict[str, Any] = {}
    versions: tuple[JobView, ...] = ()


class JobPage(_View):
    """Some jobs of many.

    Attributes:
        jobs: In their order.
        next: What to send as `after` for the next page; "" on the last.
    """

    jobs: tuple[JobView, ...]
    next: str = ""


@dataclass(frozen=True)
class PictureFile:
    """Where a picture lies.

    Attributes:
        path: Its file.
        name: What it is called for people, and when it is downloaded.
        beneath: Folder below which no link is followed to it; None where nobody else may write.
        size: Width and height in pixels; None if they are not known without reading it.
    """

    path: Path
    name: str
    beneath: Path | None = None
    size: tuple[int, int] | None = None

    def view(self, role: str) -> PictureView | None:
        """As it is told of; None if it is not there, or is no regular file."""
        try:
            status = self.path.lstat()
        except OSError:
            return None
        if not stat.S_ISREG(status.st_mode):
            return None
        width, height = self.size or (0, 0)
        return PictureView(
            role=role,
            name=shown(self.name),
            width=width,
            height=height,
            bytes=status.st_size,
            version=f"{status.st_mtime_ns:x}-{status.st_size:x}",
        )


class NotFoundError(Exception):
    """There is no such job or picture, or not any more."""


class JobReader:
    """Reads the jobs of one station, with one connection to its ledger."""

    def __init__(self, station: Station, ledger: LedgerReader) -> None:
        self._station = station
        self._ledger = ledger

    @property
    def ledger(self) -> LedgerReader:
        """The ledger that it reads."""
        return self._ledger

    def open_page(self, limit: int) -> JobPage:
        """The first jobs that have not ended: those in work, then those that wait."""
        return JobPage(jobs=tuple(map(self.view, open_jobs(self._ledger, limit))))

    def done_page(
        self, limit: int, after: str = "", *, recipe: str | None = None, bulk: str | None = None
    ) -> JobPage:
        """Jobs with a result, the latest first."""
        found = ended_jobs(
            self._ledger, "done", limit + 1, read_cursor(after), recipe=recipe, bulk=bulk
        )
        return self._page(found, limit)

    def failed_page(self, limit: int, after: str = "") -> JobPage:
        """Photographs that lie in failed/ now, the latest first.

        The row of one that was retried stays, but it has left failed/ with its reason.
        """
        found: list[ListedJob] = []
        cursor = read_cursor(after)
        seen: set[Path] = set()
        while len(found) <= limit:
            some = ended_jobs(self._ledger, "failed", limit + 1, cursor)
            for one in some:
                path = one.failed_to
                if path is not None and path not in seen and has_reason(path):
                    seen.add(path)
                    found.append(one)
            if len(some) <= limit:
                break
            cursor = some[-1].cursor
        return self._page(found, limit)

    def job(self, row: int) -> ListedJob:
        """One job.

        Raises:
            NotFoundError: The ledger does not have it.
        """
        found = listed_job(self._ledger, row) if 0 < row < 2**63 else None
        if found is None:
            raise NotFoundError(f"no job has the number {row}, or it was forgotten")
        return found

    def details(self, row: int, language: Language) -> JobDetails:
        """One job with its record and the other results of its photograph.

        Raises:
            NotFoundError: The ledger does not have it.
        """
        job = self.job(row)
        record = record_of(job)
        digest = job.entry.claim.files[0].digest
        others = jobs_of_photograph(self._ledger, digest, _MAX_VERSIONS) if digest else []
        versions = [self.view(one) for one in others if one.entry.row != row]
        return JobDetails(
            **dict(self.view(job, record)),
            words=tuple(record_in_words(record, language.gettext)) if record else (),
            record=dict(record),
            versions=tuple(one for one in versions if one.results),
        )

    def view(self, job: ListedJob, record: Mapping[str, Any] | None = None) -> JobView:
        """A job as it is shown; a record adds the files of its result beyond the first."""
        entry = job.entry
        first = entry.claim.files[0].relative
        folder = "" if str(first.parent) == "." else shown(first.parent)
        failed = job.failed_to if entry.state == "failed" else None
        return JobView(
            row=entry.row,
            state=_STATES[entry.state],
            recipe=entry.recipe,
            name=shown(first.name),
            folder=folder,
            bulk=shown(entry.claim.folder.bulk),
            queued_at=entry.queued_at,
            ended_at=job.ended_at,
            originals=_views("original", self.originals(job)),
            results=_views("result", results_of(job, record)),
            why=shown(entry.reason.why) if failed else "",
            remedy=shown(entry.reason.remedy) if failed else "",
            can_retry=failed is not None and has_reason(failed),
            changes=entry.claim.changes,
        )

    def picture(self, row: int, role: str) -> PictureFile:
        """The file of a picture.

        Args:
            row: Its job.
            role: Its role, as `PictureView` has it.

        Raises:
            NotFoundError: There is none.
        """
        job = self.job(row)
        kind, _, number = role.partition("-")
        if number and not (number.isascii() and number.isdigit() and len(number) < 4):
            raise NotFoundError(f"no picture is called {role!r}")
        index = int(number or 1) - 1
        if kind == "original":
            files = self.originals(job)
        elif kind == "result":
            files = results_of(job, record_of(job) if index else None)
        else:
            files = []
        if not 0 <= index < len(files):
            raise NotFoundError(f"job {row} has no {role}")
        return files[index]

    def originals(self, job: ListedJob) -> list[PictureFile]:
        """The photographs of a job, where they lie now."""
        entry = job.entry
        claim = entry.claim
        beneath = claim.beneath
        archived: dict[int, Path] = {}
        if entry.state == "done":
            rows = original_rows.originals_of(self._ledger, entry.row)
            archived = {one.position: one.path for one in rows}
        found = []
        for position, file in enumerate(claim.files):
            if file.role != "photo":
                continue
            header = file.header
            size = (header.width, header.height) if header else None
            path, below = file.path, beneath
            if position in archived:
                path, below = archived[position], None
            elif entry.state == "failed" and beneath is None and job.failed_to is not None:
                path = job.failed_to if position == 0 else job.failed_to.with_name(path.name)
            found.append(PictureFile(path, file.relative.name, below, size))
        return found

    def _page(self, found: Sequence[ListedJob], limit: int) -> JobPage:
        more = write_cursor(found[limit - 1].cursor) if len(found) > limit else ""
        return JobPage(jobs=tuple(map(self.view, found[:limit])), next=more)


def results_of(job: ListedJob, record: Mapping[str, Any] | None) -> list[PictureFile]:
    """The files of a result: the main one, and those that its record names beside it."""
    if job.result is None:
        return []
    folder, sizes = job.result.parent, {}
    names: list[str] = []
    for one in (record or {}).get("outputs", ())[:_MAX_OUTPUTS]:
        name = one.get("file") if isinstance(one, dict) else None
        if isinstance(name, str) and _is_below(name):
            names.append(name)
            width, height = one.get("width"), one.get("height")
            if isinstance(width, int) and isinstance(height, int):
                sizes[name] = (width, height)
    first = job.result.name
    names = [first, *(name for name in names if name != first)]
    beneath = job.entry.claim.folder.outbox
    safe = beneath if job.result.is_relative_to(beneath) else None
    return [PictureFile(folder / n, Path(n).name, safe, sizes.get(n)) for n in names]


def record_of(job: ListedJob) -> Mapping[str, Any]:
    """The record of a job; empty where there is none, or none that can be read."""
    if job.result is None:
        return {}
    try:
        return read_record(record_path(job.result))
    except Exception:  # whatever somebody put in its place, a parser raises what it likes
        return {}


def photograph_digest(entry: Entry) -> str:
    """Sha256 of a job's first photograph, hex."""
    return entry.claim.files[0].digest


@contextlib.contextmanager
def reading_jobs(station: Station) -> Iterator[JobReader]:
    """A reader of the station's jobs, until the block ends.

    Raises:
        NotFoundError: No daemon has run here, so there is no ledger, or it cannot be read now.
    """
    try:
        ledger = LedgerReader(station.ledger)
    except (ConfigError, LedgerError) as error:
        raise NotFoundError(str(error)) from error
    try:
        yield JobReader(station, ledger)
    finally:
        ledger.close()


def read_cursor(text: str) -> Cursor:
    """The place that `write_cursor` wrote; the beginning for any other text."""
    at, _, row = text.partition("_")
    try:
        number = int(row)
        return (float.fromhex(at), number) if 0 <= number < 2**63 else (float("inf"), 0)
    except (ValueError, OverflowError):
        return float("inf"), 0


def write_cursor(cursor: Cursor) -> str:
    """A place between two pages, as text without signs that mean something in an address."""
    at, row = cursor
    return f"{at.hex().replace('+', '')}_{row}"


def _views(kind: str, files: Sequence[PictureFile]) -> tuple[PictureView, ...]:
    roles = (f"{kind}-{number}" if number > 1 else kind for number in range(1, len(files) + 1))
    found = (file.view(role) for role, file in zip(roles, files, strict=True))
    return tuple(view for view in found if view is not None)


def _is_below(name: str) -> bool:
    """Whether a name in a record is that of a file beside it or below."""
    parts = name.split("/")
    return "\0" not in name and not any(part in ("", ".", "..") for part in parts)


def version_of(path: Path) -> tuple[int, int]:
    """Modification time and size of a file.

    Raises:
        NotFoundError: It is not there.
    """
    try:
        status = os.lstat(path)
    except OSError as error:
        raise NotFoundError("the file is not there any more") from error
    return status.st_mtime_ns, status.st_size
