"""Commands about time and finished work: estimate."""

from pathlib import Path
from typing import Annotated

import typer

from daemon.commands.context import out
from daemon.errors import UsageError
from daemon.files import shown
from daemon.settings import load_settings
from daemon.stationing import opened, recipe_for


def estimate(
    context: typer.Context,
    recipe: Annotated[str, typer.Argument(metavar="RECIPE", help="A name, or a TOML file.")],
    paths: Annotated[list[Path], typer.Argument(metavar="PATH...", help="Files and folders.")],
) -> None:
    """Say how long photographs would take, before they are dropped.

    Example: `restored --station photos estimate old-photo /mnt/scans`
    """
    from daemon import estimating
    from daemon.premises import compute_of

    station, settings = (None, load_settings()) if context.obj is None else opened(context.obj)
    chosen, compute = recipe_for(recipe, station), compute_of(settings)
    for path in paths:
        if not path.exists():
            raise UsageError(f"{shown(path)}: no such file or folder")
    work = estimating.work_in(chosen, paths, compute.limits)
    out.print(
        f"{len(work.megapixels)} jobs, {sum(work.megapixels):.1f} megapixels; "
        f"{work.refused} files are not for {chosen.name}"
    )
    if not work.megapixels:
        return
    found = estimating.forecast(chosen, work, station.logs if station else None, compute)
    how = "a trial just now" if found.tried else f"{found.samples} finished jobs"
    out.print(f"about {estimating.spoken(found.seconds)} with nothing else to do, judged by {how}")
