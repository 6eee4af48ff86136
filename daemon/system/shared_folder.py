"""Move files out of folders that others may write to, and back into them.

No folder on the way is a link that somebody put there meanwhile (see `beneath`), and no file is
lost or replaced, whatever others do with the names at the same time.
"""

import errno
import math
import os
import secrets
import stat
from pathlib import Path

from daemon.system.files import (
    NO_LINKS,
    alternative,
    copy_open,
    make_folder,
    names_to_try,
    open_in,
    place,
    same_content,
    sync_folders,
)
from daemon.system.safe_open import folder_beneath, lstat_beneath, parts_beneath


def take_file(source: Path, target: Path, beneath: Path) -> None:
    """Take a file out of a folder that others use, to a name that nobody else uses.

    Args:
        source: The file.
        target: Its new name.
        beneath: The folder below which no link is followed: an inbox.

    Raises:
        FileNotFoundError: The file vanished.
        NotADirectoryError: A link took the place of a folder that it lay in.
        BlockingIOError: Something other than a regular file took its place.
        OSError: The system forbids it, or the target lies on another file system (EXDEV): see
            `take_copy`.
    """
    *parts, name = parts_beneath(source, beneath)
    with folder_beneath(beneath, parts) as folder:
        try:
            os.rename(name, target, src_dir_fd=folder)
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(source)) from error
        if not stat.S_ISREG(target.lstat().st_mode):
            _put_odd_back(target, name, folder)
            raise BlockingIOError(errno.EAGAIN, "it is not a regular file any more", str(source))


def take_copy(source: Path, target: Path, beneath: Path, max_bytes: float = math.inf) -> None:
    """Take a file from another file system: copy, compare, and only then remove it.

    The file is either taken or stays where it was; an incomplete copy is removed, also one that a
    killed process left.

    Args:
        source: The file.
        target: Its new name, which nobody else uses.
        beneath: The folder below which no link is followed: an inbox.
        max_bytes: A larger file is not copied (EFBIG).

    Raises:
        FileNotFoundError: The file vanished.
        NotADirectoryError: A link took the place of a folder that it lay in.
        BlockingIOError: It was written to while it was copied, or something other than a regular
            file took its place.
        OSError: The system forbids it.
    """
    *parts, _ = parts_beneath(source, beneath)
    with folder_beneath(beneath, parts) as folder:
        _take_copy(source, folder, target, max_bytes)


def copy_part(target: Path) -> Path:
    """Where `take_copy` copies a file to before that has its name."""
    return target.with_name(f"{target.name[:200]}.part")


def _put_odd_back(odd: Path, name: str, folder: int) -> None:
    """Give a link, FIFO or folder its name back; it may not replace what has come there since."""
    try:
        os.link(odd, name, dst_dir_fd=folder, follow_symlinks=False)
    except OSError as error:
        if error.errno == errno.EEXIST:
            name = alternative(name, secrets.token_hex(4))
        elif error.errno not in NO_LINKS:  # a folder, and others' links, have none
            raise
        os.rename(odd, name, dst_dir_fd=folder)
    else:
        odd.unlink()


def _take_copy(source: Path, folder: int, target: Path, max_bytes: float) -> None:
    """`take_copy` out of an open folder."""
    name = Path(source.name)
    before = lstat_beneath(source.name, folder)
    if not stat.S_ISREG(before.st_mode):
        raise BlockingIOError(errno.EAGAIN, "it is not a regular file any more", str(source))
    if before.st_size > max_bytes:
        raise OSError(errno.EFBIG, "larger than the setting max_file_mb allows", str(source))
    part = copy_part(target)
    try:
        with open_in(folder, name) as old:
            copy_open(old, part)
        after = lstat_beneath(source.name, folder)
        if _version(before) != _version(after) or not same_content(part, name, folder):
            raise BlockingIOError(errno.EAGAIN, "it changed while it was copied", str(source))
    except OSError:
        part.unlink(missing_ok=True)
        raise
    part.rename(target)
    sync_folders([target.parent])
    try:
        os.unlink(name, dir_fd=folder)
    except OSError:
        target.unlink()
        raise


def _version(status: os.stat_result) -> tuple[int, ...]:
    return status.st_ino, status.st_size, status.st_mtime_ns


def give_back(source: Path, target: Path, beneath: Path, key: str) -> Path:
    """Move a file into a folder that others use, under a name that is free; see `move_to_free`.

    Args:
        source: The file.
        target: The path that it should have. Folders on the way that are missing are made, with
            the mode and group of `beneath`.
        beneath: The folder below which no link is followed.
        key: Part of the other name, see `alternative`.

    Returns:
        Where it is now.
    """
    *parts, name = parts_beneath(target, beneath)
    make_folder(beneath)
    with folder_beneath(beneath, parts, make=True) as folder:
        for free in names_to_try(name, key):
            if place(source, Path(free), folder):
                source.unlink()
                return target.with_name(free)
    raise AssertionError("there is always one more name")
