"""Commands about bulk jobs: submit, and what is to become of one."""

import shlex
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from daemon.bulk.status import BulkStatus, pending, read_bulk
from daemon.bulk.submission import check_name, check_roots
from daemon.cli.context import SOME_FAILED, out, print_json, station_of
from daemon.cli.status_text import bulk_details, bulk_line
from daemon.config.recipe import Recipe, recipe_named
from daemon.config.settings import Settings
from daemon.config.setup import known_recipes, open_station
from daemon.config.station import Station
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
from daemon.system.clock import duration_in_words, instant_in_words, instants, local_zone, wall
from daemon.system.errors import UsageError
from daemon.system.files import shown

app = typer.Typer(
    name="bulk",
    no_args_is_help=True,
    help="Bulk jobs: what was submitted, and what is to become of it.",
)

_LOOK_S = 1.0
_SAY_S = 30.0

_REQUESTS: dict[str, Callable[[str], BulkRequest]] = {
    "pause": lambda name: BulkPauseRequest(name=name),
    "resume": lambda name: BulkResumeRequest(name=name),
    "cancel": lambda name: BulkCancelRequest(name=name),
    "retry": lambda name: BulkRetryRequest(name=name, at=time.time()),
}


def submit(
    context: typer.Context,
    paths: Annotated[list[Path], typer.Argument(metavar="PATH...", help="Files and folders.")],
    recipe: Annotated[str, typer.Option("--recipe", metavar="NAME", help="What is done.")],
    at: Annotated[
        str | None,
        typer.Option("--at", metavar="TIME", help="22:00, or 2026-12-24T22:00; at once without."),
    ] = None,
    name: Annotated[str | None, typer.Option("--name", metavar="TEXT", help="Of the job.")] = None,
    follow: Annotated[bool, typer.Option("--follow", help="Watch it until it ends.")] = False,
) -> int:
    """Restore folders of any size where they lie; ends with a report in reports/NAME/.

    Originals stay in place. Results keep the tree: outbox/RECIPE/FOLDER/... What was restored
    before, by this recipe with these weights, is not done again.

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
        raise UsageError(f"--name {called!r}: a bulk job is called so already; take another name")
    request = BulkSubmitRequest(
        name=called, recipe=recipe, roots=roots, at=now, starts_at=starts_at
    )
    request_id = leave(station, request)
    when = f", from {instant_in_words(starts_at, now, local_zone())}" if starts_at else ""
    out.print(f"submitted as {called}{when}", markup=False)
    _say_estimate(station, settings, chosen, roots)
    _say_whether_taken(station)
    return _follow(station, called, request_id) if follow else 0


@app.command("list")
def list_jobs(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """List all bulk jobs, the oldest first.

    Example: `restored --station photos bulk list`
    """
    station = station_of(context)
    found = read_bulk(station)
    if as_json:
        print_json(found)
        return
    for one in found:
        out.print(bulk_line(one), markup=False)
    for called in pending(station):
        out.print(f"{called}: waits for the daemon", markup=False)
    if not found and not pending(station):
        out.print("no bulk jobs; `restored submit` makes one")


@app.command()
def show(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME")],
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
    follow: Annotated[bool, typer.Option("--follow", help="Watch it until it ends.")] = False,
) -> int:
    """Say how a bulk job stands.

    Example: `restored --station photos bulk show scans --follow`
    """
    station = station_of(context)
    one = _known(station, name)
    if follow:
        return _follow(station, name)
    if as_json:
        print_json(one)
        return 0
    out.print(f"{name}: waits for the daemon" if one is None else bulk_line(one), markup=False)
    for line in [] if one is None else bulk_details(one):
        out.print(line, markup=False)
    return 0


@app.command()
def pause(context: typer.Context, name: Annotated[str, typer.Argument(metavar="NAME")]) -> None:
    """Start no more of a bulk job; other work goes on.

    Example: `restored --station photos bulk pause scans`
    """
    _ask(context, "pause", name)


@app.command()
def resume(context: typer.Context, name: Annotated[str, typer.Argument(metavar="NAME")]) -> None:
    """Go on with a bulk job that was paused.

    Example: `restored --station photos bulk resume scans`
    """
    _ask(context, "resume", name)


@app.command()
def cancel(context: typer.Context, name: Annotated[str, typer.Argument(metavar="NAME")]) -> None:
    """End a bulk job; what is done stays, what is in flight is finished.

    Example: `restored --station photos bulk cancel scans`
    """
    _ask(context, "cancel", name)


@app.command()
def retry(context: typer.Context, name: Annotated[str, typer.Argument(metavar="NAME")]) -> None:
    """Try again whatever failed of a bulk job.

    Example: `restored --station photos bulk retry scans`
    """
    _ask(context, "retry", name)


def _ask(context: typer.Context, what: str, name: str) -> None:
    station = station_of(context)
    one = _known(station, name)
    ended = one is not None and one.state == "ended"
    if ended and what != "retry":
        raise UsageError(f"bulk job {name!r} has ended")
    if what == "resume" and one is not None and not one.paused:
        raise UsageError(f"bulk job {name!r} is not paused")
    if what == "retry" and one is not None and not one.failed:
        raise UsageError(f"of bulk job {name!r} nothing has failed")
    leave(station, _REQUESTS[what](name))
    out.print(f"asked to {what} {name}", markup=False)
    _say_whether_taken(station)


def _known(station: Station, name: str) -> BulkStatus | None:
    """How a bulk job stands; None where no daemon has taken it yet."""
    jobs = {one.name: one for one in read_bulk(station)}
    waiting = pending(station)
    if name not in jobs and name not in waiting:
        known = ", ".join([*jobs, *waiting]) or "none"
        raise UsageError(f"no bulk job is called {name!r}; there are: {known}")
    return jobs.get(name)


def _instant(at: str, now: float) -> float:
    """The next time the clock reads this, or the very date and time; seconds since the epoch."""
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
    if found <= now:
        raise UsageError(f"{expected}; this is past, or a time that the clock skips")
    return found


def _say_estimate(
    station: Station, settings: Settings, recipe: Recipe, roots: tuple[Path, ...]
) -> None:
    """How long it may take, if this station has done such work before; no trial is made."""
    from daemon.service import estimate as estimating
    from daemon.service.runtime import compute_of

    compute = compute_of(settings)
    found = estimating.survey(recipe, roots, station.logs, compute)
    about = f"about {found.jobs} photographs" if found.jobs else "no photographs for this recipe"
    if found.seconds is None:
        again = shlex.join(["restored", "estimate", recipe.name, *map(shown, roots)])
        how = f"; `{again}` tells how long it takes" if found.jobs else ""
    else:
        how = f", about {duration_in_words(found.seconds)} with nothing else to do"
    out.print(f"{about}{how}", markup=False)


def _say_whether_taken(station: Station) -> None:
    from daemon.service.startup import is_daemon_running

    if not is_daemon_running(station):
        out.print("no daemon works on this station now: `restored run` or `once` takes it up")


def _follow(station: Station, name: str, request_id: str = "") -> int:
    """Say how it stands until it ends; Ctrl-C ends the watching, not the job.

    Args:
        station: Where.
        name: Name of the bulk job.
        request_id: Of the request that submitted it; "" if that was taken long ago.

    Raises:
        UsageError: The daemon refused the request.
    """
    console = Console(stderr=True)
    said_at, said = 0.0, ""
    with console.status(name) as line:
        while True:
            answer = answer_to(station, request_id) if request_id else None
            if answer is not None and answer.state == "refused":
                raise UsageError(answer.reason)
            one = _known(station, name)
            text = f"{name}: waits for the daemon" if one is None else bulk_line(one)
            line.update(text)
            ended = one is not None and one.state == "ended"
            due = time.monotonic() - said_at >= _SAY_S and text != said
            if not console.is_terminal and due and not ended:
                said_at, said = time.monotonic(), text
                console.print(text, markup=False, soft_wrap=True)
            if one is not None and ended:
                break
            time.sleep(_LOOK_S)
    for text in (bulk_line(one), *bulk_details(one)):
        out.print(text, markup=False)
    return SOME_FAILED if one.failed else 0
