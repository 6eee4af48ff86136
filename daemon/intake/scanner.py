"""The one walk through folders: for inboxes, bulk jobs and estimates.

Folders are visited in the order of their names, each before those below it. Hidden, half-written
and system names are passed over; symbolic links below the root are not followed; what is neither
a file nor a folder, and what cannot be read, is named with the reason. What vanishes meanwhile, or
becomes a link, is left out. No file is opened and nothing is changed. Here, too, is what counts as
a folder that is away.
"""

import contextlib
import os
import re
import stat
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from daemon.config.station import InboxFolder
from daemon.system.files import is_there, shown
from daemon.system.safe_open import folder_beneath, lstat_beneath

PassedOver = tuple[str, str]
"""A path relative to the root, and why it is left alone."""

Found = tuple[str, os.stat_result | str]
"""A path relative to the root, and its `lstat` or why it is left alone."""


@dataclass(frozen=True)
class Folder:
    """One folder of a walk.

    Attributes:
        parts: Its path below the root.
        files: Names of its regular files, in order.
        passed_over: What in it is left alone, in order.
    """

    parts: tuple[str, ...]
    files: tuple[str, ...]
    passed_over: tuple[PassedOver, ...]

    @property
    def relative(self) -> str:
        """Its path below the root; "" for the root itself."""
        return "/".join(self.parts)


def walk_folders(
    root: str,
    below: str = "",
    *,
    start: tuple[str, ...] = (),
    not_entered: Collection[str] = (),
) -> Iterator[Folder]:
    """Visit a folder and all below it.

    Args:
        root: The folder; it may itself be a symbolic link.
        below: Visit only this sub-folder, relative to `root`, and those below it.
        start: Path below `root` of the folder to begin with: those before it are left out.
        not_entered: Absolute paths of folders that are passed over.

    Yields:
        Each folder that can be read, and each that cannot as one without files.
    """
    waiting = [tuple(below.split("/")) if below else ()]
    while waiting:
        parts = waiting.pop()
        folder, names = _list(root, parts, not_entered)
        if parts == start[: len(parts)] and len(parts) < len(start):
            names = [name for name in names if name >= start[len(parts)]]
        else:
            yield folder
        waiting += [(*parts, name) for name in reversed(names)]


def walk_files(root: str, below: str = "", not_entered: Collection[str] = ()) -> Iterator[Found]:
    """Look at every file in a folder and below it, as `walk_folders` visits them."""
    for folder in walk_folders(root, below, not_entered=not_entered):
        yield from folder.passed_over
        if folder.files:
            yield from _look_at(root, folder)


def list_files(root: str, below: str) -> tuple[str, ...]:
    """Names of the regular files in one folder, in order; none if it cannot be read.

    Args:
        root: The folder that is walked.
        below: The folder, relative to it; "" for itself.
    """
    return _list(root, tuple(below.split("/")) if below else (), ())[0].files


def _look_at(root: str, folder: Folder) -> Iterator[Found]:
    """Each file of a folder with its `lstat`."""
    with (
        contextlib.suppress(FileNotFoundError, NotADirectoryError),
        folder_beneath(root, folder.parts) as handle,
    ):
        for name in folder.files:
            relative = f"{folder.relative}/{name}" if folder.parts else name
            try:
                status = lstat_beneath(name, handle)
            except FileNotFoundError:
                continue
            except OSError as error:
                yield relative, f"cannot be looked at: {error.strerror}"
                continue
            yield relative, kind_in_words(status.st_mode) or status


def folders_not_entered(folder: InboxFolder, folders: Iterable[InboxFolder]) -> frozenset[str]:
    """Folders whose files never arrive in an inbox folder, although they may lie in it.

    Args:
        folder: The inbox folder.
        folders: All of the station.
    """
    folders = list(folders)
    kept = {other.path for other in folders if other.path != folder.path}
    kept |= {path for each in folders for path in (each.outbox, each.failed, each.archive)}
    return frozenset(str(path.absolute()) for path in kept - {folder.path})


def kind_in_words(mode: int) -> str:
    """Say what a thing is that is no regular file, from its `st_mode`; "" for a regular file."""
    if stat.S_ISREG(mode):
        return ""
    names = {
        stat.S_IFLNK: "symbolic link",
        stat.S_IFSOCK: "socket",
        stat.S_IFIFO: "FIFO",
        stat.S_IFCHR: "device",
        stat.S_IFBLK: "device",
    }
    return f"{names.get(stat.S_IFMT(mode), 'neither file nor folder')}, left alone"


_IGNORED = re.compile(
    r"\..*"  # hidden: also ._*, .syncthing.*, .nfs* and every dotted folder
    r"|~\$.*|~syncthing~.*"
    r"|.*\.(part|partial|filepart|crdownload|opdownload|download|fdmdownload|dtapart)"  # browsers
    r"|.*\.(aria2|!ut|!qb|!bt|!sync|bc!|jc!|ob!|td|xltd|bts)"  # download managers and torrents
    r"|.*\.(tmp|temp|rsync-tmp|upload|uploading|incomplete|unfinished|gstmp|kate-swp)"
    r"|.+\.part\.met"
    r"|.*\.[^.]*~|#.*#"  # NAME.jpg~, NAME.jpg.~1~ and #NAME.jpg# of editors
    r"|thumbs\.db|desktop\.ini|@eadir|__macosx",
    re.IGNORECASE | re.DOTALL,
)
"""Names that other programs give to files that are not whole yet, to copies and to their own."""


def ignored(name: str) -> bool:
    """Say whether a file or folder of this name is passed over without a word.

    Args:
        name: One part of a path; undecodable bytes as surrogates.
    """
    return _IGNORED.fullmatch(name) is not None


def _list(
    root: str, parts: tuple[str, ...], not_entered: Collection[str]
) -> tuple[Folder, list[str]]:
    """One folder, and the names of the folders in it, in order."""
    relative = "/".join(parts)
    files: list[str] = []
    names: list[str] = []
    passed_over: list[PassedOver] = []
    try:
        with (
            folder_beneath(root, parts, listing=True) as folder,
            os.scandir(folder) as entries,
        ):
            for entry in entries:
                if ignored(entry.name):
                    continue
                if entry.is_dir(follow_symlinks=False):
                    if not not_entered or "/".join((root, *parts, entry.name)) not in not_entered:
                        names.append(entry.name)
                elif entry.is_file(follow_symlinks=False):
                    files.append(entry.name)
                else:
                    name = f"{relative}/{entry.name}" if parts else entry.name
                    passed_over += _odd(entry, name)
    except (FileNotFoundError, NotADirectoryError):
        pass
    except OSError as error:
        passed_over.append((relative, f"cannot be read: {error.strerror}"))
    return Folder(parts, tuple(sorted(files)), tuple(sorted(passed_over))), sorted(names)


def _odd(entry: "os.DirEntry[str]", relative: str) -> list[PassedOver]:
    try:
        why = kind_in_words(entry.stat(follow_symlinks=False).st_mode)
    except FileNotFoundError:
        return []
    except OSError as error:
        why = f"cannot be looked at: {error.strerror}"
    # It may have become a regular file since the folder was listed; the next walk finds that.
    return [(relative, why)] if why else []


def why_missing(folders: Iterable[Path]) -> str:
    """The first of these folders that is out of reach, and why; "" if none is.

    An empty folder counts: it may be the mount point of a disk that is not mounted.
    """
    for folder in folders:
        try:
            if is_there(folder):
                continue
            why = "it is empty or gone"
        except OSError as error:
            why = error.strerror or str(error)
        return f"{shown(folder)}: {why}"
    return ""


def is_away(folder: InboxFolder) -> bool:
    """Whether a folder of a bulk job is out of reach, so that its photographs have to wait."""
    return bool(folder.bulk and why_missing([folder.path]))
