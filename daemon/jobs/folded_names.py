"""Names in the outbox that a case-insensitive share takes for one: IMG_1.png and img_1.png."""

import os
from collections.abc import Iterable
from pathlib import Path

from daemon.system.text import same_name

_MAX_FOLDERS = 64
"""Folders whose names are kept; a result goes to few folders at a time."""


class FoldedNames:
    """Remembers the names in folders, so that a folder is listed again only if others change it.

    A name that another program adds in the moment of a publication may go unseen. Then both names
    lie there, which loses nothing.
    """

    def __init__(self) -> None:
        self._folders: dict[Path, tuple[int, set[str]]] = {}

    def is_taken(self, path: Path) -> bool:
        """Whether the folder holds this name in other capitals or in another Unicode form.

        Raises:
            OSError: The folder cannot be listed.
        """
        return _folded(path.name) in self._names(path.parent) and not os.path.lexists(path)

    def add(self, paths: Iterable[Path]) -> None:
        """Take note of files that have just been placed."""
        for path in paths:
            _, names = self._folders.get(path.parent, (0, None))
            if names is not None:
                names.add(_folded(path.name))
                self._folders[path.parent] = (path.parent.stat().st_mtime_ns, names)

    def _names(self, folder: Path) -> set[str]:
        changed_ns = folder.stat().st_mtime_ns
        known_ns, names = self._folders.pop(folder, (0, set()))
        if known_ns != changed_ns:
            with os.scandir(folder) as entries:
                names = {_folded(entry.name) for entry in entries}
        self._folders[folder] = (changed_ns, names)
        if len(self._folders) > _MAX_FOLDERS:
            del self._folders[next(iter(self._folders))]
        return names


def _folded(name: str) -> str:
    return same_name(same_name(name).casefold())
