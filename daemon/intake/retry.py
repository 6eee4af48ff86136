"""Retry: failed photographs go back to the inbox they came from, whether a daemon runs or not.

Originals that never left their place are asked for by a request instead, because the daemon
remembers that it has seen them and only the daemon writes the ledger.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import structlog

from daemon.config.recipe import Recipe
from daemon.config.station import InboxFolder, Station
from daemon.intake.companions import ROLES, SideFilesOnDisk, companion_of, other_half
from daemon.intake.inbox import Inbox
from daemon.intake.requests import RetryRequest, leave
from daemon.jobs.failure_reasons import REASON_SUFFIX, is_foreign, reason_path
from daemon.jobs.ledger.writer import Ledger
from daemon.system.errors import ConfigError, UsageError
from daemon.system.files import shown
from daemon.system.json_files import read_json
from daemon.system.shared_folder import give_back

_log = structlog.get_logger()


def retry_failed(
    station: Station,
    folders: Sequence[InboxFolder],
    recipes: Sequence[Recipe],
    paths: Sequence[Path],
) -> list[Path]:
    """Put failed originals back where they were dropped, with their other halves and side files.

    Args:
        station: The station.
        folders: Its inbox folders.
        recipes: Its recipes: of one that takes pairs both halves go back.
        paths: Failed originals; all of them if empty.

    Returns:
        Where the photographs are now.

    Raises:
        UsageError: A path is not a failed photograph of this station, or is one of a bulk job.
    """
    failed = station.failed.resolve()
    chosen = [path.parent.resolve() / path.name for path in paths]
    for path in chosen:
        reason = reason_path(path)
        if not reason_path(reason).exists() and (bulk := _read(reason).get("bulk")):
            raise UsageError(
                f"{shown(path)} is of the bulk job {bulk!r}: `restored bulk retry` tries all that "
                "failed of it again"
            )
    if not chosen:
        reasons = sorted(failed.rglob(f"*{REASON_SUFFIX}"))
        chosen = [
            reason.with_name(reason.name.removesuffix(REASON_SUFFIX))
            for reason in reasons
            if not reason_path(reason).exists() and not _read(reason).get("bulk")
        ]
    for path in chosen:
        known = path.is_file() or reason_path(path).is_file()
        if not path.is_relative_to(failed) or not known:
            raise UsageError(f"{shown(path)} is not a failed photograph of {shown(station.root)}")
    pairing = {recipe.name for recipe in recipes if recipe.photos == 2}
    beside = SideFilesOnDisk()
    return [_put_back(station, path, folders, pairing, beside) for path in chosen]


class RetryTaker:
    """The daemon's side: originals that failed and stayed in their place are taken for new."""

    def __init__(self, ledger: Ledger, inbox: Inbox) -> None:
        self._ledger = ledger
        self._inbox = inbox

    def take(self, request: RetryRequest) -> None:
        """Have the inbox look at the originals again.

        Raises:
            UsageError: One lies in no inbox; none is taken.
        """
        for path in request.paths:
            if not self._inbox.contains(path):
                raise UsageError(f"{shown(path)} lies in no inbox of this station")
        self._ledger.forget_taken(request.paths)
        for path in request.paths:
            self._inbox.look_again(path)


def _put_back(
    station: Station,
    path: Path,
    folders: Sequence[InboxFolder],
    pairing: set[str],
    beside: SideFilesOnDisk,
) -> Path:
    reason = reason_path(path)
    own = not reason_path(reason).exists()  # else an original is named like this one's reason
    why = _read(reason) if own else {}
    inbox, origin = _origin(path, why, folders)

    def companions(photo: Path) -> list[Path]:
        sides = [side for role in ROLES for side in beside.all_of(photo, role)]
        halves = _other_half(photo, sides) if why.get("recipe") in pairing else []
        return [*sides, *(c for p in (photo, *halves) for c in beside.companions_of(p)), *halves]

    if path.is_file():
        # Side files first: the photograph must not be taken without them.
        for other in companions(path):
            give_back(other, origin.with_name(other.name), inbox, "retry")
        origin = give_back(path, origin, inbox, "retry")
    elif origin.is_file():
        leave(station, RetryRequest(paths=(origin, *companions(origin))))
    if own:
        reason.unlink(missing_ok=True)
    return origin


def _origin(
    path: Path, why: Mapping[str, object], folders: Sequence[InboxFolder]
) -> tuple[Path, Path]:
    """Where an original came from if that is an inbox still, else the inbox that it fell out of.

    A photograph that failed while it was done again came from the archive, which is not an inbox.

    Returns:
        The inbox, and the path in it.
    """
    origin = Path(str(why.get("origin", "")))
    inboxes = [folder.path.absolute() for folder in folders]
    around = [inbox for inbox in inboxes if origin.is_relative_to(inbox)]
    if ".." not in origin.parts and around:
        return max(around, key=lambda inbox: len(inbox.parts)), origin
    places = [
        (folder.failed.resolve(), inbox) for folder, inbox in zip(folders, inboxes, strict=True)
    ]
    failed, inbox = max(
        (place for place in places if path.is_relative_to(place[0])),
        key=lambda place: len(place[0].parts),
    )
    return inbox, inbox / path.relative_to(failed)


def _other_half(path: Path, sides: Sequence[Path]) -> list[Path]:
    """The other photograph of a pair, as a list that is empty where there is none."""
    others = {
        other.name
        for other in path.parent.iterdir()
        if other.is_file()
        and other not in (path, *sides)
        and companion_of(other.name) is None
        and not (other.name.endswith(REASON_SUFFIX) and not is_foreign(other))
        and not reason_path(other).exists()
    }
    other = other_half(path.name, others)
    return [path.with_name(other)] if other is not None else []


def _read(path: Path) -> Mapping[str, object]:
    try:
        content = read_json(path)
    except FileNotFoundError:
        return {}
    except Exception as error:  # others may write to failed/; a parser raises what it likes
        raise ConfigError(f"{shown(path)}: not a readable reason: {error}; remove it") from error
    return content if isinstance(content, dict) else {}
