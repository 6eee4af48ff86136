"""Context of every command: where to print, and the station that --station names."""

import contextlib
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import typer
from rich.console import Console

from daemon.config.station import STATION_VARIABLE, Station
from daemon.system.errors import RestoredError, UsageError
from daemon.system.text import json_text, paragraph

SOME_FAILED = 65
"""Exit code when some photographs failed (EX_DATAERR)."""

out = Console(highlight=False, soft_wrap=True)
"""Standard output, for tables of numbers; text goes there by `say`."""


def say(text: str, to: Console = out) -> None:
    """Print a message, which may quote names."""
    to.print(paragraph(text), markup=False, highlight=False, soft_wrap=True)


def complain(text: str) -> None:
    """Print a message about what went wrong on standard error."""
    print_error(f"restored: {paragraph(text)}\n")


def print_error(text: str) -> None:
    """Print on standard error; where that cannot be written the exit code still tells."""
    with contextlib.suppress(OSError):
        print(text, end="", file=sys.stderr, flush=True)


def print_json(value: object) -> None:
    """Print a value for programs; the fields of a dataclass become keys."""
    print(json_text(value, indent=2, default=lambda each: asdict(cast(Any, each))))


def station_of(context: typer.Context, *, for_daemon: bool = False) -> Station:
    """The station that the command line or the environment names.

    Args:
        context: Its object is the folder given by --station, or None.
        for_daemon: Only this process's environment counts, not that which the daemon had.

    Raises:
        UsageError: No station is named.
        ConfigError: The folder is not a station.
    """
    from daemon.config.station_setup import find_station

    root: Path | None = context.obj
    if root is None:
        raise UsageError(f"which station? Give --station DIR or set {STATION_VARIABLE}")
    return find_station(root, for_daemon=for_daemon)


def complete_recipe(incomplete: str) -> list[str]:
    """Names of recipes that begin so, for the completion of a shell.

    The station is that of the environment: the command line has not been read yet.
    """
    from daemon.config.station_setup import find_station, known_recipes

    named = os.environ.get(STATION_VARIABLE)
    try:
        known = known_recipes(find_station(Path(named)) if named else None)
    except RestoredError:
        return []
    return [recipe.name for recipe in known if recipe.name.startswith(incomplete)]
