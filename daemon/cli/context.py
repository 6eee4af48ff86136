"""What every command needs: where to print, and the station that --station names."""

import json
from dataclasses import asdict
from pathlib import Path

import typer
from rich.console import Console

from daemon.config.settings import STATION_VARIABLE
from daemon.config.setup import find_station
from daemon.config.station import Station
from daemon.system.errors import UsageError

SOME_FAILED = 65
"""Exit code when some photographs failed (EX_DATAERR)."""

out = Console(highlight=False, soft_wrap=True)


def print_json(value: object) -> None:
    """Print a value for programs; the fields of a dataclass become keys."""
    print(json.dumps(value, indent=2, default=asdict))


def station_of(context: typer.Context) -> Station:
    """The station that the command line or the environment names.

    Args:
        context: Its object is the folder given by --station, or None.

    Raises:
        UsageError: No station is named.
        ConfigError: The folder is not a station.
    """
    root: Path | None = context.obj
    if root is None:
        raise UsageError(f"which station? Give --station DIR or set {STATION_VARIABLE}")
    return find_station(root)
