"""Commands about bulk jobs: submit, and list, show, pause, resume, cancel or retry them."""

import shlex
import time
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from daemon.bulk.status import BulkStatus, pending, read_bulk
from daemon.bulk.submission import check_name, check_roots
from daemon.cli.context import SOME_FAILED, print_json, say, station_of
from daemon.cli.status_text import NO_DAEMON, bulk_details, bulk_line
from daemon.config.recipe import Recipe, recipe_named
from daemon.config.settings import Settings
from daemon.config.station import Station
from daemon.config.station_setup import known_recipes, open_station
from daemon.intake.requests import (
    BulkCancelRequest,
    BulkPauseRequest,
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

app = typer.Typer(
    name="bulk",
    no_args_is_help=True,
    help="Show and control bulk jobs, which `restored submit` makes.",
)

_POLL_S = 1.0
"""Seconds between two looks at a bulk job that is followed."""

_PRINT_S = 30.0
"""Seconds between two lines about it where stderr is no terminal."""

_Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of the bulk job.")]


def submit(
    context: typer.Context,
    paths: Annotated[list[Path], typer.Argument(metavar="PATH...", help="Files and folders.")],
    recipe: Annotated[str, typer.Option("--recipe", metavar="NAME", help="Recipe to use.")],
    at: Annotated[
        str | None,
        typer.Option(
            "--at",
            metavar="TIME",
            help="When to start: 22:00 or 2026-12-24T22:00. Default: at once.",
        ),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option("--name", metavar="TEXT", help="Name of the bulk job. Default: RECIPE-DATE."),
    ] = None,
    follow: Annotated[
        bool, typer.Option("--follow", help="Show its progress until it ends.")
    ] = False,
) -> int:
    """Restore folders of any size where they lie, as a bulk job with a report in reports/NAME/.

    Originals stay in place. Results keep the tree: outbox/RECIPE/FOLDER/... What this recipe with
    these weights has restored before is not done again.

    Example: `restored --station photos submit /mnt/scans --recipe old-photo --at 22:00 --follow`
    """
    station, settings = open_station(station_of(context).root)
    chosen = recipe_named(recipe, known_recipes(station))
    own = (station.root, *(watch.outbox for watch in settings.watch))
    roots = check_roots(own, paths)
    now = time.time()
    starts_at = 0.0 if at is None else _instant(at, now)
    called = name if name is not None else f"{recipe}-{wall(now, local_zone()):%Y-%m-%d-%H%M%S}"
    taken = [one.name for one in read_bulk(station)] + pending(station)
    check_name(called)
    if called in taken:
        raise UsageError(f"--name {called!r}: a bulk job has this name already; choose another")
    request = BulkSubmitRequest(
        name=called, recipe=recipe, roots=roots, at=now, starts_at=starts_at
    )
    request_id = leave(station, request)
    when = f", from {instant_in_words(starts_at, now, local_zone())}" if starts_at else ""
    say(f"submitted as {called}{when}")
    _print_estimate(station, settings, chosen, roots)
    _print_if_no_daemon(station)
    return _follow(station, called, request_id) if follow else 0


@app.command("list")
def list_jobs(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List all bulk jobs, the oldest first.

    Example: `restored --station photos bulk list`
    """
    station = station_of(context)
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


@app.command()
def show(
    context: typer.Context,
    name: _Name,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    follow: Annotated[
        bool, typer.Option("--follow", help="Show its progress until it ends.")
    ] = False,
) -> int:
    """Show the state of a bulk job.

    Example: `restored --station photos bulk show scans --follow`
    """
    station = station_of(context)
    bulk = _find(station, name)
    if follow:
        return _follow(station, name)
    if as_json:
        print_json(bulk)
        return 0
    say(_line(name, bulk))
    for line in [] if bulk is None else bulk_details(bulk):
        say(line)
    return 0


@app.command()
def pause(context: typer.Context, name: _Name) -> None:
    """Pause a bulk job: start no more of its photographs. Other work goes on.

    Example: `restored --station photos bulk pause scans`
    """
    _leave_request(context, BulkPauseRequest(name=name))


@app.command()
def resume(context: typer.Context, name: _Name) -> None:
    """Go on with a bulk job that was paused.

    Example: `restored --station photos bulk resume scans`
    """
    _leave_request(context, BulkResumeRequest(name=name))


@app.command()
def cancel(context: typer.Context, name: _Name) -> None:
    """End a bulk job. Results stay; photographs in flight are finished.

    Example: `restored --station photos bulk cancel scans`
    """
    _leave_request(context, BulkCancelRequest(name=name))


@app.command()
def retry(context: typer.Context, name: _Name) -> None:
    """Try again whatever failed of a bulk job, its report too.

    Example: `restored --station photos bulk retry scans`
    """
    _leave_request(context, BulkRetryRequest(name=name, at=time.time()))


def _leave_request(context: typer.Context, request: BulkRequest) -> None:
    station, name = station_of(context), request.name
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


def _follow(station: Station, name: str, request_id: str = "") -> int:
    """Show the progress of a bulk job until it ends; Ctrl-C stops only the showing.

    Args:
        station: Its station.
        name: Name of the bulk job.
        request_id: Id of the request that submitted it; "" if that was answered before.

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
