"""The walk of a bulk job through its folders, in a fixed order, a few files at a time.

The order lets a walk go on after a restart from the last file it looked at. Only names are read
here, headers by the reader process, and nothing is changed.
"""

import contextlib
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePath

from daemon.config.recipe import Recipe
from daemon.config.station import InboxFolder, Station
from daemon.intake.arrivals import Arrival, Claim
from daemon.intake.file_reader import FileReads
from daemon.intake.scanner import Folder, PassedOver, walk_folders
from daemon.intake.settled_files import SettledFile, SettledFolder
from daemon.intake.sorter import FolderSorter
from daemon.jobs.companions import Companions, SideFiles, companion_of, side_of
from daemon.jobs.ledger.bulk import BulkJob
from daemon.photo.file_names import is_photo_name
from daemon.system.files import shown

_MAX_FILES, _MAX_BYTES = 128, 256 << 20
"""Files claimed together: hashing them takes a second on a slow disk."""

_MAX_WALK_S = 0.1
"""Seconds for finding files in one turn; a folder is always listed whole."""

_MAX_PASSED_OVER = 1024
"""Files passed over after which a slice ends, however few photographs it has."""


_COMPANIONS = "companions of photographs stay beside them"


@dataclass(frozen=True)
class Slice:
    """A few files of one folder, and the files that were passed over on the way to them.

    Attributes:
        folder: The root they were found below.
        path: Their folder.
        names: Photographs and their side files; may be empty.
        size_bytes: Size of the photographs.
        passed_over: Paths as printable text, each with the reason; companions once for each kind.
        last: Position of the last file, to be kept as `BulkJob.looked_at`.
    """

    folder: InboxFolder
    path: Path
    names: tuple[str, ...]
    size_bytes: int
    passed_over: tuple[PassedOver, ...]
    last: str

    def settle(self) -> SettledFolder:
        """Its files as they are now, of which nothing is claimed yet."""
        settled = SettledFolder(str(self.path), self.folder.path)
        for name in self.names:
            path = self.path / name
            with contextlib.suppress(FileNotFoundError):
                found = path.lstat()
                relative = path.relative_to(self.folder.path)
                arrival = Arrival(self.folder, relative, found.st_size, found.st_mtime_ns)
                settled.files[name] = SettledFile(arrival, str(path), 0.0, 0.0)
        return settled

    def claims(
        self, settled: SettledFolder, recipe: Recipe, reads: FileReads
    ) -> tuple[list[Claim], list[PassedOver]]:
        """Claims of what the recipe takes, and the files it cannot take, with the reason.

        Call it again while `settled.awaits_header`: the other claims follow.

        Args:
            settled: What `settle` returned; what is claimed is taken out of it.
            recipe: The recipe of the bulk job.
            reads: Reads headers.
        """
        claims = FolderSorter(settled, {recipe.name: recipe}, reads).claims()
        if settled.awaits_header:
            return claims, []
        left = [
            (shown(self.path / name), one.why)
            for name, one in settled.files.items()
            if one.fresh and side_of(name) is None
        ]
        return claims, left


def slices(bulk: BulkJob, recipe: Recipe, station: Station, known: set[Path]) -> Iterator[Slice]:
    """The files of a bulk job, a few at a time, in an order that is always the same.

    Args:
        bulk: The bulk job; files up to `looked_at` are left out.
        recipe: Its recipe.
        station: Where results go.
        known: Photographs queued last; after a crash, `looked_at` may not cover them yet.
    """
    root_number, parts, last_name = json.loads(bulk.looked_at or '[-1, [], ""]')
    for number, (root, folder) in enumerate(_roots(bulk, station)):
        if number < root_number:
            continue
        reached = tuple(parts) if number == root_number else None
        for found in _folders(root, reached or ()):
            files = _files_of(folder.path, found)
            if found.parts == reached:
                files = replace(files, passed_over=(), after=last_name)
            for part in _cut(files, recipe, known):
                last = json.dumps([number, found.parts, part.last])
                names = tuple(part.names)
                yield Slice(
                    folder, files.path, names, part.size_bytes, tuple(part.passed_over), last
                )


def take_slices(walk: Iterator[Slice]) -> list[Slice]:
    """Take the slices of one turn: many small folders, or a part of a large one."""
    found: list[Slice] = []
    until = time.monotonic() + _MAX_WALK_S
    files = size_bytes = 0
    while files < _MAX_FILES and size_bytes < _MAX_BYTES and time.monotonic() < until:
        part = next(walk, None)
        if part is None:
            break
        found.append(part)
        files += len(part.names)
        size_bytes += part.size_bytes
    return found


def folders_of(bulk: BulkJob, recipe: Recipe | None) -> tuple[Path, ...]:
    """The folders that must be reachable while a bulk job is at work, each once.

    For a single file it is its folder. A root that is gone was a file if its name says so.
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
class _FolderFiles:
    """The files of one folder in order, those left alone, and the last name looked at before."""

    path: Path
    names: tuple[str, ...]
    passed_over: tuple[PassedOver, ...]
    after: str = ""


@dataclass
class _Part:
    """A part of a folder while its files are gathered."""

    passed_over: list[PassedOver]
    names: list[str] = field(default_factory=list)
    size_bytes: int = 0
    companions: int = 0
    last: str = ""

    @property
    def full(self) -> bool:
        return (
            len(self.names) >= _MAX_FILES
            or self.size_bytes >= _MAX_BYTES
            or len(self.passed_over) + self.companions >= _MAX_PASSED_OVER
        )


def _cut(found: _FolderFiles, recipe: Recipe, known: set[Path]) -> Iterator[_Part]:
    """Cut one folder into parts, at least one.

    For a recipe of pairs a folder is one part, so that halves stay together. Side files go with
    their photographs.
    """
    sides = SideFiles(found.names, recipe.side_files)
    companions = _companions(found.names)
    part = _Part(list(found.passed_over))
    for name in found.names:
        if name in sides or name <= found.after or (known and found.path / name in known):
            continue
        part.last = name
        why = recipe.mismatch(name, recipe.match.min_megapixels)
        if why and name in companions:
            part.companions += 1
            if (note := _note_of(name)) not in part.passed_over:
                part.passed_over.append(note)
        elif why:
            part.passed_over.append((shown(found.path / name), why))
        else:
            part.names.append(name)
            with contextlib.suppress(OSError):
                part.size_bytes += (found.path / name).lstat().st_size
        if recipe.photos == 1 and part.full:
            yield _with_sides(part, sides, recipe)
            part = _Part([])
    part.last = max(found.names, default="")
    yield _with_sides(part, sides, recipe)


def _companions(names: Sequence[str]) -> set[str]:
    """The companions among the names of a folder whose photographs lie there, too."""
    if not any(map(companion_of, names)):
        return set()
    found = Companions(names)
    return {companion for name in names if is_photo_name(name) for companion in found.of(name)}


def _note_of(companion: str) -> PassedOver:
    """The message about all companions of a kind."""
    return f"*{PurePath(companion).suffix.lower()}", _COMPANIONS


def _with_sides(part: _Part, sides: SideFiles, recipe: Recipe) -> _Part:
    beside = (sides.all_of(name, role) for name in part.names for role in recipe.side_files)
    part.names += dict.fromkeys(side for names in beside for side in names)
    return part


def _roots(bulk: BulkJob, station: Station) -> list[tuple[Path, InboxFolder]]:
    """Each root with the folder its files are claimed from, and where its results go."""
    found: list[tuple[Path, InboxFolder]] = []
    taken: set[str] = set()
    for root in bulk.roots:
        is_folder = root.is_dir()
        name = root.name if is_folder else ""
        for number in range(2, len(bulk.roots) + 2):
            if not name or name not in taken:
                break
            name = f"{root.name}-{number}"
        taken.add(name)
        below = Path(bulk.recipe, name)
        folder = InboxFolder(
            path=root if is_folder else root.parent,
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
    """The folders of a root (which may be a file), from `start` on."""
    if root.is_dir():
        yield from walk_folders(str(root), start=start)
    elif root.is_file():
        yield Folder((), (root.name,), ())
    else:
        yield Folder((), (), ((root.name, "No such file or folder"),))


def _files_of(path: Path, found: Folder) -> _FolderFiles:
    """The files of a folder of the walk, whose paths are relative to `path`."""
    passed_over = tuple((shown(path / relative), why) for relative, why in found.passed_over)
    return _FolderFiles(path.joinpath(*found.parts), found.files, passed_over)
