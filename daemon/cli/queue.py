"""Commands about the queue: status, retry, pause, resume."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from daemon.cli.context import out, print_json, say, station_of
from daemon.config.setup import known_recipes, open_station
from daemon.config.station import Station
from daemon.intake.requests import PauseRequest, ResumeRequest, leave, waiting_requests
from daemon.intake.retry import retry_failed
from daemon.system.files import shown


def status(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show what is queued, in flight, done and failed, and why files wait.

    Example: `restored --station photos status --json`
    """
    from daemon.cli.status_text import print_status
    from daemon.service.status import read_status

    found = read_status(station_of(context))
    if as_json:
        print_json(found)
    else:
        print_status(found, out)


def retry(
    context: typer.Context,
    paths: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[PATH]...", help="Photographs or folders below failed/. Default: all."
        ),
    ] = None,
) -> None:
    """Put failed photographs back into their inbox.

    Example: `restored --station photos retry photos/failed/denoise/scan.jpg`
    """
    from daemon.service.runtime import inbox_folders

    station, settings = open_station(station_of(context).root)
    moved = retry_failed(
        station, inbox_folders(station, settings), known_recipes(station), paths or []
    )
    for path in moved:
        say(shown(path))
    say(f"{len(moved)} put back")


def pause(context: typer.Context) -> None:
    """Pause the station: start no more jobs. Those in flight are finished.

    Example: `restored --station photos pause`
    """
    station = station_of(context)
    if _was_done(station, station.paused.touch, PauseRequest()):
        say("paused; `restored resume` goes on")
    else:
        say("asked to pause; the daemon takes it when it runs")


def resume(context: typer.Context) -> None:
    """End the pause: start jobs again.

    Example: `restored --station photos resume`
    """
    station = station_of(context)
    if _was_done(station, partial(station.paused.unlink, missing_ok=True), ResumeRequest()):
        say("resumed")
    else:
        say("asked to resume; the daemon takes it when it runs")


def _was_done(
    station: Station, change: Callable[[], object], request: PauseRequest | ResumeRequest
) -> bool:
    """Pause or resume; returns False where the daemon is asked to, for a member of the group.

    It is asked, too, where a request waits that it would take for newer.
    """
    try:
        change()
        done = True
    except PermissionError:
        done = False
    waiting = (pending.request for pending in waiting_requests(station))
    if not done or any(isinstance(one, PauseRequest | ResumeRequest) for one in waiting):
        leave(station, request)
    return done
