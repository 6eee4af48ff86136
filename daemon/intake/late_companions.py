"""Late companions: those whose photograph is in the archive already follow it there.

A companion is copied into the archive, recorded, and only then taken out of the inbox, so that a
crash leaves it in the inbox and its repetition finds the copy. A photograph that found its name
taken is called otherwise in the archive, and so is its late companion. Where the archive has two
photographs of one name, or other content under the companion's name, nobody knows which is meant,
and it stays.
"""

import contextlib
import os
import time
from collections.abc import Iterable
from pathlib import Path

import structlog

from daemon.intake.arrivals import Arrival
from daemon.intake.scanner import list_files
from daemon.jobs.case_folding import FoldedNames
from daemon.jobs.companions import (
    Photographs,
    called_like,
    half_of,
    stem_of,
    without_key,
)
from daemon.jobs.ledger import originals as original_rows
from daemon.jobs.ledger.entries import Original
from daemon.jobs.ledger.writer import Ledger
from daemon.system.files import copy_open, open_in, part_path, place, shown, sync_folders
from daemon.system.safe_open import folder_beneath, lstat_beneath, parts_beneath
from daemon.system.text import same_name

_log = structlog.get_logger()

_MAX_BYTES = 64 << 20
"""Largest companion in bytes that is taken late, since the loop copies it: the .mov of a Live Photo
has a few megabytes."""

_LISTING_SHARE = 50
"""A folder of the archive is listed again after this many times what listing it took: 2 % of the
time."""


class _Listing:
    """The photographs of a folder in the archive, as they were when it was listed."""

    def __init__(self, folder: Path) -> None:
        began = time.monotonic()
        self.changed_ns = folder.stat().st_mtime_ns
        self.photos = Photographs(os.listdir(folder))  # noqa: PTH208  # names are enough
        self._until = time.monotonic() + _LISTING_SHARE * (time.monotonic() - began)

    def is_current(self, folder: Path) -> bool:
        """Whether nothing changed since, or it is too soon to look again."""
        return time.monotonic() < self._until or folder.stat().st_mtime_ns == self.changed_ns


class LateCompanions:
    """Sends companions after their photographs; used by the loop."""

    def __init__(self, ledger: Ledger) -> None:
        """Start without knowledge of the archive.

        Args:
            ledger: Knows which files in the archive are originals, and is told of companions.
        """
        self._ledger = ledger
        self._names = FoldedNames()
        self._listings: dict[Path, _Listing] = {}

    def turn(self, strays: Iterable[Arrival], now: float) -> list[Arrival]:
        """Take the companions whose photographs are archived; the others stay.

        A fault of the file system leaves a companion where it is; the next turn tries again.

        Args:
            strays: Companions beside which no photograph lies.
            now: UTC seconds since the epoch.

        Returns:
            Those that were taken.
        """
        folders: set[Path] = set()
        taken: list[Arrival] = []
        for stray in strays:
            with contextlib.suppress(OSError):
                folder = self._names.folder(
                    stray.folder.archive / stray.relative.parent, stray.folder.archive
                )
                folders.add(folder)
                photo = self._photo_of(stray, folder)
                if photo is not None and self._follow(stray, folder / photo, now):
                    taken.append(stray)
        self._listings = {at: kept for at, kept in self._listings.items() if at in folders}
        return taken

    def _photo_of(self, stray: Arrival, folder: Path) -> str | None:
        """Name of the archived photograph that a companion belongs to."""
        listing = self._listings.get(folder)
        if listing is None or not listing.is_current(folder):
            listing = self._listings[folder] = _Listing(folder)
        name = stray.relative.name
        own, renamed = listing.photos.of(name), listing.photos.renamed(name)
        if (own is None and not renamed) or stray.size_bytes > _MAX_BYTES:
            return None
        below = stray.relative.parent.as_posix()
        beside = list_files(str(stray.folder.path), "" if below == "." else below)
        if Photographs(beside).of(name) is not None:  # another is arriving
            return None
        meant = [own] if own is not None else []
        meant += [photo for photo in renamed if self._was_renamed(folder / photo)]
        return meant[0] if len(meant) == 1 else None

    def _was_renamed(self, photo: Path) -> bool:
        """Whether the daemon, not a person, called an archived photograph NAME~KEY."""
        row = original_rows.job_of(self._ledger, photo)
        entries = self._ledger.entries([row]) if row is not None else []
        before = stem_of(without_key(photo.name))
        half = half_of(before)
        names = {before, half.name if half is not None else before}
        return any(same_name(entry.claim.stem) in map(same_name, names) for entry in entries)

    def _follow(self, stray: Arrival, photo: Path, now: float) -> bool:
        """Move a companion beside its photograph; returns whether that was done."""
        row = original_rows.job_of(self._ledger, photo)
        if row is None:  # somebody else put it into the archive
            return False
        *parts, name = parts_beneath(stray.path, stray.folder.path)
        called = name
        if Photographs([photo.name]).of(name) is None:
            called = called_like(name, without_key(photo.name), photo.name)
        target = photo.with_name(called)
        with folder_beneath(stray.folder.path, parts) as folder:
            if not self._copy(stray, name, folder, target):
                return False
            position = original_rows.next_position(self._ledger, row)
            kept = Original(target, row, position, stray.size_bytes, stray.mtime_ns, now)
            original_rows.add(self._ledger, kept)
            os.unlink(name, dir_fd=folder)
        _log.info("companion_followed", file=shown(stray.relative), photo=shown(photo.name))
        return True

    def _copy(self, stray: Arrival, name: str, folder: int, target: Path) -> bool:
        """Copy a companion into the archive; False if it changed, or its name is taken there."""
        part = part_path(stray.path, target.parent)
        try:
            with open_in(folder, Path(name)) as old:
                copy_open(old, part)
            found = lstat_beneath(name, folder)
            if (found.st_size, found.st_mtime_ns) != (stray.size_bytes, stray.mtime_ns):
                return False
            if self._names.is_taken(target) or not place(part, target):
                return False
        finally:
            part.unlink(missing_ok=True)
        self._names.add([target])
        sync_folders([target.parent])
        return True
