"""Move and write files so that a crash leaves either the old state or the new one.

Nothing here overwrites a file that it did not make itself. A file that moves to another file system
is copied, compared, and only then removed.
"""

import contextlib
import errno
import hashlib
import os
import secrets
import shutil
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

from daemon.system.errors import UsageError
from daemon.system.safe_open import folder_beneath, parts_beneath
from daemon.system.text import printable

NO_SPACE = (errno.ENOSPC, errno.EDQUOT)
"""Error numbers for a full disk and a full quota."""

AWAY = frozenset(
    (
        *(errno.EROFS, errno.EIO, errno.ESTALE, errno.EACCES, errno.EPERM, errno.ENOTCONN),
        *(errno.ETIMEDOUT, errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.ENODEV, errno.ENXIO),
    )
)
"""Error numbers for a disk or a share that cannot be used now, through no fault of a file."""

BAD_SEEK = frozenset((errno.EINVAL, errno.EOVERFLOW, errno.EFBIG))
"""Error numbers of a seek to an offset that only a damaged file can contain."""

NAME_MAX = 255
"""Most bytes of a file name on any file system in common use."""

_COPY_BYTES = 1 << 20
"""Bytes copied at a time."""

_BLOCK = 4 << 20
"""Bytes of a file that are in memory at a time."""

RECORD_ROOM = len(".error.json")
"""Bytes that must fit behind a name: a record or a reason is called after it."""

NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EMLINK, errno.ENOSYS}
"""Error numbers of file systems that have no hard links, or do not let us make one."""


FILE_IN_THE_WAY = "a file is where a folder must be"
LINK_IN_THE_WAY = "a link that leads nowhere is where a folder must be"


def fit_name(name: str, room: int = RECORD_ROOM) -> str:
    """Shorten a name so that `room` more bytes fit behind it; a hash keeps it distinct."""
    raw = os.fsencode(name)
    if len(raw) + room <= NAME_MAX:
        return name
    stem, suffix = os.path.splitext(raw)  # noqa: PTH122  # names are bytes here
    if len(suffix) > 16:
        stem, suffix = raw, b""
    mark = b"~" + hashlib.sha256(raw).hexdigest()[:8].encode()
    kept = stem[: NAME_MAX - room - len(suffix) - len(mark)]
    # A character cut in half would be no text any more where the whole name was text.
    with contextlib.suppress(UnicodeDecodeError):
        raw.decode()
        kept = kept.decode(errors="ignore").encode()
    return os.fsdecode(kept + mark + suffix)


def alternative(name: str, key: str) -> str:
    """The name of a file where `name` is taken: NAME~key.ext."""
    return fit_name(with_mark(name, f"~{key}"))


def with_mark(name: str, mark: str) -> str:
    """A name with a mark before its suffix."""
    stem, suffix = os.path.splitext(name)  # noqa: PTH122
    return f"{stem}{mark}{suffix}"


def shown(path: Path | str) -> str:
    r"""A path as printable text: control characters and bytes that are no UTF-8 are escaped."""
    return printable(as_text(path))


def as_text(path: Path | str) -> str:
    r"""A path as text for programs, which may open it: bytes that are no UTF-8 appear as \xNN."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def real_path(path: Path) -> Path:
    """The path without links; of links that lead round in a circle, as far as it gets.

    `Path.resolve` raises a RuntimeError there, which nobody who asks for a path expects.
    """
    return Path(os.path.realpath(path))


def os_error_text(error: OSError, labels: Mapping[Path, str]) -> str:
    """The message of an OSError, for people who know a file by another name than its path.

    Args:
        error: What was raised.
        labels: What files are called, by their paths; others are called by their paths.
    """

    def label(filename: object) -> object:
        known = isinstance(filename, str | bytes | os.PathLike)
        return labels.get(Path(os.fsdecode(filename)), filename) if known else filename  # type: ignore[arg-type]

    if error.filename is None:
        return str(error)
    first, second = label(error.filename), label(error.filename2)
    return str(OSError(error.errno, error.strerror, first, None, second))


def os_error_in_words(error: OSError, place: Path) -> str:
    """What the file system refused and where: the file that it names, else a place."""
    where = error.filename2 or error.filename or place
    return f"{shown(os.fsdecode(where))}: {error.strerror or error}"


def sync_folders(folders: Iterable[Path]) -> None:
    """Make the entries of folders durable; a folder that is given twice is synced once."""
    for folder in set(folders):
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def make_folder(folder: Path, group: int | None = None) -> None:
    """Make a folder and its missing parents durably.

    Args:
        folder: The folder.
        group: Group of the folders that are made; None leaves it to the system.

    Raises:
        FileExistsError, NotADirectoryError: A file is in the way.
        OSError: The file system refuses.
    """
    missing = [folder]
    while not missing[-1].parent.exists():
        missing.append(missing[-1].parent)
    for new in reversed(missing):
        try:
            new.mkdir()
        except (FileExistsError, NotADirectoryError) as error:
            if not new.is_dir():
                # The system's words are of a file that exists, or of something that is no folder.
                leads_nowhere = new.is_symlink() and not new.exists()
                why = LINK_IN_THE_WAY if leads_nowhere else FILE_IN_THE_WAY
                raise type(error)(error.errno, why, str(new)) from error
            continue
        if group is not None:
            os.chown(new, -1, group)
        sync_folders([new.parent])


def is_there(folder: Path) -> bool:
    """Whether a folder exists and holds something; the mount point of an absent disk is empty."""
    try:
        with os.scandir(folder) as entries:
            return any(entries)
    except FileNotFoundError:
        return False


def sha256_of(path: Path, beneath: Path | None = None) -> str:
    """The sha256 digest of a file's content, hex; what is added meanwhile is not read.

    Args:
        path: The file.
        beneath: A folder below which no link is followed, see `open_regular`.

    Raises:
        OSError: See `open_regular`.
    """
    with open_regular(path, beneath) as file:
        return _digest(file)


def _digest(file: BinaryIO) -> str:
    digest = hashlib.sha256()
    left = os.fstat(file.fileno()).st_size
    while left > 0 and (block := file.read(min(_BLOCK, left))):
        digest.update(block)
        left -= len(block)
    return digest.hexdigest()


def same_content(one: Path, other: Path, folder: int | None = None) -> bool:
    """Whether two files hold the same bytes; links, folders and FIFOs are like no other file.

    Args:
        one: A file.
        other: Another, by its name alone where `folder` is given.
        folder: Descriptor of the folder that it lies in.
    """
    first, second = one.lstat(), os.stat(other, dir_fd=folder, follow_symlinks=False)
    if not (stat.S_ISREG(first.st_mode) and stat.S_ISREG(second.st_mode)):
        return False
    if (first.st_dev, first.st_ino) == (second.st_dev, second.st_ino):
        return True
    if first.st_size != second.st_size:
        return False
    with open_in(folder, other) as file:
        return sha256_of(one) == _digest(file)


def place(source: Path, target: Path, folder: int | None = None) -> bool:
    """Give a file a second name, which must be free or hold the same content already.

    The target is a hard link. Where the file system has none, or the target lies on another file
    system, it is a copy, which appears whole or not at all. The source stays. A copy that fails
    leaves nothing, and one that was killed leaves nothing once it is repeated.

    Args:
        source: The file.
        target: Its second name: a name alone where `folder` is given.
        folder: Descriptor of the folder that gets it.

    Returns:
        False if the target holds other content.
    """
    try:
        os.link(source, target, dst_dir_fd=folder)
    except FileExistsError:
        _remove(part_path(source, target.parent), folder)
        return same_content(source, target, folder)
    except OSError as error:
        if error.errno not in NO_LINKS | {errno.EXDEV}:
            raise
        return _place_copy(source, target, folder)
    return True


def replace_file(source: Path, target: Path) -> None:
    """Put a file in the place of an older one of the program's own, whole, on any file system."""
    part = part_path(source, target.parent)
    try:
        copy_durably(source, part)
        part.rename(target)
    finally:
        part.unlink(missing_ok=True)


def move_to_free(
    source: Path,
    target: Path,
    key: str,
    group: int | None = None,
    is_taken: Callable[[Path], bool] = lambda _: False,
) -> Path:
    """Move a file to a path, or to another name in that folder where its own is taken.

    It may be repeated after a crash: a file that was placed and not yet removed is found, and the
    move is finished.

    Args:
        source: The file.
        target: The path that it should have; its folder is made if it is missing.
        key: Part of the other name, see `alternative`.
        group: Group of folders that are made.
        is_taken: Whether a path is not to be used, although nothing may be there; it is asked once
            the folder is there.

    Returns:
        Where it is now.
    """
    make_folder(target.parent, group)
    for free in names_to_try(target.name, key):
        path = target.with_name(free)
        if not is_taken(path) and place(source, path):
            source.unlink()
            return path
    raise AssertionError("there is always one more name")


def names_to_try(name: str, key: str) -> Iterator[str]:
    """Names for a file whose own may be taken, without end."""
    yield fit_name(name)
    yield alternative(name, key)
    while True:
        yield alternative(name, f"{key}-{secrets.token_hex(2)}")


def open_regular(path: Path, beneath: Path | None = None) -> BinaryIO:
    """Open a file, to read it, in a folder that others may write to.

    What somebody put in its place since it was looked at is neither followed nor waited for.

    Args:
        path: The file.
        beneath: A folder below which no folder may be a link, either; None trusts all folders.

    Raises:
        OSError: It is a link (ELOOP), or no regular file (EINVAL), or cannot be opened.
    """
    if beneath is None:
        return open_in(None, path)
    *parts, name = parts_beneath(path, beneath)
    with folder_beneath(beneath, parts) as folder:
        return open_in(folder, Path(name))


def open_in(folder: int | None, path: Path) -> BinaryIO:
    """Open a regular file by its path, or by its name in an open folder."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        handle = os.open(path, flags, dir_fd=folder)
    except OSError as error:
        # The system's words are of "too many levels".
        if error.errno == errno.ELOOP and _is_link(path, folder):
            raise OSError(errno.ELOOP, "symbolic links are not followed here", str(path)) from error
        raise
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise OSError(errno.EINVAL, "it is not a regular file", str(path))
        return os.fdopen(handle, "rb")
    except BaseException:
        os.close(handle)
        raise


def _is_link(path: Path, folder: int | None) -> bool:
    try:
        found = os.stat(path, dir_fd=folder, follow_symlinks=False)
    except OSError:
        return False
    return stat.S_ISLNK(found.st_mode)


def read_at(file: BinaryIO, offset: int, length: int) -> bytes:
    """Read from an offset that a file itself may name; nothing where no file can reach.

    Args:
        file: The file.
        offset: Where to begin, not negative.
        length: Most bytes that are read.
    """
    try:
        file.seek(offset)
    except (ValueError, OverflowError):  # no number of the system's is so large
        return b""
    except OSError as error:
        if error.errno in BAD_SEEK:
            return b""
        raise
    return file.read(length)


def read_bounded(path: Path, max_bytes: int, beneath: Path | None = None) -> bytes:
    """Read a whole file that anybody may have put there.

    Args:
        path: The file.
        max_bytes: Size beyond which it is refused; no more is read of it.
        beneath: A folder below which no link is followed, see `open_regular`.

    Raises:
        UsageError: It is too large.
        OSError: See `open_regular`.
    """
    with open_regular(path, beneath) as file:
        content = file.read(max_bytes + 1)
    if len(content) > max_bytes:
        raise UsageError(f"it has more than {max_bytes >> 20} MB")
    return content


def _place_copy(source: Path, target: Path, folder: int | None) -> bool:
    """Copy under another name beside the target, then give the copy the target's name if free."""
    part = part_path(source, target.parent)
    try:
        copy_durably(source, part, folder)
        return give_name(part, target, folder) or same_content(source, target, folder)
    finally:
        _remove(part, folder)


def give_name(part: Path, target: Path, folder: int | None) -> bool:
    """Rename a whole copy to a name of its folder; returns False if that is taken."""
    try:
        os.link(part, target, src_dir_fd=folder, dst_dir_fd=folder)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in NO_LINKS | {errno.EXDEV}:
            raise
    else:
        return True
    # Without hard links, an empty file that did not exist before reserves the name.
    try:
        os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY, dir_fd=folder))
    except FileExistsError:
        return False
    try:
        os.rename(part, target, src_dir_fd=folder, dst_dir_fd=folder)
    except OSError:
        _remove(target, folder)
        raise
    return True


def part_path(source: Path, folder: Path) -> Path:
    """Where a file is copied to in a folder before it has its name there.

    The name follows from the source alone, so that whoever repeats a copy that was killed finds
    what that left and removes it. The folder's number tells apart two machines that write to one
    folder and call their own files alike.
    """
    key = f"{source.parent.stat().st_ino}:".encode() + os.fsencode(source.absolute())
    return folder / f".{hashlib.sha256(key).hexdigest()[:16]}.part"


def copy_durably(source: Path, target: Path, folder: int | None = None) -> None:
    """Copy durably to a name that only this program uses; what a killed copy left is replaced."""
    with open_regular(source) as old:
        copy_open(old, target, folder)


def copy_open(old: BinaryIO, target: Path, folder: int | None = None) -> None:
    """Copy an open file, with its times and mode."""
    _remove(target, folder)
    flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC
    with os.fdopen(os.open(target, flags, 0o666, dir_fd=folder), "wb") as new:
        left = os.fstat(old.fileno()).st_size  # what is added meanwhile is not copied
        while left > 0 and (block := old.read(min(_COPY_BYTES, left))):
            new.write(block)
            left -= len(block)
        new.flush()
        # By their handles, so that no name is looked up again.
        shutil.copystat(old.fileno(), new.fileno())  # type: ignore[arg-type]  # it takes both
        os.fsync(new.fileno())


def _remove(path: Path, folder: int | None) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path, dir_fd=folder)
