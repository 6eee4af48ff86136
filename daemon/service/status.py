"""The state of a station, read from its ledger without disturbing the daemon.

Nothing is written. The fields of `StationStatus` are the keys of `restored status --json`.
"""

import math
import time
from collections import Counter
from dataclasses import dataclass, field

from daemon.bulk.status import BulkStatus, read_bulk
from daemon.config.station import Notice, Station
from daemon.config.station_setup import known_recipes
from daemon.jobs.failure_reasons import has_reason
from daemon.jobs.ledger.entries import Failure, NoteCounts
from daemon.jobs.ledger.reader import LedgerReader
from daemon.jobs.time_estimates import RATE_WINDOW_S, rate_per_s
from daemon.jobs.timetable import HeldBack, held_back
from daemon.service.startup import is_daemon_running
from daemon.service.status_publisher import read_loaded_models, read_trouble
from daemon.system.clock import iso
from daemon.system.errors import ConfigError
from daemon.system.files import as_text

_MAX_FAILURES = 10
"""Failures named in a status, the newest first."""


@dataclass(frozen=True)
class RecipeStatus:
    """How many jobs of a recipe are where; `recipe` is "" while none is chosen."""

    recipe: str
    queued: int
    in_flight: int
    done: int
    failed: int


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
    """A photograph in failed/; `at` in UTC seconds since the epoch."""

    path: str
    recipe: str
    reason: str
    at: float


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
        models: Models that the daemon's worker has loaded.
        rate_per_h: Jobs finished in an hour, judged by the last ones.
        left_s: Seconds until the queue is empty, without what a schedule, a pause or an absent
            disk holds back; None where the rate is not known.
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
    rate_per_h: float = 0.0
    left_s: int | None = None


def read_status(station: Station) -> StationStatus:
    """Read the state of a station; before its first run there is nothing but its name."""
    path, paused, models = (
        as_text(station.root),
        station.paused.exists(),
        read_loaded_models(station),
    )
    if not station.ledger.exists():
        return StationStatus(path, paused, models=models)
    now = time.time()
    ledger = LedgerReader(station.ledger)
    try:
        counts = ledger.counts()
        failures = _current_failures(ledger)
        failed = Counter(failure.recipe for failure in failures)
        held, problem = _held_back(station, ledger, now)
        done, first = ledger.finished_since(now - RATE_WINDOW_S)
        rate = rate_per_s(done, first, now)
        waiting = sum(count.queued + count.in_flight for count in counts)
        waiting -= sum(line.jobs for line in held) + ledger.held_jobs()
        return StationStatus(
            station=path,
            paused=paused,
            recipes=tuple(
                RecipeStatus(c.recipe, c.queued, c.in_flight, c.done, failed[c.recipe])
                for c in counts
            ),
            held_back=tuple(_held_back_status(line, now) for line in held),
            problem=problem,
            failures=tuple(
                FailureStatus(as_text(f.path), f.recipe, f.reason, f.at)
                for f in failures[:_MAX_FAILURES]
            ),
            notices=tuple(
                NoticeStatus(as_text(n.path), n.what, n.since) for n in _notices(station, ledger)
            ),
            notes=_notes_status(ledger.note_counts()),
            bulk=read_bulk(station, ledger),
            models=models,
            rate_per_h=round(rate * 3600, 1),
            left_s=round(waiting / rate) if rate else None,
        )
    finally:
        ledger.close()


def _notices(station: Station, ledger: LedgerReader) -> tuple[Notice, ...]:
    """What does not get on: what the daemon wrote, and what it could not write to its ledger.

    Files that wait do so without a daemon too; its own trouble ended with it.
    """
    if not is_daemon_running(station):
        own = (station.root, station.logs)
        return tuple(notice for notice in ledger.notices() if notice.path not in own)
    trouble = read_trouble(station)
    return (*((trouble,) if trouble else ()), *ledger.notices())


def _current_failures(ledger: LedgerReader) -> list[Failure]:
    """The failed originals that lie in failed/ now, the newest first.

    The row of a photograph that was retried since stays, but it has left failed/ with its reason.
    """
    current = {f.path: f for f in reversed(ledger.failures(-1)) if has_reason(f.path)}
    return sorted(current.values(), key=lambda failure: -failure.at)


def _held_back(
    station: Station, ledger: LedgerReader, now: float
) -> tuple[tuple[HeldBack, ...], str | None]:
    """Jobs that wait for a schedule; or nothing, and why that is unknown."""
    try:
        return held_back(ledger, known_recipes(station), now), None
    except ConfigError as error:  # the daemon goes on with the recipes that it read before
        return (), f"{error}: what waits for schedules is unknown"


def _notes_status(counts: NoteCounts) -> NotesStatus:
    kinds = {kind.value: number for kind, number in counts.kinds}
    return NotesStatus(counts.results, kinds, counts.describe())


def _held_back_status(held: HeldBack, now: float) -> HeldBackStatus:
    until = None if math.isinf(held.until) else iso(held.until, held.zone)
    return HeldBackStatus(held.recipe, held.jobs, until, held.describe(now))
