"""The commands. Errors become exit codes here, and nowhere else.

Comes in: the command line. Goes out: text, and a sysexits code. Modules that import torch, numpy
or Pillow are imported inside the commands that need them, so that the others answer at once.
"""

import json
import os
import signal
import sys
import traceback
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import Progress

from daemon import __version__
from daemon.errors import ConfigError, RestoredError, UsageError
from daemon.files import shown
from daemon.recipe import recipe_named, schema
from daemon.retrying import retry_failed
from daemon.settings import STATION_VARIABLE, load_settings
from daemon.station import Station
from daemon.stationing import found_station, known_recipes, make_station, opened, recipe_for

app = typer.Typer(
    name="restored",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    help="Drop photographs into a folder, get them restored by diffusion models.\n\n"
    "Example: `restored init photos`, copy pictures into `photos/inbox/denoise/`, then "
    "`restored --station photos once`.",
)
out = Console(highlight=False, soft_wrap=True)

USAGE, BUG, INTERRUPTED, TERMINATED = 64, 70, 130, 143
SOME_FAILED = 65

# typer carries its own click from 0.20 on, so that the class is only found through typer's.
_CommandLineError: Any = typer.BadParameter.__mro__[1]


def main() -> None:
    """Run a command and exit with its code."""
    # A command that is told to end cleans up behind itself; the service drains instead.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(TERMINATED))
    sys.exit(exit_code(sys.argv[1:]))


def exit_code(arguments: list[str]) -> int:
    """Run a command; says what went wrong on stderr."""
    try:
        result = app(_station_first(arguments), prog_name="restored", standalone_mode=False)
    except _CommandLineError as error:
        error.show(sys.stderr)
        return USAGE
    except (typer.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except RestoredError as error:
        print(f"restored: {error}".encode(errors="backslashreplace").decode(), file=sys.stderr)
        return error.exit_code
    except PermissionError as error:
        print(f"restored: {error}; run as a user who may, or mend its mode", file=sys.stderr)
        return 77
    except BrokenPipeError:
        # Whoever read the output has gone; Python would complain once more while it exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception:
        traceback.print_exc()
        return BUG
    return result if isinstance(result, int) else 0


def _station_first(arguments: list[str]) -> list[str]:
    """Let `--station DIR` stand before or behind the command, as people type it."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    for place, argument in enumerate(arguments[:end]):
        width = 2 if argument == "--station" else 1
        if width == 2 or argument.startswith("--station="):
            rest = arguments[:place] + arguments[place + width :]
            return arguments[place : place + width] + rest
    return arguments


def _say_version(asked: bool) -> None:
    if asked:
        out.print(f"restored {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    context: typer.Context,
    station: Annotated[
        Path | None,
        typer.Option(envvar=STATION_VARIABLE, help="Folder of the station.", metavar="DIR"),
    ] = None,
    version: Annotated[
        bool,
        typer.Option("--version", help="Say the version.", callback=_say_version, is_eager=True),
    ] = False,
) -> None:
    context.obj = station


def _root(context: typer.Context) -> Path:
    station: Path | None = context.obj
    if station is None:
        raise UsageError(f"which station? Give --station DIR or set {STATION_VARIABLE}")
    return station


def _station(context: typer.Context) -> Station:
    return found_station(_root(context))


@app.command()
def init(folder: Annotated[Path, typer.Argument(metavar="DIR")]) -> None:
    """Make a station: every folder and a commented settings file. Safe to repeat.

    Example: `restored init /srv/photos`
    """
    station = make_station(folder)
    out.print(f"Station {station.root}", markup=False)
    out.print(f"1. Drop photographs into {station.inbox}/RECIPE/", markup=False)
    out.print(f"2. restored --station {station.root} run", markup=False)
    out.print(f"3. Take the results out of {station.outbox}/RECIPE/", markup=False)


@app.command()
def recipes(
    context: typer.Context,
    name: Annotated[str | None, typer.Argument(help="Show this one as JSON.")] = None,
    as_schema: Annotated[bool, typer.Option("--schema", help="JSON Schema of a recipe.")] = False,
) -> None:
    """List the recipes, show one, or write the JSON Schema for editors.

    Example: `restored recipes --schema > recipe.schema.json`
    """
    if as_schema:
        print(json.dumps(schema(), indent=2))
        return
    known = known_recipes(None if context.obj is None else opened(context.obj)[0])
    if name is not None:
        print(recipe_named(name, known).model_dump_json(indent=2))
        return
    for recipe in known:
        out.print(f"{recipe.name:15} {recipe.about}", markup=False)


@app.command()
def status(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Say what waits, what is in flight, what is done and what failed.

    Example: `restored --station photos status --json`
    """
    from daemon.status import read_status, show

    found = read_status(_station(context))
    if as_json:
        print(json.dumps(found, indent=2))
    else:
        show(found, out)


@app.command()
def retry(
    context: typer.Context,
    paths: Annotated[list[Path] | None, typer.Argument(metavar="[PATH]...")] = None,
) -> None:
    """Put failed photographs (all, or the given ones) back into their inbox.

    Example: `restored --station photos retry photos/failed/denoise/scan.jpg`
    """
    station, settings = opened(_station(context).root)
    moved = retry_failed(station, settings, known_recipes(station), paths or [])
    for path in moved:
        out.print(shown(path), markup=False)
    out.print(f"{len(moved)} put back")


@app.command()
def pause(context: typer.Context) -> None:
    """Start no more jobs; what is in flight is finished.

    Example: `restored --station photos pause`
    """
    _station(context).paused.touch()
    out.print("paused; `restored resume` goes on")


@app.command()
def resume(context: typer.Context) -> None:
    """Start jobs again.

    Example: `restored --station photos resume`
    """
    _station(context).paused.unlink(missing_ok=True)
    out.print("resumed")


@app.command()
def check(context: typer.Context) -> None:
    """See that settings, recipes, models and folders are right; exit 78 if not.

    Example: `restored --station photos check`
    """
    from daemon.checking import problems

    station, settings = opened(_station(context).root)
    wrong = problems(station, settings)
    if wrong:
        raise ConfigError("\n".join(wrong))
    out.print("settings, recipes, models, folders and device are right")


@app.command()
def apply(
    context: typer.Context,
    recipe: Annotated[str, typer.Argument(metavar="RECIPE", help="A name, or a TOML file.")],
    inputs: Annotated[list[Path], typer.Argument(metavar="IN...", help="Photographs.")],
    to: Annotated[Path, typer.Option("--output", "-o", help="A folder, or a file for one result.")],
    force: Annotated[bool, typer.Option("--force", help="Replace results that are there.")] = False,
    seed: Annotated[int | None, typer.Option(min=0, help="Of the noise; own by default.")] = None,
    record: Annotated[bool, typer.Option("--record", help="Write NAME.json as well.")] = False,
) -> int:
    """Restore files without a station; 65 if some photographs failed.

    Example: `restored apply denoise holiday/*.jpg -o restored/`
    """
    from daemon.apply import apply as restore
    from daemon.premises import compute_of
    from daemon.wishes import Wish

    station, settings = (None, load_settings()) if context.obj is None else opened(context.obj)
    chosen = recipe_for(recipe, station)
    failed = 0
    with Progress(console=Console(stderr=True), transient=True) as progress:
        bar = progress.add_task(chosen.name, total=max(1, len(inputs) // chosen.photos))
        for done in restore(chosen, inputs, Wish(to, force, seed, record), compute_of(settings)):
            progress.advance(bar)
            if done.result is None:
                failed += 1
                print(f"restored: {shown(done.photo)}: {shown(done.why)}", file=sys.stderr)
            else:
                out.print(f"{shown(done.result)}  {done.seconds:.1f} s", markup=False)
    return SOME_FAILED if failed else 0


@app.command()
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


@app.command()
def run(context: typer.Context) -> None:
    """Watch the inboxes and restore what arrives, until stopped.

    Example: `RESTORED_STATION=/srv/photos restored run`
    """
    from daemon.progress import watched
    from daemon.service import Service
    from daemon.supervision import supervision_of

    station, settings = opened(_station(context).root)
    supervision = supervision_of(os.environ, settings.stall_s, settings.alive_file)
    with watched() as progress:
        Service(station, settings, progress=progress, supervision=supervision).run()


@app.command()
def once(context: typer.Context) -> int:
    """Restore what is there and exit; 65 if some photographs failed. For cron and timers.

    Example: `restored --station photos once`
    """
    from daemon.progress import watched
    from daemon.service import Service
    from daemon.supervision import supervision_of

    station, settings = opened(_station(context).root)
    supervision = supervision_of(os.environ, settings.stall_s, settings.alive_file)
    with watched() as progress:
        tally = Service(station, settings, progress=progress, supervision=supervision).once()
    for notice in tally.waiting:
        out.print(f"waits: {shown(notice.path)}: {notice.what}", markup=False)
    out.print(f"{tally.done} restored, {tally.failed} failed, {len(tally.waiting)} waiting")
    return SOME_FAILED if tally.failed else 0


@app.command()
def demo(folder: Annotated[Path, typer.Argument(metavar="DIR")]) -> int:
    """Put real photographs through every recipe; writes DIR/contact-sheet.png.

    Example: `restored demo demo-station`
    """
    from daemon import demo as shows
    from daemon.progress import watched

    station = make_station(folder)
    with watched() as progress:
        found = shows.demo(station, opened(folder)[1], progress)
    shows.show(found, out)
    out.print(f"{station.root / shows.SHEET}", markup=False)
    return SOME_FAILED if any(finding.result is None for finding in found) else 0
