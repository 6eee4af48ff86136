"""Folders that others may write to, opened step by step so that no link is followed.

Between the look at a path and its use, whoever owns a folder on the way can exchange that for a
link. So a path below an inbox is used in parts: its root, which the administrator named and which
may be reached through links; then each folder by `openat` with O_NOFOLLOW; then the file by its
name in the folder that is open. A folder that is moved away meanwhile is still the one that was
opened, and a link in its place is an error.
"""

import contextlib
import errno
import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

_STEP = os.O_DIRECTORY | os.O_CLOEXEC | getattr(os, "O_PATH", os.O_RDONLY)
"""Flags for a folder on the way: Linux asks for no right to list it."""

_LIST = os.O_DIRECTORY | os.O_CLOEXEC | os.O_RDONLY


def parts_beneath(path: Path, root: Path) -> tuple[str, ...]:
    """The parts of a path below a root; neither is looked at.

    Raises:
        OSError: It does not lie below it (EXDEV).
    """
    if not path.is_relative_to(root):
        raise OSError(errno.EXDEV, f"it does not lie below {root}", str(path))
    return path.relative_to(root).parts


@contextlib.contextmanager
def folder_beneath(
    root: Path | str, parts: Sequence[str], *, listing: bool = False, make: bool = False
) -> Iterator[int]:
    """Open a folder below a root without following links below it.

    Args:
        root: A folder; links on the way to it are followed.
        parts: Names of the folders from there on.
        listing: Open the last folder so that it can be listed and synced, too.
        make: Make folders that are missing, with the mode and the group of the root.

    Yields:
        A descriptor of the folder, for `dir_fd`.

    Raises:
        NotADirectoryError: A link or a file is in the place of a folder.
        OSError: It is not there, or cannot be opened.
    """
    if any(part in ("", ".", "..") or "/" in part for part in parts):
        raise OSError(errno.EINVAL, "not the names of folders", "/".join(parts))
    handle = os.open(root, _STEP if parts or not listing else _LIST)
    try:
        pattern = os.fstat(handle) if make else None
        for number, part in enumerate(parts, start=1):
            flags = _LIST if listing and number == len(parts) else _STEP
            above = handle
            try:
                if pattern is not None:
                    _make(part, above, pattern)
                handle = os.open(part, flags | os.O_NOFOLLOW, dir_fd=above)
            except OSError as error:
                # The system only knows the last part, and calls a link by several numbers.
                number_of = errno.ENOTDIR if error.errno == errno.ELOOP else error.errno
                where = os.path.join(root, *parts[:number])  # noqa: PTH118  # may be text
                raise OSError(number_of, os.strerror(number_of or 0), where) from error
            os.close(above)
        yield handle
    finally:
        os.close(handle)


def lstat_beneath(name: str, folder: int) -> os.stat_result:
    """`lstat` of what has a name in an open folder."""
    return os.stat(name, dir_fd=folder, follow_symlinks=False)


def sync_beneath(root: Path, parts: Sequence[str]) -> None:
    """Make the entries of a folder below a root durable; one that is gone has none."""
    with (
        contextlib.suppress(FileNotFoundError, NotADirectoryError),
        folder_beneath(root, parts, listing=True) as folder,
    ):
        os.fsync(folder)


def _make(name: str, above: int, pattern: os.stat_result) -> None:
    """Make a folder that is missing, durably, with the mode and group of a pattern."""
    try:
        os.mkdir(name, 0o700, dir_fd=above)
    except FileExistsError:
        return
    new = os.open(name, _LIST | os.O_NOFOLLOW, dir_fd=above)
    try:
        if os.fstat(new).st_gid != pattern.st_gid:
            with contextlib.suppress(PermissionError):  # not a member: the set-group bit is left
                os.fchown(new, -1, pattern.st_gid)
        os.fchmod(new, stat.S_IMODE(pattern.st_mode))
    finally:
        os.close(new)
    _sync(above)


def _sync(folder: int) -> None:
    """Sync a folder that may be open for the way only."""
    handle = os.open(".", _LIST, dir_fd=folder)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
