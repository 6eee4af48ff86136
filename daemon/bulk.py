"""Bulk jobs: folders of any size are restored where they lie, a little at a time.

Comes in: requests, from commands; the folders they name. Goes out: claims of what is in them, and a
report in the end. Originals are only read. Nothing of it holds the loop up: in one turn a few
files are looked at, and the report is written by a process of its own.
"""

import contextlib
import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from multiprocessing.process import BaseProcess
from pathlib import Path

import structlog

from daemon import bulk_book, bulk_orders
from daemon.admission import Admission
from daemon.bulk_book import Bulk
from daemon.bulk_files import Slice, slices
from daemon.bulk_orders import Order
from daemon.bulk_report import write_report
from daemon.files import fit_name, make_folder, shown
from daemon.ledger import Ledger
from daemon.outbox import Access
from daemon.recipe import Recipe
from daemon.station import Notice, Station

_log = structlog.get_logger()

_RETRIED = 64
_REMEMBERED = 4096

Tell = Callable[[str, str, str], None]
"""(kind, title, text) -> None: tells people."""


class Bulks:
    """The daemon's side of bulk jobs."""

    def __init__(
        self, station: Station, ledger: Ledger, admission: Admission, access: Access, tell: Tell
    ) -> None:
        """Work for one station.

        Args:
            station: Its folders.
            ledger: Where bulk jobs and their photographs are recorded.
            admission: Queues what is found.
            access: Who may read the reports.
            tell: Tells people that one has ended.
        """
        self._station = station
        self._ledger = ledger
        self._admission = admission
        self._access = access
        self._tell = tell
        self._walks: dict[str, Iterator[Slice]] = {}
        self._reporters: dict[str, BaseProcess] = {}

    def more_to_do(self, recipes: Sequence[Recipe], now: float) -> bool:
        """Whether something is left to be looked at or reported, here and now.

        What is queued already is not asked: the ledger counts that, and schedules hold it back.
        """
        if bulk_orders.waiting(self._station):
            return True
        names = {recipe.name for recipe in recipes}
        for bulk in bulk_book.unended(self._ledger):
            if bulk.paused or bulk.starts_at > now:
                continue
            if bulk.state in ("waiting", "looking") and bulk.recipe in names:
                return True
            if bulk.state == "reporting" or not bulk_book.is_at_work(self._ledger, bulk.name):
                return bulk.state not in ("waiting", "looking")
        return False

    def notices(self, recipes: Sequence[Recipe]) -> tuple[Notice, ...]:
        """Bulk jobs that cannot go on, and why."""
        names = {recipe.name for recipe in recipes}
        return tuple(
            Notice(bulk.roots[0], _no_recipe(bulk), bulk.submitted_at)
            for bulk in bulk_book.unended(self._ledger)
            if bulk.recipe not in names and bulk.state in ("waiting", "looking")
        )

    def turn(self, recipes: Sequence[Recipe], now: float) -> bool:
        """Take orders and carry each bulk job a little further; says whether more can follow.

        Args:
            recipes: The recipes as they are now.
            now: UTC seconds since the epoch.
        """
        for path, order in bulk_orders.asked(self._station):
            self._take(path, order, now)
        busy = False
        for bulk in bulk_book.unended(self._ledger):
            if bulk.paused:
                bulk_book.hold(self._ledger, bulk.name, back=False)  # what came back to the queue
            elif bulk.state == "waiting" and bulk.starts_at <= now:
                bulk_book.keep(self._ledger, replace(bulk, state="looking", began_at=now))
                _log.info("bulk_begun", bulk=bulk.name, recipe=bulk.recipe)
                busy = True
            elif bulk.state == "looking" and not busy:
                busy = self._look(bulk, recipes, now)
            elif bulk.state == "working" and not bulk_book.is_at_work(self._ledger, bulk.name):
                self._report(bulk, now)
                busy = True
            elif bulk.state == "reporting":
                self._see_to_report(bulk, now)
        return busy

    def close(self) -> None:
        """Stop writing reports; they are begun anew at the next start."""
        for process in self._reporters.values():
            process.kill()
            process.join()

    def _take(self, path: Path, order: Order | None, now: float) -> None:
        """Carry out an order; it may be taken twice after a crash, and counts once."""
        if order is None:
            aside = path.with_suffix(".refused")
            path.rename(aside)
            _log.warning("request_refused", request=shown(aside), why="it is no order")
            return
        known = bulk_book.named(self._ledger, order.name)
        if order.what == "submit":
            self._submit(path.stem, order)
        elif known is None:
            _log.warning("bulk_unknown", bulk=order.name, asked=order.what)
        else:
            self._change(known, order.what, now)
        with contextlib.suppress(FileNotFoundError):
            path.unlink()

    def _submit(self, request: str, order: Order) -> None:
        jobs = bulk_book.all_of(self._ledger)
        if any(bulk.request == request for bulk in jobs):
            return
        names = {bulk.name for bulk in jobs}
        numbered = (f"{order.name}-{number}" for number in range(2, len(names) + 3))
        name = next(n for n in (order.name, *numbered) if n not in names)
        bulk = Bulk(name, request, order.recipe, order.roots, order.at, order.starts_at)
        bulk_book.keep(self._ledger, bulk)
        paths = [shown(root) for root in bulk.roots]
        _log.info("bulk_submitted", bulk=name, recipe=bulk.recipe, paths=paths)

    def _change(self, bulk: Bulk, what: str, now: float) -> None:
        match what:
            case "pause" if bulk.state != "ended":
                bulk_book.keep(self._ledger, replace(bulk, paused=True))
                bulk_book.hold(self._ledger, bulk.name, back=False)
                _log.info("bulk_paused", bulk=bulk.name)
            case "resume" if bulk.paused:
                bulk_book.keep(self._ledger, replace(bulk, paused=False))
                bulk_book.hold(self._ledger, bulk.name, back=True)
                _log.info("bulk_resumed", bulk=bulk.name)
            case "cancel" if bulk.state in ("waiting", "looking", "working"):
                off = bulk_book.cancel(self._ledger, bulk)
                self._walks.pop(bulk.name, None)
                _log.info("bulk_cancelled", bulk=bulk.name, taken_off=off.taken_off)
            case "retry":
                self._retry(bulk, now)

    def _retry(self, bulk: Bulk, now: float) -> None:
        """Queue what failed once more; the reasons in failed/ are of yesterday."""
        number = 0
        while failed := bulk_book.failed_entries(self._ledger, bulk.name, _RETRIED):
            for _, reason_beside in failed:
                if reason_beside is not None:
                    reason = reason_beside.with_name(f"{reason_beside.name}.error.json")
                    reason.unlink(missing_ok=True)
            bulk_book.try_again(self._ledger, [entry.row for entry, _ in failed])
            for entry in self._ledger.entries([entry.row for entry, _ in failed]):
                self._admission.look_again(entry, now)
            number += len(failed)
        if number and bulk.state in ("reporting", "ended"):
            self._stop_report(bulk)
            bulk_book.keep(self._ledger, replace(bulk, state="working", summary=None, ended_at=0.0))
        _log.info("bulk_retried", bulk=bulk.name, photographs=number)

    def _look(self, bulk: Bulk, recipes: Sequence[Recipe], now: float) -> bool:
        """Look at a few more files and queue what can be restored; says whether there were any."""
        recipe = next((recipe for recipe in recipes if recipe.name == bulk.recipe), None)
        if recipe is None:
            return False
        if bulk.name not in self._walks:
            known = bulk_book.latest_places(self._ledger, bulk.name, _REMEMBERED)
            self._walks[bulk.name] = slices(bulk, recipe, self._station, known)
        found = next(self._walks[bulk.name], None)
        if found is None:
            del self._walks[bulk.name]
            bulk_book.keep(self._ledger, replace(bulk, state="working"))
            return True
        claims, over = found.claims(recipe, self._admission.limits)
        self._admission.admit(claims, now)
        done = replace(bulk.with_notes([*found.passed_over, *over]), looked_at=found.last)
        bulk_book.keep(self._ledger, done)
        return True

    def _report(self, bulk: Bulk, now: float) -> None:
        """Nothing more is to be done: count, and have the report written."""
        ended_at = bulk.ended_at or now
        counted = replace(bulk, summary=bulk_book.counts(self._ledger, bulk))
        bulk_book.keep(self._ledger, replace(counted, state="reporting", ended_at=ended_at))

    def _see_to_report(self, bulk: Bulk, now: float) -> None:
        """Start the process that writes the report; once it is done, so is the bulk job."""
        folder = self._station.reports / fit_name(bulk.name)
        process = self._reporters.get(bulk.name)
        if process is None:
            for made in (self._station.reports, folder):
                make_folder(made, self._access.group)
            spawn = multiprocessing.get_context("spawn")
            arguments = (self._station.ledger, bulk.name, folder, self._admission.limits)
            process = spawn.Process(target=write_report, args=arguments, daemon=True)
            process.start()
            self._reporters[bulk.name] = process
        if process.exitcode is None:
            return
        self._stop_report(bulk)
        if process.exitcode:
            _log.warning("bulk_report_failed", bulk=bulk.name, exit_code=process.exitcode)
        bulk_book.keep(self._ledger, replace(bulk, state="ended"))
        numbers = bulk.summary or bulk_book.Counts()
        _log.info(
            "bulk_ended",
            bulk=bulk.name,
            done=numbers.done,
            skipped=numbers.skipped,
            failed=numbers.failed,
            report=shown(folder),
        )
        text = (
            f"{numbers.done} restored, {numbers.skipped} were there already, {numbers.failed} "
            f"failed, {numbers.taken_off} taken off; report in {shown(folder)}"
        )
        how = "cancelled" if bulk.cancelled else "ended"
        self._tell(f"bulk {bulk.name}", f"bulk job {bulk.name} {how}", text)

    def _stop_report(self, bulk: Bulk) -> None:
        process = self._reporters.pop(bulk.name, None)
        if process is not None:
            process.kill()
            process.join()


def _no_recipe(bulk: Bulk) -> str:
    return f"bulk job {bulk.name}: there is no recipe {bulk.recipe} any more; write it, or cancel"
