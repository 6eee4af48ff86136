"""Bulk jobs: folders of any size are restored where they lie, a little at a time.

Comes in: requests, from commands; the folders they name. Goes out: claims of what is in them, and a
report in the end. Originals are only read. Nothing of it holds the loop up: in one turn a few
files are looked at, and the report is written by a process of its own.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import assert_never

import structlog

from daemon.bulk.report_process import ReportProcesses
from daemon.bulk.walk import Slice, absence, enough, places_of, slices
from daemon.config.recipe import Recipe
from daemon.config.station import Notice, Station
from daemon.intake.arrivals import Claim
from daemon.intake.claimer import Claimer
from daemon.intake.requests import (
    BulkCancelRequest,
    BulkPauseRequest,
    BulkRequest,
    BulkResumeRequest,
    BulkRetryRequest,
    BulkSubmitRequest,
    RequestState,
)
from daemon.intake.scanner import PassedOver
from daemon.jobs.ledger import bulk as bulk_rows
from daemon.jobs.ledger.bulk import BulkJob
from daemon.jobs.ledger.writer import Ledger
from daemon.jobs.outbox import Access
from daemon.jobs.reasons import reason_path
from daemon.system.errors import UsageError
from daemon.system.files import NO_SPACE, shown

_log = structlog.get_logger()

_RETRIED = 64
_REMEMBERED = 4096

Tell = Callable[[str, str, str], None]
"""(kind, title, text) -> None: tells people."""


class BulkManager:
    """The daemon's side of bulk jobs."""

    def __init__(
        self, station: Station, ledger: Ledger, claimer: Claimer, access: Access, tell: Tell
    ) -> None:
        """Work for one station.

        Args:
            station: Its folders.
            ledger: Where bulk jobs and their photographs are recorded.
            claimer: Queues what is found.
            access: Who may read the reports.
            tell: Tells people that one has ended.
        """
        self._station = station
        self._ledger = ledger
        self._claimer = claimer
        self._tell = tell
        self._walks: dict[str, tuple[Recipe, Iterator[Slice]]] = {}
        self._reporters = ReportProcesses(station, access, claimer.limits)
        self._places: dict[str, tuple[Path, ...]] = {}
        self._troubles: dict[str, str] = {}
        self._looked = ""

    def more_to_do(self, recipes: Sequence[Recipe], now: float) -> bool:
        """Whether something is left to be looked at or reported, here and now.

        What is queued already is not asked: the ledger counts that, and schedules hold it back.
        """
        return any(
            not bulk.paused
            and (bulk.state != "waiting" or bulk.starts_at <= now)
            and bulk.name not in self._troubles
            and not self._hindrance(bulk, recipes)
            and (bulk.state != "working" or not bulk_rows.has_open_jobs(self._ledger, bulk.name))
            for bulk in bulk_rows.unfinished(self._ledger)
        )

    def notices(self, recipes: Sequence[Recipe]) -> tuple[Notice, ...]:
        """Bulk jobs that cannot go on, and why."""
        return tuple(
            Notice(bulk.roots[0], f"bulk job {bulk.name}: {why}", bulk.submitted_at)
            for bulk in bulk_rows.unfinished(self._ledger)
            if (why := self._troubles.get(bulk.name) or self._hindrance(bulk, recipes))
        )

    def take(self, request: BulkRequest, request_id: str, now: float) -> RequestState:
        """Carry out a request; it may be taken twice after a crash, and counts once.

        Args:
            request: What is asked.
            request_id: Its id, which a bulk job that is submitted keeps.
            now: UTC seconds since the epoch.

        Returns:
            "done"; "begun" if more of it follows in the next turn; "held_up" if the file system
            refuses it for now.

        Raises:
            UsageError: It makes no sense as things stand.
        """
        with self._troubled(request.name):
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
        """Carry each bulk job a little further; says whether more can follow.

        What the file system refuses holds up the job that asked for it, and no other.

        Args:
            recipes: The recipes as they are now.
            now: UTC seconds since the epoch.
        """
        busy = False
        jobs = bulk_rows.unfinished(self._ledger)
        first = next((n for n, bulk in enumerate(jobs, 1) if bulk.name == self._looked), 0)
        for bulk in (*jobs[first:], *jobs[:first]):  # the one that looked last comes last
            with self._troubled(bulk.name):
                busy |= self._carry_on(bulk, recipes, now, looked=busy)
        return busy

    @contextlib.contextmanager
    def _troubled(self, name: str) -> Iterator[None]:
        """Remember, and say once, what the file system refuses; a full disk is everybody's."""
        try:
            yield
            self._troubles.pop(name, None)
        except OSError as error:
            if error.errno in NO_SPACE:
                raise
            why = f"{error.strerror or error}: {shown(error.filename or '')}; it is tried again"
            if self._troubles.get(name) != why:
                _log.warning("bulk_held_up", bulk=name, why=why)
            self._troubles[name] = why

    def _hindrance(self, bulk: BulkJob, recipes: Sequence[Recipe]) -> str:
        """Why a job cannot go on just now, "" if it can."""
        recipe = next((recipe for recipe in recipes if recipe.name == bulk.recipe), None)
        if bulk.state not in ("waiting", "looking", "working") or bulk.cancelled:
            return ""
        if recipe is None and bulk.state != "working":
            return f"there is no recipe {bulk.recipe} any more; write it, or cancel"
        if bulk.name not in self._places:
            self._places[bulk.name] = places_of(bulk, recipe)
        why = absence(self._places[bulk.name])
        if not why or (
            bulk.state == "working" and not bulk_rows.has_open_jobs(self._ledger, bulk.name)
        ):
            return ""
        return f"{why}; is its disk mounted? It goes on when that is back, or cancel it"

    def _carry_on(
        self, bulk: BulkJob, recipes: Sequence[Recipe], now: float, *, looked: bool
    ) -> bool:
        """Do what is next of one job; says whether more of it can follow at once.

        Args:
            bulk: The job.
            recipes: The recipes as they are now.
            now: UTC seconds since the epoch.
            looked: Enough files were looked at in this turn.
        """
        hindered = bool(self._hindrance(bulk, recipes))
        # Each turn, since what was in flight comes back to the queue.
        bulk_rows.set_held(self._ledger, bulk.name, held=bulk.paused or hindered)
        if bulk.paused or hindered:
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
                self._report(bulk, now)
                return True
            case "reporting":
                self._see_to_report(bulk)
        return False

    def close(self) -> None:
        """Stop writing reports; they are begun anew at the next start."""
        self._reporters.close()

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
        _log.info("bulk_cancelled", bulk=bulk.name, taken_off=off.taken_off)

    def _refuse_ended(self, bulk: BulkJob) -> None:
        if bulk.state not in ("waiting", "looking", "working"):
            raise UsageError(f"bulk job {bulk.name!r} has ended")

    def _retry(self, bulk: BulkJob, asked_at: float, now: float) -> bool:
        """Queue some of what had failed when it was asked; says whether there may be more."""
        failed = bulk_rows.failed_entries(self._ledger, bulk.name, asked_at, _RETRIED)
        rows = [entry.row for entry, _ in failed]
        for _, beside in failed:
            if beside is not None:  # the reason is of yesterday
                reason_path(beside).unlink(missing_ok=True)
        bulk_rows.try_again(self._ledger, rows)
        for entry in self._ledger.entries(rows):
            self._claimer.queue_again(entry, now)
        if rows and bulk.state in ("reporting", "ended"):
            self._reporters.stop(bulk.name)
            bulk_rows.save(self._ledger, replace(bulk, state="working", summary=None, ended_at=0.0))
        _log.info("bulk_retried", bulk=bulk.name, photographs=len(rows))
        return len(rows) == _RETRIED

    def _look(self, bulk: BulkJob, recipe: Recipe, now: float) -> bool:
        """Look at a few more files and queue what can be restored; says whether there were any."""
        self._looked = bulk.name
        # It is put back once all is recorded: after a fault the files are walked once more.
        begun = self._walks.pop(bulk.name, None)
        if begun is None or begun[0] != recipe:
            known = bulk_rows.latest_paths(self._ledger, bulk.name, _REMEMBERED)
            begun = recipe, slices(bulk, recipe, self._station, known)
        found = enough(begun[1])
        if absence(self._places[bulk.name]):
            return False  # a folder that vanished may have looked as if it held no more
        if not found:
            bulk_rows.save(self._ledger, replace(bulk, state="working"))
            return True
        claims: list[Claim] = []
        passed: list[PassedOver] = []
        for part in found:
            taken, left = part.claims(recipe, self._claimer.limits)
            claims += taken
            passed += [*part.passed_over, *left]
        self._claimer.claim(claims, now)
        bulk_rows.save(self._ledger, replace(bulk.with_notes(passed), looked_at=found[-1].last))
        self._walks[bulk.name] = begun
        return True

    def _report(self, bulk: BulkJob, now: float) -> None:
        """Nothing more is to be done: count, and have the report written."""
        ended_at = bulk.ended_at or now
        counted = replace(bulk, summary=bulk_rows.counts(self._ledger, bulk))
        bulk_rows.save(self._ledger, replace(counted, state="reporting", ended_at=ended_at))

    def _see_to_report(self, bulk: BulkJob) -> None:
        """Have the report written; once that has ended, so has the bulk job."""
        reported = self._reporters.report(bulk)
        if reported is None:
            return
        bulk_rows.save(self._ledger, replace(bulk, state="ended"))
        numbers = bulk.summary or bulk_rows.BulkCounts()
        _log.info(
            "bulk_ended",
            bulk=bulk.name,
            done=numbers.done,
            skipped=numbers.skipped,
            failed=numbers.failed,
            report=shown(reported.folder) if reported.folder is not None else None,
        )
        text = (
            f"{numbers.done} restored, {numbers.skipped} were there already, {numbers.failed} "
            f"failed, {numbers.taken_off} taken off; {reported.told}"
        )
        how = "cancelled" if bulk.cancelled else "ended"
        self._tell("bulk-job-ended", f"bulk job {bulk.name} {how}", text)
