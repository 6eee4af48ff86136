"""The state of a station, read from its ledger without disturbing the daemon.

Nothing is written. The fields of `StationStatus` are the keys of `restored status --json`.
"""

import math
import os
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from daemon.bulk.status import BulkStatus, read_bulk
from daemon.config.recipe import Recipe
from daemon.config.station import Notice, Station
from daemon.config.station_setup import known_recipes, open_station
from daemon.jobs.failure_reasons import has_reason, reason_path
from daemon.jobs.ledger.entries import Failure, NoteCounts, QueueCount
from daemon.jobs.ledger.reader import LedgerReader
from daemon.jobs.time_estimates import RATE_WINDOW_S, rate_per_s
from daemon.jobs.timetable import HeldBack, held_back, opening_in_words
from daemon.service.component_settings import inbox_folders, unknown_watch_recipes
from daemon.service.inbox_count import InboxCount, count_inboxes
from daemon.service.startup import is_daemon_running
from daemon.service.status_publisher import read_trouble, read_workers
from daemon.service.workers import WorkerState
from daemon.system.clock import iso
from daemon.system.errors import ConfigError
from daemon.system.files import as_text

_MAX_FAILURES = 10
"""Failures named in a status, the newest first."""


@dataclass(frozen=True)
class RecipeStatus:
    """How many jobs of a recipe are where; `recipe` is "" while none is chosen.

    Attributes:
        recipe: Its name.
        queued: Jobs that wait for their turn.
        in_flight: Jobs that are being restored or published.
        done: Jobs whose result stands.
        failed: Photographs that lie in failed/ now, or in their place with a reason in failed/.
        in_inbox: Photographs that lie in an inbox, of which no daemon has made jobs yet.
    """

    recipe: str
    queued: int
    in_flight: int
    done: int
    failed: int
    in_inbox: int = 0


@dataclass(frozen=True)
class HeldBackStatus:
    """Jobs that wait for the schedule of their recipe.

    Attributes:
        recipe: Its name.
        jobs: How many.
        until: When they may start, ISO 8601; None if never.
        told: The same as a line of text.
    """

    recipe: str
    jobs: int
    until: str | None
    told: str


@dataclass(frozen=True)
class FailureStatus:
    """A photograph that failed.

    Attributes:
        path: Where it lies: in failed/, or where it was if originals stay in their place.
        recipe: Name of its recipe.
        reason: Why it failed, and what to do.
        at: When, UTC seconds since the epoch.
        label: What the reason calls it.
        reason_file: The file in failed/ that has more.
    """

    path: str
    recipe: str
    reason: str
    at: float
    label: str
    reason_file: str


@dataclass(frozen=True)
class NoticeStatus:
    """Something that does not get on by itself; `since` in UTC seconds since the epoch."""

    path: str
    what: str
    since: float


@dataclass(frozen=True)
class NotesStatus:
    """Results in whose records notes stand, as far as the ledger has them.

    Attributes:
        results: How many.
        kinds: By kind of note, how many of them have one.
        told: The same as a line of text; "" for none.
    """

    results: int = 0
    kinds: dict[str, int] = field(default_factory=dict)
    told: str = ""


@dataclass(frozen=True)
class StationStatus:
    """The state of a station.

    Attributes:
        station: Its folder.
        paused: Nothing new is started.
        recipes: Counts of jobs by recipe.
        held_back: Jobs that wait for a schedule.
        problem: Why nothing can be said about schedules, or None.
        failures: The newest photographs in failed/.
        notices: Files that wait, and why.
        notes: What people should know of results, counted.
        bulk: Bulk jobs, the oldest first.
        models: Models that the daemon's workers have loaded.
        workers: The daemon's workers.
        rate_per_h: Jobs finished in an hour, judged by the last ones.
        left_s: Seconds until the queue is empty, without what a schedule, a pause or an absent
            disk holds back; None where the rate is not known.
        running: A daemon is at work on it.
        opens: When the hours of the first recipe begin, in words, if all that is queued waits for
            hours; None otherwise.
        inbox_counted: All that lies in the inboxes is counted; otherwise there is more.
    """

    station: str
    paused: bool
    recipes: tuple[RecipeStatus, ...] = ()
    held_back: tuple[HeldBackStatus, ...] = ()
    problem: str | None = None
    failures: tuple[FailureStatus, ...] = ()
    notices: tuple[NoticeStatus, ...] = ()
    notes: NotesStatus = NotesStatus()
    bulk: tuple[BulkStatus, ...] = ()
    models: tuple[str, ...] = ()
    workers: tuple[WorkerState, ...] = ()
    rate_per_h: float = 0.0
    left_s: int | None = None
    running: bool = True
    opens: str | None = None
    inbox_counted: bool = True


def read_status(station: Station) -> StationStatus:
    """Read the state of a station, whether a daemon runs or ever ran."""
    at_work = read_workers(station)
    state = StationStatus(
        as_text(station.root),
        running=is_daemon_running(station),
        paused=station.paused.exists(),
        models=at_work.models,
        workers=at_work.workers,
    )
    try:
        recipes, problem = known_recipes(station), None
    except ConfigError as error:  # the daemon goes on with the recipes that it read before
        recipes, problem = (), f"{error}: what waits for schedules is unknown"
    settings = open_station(station.root)[1]
    folders = inbox_folders(station, settings)
    if not (state.running or problem):  # a daemon that runs writes them to its ledger
        unknown = unknown_watch_recipes(settings, recipes, time.time())
        state = replace(state, notices=tuple(map(_notice_status, unknown)))
    if not station.ledger.exists():
        lying = count_inboxes(folders, recipes, None)
        rows = _rows((), lying, Counter())
        return replace(state, recipes=rows, problem=problem, inbox_counted=lying.whole)
    ledger = LedgerReader(station.ledger)
    try:
        lying = count_inboxes(folders, recipes, ledger)
        state = replace(state, problem=problem, inbox_counted=lying.whole)
        return _with_jobs(state, station, ledger, recipes, lying)
    finally:
        ledger.close()


def _with_jobs(
    state: StationStatus,
    station: Station,
    ledger: LedgerReader,
    recipes: tuple[Recipe, ...],
    lying: InboxCount,
) -> StationStatus:
    """The state with what the ledger says."""
    now = time.time()
    counts = ledger.counts()
    failures = _current_failures(ledger)
    held = () if state.problem else held_back(ledger, recipes, now)
    done, first = ledger.finished_since(now - RATE_WINDOW_S)
    rate = rate_per_s(done, first, now)
    waiting = sum(count.queued + count.in_flight for count in counts)
    waiting -= sum(line.jobs for line in held) + ledger.held_jobs()
    first_hours = opening_in_words(held, now) if waiting <= 0 else ""
    return replace(
        state,
        recipes=_rows(counts, lying, Counter(failure.recipe for failure in failures)),
        held_back=tuple(_held_back_status(line, now) for line in held),
        failures=tuple(
            FailureStatus(
                path=as_text(f.photo),
                recipe=f.recipe,
                reason=f.reason,
                at=f.at,
                label=f.label,
                reason_file=as_text(reason_path(f.path)),
            )
            for f in failures[:_MAX_FAILURES]
        ),
        notices=(
            *map(_notice_status, _notices(station, ledger, running=state.running)),
            *state.notices,
        ),
        notes=_notes_status(ledger.note_counts()),
        bulk=read_bulk(station, ledger),
        rate_per_h=round(rate * 3600, 1),
        left_s=round(waiting / rate) if rate else None,
        opens=first_hours or None,
    )


def _rows(
    counts: Sequence[QueueCount], lying: InboxCount, failed: Mapping[str, int]
) -> tuple[RecipeStatus, ...]:
    """One row for each recipe that has jobs, or photographs in an inbox."""
    known = {count.recipe: count for count in counts}
    rows = []
    for name in sorted(known.keys() | lying.by_recipe.keys()):
        c = known.get(name, QueueCount(name, 0, 0, 0, 0))
        in_inbox = lying.by_recipe.get(name, 0)
        row = RecipeStatus(name, c.queued, c.in_flight, c.done, failed.get(name, 0), in_inbox)
        rows.append(row)
    return tuple(rows)


def _notice_status(notice: Notice) -> NoticeStatus:
    return NoticeStatus(as_text(notice.path), notice.what, notice.since)


def _notices(station: Station, ledger: LedgerReader, *, running: bool) -> tuple[Notice, ...]:
    """List what does not get on: what the daemon wrote, and what it could not write to its ledger.

    Without a daemon only files that still lie there wait; its own trouble ended with it.
    """
    if running:
        trouble = read_trouble(station)
        return (*((trouble,) if trouble else ()), *ledger.notices())
    folders = inbox_folders(station, open_station(station.root)[1])
    return tuple(
        notice
        for notice in ledger.notices()
        if any(folder.path in notice.path.parents for folder in folders)
        and os.path.lexists(notice.path)
    )


def _current_failures(ledger: LedgerReader) -> list[Failure]:
    """The failed originals that lie in failed/ now, the newest first.

    The row of a photograph that was retried since stays, but it has left failed/ with its reason.
    """
    current = {f.path: f for f in reversed(ledger.failures(-1)) if has_reason(f.path)}
    return sorted(current.values(), key=lambda failure: -failure.at)


def _notes_status(counts: NoteCounts) -> NotesStatus:
    kinds = {kind.value: number for kind, number in counts.kinds}
    return NotesStatus(counts.results, kinds, counts.describe())


def _held_back_status(held: HeldBack, now: float) -> HeldBackStatus:
    until = None if math.isinf(held.until) else iso(held.until, held.zone)
    return HeldBackStatus(held.recipe, held.jobs, until, held.describe(now))
