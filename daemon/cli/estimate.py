"""The command that says how long photographs would take: estimate."""

from pathlib import Path
from typing import Annotated

import typer

from daemon.cli.context import complete_recipe, say, station_of
from daemon.system.clock import duration_in_words
from daemon.system.errors import UsageError
from daemon.system.files import shown


def estimate(
    context: typer.Context,
    recipe: Annotated[
        str,
        typer.Argument(
            metavar="RECIPE",
            help="Name of a recipe, or a TOML file.",
            autocompletion=complete_recipe,
        ),
    ],
    paths: Annotated[list[Path], typer.Argument(metavar="PATH", help="Files and folders.")],
) -> None:
    """Estimate how long photographs would take.

    Example: `restored --station photos estimate old-photo /mnt/scans`
    """
    from daemon.config.settings import load_settings
    from daemon.config.station_setup import open_station, recipe_for
    from daemon.service.component_settings import compute_of
    from daemon.service.estimate import forecast, work_in

    station, settings = (
        (None, load_settings()) if context.obj is None else open_station(station_of(context).root)
    )
    chosen, compute = recipe_for(recipe, station), compute_of(settings)
    for path in paths:
        if not path.exists():
            raise UsageError(f"{shown(path)}: no such file or folder")
    work = work_in(chosen, paths, compute.limits)
    say(
        f"{len(work.megapixels)} jobs, {sum(work.megapixels):.1f} megapixels; "
        f"{work.refused} files are not for {chosen.name}"
    )
    if not work.megapixels:
        return
    found = forecast(chosen, work, station.logs if station else None, compute)
    how = "a trial just now" if found.tried else f"{found.samples} finished jobs"
    say(f"about {duration_in_words(found.seconds)} with nothing else to do, judged by {how}")
