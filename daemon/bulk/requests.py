"""What people ask of bulk jobs: commands leave orders, the daemon takes them in turn.

Comes in: paths, names and times. Goes out: orders. Writes one small file each and nothing else.
"""

import contextlib
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from daemon.config.station import Station
from daemon.intake.requests import leave
from daemon.system.errors import UsageError
from daemon.system.files import is_there, shown


@dataclass(frozen=True)
class BulkRequest:
    """What somebody asks of a bulk job.

    Attributes:
        what: "submit", or what is to become of a job of this name.
        name: Its name.
        recipe: Of one that is submitted.
        roots: Absolute paths, of one that is submitted.
        at: When it was asked, UTC seconds since the epoch.
        starts_at: Nothing is read before.
    """

    what: str
    name: str
    recipe: str = ""
    roots: tuple[Path, ...] = ()
    at: float = 0.0
    starts_at: float = 0.0


def ask(station: Station, order: BulkRequest) -> None:
    """Leave an order for the daemon, now or when it runs next."""
    known = {"recipe": order.recipe, "at": order.at, "starts_at": order.starts_at}
    rest = json.dumps(known | {"roots": [str(root) for root in order.roots]})
    leave(_requests(station), [order.what, order.name, rest], f"{time.time_ns():020}-")


def asked(station: Station) -> list[tuple[Path, BulkRequest | None]]:
    """The orders that no daemon has taken yet, in turn; None where a file holds none."""
    return [(path, _order_in(path)) for path in sorted(_requests(station).glob("*.json"))]


def waiting(station: Station) -> bool:
    """Whether somebody has asked."""
    return any(_requests(station).glob("*.json"))


def check_roots(own: Sequence[Path], paths: Sequence[Path]) -> tuple[Path, ...]:
    """The absolute paths of what is submitted, without those that lie in others.

    Args:
        own: Folders that the daemon writes results into.
        paths: What is submitted.

    Raises:
        UsageError: One does not exist, holds nothing, or lies in a folder of results or around it.
    """
    roots: list[Path] = []
    for path in paths:
        if not path.exists():
            raise UsageError(f"{shown(path)}: no such file or folder")
        with contextlib.suppress(PermissionError):  # the daemon's own user may read it
            if path.is_dir() and not is_there(path):
                raise UsageError(f"{shown(path)}: it holds nothing; is its disk mounted?")
        whole = path.resolve()
        for folder in (one.resolve() for one in own):
            if whole.is_relative_to(folder) or folder.is_relative_to(whole):
                raise UsageError(
                    f"{shown(path)} and {shown(folder)}, where results go, lie in each other: they "
                    "would be restored again. For what is in the archive there is `restored redo`"
                )
        roots.append(whole)
    return tuple(
        dict.fromkeys(
            root
            for root in roots
            if not any(root != other and root.is_relative_to(other) for other in roots)
        )
    )


def _order_in(path: Path) -> BulkRequest | None:
    """The order in a file; anybody may have written there, so it may be none."""
    try:
        what, name, rest = json.loads(path.read_text())
        values = json.loads(rest)
        roots = tuple(Path(root) for root in values["roots"])
        return BulkRequest(
            str(what),
            str(name),
            str(values["recipe"]),
            roots,
            float(values["at"]),
            float(values["starts_at"]),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _requests(station: Station) -> Path:
    return station.state / "bulk"
