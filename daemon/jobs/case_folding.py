"""Names that a case-insensitive share takes for one: IMG_1.png and img_1.png, Trip/ and trip/.

One rule for whatever the daemon writes for people: a folder that such a share takes for one that
is there is that one, and a file takes another name.
"""

import os
from collections.abc import Iterable
from pathlib import Path

from daemon.system.files import make_folder
from daemon.system.text import same_name

_MAX_FOLDERS = 64
"""Folders whose names are kept; files go to few folders at a time."""


class FoldedNames:
    """Remembers the names in folders, so that a folder is listed again only if others change it.

    A name that another program adds in the moment of a publication may go unseen. Then both names
    lie there, which loses nothing.
    """

    def __init__(self) -> None:
        self._folders: dict[Path, tuple[int, dict[str, str]]] = {}

    def is_taken(self, path: Path) -> bool:
        """Whether the folder holds this name in other capitals or in another Unicode form.

        Raises:
            OSError: The folder cannot be listed.
        """
        return folded(path.name) in self._names(path.parent) and not os.path.lexists(path)

    def folder(self, path: Path, root: Path) -> Path:
        """The folder that is there and that a share takes for a folder, else the folder itself.

        Args:
            path: The folder that is wanted.
            root: A folder above it, whose own path is taken as it is.

        Raises:
            OSError: A folder on the way cannot be listed.
        """
        if path == root or not path.is_relative_to(root) or os.path.lexists(path):
            return path
        above = self.folder(path.parent, root)
        wanted = above / path.name
        if os.path.lexists(wanted) or not above.is_dir():
            return wanted
        known = self._names(above).get(folded(path.name))
        return above / known if known is not None and (above / known).is_dir() else wanted

    def add(self, paths: Iterable[Path]) -> None:
        """Take note of files and folders that have just been placed."""
        for path in paths:
            _, names = self._folders.get(path.parent, (0, None))
            if names is not None:
                _note(names, path.name)
                self._folders[path.parent] = (path.parent.stat().st_mtime_ns, names)

    def _names(self, folder: Path) -> dict[str, str]:
        """Names in a folder by what a share takes them for; the first of those that are alike."""
        changed_ns = folder.stat().st_mtime_ns
        known_ns, names = self._folders.pop(folder, (0, {}))
        if known_ns != changed_ns:
            with os.scandir(folder) as entries:
                there = sorted(entry.name for entry in entries)
            names = {}
            for name in there:
                _note(names, name)
        self._folders[folder] = (changed_ns, names)
        if len(self._folders) > _MAX_FOLDERS:
            del self._folders[next(iter(self._folders))]
        return names


def _note(names: dict[str, str], name: str) -> None:
    """Add a name to those of a folder; a folder may have 100,000, so equal text is kept once."""
    key = folded(name)
    names.setdefault(key, key if key == name else name)


def make_alike(folder: Path, root: Path, group: int | None, names: FoldedNames) -> Path:
    """Make a folder, unless there is one that a case-insensitive share takes for it.

    Args:
        folder: The folder that is wanted.
        root: The folder above it below which names are compared.
        group: Group id of new folders; None for the group of the process.
        names: The names that are there.

    Returns:
        The folder to use.
    """
    there = names.folder(folder, root)
    if not there.is_dir():
        make_folder(there, group)
        above = (there, *there.parents)
        names.add(path for path in above if path != root and path.is_relative_to(root))
    return there


def folded(name: str) -> str:
    """The form of a name that a case-insensitive share compares."""
    return same_name(same_name(name).casefold())
