"""The state of bulk jobs, read from the ledger; nothing is written and nobody is held up."""

import time
from dataclasses import asdict, dataclass

from daemon.bulk.report_folder import written_report
from daemon.config.station import Station
from daemon.intake.requests import BulkSubmitRequest, waiting_requests
from daemon.jobs.ledger import bulk as bulk_rows
from daemon.jobs.ledger.bulk import BulkJob, BulkState
from daemon.jobs.ledger.reader import LedgerReader
from daemon.jobs.time_estimates import RATE_WINDOW_S, rate_per_s
from daemon.system.clock import instant_in_words, iso, local_zone
from daemon.system.files import as_text


@dataclass(frozen=True)
class BulkStatus:
    """The state of one bulk job; its fields are the keys of `restored bulk list --json`.

    Attributes:
        name: What it is called.
        recipe: Name of its recipe.
        paths: Its files and folders.
        state: waiting -> looking -> working -> reporting -> ended.
        paused: A person holds it.
        cancelled: A person ended it.
        standing: Its state in words.
        found: Photographs (or pairs) found so far; those below together.
        queued: Wait for their turn.
        in_flight: Are being restored or published.
        done: Have a result of this job.
        skipped: Had a result already, of the same recipe and weights.
        failed: Could not be restored.
        taken_off: Were queued when the job was cancelled.
        passed_over: Files that are no photographs for the recipe.
        notes: How many of its results have notes, by kind, in words; "" for none.
        rate_per_h: Photographs finished in an hour, judged by the last ones.
        left_s: Seconds until it ends; None where that is not known.
        ready_at: When that is, ISO 8601.
        report: Path of report.md, once there is one.
    """

    name: str
    recipe: str
    paths: tuple[str, ...]
    state: BulkState
    paused: bool
    cancelled: bool
    standing: str
    found: int
    queued: int
    in_flight: int
    done: int
    skipped: int
    failed: int
    taken_off: int
    passed_over: int
    notes: str
    rate_per_h: float
    left_s: int | None
    ready_at: str | None
    report: str | None


def read_bulk(station: Station, view: LedgerReader | None = None) -> tuple[BulkStatus, ...]:
    """Every bulk job that a daemon has taken, the oldest first.

    Args:
        station: Its folders.
        view: Its ledger, if that is open already.
    """
    if view is not None:
        now = time.time()
        return tuple(_status(station, view, bulk, now) for bulk in bulk_rows.all_jobs(view))
    if not station.ledger.exists():
        return ()
    view = LedgerReader(station.ledger)
    try:
        return read_bulk(station, view)
    finally:
        view.close()


def pending(station: Station) -> list[str]:
    """Names of the bulk jobs that were submitted and that no daemon has taken yet."""
    requests = (pending.request for pending in waiting_requests(station))
    return [request.name for request in requests if isinstance(request, BulkSubmitRequest)]


def _status(station: Station, view: LedgerReader, bulk: BulkJob, now: float) -> BulkStatus:
    numbers = bulk_rows.counts(view, bulk)
    rate = 0.0
    if numbers.open:
        done, first = bulk_rows.done_since(view, bulk.name, now - RATE_WINDOW_S)
        rate = rate_per_s(done, first, now)
    held = bulk_rows.is_held(view, bulk.name)
    known = rate > 0 and bulk.state == "working" and not (bulk.paused or held)
    left_s = numbers.open / rate if known else None
    return BulkStatus(
        name=bulk.name,
        recipe=bulk.recipe,
        paths=tuple(as_text(root) for root in bulk.roots),
        state=bulk.state,
        paused=bulk.paused,
        cancelled=bulk.cancelled,
        standing=_standing(bulk, now, held=held),
        found=numbers.found,
        **asdict(numbers),
        passed_over=bulk.passed_over,
        notes=view.note_counts(bulk.name).describe(),
        rate_per_h=round(rate * 3600, 1),
        left_s=None if left_s is None else round(left_s),
        ready_at=None if left_s is None else iso(now + left_s, local_zone()),
        report=_report(station, bulk),
    )


def _report(station: Station, bulk: BulkJob) -> str | None:
    path = written_report(station, bulk.name) if bulk.state == "ended" else None
    return None if path is None else as_text(path)


def _standing(bulk: BulkJob, now: float, *, held: bool) -> str:
    if bulk.state == "ended":
        return "cancelled" if bulk.cancelled else "ended"
    if bulk.paused:
        return "paused"
    if held:
        return "waits for its disk"
    if bulk.state == "waiting" and bulk.starts_at > now:
        return f"waits until {instant_in_words(bulk.starts_at, now, local_zone())}"
    return {"looking": "working, still looking", "reporting": "writing its report"}.get(
        bulk.state, bulk.state
    )
