"""Retry: failed photographs go back to the inbox they came from, whether a daemon runs or not.

Originals that never left their place are asked for by a request instead, because the daemon
remembers that it has seen them and only the daemon writes the ledger.
"""

import contextlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path, PurePath
from typing import Any

from daemon.config.recipe import Recipe
from daemon.config.station import InboxFolder, Station
from daemon.intake.inbox import Inbox
from daemon.intake.requests import RetryRequest, leave
from daemon.jobs.companions import (
    ROLES,
    SideFilesOnDisk,
    called_like,
    companion_of,
    group_names,
    other_half,
    side_of,
)
from daemon.jobs.failure_reasons import REASON_SUFFIX, is_foreign, reason_path
from daemon.jobs.ledger.writer import Ledger
from daemon.system.errors import ConfigError, UsageError
from daemon.system.files import real_path, same_content, shown
from daemon.system.json_files import read_json
from daemon.system.shared_folder import give_back

_KEY = "retry"
"""Part of the names in an inbox of what finds its own names taken."""


@dataclass(frozen=True)
class Retried:
    """What became of failed photographs that were to be tried again.

    Attributes:
        moved: Where those are now that went back.
        left: Messages about those that did not, because their reason cannot be read.
    """

    moved: tuple[Path, ...]
    left: tuple[str, ...]


def retry_failed(
    station: Station,
    folders: Sequence[InboxFolder],
    recipes: Sequence[Recipe],
    paths: Sequence[Path],
) -> Retried:
    """Put failed originals back where they were dropped, with their other halves and side files.

    Args:
        station: The station.
        folders: Its inbox folders.
        recipes: Its recipes: of one that takes pairs both halves go back.
        paths: Failed originals; all of them if empty. A reason that cannot be read keeps none but
            its own photograph where that is.

    Raises:
        UsageError: A path is not a failed photograph of this station, or is one of a bulk job.
        ConfigError: The reason of a path cannot be read.
    """
    left: list[str] = []
    failed = real_path(station.failed)
    chosen = [real_path(path.parent) / path.name for path in paths]
    for path in chosen:
        reason = reason_path(path)
        if not reason_path(reason).exists() and (bulk := _read(reason).get("bulk")):
            raise UsageError(
                f"{shown(path)} is of the bulk job {bulk!r}: `restored bulk retry` tries all that "
                "failed of it again"
            )
    if not chosen:
        for reason in sorted(failed.rglob(f"*{REASON_SUFFIX}")):
            try:
                if reason_path(reason).exists() or _read(reason).get("bulk"):
                    continue
            except ConfigError as error:
                left.append(str(error))
                continue
            chosen.append(reason.with_name(reason.name.removesuffix(REASON_SUFFIX)))
    for path in chosen:
        known = path.is_file() or reason_path(path).is_file()
        if not path.is_relative_to(failed) or not known:
            raise UsageError(f"{shown(path)} is not a failed photograph of {shown(station.root)}")
    pairing = {recipe.name for recipe in recipes if recipe.photos == 2}
    beside = _FailedFolders()
    moved = [_put_back(station, path, folders, pairing, beside) for path in chosen]
    return Retried(tuple(moved), tuple(left))


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


class _FailedFolders:
    """The folders of failed originals: what lies there, and what their reasons say lies there."""

    def __init__(self) -> None:
        self.beside = SideFilesOnDisk()
        self._told: dict[Path, dict[Path, Mapping[str, str]]] = {}

    def told(self, path: Path) -> Mapping[str, str]:
        """Earlier names of the files beside a failed photograph, by their names here."""
        return self._reasons(path.parent).get(path, {})

    def is_anothers(self, other: Path, path: Path) -> bool:
        """Whether the reason of another photograph than `path` says that a file is its."""
        reasons = self._reasons(path.parent)
        if other.name in reasons.get(path, {}):
            return False
        return any(other.name in told for photo, told in reasons.items() if photo != path)

    def _reasons(self, folder: Path) -> dict[Path, Mapping[str, str]]:
        if folder not in self._told:
            found = {}
            for reason in folder.glob(f"*{REASON_SUFFIX}"):
                with contextlib.suppress(ConfigError):  # whoever retries that one is told
                    told = _beside(_read(reason))
                    if told:
                        found[reason.with_name(reason.name.removesuffix(REASON_SUFFIX))] = told
            self._told[folder] = found
        return self._told[folder]


def _beside(why: Mapping[str, Any]) -> Mapping[str, str]:
    """The names in a reason, as far as they are names: others may write to failed/."""
    told = why.get("beside")
    pairs = told.items() if isinstance(told, dict) else ()
    return {here: there for here, there in pairs if _is_name(here) and _is_name(there)}


def _is_name(name: object) -> bool:
    return isinstance(name, str) and "\0" not in name and PurePath(name).name == name


def _put_back(
    station: Station,
    path: Path,
    folders: Sequence[InboxFolder],
    pairing: set[str],
    failed: _FailedFolders,
) -> Path:
    reason = reason_path(path)
    own = not reason_path(reason).exists()  # else an original is named like this one's reason
    why = _read(reason) if own else {}
    inbox, origin = _origin(path, why, folders)

    def by_name(photo: Path) -> list[Path]:
        sides = [side for role in ROLES for side in failed.beside.all_of(photo, role)]
        halves = _other_half(photo, sides) if why.get("recipe") in pairing else []
        companions = (c for p in (photo, *halves) for c in failed.beside.companions_of(p))
        return [*halves, *sides, *companions]

    if path.is_file():
        told = failed.told(path) if own else {}
        if origin.name != PurePath(str(why.get("origin"))).name:  # it came from the archive
            told = {name: name for name in told}
        found = [other for other in by_name(path) if not failed.is_anothers(other, path)]
        together = dict.fromkeys([*(path.with_name(name) for name in told), *found])
        origin = _give_back_together(_Group(path, origin, tuple(together), told), inbox)
    elif origin.is_file():
        leave(station, RetryRequest(paths=(origin, *by_name(origin))))
    if own:
        reason.unlink(missing_ok=True)
    return origin


@dataclass(frozen=True)
class _Group:
    """A failed photograph and what belongs to it.

    Attributes:
        path: The photograph in failed/.
        origin: Where it came from.
        beside: Its other half, side files and companions; a crash may have moved some.
        told: What these were called where they came from, by their names in failed/.
    """

    path: Path
    origin: Path
    beside: tuple[Path, ...]
    told: Mapping[str, str]

    @property
    def files(self) -> list[Path]:
        """The photographs, then what is beside them."""
        halves = [o for o in self.beside if o != self.path and _is_photo(o.name)]
        return [self.path, *halves, *(o for o in self.beside if o not in (self.path, *halves))]

    def targets(self, key: str) -> list[Path]:
        """Where all of them go, in the order of `files`; a key makes their names others."""
        own = {self.path.name: self.origin.name}
        photos: list[str] = []
        beside: list[str] = []
        for file in self.files:
            name = own[file.name] = self._own_name(file.name, own)
            (photos if _is_photo(file.name) or file == self.path else beside).append(name)
        return [self.origin.with_name(name) for name in group_names(photos, beside, key)]

    def _own_name(self, name: str, own: Mapping[str, str]) -> str:
        """Name of a file where it came from."""
        if name in own or name in self.told:
            return own.get(name) or self.told[name]
        called = (called_like(name, photo, before) for photo, before in own.items())
        return next((other for other in called if other != name), name)


def _give_back_together(group: _Group, inbox: Path) -> Path:
    """Put a group back under names that still belong together; returns where the first is."""
    files = group.files
    there = [file.is_file() and not file.is_symlink() for file in files]

    def is_free(targets: Sequence[Path]) -> bool:
        found = zip(files, targets, there, strict=True)
        return all(_is_free(file, target) for file, target, is_there in found if is_there)

    def has_begun(targets: Sequence[Path]) -> bool:
        found = zip(targets, there, strict=True)
        return any(os.path.lexists(target) for target, is_there in found if not is_there)

    keys = [f"{_KEY}{more}" for more in ("", "-2", "-3", "-4", "-5")]
    tried = [targets for key in keys if has_begun(targets := group.targets(key))]
    endless = (group.targets(f"{_KEY}-{number}") for number in count(2))
    wanted = chain(tried, [group.targets(""), group.targets(_KEY)], endless)
    targets = next(targets for targets in wanted if is_free(targets))
    # Side files first: the photograph must not be taken without them.
    at = targets[0]
    for file, target, is_there in reversed(list(zip(files, targets, there, strict=True))):
        if is_there:
            at = give_back(file, target, inbox, _KEY)
    return at


def _is_photo(name: str) -> bool:
    return side_of(name) is None and companion_of(name) is None


def _is_free(source: Path, target: Path) -> bool:
    """Whether a name is free, or holds this very file since a crash."""
    try:
        return not os.path.lexists(target) or same_content(source, target)
    except OSError:
        return False


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
        (real_path(folder.failed), inbox) for folder, inbox in zip(folders, inboxes, strict=True)
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
