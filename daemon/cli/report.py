"""The command that makes a page of a folder's results: report."""

from pathlib import Path
from typing import Annotated

import typer

from daemon.cli.context import say, station_of
from daemon.system.errors import UsageError
from daemon.system.files import shown


def report(
    context: typer.Context,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of results with records.")],
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="File to write. Default: DIR/report.html."),
    ] = None,
    originals: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Folder in which the originals lie. Default: the station's archive, or where the "
            "results are.",
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a page that exists.")] = False,
) -> None:
    """Make one HTML page of results, before and after, with what was done in words.

    The page needs no other file and asks nothing of the network.

    Example: `restored report photos/outbox/old-photo --out prints.html`
    """
    from daemon.config.settings import load_settings
    from daemon.config.station_setup import open_station
    from daemon.service.component_settings import compute_of
    from daemon.service.photo_report import ReportRequest, write_report

    for one in (folder, originals):
        if one is not None and not one.is_dir():
            raise UsageError(f"{shown(one)}: no such folder")
    settings = load_settings() if context.obj is None else open_station(station_of(context).root)[1]
    request = ReportRequest(folder, out or folder / "report.html", originals, force=force)
    done = write_report(request, compute_of(settings).limits)
    of = (
        f", the first of {done.found}; make pages of its subfolders"
        if done.found > done.shown
        else ""
    )
    results = "result" if done.shown == 1 else "results"
    say(f"{shown(request.target)}: {done.shown} {results}{of}")
    if done.without_original:
        say(f"{done.without_original} without the original; --originals DIR says where it lies")
