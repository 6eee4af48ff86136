"""Bulk jobs: folders of any size are restored where they lie, a little in each turn of the loop.

Originals are only read. The loop is never held up: a turn looks at a few files of one job, and the
report at the end is written by a process of its own.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import assert_never

import structlog

from daemon.bulk.report_folder import written_report
from daemon.bulk.report_process import ReportProcesses
from daemon.bulk.walk import Slice, folders_of, slices, take_slices
from daemon.config.recipe import Recipe
from daemon.config.station import Notice, Station
from daemon.intake.arrivals import Claim
from daemon.intake.claimer import Claimer
from daemon.intake.file_reader import FileReads
from daemon.intake.requests import (
    BulkCancelRequest,
    BulkPauseRequest,
    BulkRequest,
    BulkResumeRequest,
    BulkRetryRequest,
    BulkSubmitRequest,
    RequestState,
)
from daemon.intake.scanner import PassedOver, why_missing
from daemon.intake.settled_files import SettledFolder
from daemon.jobs.access import Access
from daemon.jobs.failure_reasons import reason_path
from daemon.jobs.ledger import bulk as bulk_rows
from daemon.jobs.ledger.bulk import BulkJob
from daemon.jobs.ledger.writer import Ledger
from daemon.system.errors import UsageError
from daemon.system.files import NO_SPACE, shown

_log = structlog.get_logger()

_RETRY_BATCH = 64
"""Failed photographs queued again in one turn."""

_KNOWN_PATHS = 4096
"""Paths queued last, which a walk leaves out after a restart."""


@dataclass
class _Look:
    """Slices whose files are looked at, and what has been decided of them.

    Attributes:
        recipe: The recipe they are looked at for.
        parts: Each slice with its files.
        claims: What is to be claimed.
        passed: What is left alone.
    """

    recipe: Recipe
    parts: list[tuple[Slice, SettledFolder]]
    claims: list[Claim] = field(default_factory=list)
    passed: list[PassedOver] = field(default_factory=list)

    def is_decided(self, reads: FileReads) -> bool:
        """Decide what can be decided now; whether that is all."""
        undecided = []
        for part, settled in self.parts:
            taken, left = part.claims(settled, self.recipe, reads)
            self.claims += taken
            self.passed += left
            if settled.awaits_header:
                undecided.append((part, settled))
            else:
                self.passed += part.passed_over
        self.parts = undecided
        return not undecided


Notify = Callable[[str, str, str], None]
"""(kind, title, text) -> None: sends a message to people; see `Notifier.notify`."""


class BulkManager:
    """Carries bulk jobs from submission to report."""

    def __init__(
        self, station: Station, ledger: Ledger, claimer: Claimer, access: Access, notify: Notify
    ) -> None:
        """Manage the bulk jobs of one station.

        Args:
            station: Its folders.
            ledger: Where bulk jobs and their photographs are recorded.
            claimer: Queues what is found.
            access: Who may read the reports.
            notify: Sends a message when a bulk job has ended.
        """
        self._station = station
        self._ledger = ledger
        self._claimer = claimer
        self._notify = notify
        self._walks: dict[str, tuple[Recipe, Iterator[Slice]]] = {}
        self._looks: dict[str, tuple[_Look, str]] = {}
        """The folder that each job looks at now, with the position of its last file."""
        self._report_processes = ReportProcesses(station, access, claimer.reads.limits)
        self._folders: dict[str, tuple[Path, ...]] = {}
        self._errors: dict[str, str] = {}
        self._last_looked = ""

    def more_to_do(self, recipes: Sequence[Recipe], now: float) -> bool:
        """Whether anything can be looked at or reported now.

        What is queued is not counted: the ledger does that, and schedules may hold it back.
        """
        return any(
            not bulk.paused
            and (bulk.state != "waiting" or bulk.starts_at <= now)
            and bulk.name not in self._errors
            and not self._obstacle(bulk, recipes)
            and (bulk.state != "working" or not bulk_rows.has_open_jobs(self._ledger, bulk.name))
            for bulk in bulk_rows.unfinished(self._ledger)
        )

    def notices(self, recipes: Sequence[Recipe]) -> tuple[Notice, ...]:
        """Why bulk jobs cannot go on."""
        return tuple(
            Notice(bulk.roots[0], f"bulk job {bulk.name}: {why}", bulk.submitted_at)
            for bulk in bulk_rows.unfinished(self._ledger)
            if (why := self._errors.get(bulk.name) or self._obstacle(bulk, recipes))
        )

    def take(self, request: BulkRequest, request_id: str, now: float) -> RequestState:
        """Carry out a request; one that comes twice, after a crash, counts once.

        Args:
            request: What is asked.
            request_id: Its id; a submitted bulk job keeps it.
            now: UTC seconds since the epoch.

        Returns:
            "done"; "begun" if more of it follows in the next turn; "held_up" if the file system
            refuses it for now.

        Raises:
            UsageError: It cannot be done in the present state of the job.
        """
        with self._catching_errors(request.name):
            if isinstance(request, BulkSubmitRequest):
                self._submit(request, request_id)
                return "done"
            known = bulk_rows.find(self._ledger, request.name)
            if known is None:
                raise UsageError(f"no bulk job is called {request.name!r}")
            match request:
                case BulkPauseRequest():
                    self._pause(known)
                case BulkResumeRequest():
                    self._resume(known)
                case BulkCancelRequest():
                    self._cancel(known)
                case BulkRetryRequest():
                    return "begun" if self._retry(known, request.at, now) else "done"
                case _:
                    assert_never(request)
            return "done"
        return "held_up"

    def turn(self, recipes: Sequence[Recipe], now: float) -> bool:
        """Carry each bulk job a little further; returns whether more can follow at once.

        What the file system refuses holds up only the job that needs it.

        Args:
            recipes: The recipes as they are now.
            now: UTC seconds since the epoch.
        """
        busy = False
        jobs = bulk_rows.unfinished(self._ledger)
        first = next((n for n, bulk in enumerate(jobs, 1) if bulk.name == self._last_looked), 0)
        for bulk in (*jobs[first:], *jobs[:first]):  # the job that looked last comes last
            with self._catching_errors(bulk.name):
                looked = busy or self._claimer.is_full
                busy |= self._carry_on(bulk, recipes, now, looked=looked)
        return busy

    @contextlib.contextmanager
    def _catching_errors(self, name: str) -> Iterator[None]:
        """Keep and log once what the file system refuses a job; a full disk stops the turn."""
        try:
            yield
            self._errors.pop(name, None)
        except OSError as error:
            if error.errno in NO_SPACE:
                raise
            place = f"{shown(error.filename)}: " if error.filename else ""
            why = f"{place}{error.strerror or error}; it is tried again"
            if self._errors.get(name) != why:
                _log.warning("bulk_held_up", bulk=name, why=why)
            self._errors[name] = why

    def _obstacle(self, bulk: BulkJob, recipes: Sequence[Recipe]) -> str:
        """Why a job cannot go on now, or ""."""
        recipe = next((recipe for recipe in recipes if recipe.name == bulk.recipe), None)
        if bulk.state not in ("waiting", "looking", "working") or bulk.cancelled:
            return ""
        if recipe is None and bulk.state != "working":
            return f"there is no recipe {bulk.recipe} any more; write it, or cancel"
        if bulk.name not in self._folders:
            self._folders[bulk.name] = folders_of(bulk, recipe)
        why = why_missing(self._folders[bulk.name])
        if not why or (
            bulk.state == "working" and not bulk_rows.has_open_jobs(self._ledger, bulk.name)
        ):
            return ""
        return f"{why}; is its disk mounted? It goes on when that is back, or cancel it"

    def _carry_on(
        self, bulk: BulkJob, recipes: Sequence[Recipe], now: float, *, looked: bool
    ) -> bool:
        """Do the next step of one job; returns whether more can follow at once.

        Args:
            bulk: The job.
            recipes: The recipes as they are now.
            now: UTC seconds since the epoch.
            looked: No more files are to be looked at in this turn.
        """
        blocked = bool(self._obstacle(bulk, recipes))
        # In each turn, since jobs in flight may come back to the queue.
        bulk_rows.set_held(self._ledger, bulk.name, held=bulk.paused or blocked)
        if bulk.paused or blocked:
            return False
        match bulk.state:
            case "waiting" if bulk.starts_at <= now:
                bulk_rows.save(self._ledger, replace(bulk, state="looking", began_at=now))
                _log.info("bulk_begun", bulk=bulk.name, recipe=bulk.recipe)
                return True
            case "looking" if not looked:
                recipe = next(recipe for recipe in recipes if recipe.name == bulk.recipe)
                return self._look(bulk, recipe, now)
            case "working" if not bulk_rows.has_open_jobs(self._ledger, bulk.name):
                self._count(bulk, now)
                return True
            case "reporting":
                self._finish_report(bulk)
        return False

    def close(self) -> None:
        """Stop writing reports; the next start begins them again."""
        self._report_processes.close()

    def _submit(self, request: BulkSubmitRequest, request_id: str) -> None:
        jobs = bulk_rows.all_jobs(self._ledger)
        if any(bulk.request == request_id for bulk in jobs):
            return
        names = {bulk.name for bulk in jobs}
        numbered = (f"{request.name}-{number}" for number in range(2, len(names) + 3))
        name = next(n for n in (request.name, *numbered) if n not in names)
        bulk = BulkJob(
            name, request_id, request.recipe, request.roots, request.at, request.starts_at
        )
        bulk_rows.save(self._ledger, bulk)
        paths = [shown(root) for root in bulk.roots]
        _log.info("bulk_submitted", bulk=name, recipe=bulk.recipe, paths=paths)

    def _pause(self, bulk: BulkJob) -> None:
        self._refuse_ended(bulk)
        bulk_rows.save(self._ledger, replace(bulk, paused=True))
        bulk_rows.set_held(self._ledger, bulk.name, held=True)
        _log.info("bulk_paused", bulk=bulk.name)

    def _resume(self, bulk: BulkJob) -> None:
        if not bulk.paused:
            raise UsageError(f"bulk job {bulk.name!r} is not paused")
        bulk_rows.save(self._ledger, replace(bulk, paused=False))
        bulk_rows.set_held(self._ledger, bulk.name, held=False)
        _log.info("bulk_resumed", bulk=bulk.name)

    def _cancel(self, bulk: BulkJob) -> None:
        self._refuse_ended(bulk)
        off = bulk_rows.cancel(self._ledger, bulk)
        self._walks.pop(bulk.name, None)
        self._looks.pop(bulk.name, None)
        _log.info("bulk_cancelled", bulk=bulk.name, taken_off=off.taken_off)

    def _refuse_ended(self, bulk: BulkJob) -> None:
        if bulk.state not in ("waiting", "looking", "working"):
            raise UsageError(f"bulk job {bulk.name!r} has ended")

    def _retry(self, bulk: BulkJob, asked_at: float, now: float) -> bool:
        """Queue some of what had failed when it was asked; returns whether there may be more.

        A report that could not be written is written then.
        """
        failed = bulk_rows.failed_entries(self._ledger, bulk.name, asked_at, _RETRY_BATCH)
        rows = [entry.row for entry, _ in failed]
        for _, beside in failed:
            if beside is not None:  # it is out of date
                reason_path(beside).unlink(missing_ok=True)
        bulk_rows.try_again(self._ledger, rows)
        for entry in self._ledger.entries(rows):
            self._claimer.read_again(entry)
        if rows and bulk.state in ("reporting", "ended"):
            self._report_processes.stop(bulk.name)
            bulk_rows.save(self._ledger, replace(bulk, state="working", summary=None, ended_at=0.0))
        elif bulk.state == "ended" and written_report(self._station, bulk.name) is None:
            bulk_rows.save(self._ledger, replace(bulk, state="reporting"))
        _log.info("bulk_retried", bulk=bulk.name, photographs=len(rows))
        return len(rows) == _RETRY_BATCH

    def _look(self, bulk: BulkJob, recipe: Recipe, now: float) -> bool:
        """Look at a few more files and queue what can be restored; returns whether to go on."""
        self._last_looked = bulk.name
        # Walk and look are put back once all is recorded; after an error they begin again.
        walk, look = self._walks.pop(bulk.name, None), self._looks.pop(bulk.name, None)
        if walk is None or walk[0] != recipe:
            known = bulk_rows.latest_paths(self._ledger, bulk.name, _KNOWN_PATHS)
            walk, look = (recipe, slices(bulk, recipe, self._station, known)), None
        if look is None:
            found = take_slices(walk[1])
            if why_missing(self._folders[bulk.name]):
                return False  # a folder that vanished may have seemed to hold no more files
            if not found:
                bulk_rows.save(self._ledger, replace(bulk, state="working"))
                return True
            look = _Look(recipe, [(part, part.settle()) for part in found]), found[-1].last
        decided = look[0].is_decided(self._claimer.reads)
        if decided:
            if why_missing(self._folders[bulk.name]):
                return False  # what vanished with its disk was not looked at
            self._claimer.claim(look[0].claims, now)
            noted = bulk.with_notes(look[0].passed)
            bulk_rows.save(self._ledger, replace(noted, looked_at=look[1]))
        else:
            self._looks[bulk.name] = look
        self._walks[bulk.name] = walk
        return decided

    def _count(self, bulk: BulkJob, now: float) -> None:
        """Count the results of a job that has nothing more to do; its report is next."""
        ended_at = bulk.ended_at or now
        counted = replace(bulk, summary=bulk_rows.counts(self._ledger, bulk))
        bulk_rows.save(self._ledger, replace(counted, state="reporting", ended_at=ended_at))

    def _finish_report(self, bulk: BulkJob) -> None:
        """Have the report written; the bulk job ends with it."""
        reported = self._report_processes.report(bulk)
        if reported is None:
            return
        bulk_rows.save(self._ledger, replace(bulk, state="ended"))
        counts = bulk.summary or bulk_rows.BulkCounts()
        _log.info(
            "bulk_ended",
            bulk=bulk.name,
            done=counts.done,
            skipped=counts.skipped,
            failed=counts.failed,
            report=shown(reported.folder) if reported.folder is not None else None,
        )
        text = (
            f"{counts.done} restored, {counts.skipped} were there already, {counts.failed} "
            f"failed, {counts.taken_off} taken off; {reported.text}"
        )
        how = "cancelled" if bulk.cancelled else "ended"
        self._notify("bulk-job-ended", f"bulk job {bulk.name} {how}", text)
