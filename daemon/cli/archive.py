"""Commands about work ahead and finished work: estimate, redo."""

from pathlib import Path
from typing import Annotated

import typer

from daemon.checkpoints.library import Library
from daemon.cli.context import say, station_of
from daemon.config.recipe import recipe_named
from daemon.config.settings import load_settings
from daemon.config.setup import known_recipes, open_station, recipe_for
from daemon.intake.redo import RedoPlan, ask, plan
from daemon.jobs.ledger.reader import LedgerReader
from daemon.system.clock import duration_in_words
from daemon.system.errors import UsageError
from daemon.system.files import shown


def estimate(
    context: typer.Context,
    recipe: Annotated[
        str, typer.Argument(metavar="RECIPE", help="Name of a recipe, or a TOML file.")
    ],
    paths: Annotated[list[Path], typer.Argument(metavar="PATH...", help="Files and folders.")],
) -> None:
    """Estimate how long photographs would take.

    Example: `restored --station photos estimate old-photo /mnt/scans`
    """
    from daemon.service.estimate import forecast, work_in
    from daemon.service.runtime import compute_of

    station, settings = (
        (None, load_settings()) if context.obj is None else open_station(context.obj)
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


def redo(
    context: typer.Context,
    paths: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[PATH]...", help="Originals, results or folders of them. Default: all."
        ),
    ] = None,
    recipe: Annotated[
        str | None, typer.Option("--recipe", help="Only results of this recipe.", metavar="NAME")
    ] = None,
) -> None:
    """Restore archived originals again whose recipe or weights have changed. Old results stay.

    Originals that were deleted or left in place are not in the archive: drop or submit them again.

    Example: `restored --station photos redo --recipe old-photo`
    """
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
        raise UsageError(
            "none of these has an original in the archive; name files or folders below archive/ "
            "or outbox/"
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
