"""Commands that restore files without a station: fix, apply."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import Progress

from daemon.cli.context import SOME_FAILED, complain, say, station_of
from daemon.config.recipe import Recipe
from daemon.config.settings import Settings, load_settings
from daemon.config.station import Station
from daemon.config.station_setup import open_station, recipe_for
from daemon.config.step_changes import changes_of_keys, with_step_changes
from daemon.system.files import shown

if TYPE_CHECKING:
    from daemon.service.apply import Applied, ApplyOptions

_FIX = "restore"
"""Name of the recipe of `fix`."""

_Force = Annotated[bool, typer.Option("--force", help="Replace results that exist.")]
_Seed = Annotated[
    int | None,
    typer.Option(min=0, help="Seed of the noise. Default: derived from each photograph."),
]
_Record = Annotated[bool, typer.Option("--record", help="Write a record beside each result.")]
_Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KIND.KEY=VALUE",
        help="A step's key for this run, such as denoise.realism=0.5; repeatable. A step's number "
        "may stand for its kind; the first is 0.",
    ),
]
_Scale = Annotated[
    int | None, typer.Option(help="`scale` of every step that has it.", metavar="2|3|4")
]
_Strength = Annotated[
    float | None, typer.Option(help="`strength` of every step that has it.", metavar="0..1")
]
_Realism = Annotated[
    float | None, typer.Option(help="`realism` of every step that has it.", metavar="0..1")
]


def apply(
    context: typer.Context,
    recipe: Annotated[
        str, typer.Argument(metavar="RECIPE", help="Name of a recipe, or a TOML file.")
    ],
    inputs: Annotated[list[Path], typer.Argument(metavar="IN...", help="Photographs.")],
    to: Annotated[
        Path,
        typer.Option("--output", "-o", help="Folder for the results, or file of a single result."),
    ],
    force: _Force = False,
    seed: _Seed = None,
    record: _Record = False,
    changes: _Set = None,
    scale: _Scale = None,
    strength: _Strength = None,
    realism: _Realism = None,
) -> int:
    """Restore files without a station; exit 65 if some photographs failed.

    Example: `restored apply denoise holiday/*.jpg -o restored/`
    """
    from daemon.service.apply import ApplyOptions

    station, settings = _station_and_settings(context)
    keys = {"scale": scale, "strength": strength, "realism": realism}
    chosen = _changed(recipe_for(recipe, station), keys, changes or [])
    options = ApplyOptions(to, force=force, seed=seed, record=record)
    return _restore_and_tell(chosen, inputs, options, settings)


def fix(
    context: typer.Context,
    paths: Annotated[
        list[Path], typer.Argument(metavar="PATH...", help="Photographs, and folders of them.")
    ],
    to: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="Folder for the results, or file of a single result. Default: beside each "
            "photograph, as NAME.restored.png.",
        ),
    ] = None,
    force: _Force = False,
    seed: _Seed = None,
    record: _Record = False,
    changes: _Set = None,
    realism: _Realism = None,
) -> int:
    """Repair what is found in photographs, without a station; no original is changed.

    Noise, JPEG blocks, scratches and dust, and nothing else: it is the recipe `restore`. Exit 65 if
    some photographs failed.

    Example: `restored fix scans/`
    """
    from daemon.service.apply import ApplyOptions, photographs_of

    station, settings = _station_and_settings(context)
    chosen = _changed(recipe_for(_FIX, station), {"realism": realism}, changes or [])
    options = ApplyOptions(to, force=force, seed=seed, record=record)
    return _restore_and_tell(chosen, photographs_of(chosen, paths), options, settings)


def _station_and_settings(context: typer.Context) -> tuple[Station | None, Settings]:
    if context.obj is None:
        return None, load_settings()
    return open_station(station_of(context).root)


def _changed(recipe: Recipe, keys: dict[str, float | None], changes: Sequence[str]) -> Recipe:
    """The recipe with the keys of the shorthands, then with those of --set."""
    return with_step_changes(recipe, [*changes_of_keys(recipe, keys), *changes])


def _restore_and_tell(
    recipe: Recipe, inputs: Sequence[Path], options: "ApplyOptions", settings: Settings
) -> int:
    from daemon.service.apply import apply as restore
    from daemon.service.component_settings import compute_of

    failed = 0
    with Progress(console=Console(stderr=True), transient=True) as progress:
        bar = progress.add_task(recipe.name, total=max(1, len(inputs) // recipe.photos))
        for done in restore(recipe, inputs, options, compute_of(settings)):
            progress.advance(bar)
            failed += done.result is None
            _tell(done)
    return SOME_FAILED if failed else 0


def _tell(done: "Applied") -> None:
    if done.result is None:
        complain(f"{shown(done.photo)}: {done.why}")
        return
    say(f"{shown(done.result)}  {done.seconds:.1f} s")
    for note in done.notes:
        say(f"    {note}")
