"""Where originals go when their jobs have ended: into archive/, or into failed/ with the reason.

The files of a claim move as a group. If one of their names is taken, all take others from which
one still sees that they belong together (`companions.group_names`). Nothing is overwritten. Every
function may be repeated after a crash; it then finishes what it had begun, under the same names.
"""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from daemon.jobs.access import Access
from daemon.jobs.case_folding import FoldedNames, folded
from daemon.jobs.companions import group_names
from daemon.jobs.failure_reasons import is_foreign, reason_path
from daemon.jobs.file_copies import DirectCopies, FileCopies, place_all
from daemon.jobs.ledger.entries import ClaimedFile
from daemon.system.files import make_folder, sync_folders, with_mark
from daemon.system.json_files import write_new

_TIMES_DIFFER_NS = 2_000_000_000
"""Nanoseconds by which a copy's time may differ from its original's: FAT counts in two seconds."""


@dataclass(frozen=True)
class _Group:
    """The files of a claim on their way into a folder.

    Attributes:
        files: The files; the photographs come first.
        folder: Where they go.
        key: Part of their names if one of their own is taken.
        names: The names in that folder.
        copies: Copies the files if the folder is on another disk.
    """

    files: Sequence[ClaimedFile]
    folder: Path
    key: str
    names: FoldedNames
    copies: FileCopies

    def paths(self) -> Iterator[list[Path]]:
        """What all are called, in order of preference, without end."""
        photos = [file.relative.name for file in self.files if file.role == "photo"]
        beside = [file.relative.name for file in self.files if file.role != "photo"]
        number = 0
        while True:
            key = ["", self.key][number] if number < 2 else f"{self.key}-{number}"
            names = _distinct(group_names(photos, beside, key), self.key)
            yield [self.folder / name for name in names]
            number += 1

    def begun(self) -> list[Path] | None:
        """What all are called if a crash interrupted their move; None if that had not begun."""
        wanted = self.paths()
        own = next(wanted)
        for paths in wanted:
            if not any(map(os.path.lexists, paths)):
                break
            if any(map(self._has_moved, range(len(paths)), paths)):
                return paths
        gone = [n for n, file in enumerate(self.files) if not _is(file)]
        return own if any(self._has_moved(n, own[n]) for n in gone) else None

    def fits(self, paths: Sequence[Path]) -> bool:
        """Whether names are free, or hold these very files."""
        return all(map(self._fits, range(len(paths)), paths))

    def move(self, paths: Sequence[Path]) -> bool:
        """Move the files; False, and none has moved, if somebody took a name meanwhile."""
        there = [
            (file.path, path) for file, path in zip(self.files, paths, strict=True) if _is(file)
        ]
        self.copies.prepare(there)
        if not place_all(there, self.copies):
            return False
        for source, path in reversed(there):
            source.unlink()
            self.names.add([path])
        return True

    def _fits(self, position: int, path: Path) -> bool:
        if not os.path.lexists(path):
            return not self.names.is_taken(path)
        file = self.files[position]
        if not _is(file):
            return self._has_moved(position, path)
        return self.copies.same_content(file.path, path)

    def _has_moved(self, position: int, path: Path) -> bool:
        file = self.files[position]
        try:
            found = path.lstat()
        except OSError:
            return False
        differs_ns = abs(found.st_mtime_ns - file.mtime_ns)
        return found.st_size == file.size_bytes and differs_ns <= _TIMES_DIFFER_NS


def _distinct(names: Sequence[str], key: str) -> list[str]:
    """Names that a case-insensitive share tells apart: of i.XMP and i.xmp the second is another."""
    taken: set[str] = set()
    found: list[str] = []
    for name in names:
        free = name
        while folded(free) in taken:
            free = with_mark(free, f"~{key}")
        taken.add(folded(free))
        found.append(free)
    return found


def _is(file: ClaimedFile) -> bool:
    """Whether a claimed file has not moved yet."""
    return file.path.exists()


def retire(
    files: Sequence[ClaimedFile],
    folder: Path,
    key: str,
    access: Access,
    names: FoldedNames | None = None,
    copies: FileCopies | None = None,
) -> list[Path]:
    """Move the originals of a finished job into a folder of the archive.

    Args:
        files: The claimed files; some may be there already, or be gone.
        folder: Their folder in the archive.
        key: Part of their names if other files have those.
        access: Permissions of new folders.
        names: The names in the archive, if they were asked for before.
        copies: Copies them to an archive on another disk; at once if None.

    Returns:
        Where each of them is; nothing is there of one that was gone.

    Raises:
        CopyPendingError: Copies must end before this is called again.
        OSError: The file system refuses.
    """
    make_folder(folder, access.group)
    group = _Group(files, folder, key, names or FoldedNames(), copies or DirectCopies())
    return _move(group, lambda _: True)


def reject(
    files: Sequence[ClaimedFile],
    folder: Path,
    key: str,
    why: Mapping[str, object],
    access: Access,
    names: FoldedNames | None = None,
    copies: FileCopies | None = None,
    *,
    moves: bool = True,
) -> Path:
    """Put untouched originals into failed/ with the reason beside the first.

    Args:
        files: The claimed files.
        folder: Their folder below failed/.
        key: Part of their names if other files have those.
        why: Content of the reason file.
        access: Permissions of new files.
        names: The names in failed/, if they were asked for before.
        copies: Copies them to a disk that is not theirs; at once if None.
        moves: False where originals stay in their place: only the reason is written.

    A file that is named like the reason and is none keeps its name; the originals take others.

    Returns:
        Where the first original is now; where it would be, if it stays in its place.

    Raises:
        CopyPendingError: Copies must end before this is called again.
        OSError: The file system refuses.
    """
    names = names or FoldedNames()
    make_folder(folder, access.group)
    origin = why.get("origin")

    def has_room(first: Path) -> bool:
        reason = reason_path(first)
        return not is_foreign(reason, origin) and not names.is_taken(reason)

    moved = files if moves else files[:1]
    group = _Group(moved, folder, key, names, copies or DirectCopies())
    if moves:
        kept, *others = _move(group, has_room)
        if others:
            own = (file.relative.name for file in files[1:])
            why = {**why, "beside": {o.name: n for o, n in zip(others, own, strict=True)}}
    else:
        kept = next(paths[0] for paths in group.paths() if has_room(paths[0]))
    error = reason_path(kept)
    error.unlink(missing_ok=True)
    write_new(error, why, access.file_mode, access.group)
    names.add([error])
    sync_folders([folder])
    return kept


def _move(group: _Group, has_room: Callable[[Path], bool]) -> list[Path]:
    """Move a group to names that are free, and whose first has room for its reason."""
    paths = group.begun()
    if paths is not None and group.fits(paths) and group.move(paths):
        sync_folders([group.folder])
        return paths
    for paths in group.paths():
        if has_room(paths[0]) and group.fits(paths) and group.move(paths):
            sync_folders([group.folder])
            return paths
    raise AssertionError("there is always one more name")
