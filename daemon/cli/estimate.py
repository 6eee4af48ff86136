"""Commands that say how long photographs would take, and how fast this machine is."""

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


def bench(
    context: typer.Context,
    recipe: Annotated[
        str,
        typer.Argument(
            metavar="RECIPE",
            help="Name of a recipe, or a TOML file.",
            autocompletion=complete_recipe,
        ),
    ],
    paths: Annotated[
        list[Path] | None,
        typer.Argument(metavar="PHOTO", help="Photographs to try. Default: made ones."),
    ] = None,
    megapixels: Annotated[
        float,
        typer.Option(min=0.01, max=100, metavar="MP", help="Size of the photographs to be made."),
    ] = 2.0,
    photographs: Annotated[
        int, typer.Option("--photos", min=1, metavar="N", help="Photographs of a bulk job.")
    ] = 1000,
) -> None:
    """Measure how fast this machine restores by a recipe, and what bounds it.

    Nothing is kept. Measure while nothing else runs: what runs beside it counts.

    Example: `restored bench denoise --megapixels 12 --photos 5000`
    """
    from daemon.config.settings import load_settings
    from daemon.config.station_setup import open_station, recipe_for
    from daemon.service.bench import measure, measure_made
    from daemon.service.component_settings import compute_of

    station, settings = (
        (None, load_settings()) if context.obj is None else open_station(station_of(context).root)
    )
    chosen, compute = recipe_for(recipe, station), compute_of(settings)
    speed = measure(chosen, paths, compute) if paths else measure_made(chosen, megapixels, compute)
    jobs = "pairs" if chosen.photos > 1 else "photographs"
    say(
        f"{chosen.name} on {speed.device}: about {speed.per_hour:.0f} {jobs} of "
        f"{speed.megapixels:.1f} megapixels an hour, judged by {speed.photographs} just now"
    )
    say(
        f"each takes {speed.device_s:.2f} s of the device, {speed.host_s:.2f} s of a core beside it"
    )
    say(
        "bound by the device: a faster one, or more of them, would help, and more cores would not"
        if speed.is_bound_by_device
        else "bound by reading and writing: more cores would help, and a faster device would not"
    )
    took = duration_in_words(speed.seconds(photographs))
    say(f"{photographs} of them as a bulk job: about {took} with nothing else to do")
