"""Commands about the queue: status, retry, redo, pause, resume."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from daemon.cli.context import complete_recipe, out, print_json, say, station_of
from daemon.config.station import Station
from daemon.system.errors import ConfigError, UsageError
from daemon.system.files import shown

if TYPE_CHECKING:
    from daemon.intake.requests import PauseRequest, ResumeRequest


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
    from daemon.config.station_setup import known_recipes, open_station
    from daemon.intake.retry import retry_failed
    from daemon.service.component_settings import inbox_folders

    station, settings = open_station(station_of(context).root)
    retried = retry_failed(
        station, inbox_folders(station, settings), known_recipes(station), paths or []
    )
    for path in retried.moved:
        say(shown(path))
    say(f"{len(retried.moved)} put back")
    if retried.left:
        raise ConfigError("\n".join(retried.left))


def redo(
    context: typer.Context,
    paths: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[PATH]...", help="Originals, results or folders of them. Default: all."
        ),
    ] = None,
    recipe: Annotated[
        str | None,
        typer.Option(
            "--recipe",
            help="Only results of this recipe.",
            metavar="NAME",
            autocompletion=complete_recipe,
        ),
    ] = None,
) -> None:
    """Restore archived originals again whose recipe or weights have changed. Old results stay.

    Originals that were deleted or left in place are not in the archive: drop or submit them again.

    Example: `restored --station photos redo --recipe old-photo`
    """
    from daemon.checkpoints.library import Library
    from daemon.config.recipe import recipe_named
    from daemon.config.station_setup import known_recipes, open_station
    from daemon.intake.redo import RedoPlan, ask, plan
    from daemon.jobs.ledger.reader import LedgerReader

    station, settings = open_station(station_of(context).root)
    known = known_recipes(station)
    if recipe is not None:
        recipe_named(recipe, known)
    if not station.ledger.exists():
        say("nothing is finished yet")
        return
    view = LedgerReader(station.ledger)
    try:
        found = plan(view, known, Library(settings.models_dir), paths or [], recipe)
    finally:
        view.close()
    if paths and found == RedoPlan((), 0, 0, 0):
        by = f" and was restored by {recipe!r}, which --recipe asks for" if recipe else ""
        raise UsageError(
            f"none of these has an original in the archive{by}; name files or folders below "
            "archive/ or outbox/"
        )
    ask(station, found.rows)
    more = [
        f"{number} {why}"
        for number, why in (
            (found.not_there, "no longer in the archive as they were"),
            (found.no_recipe, "of a recipe that is gone"),
        )
        if number
    ]
    say(", ".join([f"{len(found.rows)} to be done again", f"{found.up_to_date} up to date", *more]))
    if found.rows:
        say("the daemon takes them as it runs; `restored once` does, too")


def pause(context: typer.Context) -> None:
    """Pause the station: start no more jobs. Those in flight are finished.

    Example: `restored --station photos pause`
    """
    from daemon.intake.requests import PauseRequest

    station = station_of(context)
    if _was_done(station, station.paused.touch, PauseRequest()):
        say("paused; `restored resume` goes on")
    else:
        say("asked to pause; the daemon takes it when it runs")


def resume(context: typer.Context) -> None:
    """End the pause: start jobs again.

    Example: `restored --station photos resume`
    """
    from daemon.intake.requests import ResumeRequest

    station = station_of(context)
    if _was_done(station, partial(station.paused.unlink, missing_ok=True), ResumeRequest()):
        say("resumed")
    else:
        say("asked to resume; the daemon takes it when it runs")


def _was_done(
    station: Station, change: Callable[[], object], request: "PauseRequest | ResumeRequest"
) -> bool:
    """Pause or resume; returns False where the daemon is asked to, for a member of the group.

    It is asked, too, where a request waits that it would take for newer.
    """
    from daemon.intake.requests import PauseRequest, ResumeRequest, leave, waiting_requests

    try:
        change()
        done = True
    except PermissionError:
        done = False
    waiting = (pending.request for pending in waiting_requests(station))
    if not done or any(isinstance(one, PauseRequest | ResumeRequest) for one in waiting):
        leave(station, request)
    return done
