"""Commands that restore files without a station: fix, apply."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from daemon.cli.context import SOME_FAILED, complain, complete_recipe, say, station_of
from daemon.config.station import Station
from daemon.system.errors import CannotWriteError, PhotoError, UsageError
from daemon.system.files import real_path, shown

if TYPE_CHECKING:
    from daemon.config.recipe import Recipe
    from daemon.config.settings import Settings
    from daemon.photo import Limits
    from daemon.service.apply import Applied
    from daemon.service.apply_plan import ApplyOptions

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
_AnyPhoto = Annotated[
    bool,
    typer.Option("--any-photo", help="Take photographs, too, that the recipe's [match] refuses."),
]
_Compare = Annotated[
    bool,
    typer.Option(
        "--compare", help="Write NAME.compare.png, with the photograph beside what became of it."
    ),
]


def apply(
    context: typer.Context,
    recipe: Annotated[
        str,
        typer.Argument(
            metavar="RECIPE",
            help="Name of a recipe, or a TOML file. Several with commas between them: the results "
            "of each lie in a folder of its name.",
            autocompletion=complete_recipe,
        ),
    ],
    inputs: Annotated[
        list[Path], typer.Argument(metavar="IN", help="Photographs, and folders of them.")
    ],
    to: Annotated[
        Path,
        typer.Option("--output", "-o", help="Folder for the results, or file of a single result."),
    ],
    force: _Force = False,
    seed: _Seed = None,
    record: _Record = False,
    any_photo: _AnyPhoto = False,
    compare: _Compare = False,
    changes: _Set = None,
    scale: _Scale = None,
    strength: _Strength = None,
    realism: _Realism = None,
) -> int:
    """Restore files without a station; exit 65 if some photographs failed.

    Example: `restored apply denoise holiday/*.jpg -o restored/`
    """
    from daemon.config.station_setup import recipe_for
    from daemon.service.apply_plan import ApplyOptions

    station, settings = _station_and_settings(context)
    keys = {"scale": scale, "strength": strength, "realism": realism}
    named = [recipe_for(one, station) for one in _references(recipe)]
    chosen = [_changed(one, keys, changes or []) for one in named]
    options = ApplyOptions(
        to, force=force, any_photo=any_photo, seed=seed, record=record, clip=settings.clip_model
    )
    return _restore_and_tell(chosen, inputs, options, settings, compare=compare)


def fix(
    context: typer.Context,
    paths: Annotated[
        list[Path], typer.Argument(metavar="PATH", help="Photographs, and folders of them.")
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
    compare: _Compare = False,
    changes: _Set = None,
    realism: _Realism = None,
) -> int:
    """Repair what is found in photographs, without a station; no original is changed.

    Noise, JPEG blocks, scratches and dust, and nothing else: it is the recipe `restore`. A
    photograph whose result exists is left alone. Exit 65 if some photographs failed.

    Example: `restored fix scans/`
    """
    from daemon.config.station_setup import recipe_for
    from daemon.service.apply_plan import ApplyOptions

    station, settings = _station_and_settings(context)
    chosen = _changed(recipe_for(_FIX, station), {"realism": realism}, changes or [])
    options = ApplyOptions(to, force=force, keep_existing=True, seed=seed, record=record)
    return _restore_and_tell([chosen], paths, options, settings, compare=compare)


def _station_and_settings(context: typer.Context) -> "tuple[Station | None, Settings]":
    from daemon.config.settings import load_settings
    from daemon.config.station_setup import open_station

    if context.obj is None:
        return None, load_settings()
    return open_station(station_of(context).root)


def _changed(recipe: "Recipe", keys: dict[str, float | None], changes: Sequence[str]) -> "Recipe":
    """The recipe with the keys of the shorthands, then with those of --set."""
    from daemon.config.step_changes import changes_of_keys, with_step_changes

    return with_step_changes(recipe, [*changes_of_keys(recipe, keys), *changes])


def _references(text: str) -> list[str]:
    """The recipes that one argument names, with commas between them.

    Raises:
        UsageError: One is named twice.
    """
    found = [text] if "," not in text or _exists(text) else text.split(",")
    if len(set(found)) < len(found):
        raise UsageError(f"{text}: a recipe is named twice")
    return found


def _exists(text: str) -> bool:
    """Whether text is the path of a file; it may be longer than names of files can be."""
    try:
        return Path(text).exists()
    except OSError:
        return False


def _restore_and_tell(
    recipes: "Sequence[Recipe]",
    paths: Sequence[Path],
    options: "ApplyOptions",
    settings: "Settings",
    *,
    compare: bool,
) -> int:
    from daemon.cli.jobs_bar import JobsBar
    from daemon.service.apply import Working, follow
    from daemon.service.apply_plan import photographs_of
    from daemon.service.component_settings import compute_of

    if compare and any(recipe.generates for recipe in recipes):
        raise UsageError("--compare needs photographs, and generate reads prompts; leave it out")
    compute = compute_of(settings)
    inputs = {recipe.name: photographs_of(recipe, paths) for recipe in recipes}
    originals = [photo for photos in inputs.values() for photo in photos]
    sheets = _Sheets(originals, options, len(recipes) > 1, compute.limits)
    summary = _Summary()
    codes = {0}
    results: dict[Path, list[tuple[str, Path]]] = {}
    for recipe, own_options in _runs(recipes, options):
        photos = inputs[recipe.name]
        with JobsBar(recipe.name, max(1, len(photos) // recipe.photos)) as bar:
            for done in follow(recipe, photos, own_options, compute):
                if isinstance(done, Working):
                    bar.working(done.evaluations)
                    continue
                bar.job_done()
                summary.count(done)
                codes.add(_tell(done))
                found = results.setdefault(done.photo, [])
                if done.result is not None and not done.kept:
                    found.append((recipe.name, done.result))
                if compare and found and recipe is recipes[-1]:
                    codes.add(sheets.write(done.photo, found))
    if line := summary.line(options.to):
        say(line)
    return max(codes)


@dataclass
class _Summary:
    """Counts of what became of the photographs."""

    restored: int = 0
    kept: int = 0
    failed: int = 0

    def count(self, done: "Applied") -> None:
        """Count a photograph."""
        self.failed += done.result is None
        self.kept += done.kept
        self.restored += done.result is not None and not done.kept

    def line(self, to: Path | None) -> str:
        """The last line: where results lie, and what needs attention; "" for one photograph.

        Args:
            to: Folder or file of the results; None if they lie beside the photographs.
        """
        if self.restored + self.kept + self.failed == 1 and not self.kept:
            return ""
        where = "beside the photographs" if to is None else f"in {shown(to)}"
        parts = [f"{self.restored} restored" + f", {where}" * bool(self.restored)]
        if self.kept:
            parts.append(f"{self.kept} left alone, restored before: --force does them anew")
        if self.failed:
            parts.append(f"{self.failed} failed, for the reasons above")
        return "; ".join(parts)


def _runs(
    recipes: "Sequence[Recipe]", options: "ApplyOptions"
) -> "list[tuple[Recipe, ApplyOptions]]":
    """Each recipe with its options; of several each has a folder of its own.

    Raises:
        UsageError: Several recipes have one name, or one file for their results.
    """
    if len(recipes) == 1 or options.to is None:
        return [(recipe, options) for recipe in recipes]
    if options.to.suffix and not options.to.is_dir():
        raise UsageError(f"{options.to}: several recipes need a folder, whose name has no suffix")
    if len({recipe.name for recipe in recipes}) < len(recipes):
        raise UsageError("two recipes have one name; give each another `name`")
    return [(recipe, replace(options, to=options.to / recipe.name)) for recipe in recipes]


@dataclass(frozen=True)
class _Sheets:
    """Sheets with photographs beside their results.

    Attributes:
        inputs: The photographs, none of which a sheet may replace.
        options: Where the results go.
        several: Several recipes have a folder each, and the sheets lie above these.
        limits: Sizes beyond which nothing is read.
    """

    inputs: Sequence[Path]
    options: "ApplyOptions"
    several: bool
    limits: "Limits"

    def write(self, photo: Path, results: Sequence[tuple[str, Path]]) -> int:
        """Write the sheet of a photograph, or say why that cannot be done.

        Args:
            photo: The photograph.
            results: Name of the recipe and file of each result.

        Returns:
            The exit code.
        """
        from daemon.service.comparison_sheet import write_comparison

        target = self._path(results[0][1])
        force = self.options.force and real_path(target) not in map(real_path, self.inputs)
        try:
            write_comparison(photo, results, target, self.limits, force=force)
        except (PhotoError, CannotWriteError, OSError) as error:
            complain(f"{shown(target)}: not drawn: {error}")
            return CannotWriteError.exit_code if isinstance(error, OSError) else SOME_FAILED
        say(shown(target))
        return 0

    def _path(self, result: Path) -> Path:
        from daemon.service.apply_plan import BESIDE, COMPARED

        stem = result.stem if self.options.to else result.stem.removesuffix(BESIDE)
        folder = result.parent.parent if self.several else result.parent
        return folder / f"{stem}{COMPARED}.png"


def _tell(done: "Applied") -> int:
    """Say what became of a photograph; returns the exit code."""
    if done.kept:
        return 0
    if done.result is None:
        complain(f"{shown(done.photo)}: {done.why}")
        return CannotWriteError.exit_code if done.cannot_write else SOME_FAILED
    say(f"{shown(done.result)}  {done.seconds:.1f} s")
    for note in done.notes:
        say(f"    {note}")
    return 0
