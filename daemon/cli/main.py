"""The command line. Errors become exit codes here, and nowhere else.

Comes in: the command line. Goes out: text, and a sysexits code. Modules that import torch, numpy
or Pillow are imported inside the commands that need them, so that the others answer at once.
"""

import os
import signal
import sys
import traceback
from pathlib import Path
from typing import Annotated, Any

import typer

from daemon import __version__
from daemon.cli import archive, bulk, models, queue, run, station
from daemon.cli.context import out
from daemon.config.settings import STATION_VARIABLE
from daemon.system.errors import RestoredError

_COMMANDS = (
    *(station.init, station.recipes, queue.status, queue.retry, queue.pause, queue.resume),
    *(station.check, run.apply, run.run, run.once, run.demo),
    *(archive.estimate, archive.redo, bulk.submit),
)
"""In the order in which `restored --help` lists them."""

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
for _command in _COMMANDS:
    app.command()(_command)
app.add_typer(bulk.app)
app.add_typer(models.app)

USAGE, BUG, INTERRUPTED, TERMINATED = 64, 70, 130, 143

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
    except (BrokenPipeError, SystemExit) as end:
        # Click turns a broken pipe into SystemExit(1).
        if not isinstance(end.__context__ or end, BrokenPipeError):
            raise
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
