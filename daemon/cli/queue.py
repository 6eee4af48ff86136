"""Commands about the queue: status, retry, pause, resume."""

from pathlib import Path
from typing import Annotated

import typer

from daemon.cli.context import out, print_json, say, station_of
from daemon.config.setup import known_recipes, open_station
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
    station_of(context).paused.touch()
    say("paused; `restored resume` goes on")


def resume(context: typer.Context) -> None:
    """End the pause: start jobs again.

    Example: `restored --station photos resume`
    """
    station_of(context).paused.unlink(missing_ok=True)
    say("resumed")
