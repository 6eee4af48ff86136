"""The files of a bulk job: folders are walked in one order, a few files at a time.

Comes in: a bulk job, what of it was looked at before. Goes out: slices of folders, and the claims
that a recipe makes of them. Only names and headers are read, and nothing is changed.
"""

import contextlib
import json
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from daemon.bulk_book import Bulk
from daemon.files import shown
from daemon.ignored import ignored
from daemon.pairs import side_of
from daemon.photo import Limits
from daemon.recipe import Recipe
from daemon.sorting import Folder, Held, Sorting
from daemon.station import Arrival, Claim, InboxFolder, Station

_FILES, _BYTES = 128, 256 << 20
"""Looked at in one turn of the loop: they are hashed, which takes a second on slow disks."""

_NO_FILE = "it is a link, or no regular file"

Passed = tuple[str, str]
"""A path that is left alone, and why."""


@dataclass(frozen=True)
class Slice:
    """A few files of one folder, and those that were passed over before them.

    Attributes:
        folder: The root they were found below.
        path: The folder they lie in.
        names: Photographs, and the side files of that folder.
        passed_over: Paths with the reason.
        last: The last of them, as `Bulk.looked_at`.
    """

    folder: InboxFolder
    path: Path
    names: tuple[str, ...]
    passed_over: tuple[Passed, ...]
    last: str

    def claims(self, recipe: Recipe, limits: Limits) -> tuple[list[Claim], list[Passed]]:
        """What the recipe takes of them together, and what it cannot take, with the reason."""
        held = Folder(str(self.path))
        for name in self.names:
            path = self.path / name
            with contextlib.suppress(FileNotFoundError):
                found = path.lstat()
                relative = path.relative_to(self.folder.path)
                arrival = Arrival(self.folder, relative, found.st_size, found.st_mtime_ns)
                held.held[name] = Held(arrival, str(path), 0.0, 0.0)
        claims = Sorting(held, {recipe.name: recipe}, limits).claims()
        left = [
            (shown(self.path / name), one.why)
            for name, one in held.held.items()
            if one.fresh and side_of(name) is None
        ]
        return claims, left


def slices(bulk: Bulk, recipe: Recipe, station: Station, known: set[Path]) -> Iterator[Slice]:
    """The files of a bulk job, a few at a time, in an order that is always the same.

    Args:
        bulk: The job; what it has looked at is left out.
        recipe: Its recipe.
        station: Where results go.
        known: Photographs that were queued last, perhaps without the job's knowing.
    """
    root_number, parts, last_name = json.loads(bulk.looked_at or '[-1, [], ""]')
    reached = (root_number, tuple(parts))
    for number, (root, folder) in enumerate(_roots(bulk, station)):
        for found in _walk(root):
            where = (number, found.path.relative_to(folder.path).parts)
            if where < reached:
                continue
            if where == reached:
                found = replace(found, odd=(), after=last_name)
            for names, passed, name in _cut(found, recipe, known):
                yield Slice(folder, found.path, names, passed, json.dumps([*where, name]))


@dataclass(frozen=True)
class _Visited:
    """One folder: its regular files in order, what is none, and the last name looked at before."""

    path: Path
    names: tuple[str, ...]
    odd: tuple[Passed, ...] = ()
    after: str = ""


def _cut(
    found: _Visited, recipe: Recipe, known: set[Path]
) -> Iterator[tuple[tuple[str, ...], tuple[Passed, ...], str]]:
    """One folder in slices: names, what is passed over, the last name of all these.

    The halves of pairs stay together: of a recipe that takes pairs a folder is one slice. Side
    files are in every slice.
    """
    sides, photos, passed = [], [], list(found.odd)
    for name in found.names:
        side = side_of(name)
        if side is not None and side[1] in recipe.companions:
            sides.append(name)
        elif name <= found.after or found.path / name in known:
            continue
        elif why := recipe.takes(name, recipe.match.min_megapixels):
            passed.append((shown(found.path / name), why))
        else:
            photos.append(name)
    size, part = 0, list[str]()
    for name in photos:
        part.append(name)
        with contextlib.suppress(OSError):
            size += (found.path / name).lstat().st_size
        if recipe.photos == 1 and (len(part) == _FILES or size >= _BYTES):
            yield (*part, *sides), tuple(passed), name
            size, part, passed = 0, [], []
    if part or passed:
        yield (*part, *sides), tuple(passed), max(found.names, default="")


def _roots(bulk: Bulk, station: Station) -> list[tuple[Path, InboxFolder]]:
    """Each root with the folder its files are claimed from and where results of it go."""
    found: list[tuple[Path, InboxFolder]] = []
    taken: set[str] = set()
    for root in bulk.roots:
        whole = root.is_dir()
        name = root.name if whole else ""
        for number in range(2, len(bulk.roots) + 2):
            if not name or name not in taken:
                break
            name = f"{root.name}-{number}"
        taken.add(name)
        below = Path(bulk.recipe, name)
        folder = InboxFolder(
            path=root if whole else root.parent,
            recipe=bulk.recipe,
            outbox=station.outbox / below,
            failed=station.failed / below,
            archive=station.archive / below,
            originals="leave",
            bulk=bulk.name,
        )
        found.append((root, folder))
    return found


def _walk(root: Path) -> Iterator[_Visited]:
    """Each folder below a root, in order; links are not followed."""
    odd: list[Passed] = []

    def refused(error: OSError) -> None:
        odd.append((shown(error.filename or root), error.strerror or str(error)))

    if not root.is_dir():
        if not root.exists():
            refused(FileNotFoundError(2, "No such file or folder", str(root)))
        yield _Visited(root.parent, (root.name,) if root.is_file() else (), tuple(odd))
        return
    for folder, below, names in os.walk(root, onerror=refused):
        below[:] = sorted(name for name in below if not ignored(name))
        path = Path(folder)
        links = [name for name in below if (path / name).is_symlink()]
        files = []
        for name in sorted(names):
            if ignored(name):
                continue
            try:
                mode = (path / name).lstat().st_mode
            except OSError as error:
                refused(error)
                continue
            if stat.S_ISREG(mode):
                files.append(name)
            else:
                links.append(name)
        odd += [(shown(path / name), _NO_FILE) for name in links]
        yield _Visited(path, tuple(files), tuple(odd))
        odd.clear()
    if odd:
        yield _Visited(root, (), tuple(odd))
