"""What lies in a folder, with all below it: the truth that events only hint at.

Comes in: a folder. Goes out: regular files with their `lstat`, and what a person should know of.
Follows no symbolic link below the folder, opens no file and changes nothing.
"""

import os
import re
import stat
from collections.abc import Collection, Iterator

Found = tuple[str, os.stat_result | str]
"""A path relative to the scanned folder, and its `lstat` or, of no use to us, what it is."""


def walk(root: str, below: str = "", passed_over: Collection[str] = ()) -> Iterator[Found]:
    """List every file that is not ignored; what vanishes meanwhile is left out.

    Args:
        root: The folder; it may itself be a symbolic link.
        below: Start at this sub-folder, relative to `root`.
        passed_over: Absolute paths of folders that are not entered.

    Yields:
        Files in no particular order.
    """
    folders = [below]
    while folders:
        here = folders.pop()
        path = f"{root}/{here}" if here else root
        try:
            with os.scandir(path) as entries:
                for entry in entries:
                    if ignored(entry.name):
                        continue
                    relative = f"{here}/{entry.name}" if here else entry.name
                    if not entry.is_dir(follow_symlinks=False):
                        yield from _look(entry, relative)
                    elif entry.path not in passed_over:
                        folders.append(relative)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            yield here, f"cannot be read: {error.strerror}"


def what(mode: int) -> str:
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


def _look(entry: os.DirEntry[str], relative: str) -> Iterator[Found]:
    try:
        status = entry.stat(follow_symlinks=False)
    except FileNotFoundError:
        return
    except OSError as error:
        yield relative, f"cannot be looked at: {error.strerror}"
        return
    yield relative, what(status.st_mode) or status


_PATTERN = re.compile(
    r"\..*"  # hidden: also ._*, .syncthing.*, .nfs* and every dotted folder
    r"|~\$.*|~syncthing~.*"
    r"|.*\.(part|crdownload|tmp|filepart)"
    r"|thumbs\.db|desktop\.ini|@eadir|__macosx",
    re.IGNORECASE | re.DOTALL,
)


def ignored(name: str) -> bool:
    """Say whether a file or folder of this name is passed over.

    Args:
        name: One part of a path; undecodable bytes as surrogates.
    """
    return _PATTERN.fullmatch(name) is not None
