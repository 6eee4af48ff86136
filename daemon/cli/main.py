"""The command line: the commands, and the one place where errors become exit codes.

Modules of commands import typer, rich and `daemon.system` at the top. What else a command needs it
imports when it is called, so that the others, and `--help`, answer at once.
"""

import gc
import io
import os
import signal
import sys
import traceback
from pathlib import Path
from typing import Annotated, Any

import typer

from daemon import __version__
from daemon.cli import (
    apply,
    backup,
    bulk,
    estimate,
    models,
    queue,
    report,
    run,
    settings,
    station,
    web,
)
from daemon.cli.context import complain, print_error, say
from daemon.cli.os_errors import fault_code, flushed, let_go_of_output, watch_output
from daemon.config.station import STATION_VARIABLE
from daemon.system import logging as log
from daemon.system.errors import RestoredError
from daemon.system.text import escape_on_output, printable

_START, _DAEMON, _PHOTOS, _MODELS = "Start", "Daemon", "Photographs", "Recipes and models"
_COMMANDS = {
    _START: (station.init, run.demo, apply.fix, apply.apply),
    _DAEMON: (
        run.run,
        run.once,
        web.web,
        queue.status,
        queue.pause,
        queue.resume,
        station.check,
        settings.settings,
        backup.backup,
        backup.restore_backup,
    ),
    _PHOTOS: (
        estimate.estimate,
        estimate.bench,
        bulk.submit,
        queue.retry,
        queue.redo,
        report.report,
    ),
    _MODELS: (station.recipes,),
}
"""Commands by the heading under which `restored --help` lists them, in that order."""

app = typer.Typer(
    name="restored",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    help="Drop photographs into a folder, get them restored by diffusion models.\n\n"
    "Example: `restored init photos`, copy pictures into `photos/inbox/denoise/`, then "
    "`restored --station photos once`.",
)
for _panel, _commands in _COMMANDS.items():
    for _command in _commands:
        app.command(rich_help_panel=_panel)(_command)
app.add_typer(bulk.app, rich_help_panel=_PHOTOS)
app.add_typer(models.app, rich_help_panel=_MODELS)

USAGE, BUG, INTERRUPTED, TERMINATED = 64, 70, 130, 143
"""Exit codes of sysexits.h, and 128 plus the number of a signal."""

_STDERR = 2

_COLLECT_AFTER = (50_000, 20, 100)
"""Thresholds of the garbage collector. With Python's own, made for small programs, a short command
spends a fifth of its time on searching the modules that are being imported."""

# From 0.20 on typer brings its own click, so the class can only be reached through typer's.
_CommandLineError: Any = typer.BadParameter.__mro__[1]


def main() -> None:
    """Run a command and exit with its code."""
    gc.set_threshold(*_COLLECT_AFTER)
    _open_standard_files()
    watch_output()
    escape_on_output()
    log.configure()
    # SIGTERM ends a command after its clean-up; `run` and `once` drain instead.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(TERMINATED))
    try:
        sys.exit(exit_code(sys.argv[1:]))
    finally:
        let_go_of_output()
        gc.freeze()  # while it exits Python would search all modules once more


def _open_standard_files() -> None:
    """Open those of files 0, 1 and 2 that are closed, so that no ledger gets one of these numbers.

    A library writes its warnings to file 2, whatever that is.
    """
    while (number := os.open(os.devnull, os.O_RDWR)) <= _STDERR:
        os.set_inheritable(number, True)
    os.close(number)
    if sys.stdout is None:
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    if sys.stderr is None:
        sys.stderr = open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115


def exit_code(arguments: list[str]) -> int:
    """Run a command; returns its exit code, after saying on stderr what went wrong."""
    return flushed(_exit_code(arguments))


def _exit_code(arguments: list[str]) -> int:
    """The exit code of a command, whether its output can be written or not."""
    try:
        result = app(_station_first(arguments), prog_name="restored", standalone_mode=False)
    except _CommandLineError as error:
        usage = io.StringIO()
        error.show(usage)
        print_error(printable(usage.getvalue(), keep="\n"))
        return USAGE
    except (typer.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except RestoredError as error:
        complain(str(error))
        return error.exit_code
    except SystemExit as end:  # click turns a broken pipe into SystemExit(1)
        if not isinstance(end.__context__, BrokenPipeError):
            raise
        return 0
    except OSError as error:
        return fault_code(error)
    except Exception:
        print_error(printable(traceback.format_exc(), keep="\n"))
        return BUG
    return result if isinstance(result, int) else 0


def _station_first(arguments: list[str]) -> list[str]:
    """Accept `--station DIR` before or after the command."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    for place, argument in enumerate(arguments[:end]):
        width = 2 if argument == "--station" else 1
        if width == 2 or argument.startswith("--station="):
            rest = arguments[:place] + arguments[place + width :]
            return arguments[place : place + width] + rest
    return arguments


def _print_version(asked: bool) -> None:
    if asked:
        say(f"restored {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    context: typer.Context,
    station: Annotated[
        Path | None,
        typer.Option(
            envvar=STATION_VARIABLE,
            help="Folder of the station; may also follow the command.",
            metavar="DIR",
        ),
    ] = None,
    version: Annotated[
        bool,
        typer.Option("--version", help="Show the version.", callback=_print_version, is_eager=True),
    ] = False,
) -> None:
    context.obj = station
