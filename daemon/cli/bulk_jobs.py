"""What the commands about bulk jobs do: they ask the daemon, and show what it says."""

import shlex
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from rich.console import Console
from rich.text import Text

from daemon.bulk.status import BulkStatus, pending, read_bulk
from daemon.bulk.submission import check_name, check_roots
from daemon.cli.context import SOME_FAILED, print_json, say
from daemon.cli.status_text import NO_DAEMON, bulk_details, bulk_line
from daemon.config.recipe import Recipe, recipe_named
from daemon.config.settings import Settings
from daemon.config.station import Station
from daemon.config.station_setup import known_recipes, open_station
from daemon.intake.requests import (
    BulkRequest,
    BulkResumeRequest,
    BulkRetryRequest,
    BulkSubmitRequest,
    answer_to,
    leave,
)
from daemon.system.clock import (
    LATEST_S,
    duration_in_words,
    instant_in_words,
    instants,
    local_zone,
    wall,
)
from daemon.system.errors import UsageError
from daemon.system.files import shown
from daemon.system.text import printable

_POLL_S = 1.0
"""Seconds between two looks at a bulk job that is followed."""

_PRINT_S = 30.0
"""Seconds between two lines about it where stderr is no terminal."""


@dataclass(frozen=True)
class Submission:
    """What `submit` is given.

    Attributes:
        paths: Files and folders.
        recipe: Name of the recipe.
        at: When to start, as a person writes it; None for at once.
        name: Name of the bulk job; None makes one of the recipe and the time.
    """

    paths: Sequence[Path]
    recipe: str
    at: str | None
    name: str | None


def submit_job(station: Station, wanted: Submission, *, follow: bool) -> int:
    """Ask the daemon for a bulk job; returns the exit code.

    Raises:
        UsageError: The paths, the time or the name will not do.
    """
    station, settings = open_station(station.root)
    chosen = recipe_named(wanted.recipe, known_recipes(station))
    own = (station.root, *(watch.outbox for watch in settings.watch))
    roots = check_roots(own, wanted.paths)
    now = time.time()
    starts_at = 0.0 if wanted.at is None else _instant(wanted.at, now)
    stamp = f"{wall(now, local_zone()):%Y-%m-%d-%H%M%S}"
    called = f"{chosen.name}-{stamp}" if wanted.name is None else wanted.name
    taken = [one.name for one in read_bulk(station)] + pending(station)
    check_name(called)
    if called in taken:
        raise UsageError(f"--name {called!r}: a bulk job has this name already; choose another")
    request = BulkSubmitRequest(
        name=called, recipe=chosen.name, roots=roots, at=now, starts_at=starts_at
    )
    request_id = leave(station, request)
    when = f", from {instant_in_words(starts_at, now, local_zone())}" if starts_at else ""
    say(f"submitted as {called}{when}")
    _print_estimate(station, settings, chosen, roots)
    _print_if_no_daemon(station)
    return follow_job(station, called, request_id) if follow else 0


def list_all(station: Station, *, as_json: bool) -> None:
    """Print all bulk jobs, the oldest first."""
    found = read_bulk(station)
    if as_json:
        print_json(found)
        return
    for bulk in found:
        say(bulk_line(bulk))
    for called in pending(station):
        say(_line(called, None))
    if not found and not pending(station):
        say("no bulk jobs; `restored submit` makes one")


def show_job(station: Station, name: str, *, as_json: bool) -> None:
    """Print the state of a bulk job.

    Raises:
        UsageError: There is none of this name.
    """
    bulk = _find(station, name)
    if as_json:
        print_json(bulk)
        return
    say(_line(name, bulk))
    for line in [] if bulk is None else bulk_details(bulk):
        say(line)


def leave_request(station: Station, request: BulkRequest) -> None:
    """Ask the daemon to change a bulk job.

    Raises:
        UsageError: There is no such bulk job, or the request can change nothing.
    """
    name = request.name
    bulk = _find(station, name)
    if bulk is not None:
        _check_useful(request, bulk)
    leave(station, request)
    say(f"asked to {request.kind.removeprefix('bulk_')} {name}")
    _print_if_no_daemon(station)


def _check_useful(request: BulkRequest, bulk: BulkStatus) -> None:
    """Check that a request can change anything.

    Raises:
        UsageError: It cannot.
    """
    if bulk.state == "ended" and not isinstance(request, BulkRetryRequest):
        raise UsageError(f"bulk job {bulk.name!r} has ended")
    if isinstance(request, BulkResumeRequest) and not bulk.paused:
        raise UsageError(f"bulk job {bulk.name!r} is not paused")
    lacks_report = bulk.state == "ended" and bulk.report is None
    if isinstance(request, BulkRetryRequest) and not (bulk.failed or lacks_report):
        raise UsageError(f"bulk job {bulk.name!r} has no failed photographs")


def _find(station: Station, name: str) -> BulkStatus | None:
    """The state of a bulk job; None while no daemon has taken it yet.

    Raises:
        UsageError: There is none of this name.
    """
    jobs = {bulk.name: bulk for bulk in read_bulk(station)}
    waiting = pending(station)
    if name not in jobs and name not in waiting:
        known = ", ".join([*jobs, *waiting]) or "none"
        raise UsageError(f"no bulk job is called {name!r}; there are: {known}")
    return jobs.get(name)


def _instant(at: str, now: float) -> float:
    """The next time the clock reads `at`, or its date and time; UTC seconds since the epoch."""
    zone = local_zone()
    expected = f"--at {at!r}: a time such as 22:00, or 2026-12-24T22:00"
    try:
        if len(at) <= len("22:00"):
            clock = datetime.strptime(at, "%H:%M").time()
            days = [wall(now + 86400 * day, zone).date() for day in range(3)]
            readings = [datetime.combine(day, clock) for day in days]
            return next(t for reading in readings for t in instants(reading, zone) if t > now)
        given = datetime.fromisoformat(at)
    except (ValueError, StopIteration) as error:
        raise UsageError(expected) from error
    found = given.timestamp() if given.tzinfo else max(instants(given, zone), default=0.0)
    if not now < found <= LATEST_S:
        raise UsageError(f"{expected}; this is past or far off, or a time that the clock skips")
    return found


def _print_estimate(
    station: Station, settings: Settings, recipe: Recipe, roots: tuple[Path, ...]
) -> None:
    """Print how long it may take, if such jobs were finished here before; no trial is made."""
    from daemon.service.component_settings import compute_of
    from daemon.service.estimate import survey

    compute = compute_of(settings)
    found = survey(recipe, roots, station.logs, compute)
    about = f"about {found.jobs} photographs" if found.jobs else "no photographs for this recipe"
    if found.seconds is None:
        again = shlex.join(["restored", "estimate", recipe.name, *map(shown, roots)])
        how = f"; `{again}` estimates how long it takes" if found.jobs else ""
    else:
        how = f", about {duration_in_words(found.seconds)} with nothing else to do"
    say(f"{about}{how}")


def _print_if_no_daemon(station: Station) -> None:
    from daemon.service.startup import is_daemon_running

    if not is_daemon_running(station):
        say(NO_DAEMON)


def _line(name: str, bulk: BulkStatus | None) -> str:
    return f"{name}: waits for the daemon" if bulk is None else bulk_line(bulk)


def _plain(text: str) -> Text:
    """Text in which rich finds no markup."""
    return Text(printable(text))


def follow_job(station: Station, name: str, request_id: str = "") -> int:
    """Show the progress of a bulk job until it ends; Ctrl-C stops only the showing.

    Args:
        station: Its station.
        name: Name of the bulk job.
        request_id: Id of the request that submitted it; "" if that was answered before.

    Returns:
        The exit code.

    Raises:
        UsageError: The daemon refused the request.
    """
    console = Console(stderr=True)
    printed_at, printed = 0.0, ""
    with console.status(_plain(name)) as line:
        while True:
            answer = answer_to(station, request_id) if request_id else None
            if answer is not None and answer.state == "refused":
                raise UsageError(answer.reason)
            bulk = _find(station, name)
            text = _line(name, bulk)
            line.update(_plain(text))
            ended = bulk is not None and bulk.state == "ended"
            due = time.monotonic() - printed_at >= _PRINT_S and text != printed
            if not console.is_terminal and due and not ended:
                printed_at, printed = time.monotonic(), text
                say(text, console)
            if bulk is not None and ended:
                break
            time.sleep(_POLL_S)
    for text in (bulk_line(bulk), *bulk_details(bulk)):
        say(text)
    return SOME_FAILED if bulk.failed else 0
