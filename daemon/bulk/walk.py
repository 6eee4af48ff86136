"""The files of a bulk job: folders are walked in one order, a few files at a time.

Comes in: a bulk job, what of it was looked at before. Goes out: slices of folders, and the claims
that a recipe makes of them. Only names and headers are read, and nothing is changed.
"""

import contextlib
import json
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from daemon.config.recipe import Recipe
from daemon.config.station import InboxFolder, Station
from daemon.intake.arrivals import Arrival, Claim
from daemon.intake.companions import SideFiles, side_of
from daemon.intake.scanner import Folder, PassedOver, walk_folders
from daemon.intake.sorter import FolderSorter, SettledFile, SettledFolder
from daemon.jobs.ledger.bulk import BulkJob
from daemon.photo import Limits
from daemon.system.files import is_there, shown

_FILES, _BYTES = 128, 256 << 20
"""Looked at in one turn of the loop: they are hashed, which takes a second on slow disks."""

_LOOK_S = 0.1
"""For finding them, in one turn; a folder is always listed whole."""

_PASSED = 1024
"""Files passed over after which a slice ends, though it has few photographs or none."""


@dataclass(frozen=True)
class Slice:
    """A few files of one folder, and those that were passed over before them.

    Attributes:
        folder: The root they were found below.
        path: The folder they lie in.
        names: Photographs, and their side files; there may be none.
        size_bytes: Size of the photographs.
        passed_over: Paths as printable text, each with the reason.
        last: The last of them, as `Bulk.looked_at`.
    """

    folder: InboxFolder
    path: Path
    names: tuple[str, ...]
    size_bytes: int
    passed_over: tuple[PassedOver, ...]
    last: str

    def claims(self, recipe: Recipe, limits: Limits) -> tuple[list[Claim], list[PassedOver]]:
        """What the recipe takes of them together, and what it cannot take, with the reason."""
        settled = SettledFolder(str(self.path))
        for name in self.names:
            path = self.path / name
            with contextlib.suppress(FileNotFoundError):
                found = path.lstat()
                relative = path.relative_to(self.folder.path)
                arrival = Arrival(self.folder, relative, found.st_size, found.st_mtime_ns)
                settled.files[name] = SettledFile(arrival, str(path), 0.0, 0.0)
        claims = FolderSorter(settled, {recipe.name: recipe}, limits).claims()
        left = [
            (shown(self.path / name), one.why)
            for name, one in settled.files.items()
            if one.fresh and side_of(name) is None
        ]
        return claims, left


def slices(bulk: BulkJob, recipe: Recipe, station: Station, known: set[Path]) -> Iterator[Slice]:
    """The files of a bulk job, a few at a time, in an order that is always the same.

    Args:
        bulk: The job; what it has looked at is left out.
        recipe: Its recipe.
        station: Where results go.
        known: Photographs that were queued last, perhaps without the job's knowing.
    """
    root_number, parts, last_name = json.loads(bulk.looked_at or '[-1, [], ""]')
    for number, (root, folder) in enumerate(_roots(bulk, station)):
        if number < root_number:
            continue
        reached = tuple(parts) if number == root_number else None
        for found in _folders(root, reached or ()):
            visited = _visited(folder.path, found)
            if found.parts == reached:
                visited = replace(visited, passed_over=(), after=last_name)
            for part in _cut(visited, recipe, known):
                last = json.dumps([number, found.parts, part.last])
                names = tuple(part.names)
                yield Slice(folder, visited.path, names, part.size_bytes, tuple(part.passed), last)


def enough(walk: Iterator[Slice]) -> list[Slice]:
    """The next slices for one turn: many small folders together, one large folder in parts."""
    found: list[Slice] = []
    until = time.monotonic() + _LOOK_S
    files = size_bytes = 0
    while files < _FILES and size_bytes < _BYTES and time.monotonic() < until:
        part = next(walk, None)
        if part is None:
            break
        found.append(part)
        files += len(part.names)
        size_bytes += part.size_bytes
    return found


def absence(places: Iterable[Path]) -> str:
    """Which of these folders is out of reach, and why; "" if none.

    A folder that holds nothing counts: it may be the mount point of a disk that is not there.
    """
    for place in places:
        try:
            if is_there(place):
                continue
            why = "it is empty or gone"
        except OSError as error:
            why = error.strerror or str(error)
        return f"{shown(place)}: {why}"
    return ""


def is_away(folder: InboxFolder) -> bool:
    """Whether photographs of a bulk job cannot be had because the folder they lie in is gone."""
    return bool(folder.bulk and absence([folder.path]))


def places_of(bulk: BulkJob, recipe: Recipe | None) -> tuple[Path, ...]:
    """The folders that must hold something while a bulk job is at work, each once.

    Of a single file it is the folder that it lies in; a root that is gone was one by its name.
    """
    suffixes = recipe.suffixes if recipe is not None else ()
    return tuple(
        dict.fromkeys(
            root.parent
            if root.is_file() or (root.name.lower().endswith(suffixes) and not root.exists())
            else root
            for root in bulk.roots
        )
    )


@dataclass(frozen=True)
class _Visited:
    """One folder: its files in order, what is left alone, and the last name looked at before."""

    path: Path
    names: tuple[str, ...]
    passed_over: tuple[PassedOver, ...]
    after: str = ""


@dataclass
class _Part:
    """A few files of one folder, while they are gathered."""

    passed: list[PassedOver]
    names: list[str] = field(default_factory=list)
    size_bytes: int = 0
    last: str = ""

    @property
    def full(self) -> bool:
        return len(self.names) >= _FILES or self.size_bytes >= _BYTES or len(self.passed) >= _PASSED


def _cut(found: _Visited, recipe: Recipe, known: set[Path]) -> Iterator[_Part]:
    """One folder in parts, at least one.

    The halves of pairs stay together: of a recipe that takes pairs a folder is one part. Side
    files go with the photographs that are called like them.
    """
    sides = SideFiles(found.names, recipe.side_files)
    part = _Part(list(found.passed_over))
    for name in found.names:
        if name in sides or name <= found.after or (known and found.path / name in known):
            continue
        part.last = name
        if why := recipe.mismatch(name, recipe.match.min_megapixels):
            part.passed.append((shown(found.path / name), why))
        else:
            part.names.append(name)
            with contextlib.suppress(OSError):
                part.size_bytes += (found.path / name).lstat().st_size
        if recipe.photos == 1 and part.full:
            yield _with_sides(part, sides, recipe)
            part = _Part([])
    part.last = max(found.names, default="")
    yield _with_sides(part, sides, recipe)


def _with_sides(part: _Part, sides: SideFiles, recipe: Recipe) -> _Part:
    beside = (sides.all_of(name, role) for name in part.names for role in recipe.side_files)
    part.names += dict.fromkeys(side for names in beside for side in names)
    return part


def _roots(bulk: BulkJob, station: Station) -> list[tuple[Path, InboxFolder]]:
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


def _folders(root: Path, start: tuple[str, ...]) -> Iterator[Folder]:
    """The folders of a root, which may be a file, from one of them on."""
    if root.is_dir():
        yield from walk_folders(str(root), start=start)
    elif root.is_file():
        yield Folder((), (root.name,), ())
    else:
        yield Folder((), (), ((root.name, "No such file or folder"),))


def _visited(path: Path, found: Folder) -> _Visited:
    """A folder of the walk; `path` is what its paths are relative to."""
    passed_over = tuple((shown(path / relative), why) for relative, why in found.passed_over)
    return _Visited(path.joinpath(*found.parts), found.files, passed_over)
