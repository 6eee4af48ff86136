"""Uploads: files that a browser sends become files in an inbox, whole and under safe names.

What is sent lies in its folder under a hidden name, which inboxes pass over, until all of it is
there. Only then it gets its name, and no name is ever taken from another file. Names are checked
here and nowhere else; folders are opened step by step, so that no link leads out of the inbox.
"""

import contextlib
import errno
import os
import secrets
import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import PurePosixPath

from daemon.config.recipe import Recipe
from daemon.config.settings import Settings
from daemon.config.station import Station
from daemon.intake.scanner import ignored
from daemon.jobs.companions import companion_of, side_of
from daemon.photo.file_names import is_photo_name
from daemon.system.errors import UsageError
from daemon.system.files import NO_LINKS, fit_name, names_to_try
from daemon.system.safe_open import folder_beneath
from daemon.web.rate_limits import RateLimit

PART_BYTES = 8 << 20
"""Size in bytes of the parts in which the page's script sends a file."""

_MAX_OPEN = 256
"""Most files that are being sent at a time."""

_IDLE_S = 3600.0
"""Seconds after which a file that is not sent on is given up."""

_MAX_DEPTH = 8
_FILES_AT_ONCE, _FILES_PER_S = 5000, 50.0
"""How many files one visitor may begin to send."""


class UploadRefusedError(UsageError):
    """A file is not taken.

    Attributes:
        status: HTTP status that says so.
    """

    def __init__(self, why: str, status: int = 422) -> None:
        super().__init__(why)
        self.status = status


@dataclass
class Upload:
    """A file that is being sent.

    Attributes:
        id: Random name, by which parts find it.
        folder: Names of the folders below the inbox.
        name: Name that it will have, if that is free.
        size_bytes: Its size.
        received_bytes: How much of it is there.
        touched_at: When the last part came, monotonic seconds.
    """

    id: str
    folder: tuple[str, ...]
    name: str
    size_bytes: int
    received_bytes: int = 0
    touched_at: float = 0.0

    @property
    def part(self) -> str:
        """Name of the file until it is whole."""
        return f".restored-upload-{self.id}.part"


class Uploads:
    """Takes files for the inboxes of one station."""

    def __init__(
        self,
        station: Station,
        settings: Settings,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take nothing yet.

        Args:
            station: Its folders.
            settings: Its bounds.
            clock: Monotonic seconds.
        """
        self._inbox = station.inbox
        self._max_bytes = int(settings.max_file_mb * 1e6)
        self._min_free_bytes = settings.min_free_mb * 1e6
        self._clock = clock
        self._open: dict[str, Upload] = {}
        self._lock = threading.Lock()
        self._rate = RateLimit(_FILES_AT_ONCE, _FILES_PER_S, clock)

    @property
    def max_bytes(self) -> int:
        """Size in bytes of the largest file that is taken."""
        return self._max_bytes

    def begin(self, recipe: Recipe | None, path: str, size_bytes: int, visitor: str = "") -> Upload:
        """Begin to take a file.

        Args:
            recipe: Whose inbox it goes to; None for the plain inbox.
            path: Its name, with folders before it where a whole folder is sent.
            size_bytes: Its size.
            visitor: Who sends it.

        Raises:
            UploadRefusedError: It is not taken, and why.
            OSError: The inbox cannot be written.
        """
        folder, name = checked_path(path, recipe)
        if size_bytes > self._max_bytes:
            most = self._max_bytes / 1e6
            raise UploadRefusedError(f"{name}: larger than the {most:.0f} MB that are taken", 413)
        if not self._rate.take(visitor):
            raise UploadRefusedError("too many files at once; go on in a minute", 429)
        self._check_room(size_bytes)
        above = () if recipe is None else (recipe.name,)
        upload = Upload(
            secrets.token_hex(16), (*above, *folder), name, size_bytes, touched_at=self._clock()
        )
        with self._lock:
            self._give_up_idle()
            if len(self._open) >= _MAX_OPEN:
                raise UploadRefusedError("too many files are being sent; go on in a minute", 429)
            self._open[upload.id] = upload
        try:
            with folder_beneath(self._inbox, upload.folder, make=True) as handle:
                flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
                os.close(os.open(upload.part, flags, 0o664, dir_fd=handle))
        except BaseException:
            self._open.pop(upload.id, None)
            raise
        return upload

    def find(self, upload_id: str) -> Upload:
        """A file that is being sent.

        Raises:
            UploadRefusedError: There is none.
        """
        upload = self._open.get(upload_id)
        if upload is None:
            raise UploadRefusedError("no such file is being sent; send it again", 404)
        return upload

    def add(self, upload_id: str, offset: int, data: bytes) -> str | None:
        """Take a part of a file.

        Args:
            upload_id: Which file.
            offset: Where the part begins; a part may be sent twice.
            data: The part.

        Returns:
            The name that the file got, once it is whole; None before.

        Raises:
            UploadRefusedError: The part does not fit.
            OSError: It cannot be written.
        """
        upload = self.find(upload_id)
        if offset > upload.received_bytes or offset + len(data) > upload.size_bytes:
            have, size = upload.received_bytes, upload.size_bytes
            raise UploadRefusedError(f"{upload.name}: {have} of {size} bytes are there", 409)
        with folder_beneath(self._inbox, upload.folder) as handle:
            file = os.open(upload.part, os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW, dir_fd=handle)
            try:
                written = 0
                while written < len(data):
                    written += os.pwrite(file, data[written:], offset + written)
                upload.received_bytes = max(upload.received_bytes, offset + len(data))
                upload.touched_at = self._clock()
                if upload.received_bytes < upload.size_bytes:
                    return None
                os.fsync(file)
            finally:
                os.close(file)
            name = _named(upload, handle)
        self._open.pop(upload.id, None)
        return name

    def cancel(self, upload_id: str) -> None:
        """Give up a file; one that is not there is given up already."""
        with self._lock:
            self._remove(upload_id)

    def close(self) -> None:
        """Give up all that is not whole."""
        with self._lock:
            for upload_id in list(self._open):
                self._remove(upload_id)

    def _check_room(self, size_bytes: int) -> None:
        waiting = sum(one.size_bytes - one.received_bytes for one in list(self._open.values()))
        free = shutil.disk_usage(self._inbox).free - waiting - size_bytes
        if free < self._min_free_bytes:
            raise UploadRefusedError("the disk of the inbox is full; free some space", 507)

    def _give_up_idle(self) -> None:
        now = self._clock()
        for upload in list(self._open.values()):
            if now - upload.touched_at > _IDLE_S:
                self._remove(upload.id)

    def _remove(self, upload_id: str) -> None:
        upload = self._open.pop(upload_id, None)
        if upload is not None:
            with contextlib.suppress(OSError), folder_beneath(self._inbox, upload.folder) as folder:
                os.unlink(upload.part, dir_fd=folder)


def checked_path(path: str, recipe: Recipe | None) -> tuple[tuple[str, ...], str]:
    """Folders and name of a file that is sent.

    Args:
        path: As the browser says it, "/" between its parts.
        recipe: Who will take it; None where [match] decides.

    Raises:
        UploadRefusedError: It has a part that no file of an inbox may have, or is no photograph.
    """
    parts = PurePosixPath(path).parts
    if not parts or len(parts) > _MAX_DEPTH + 1 or path.endswith("/"):
        raise UploadRefusedError(f"{path[:80]!r}: no name of a file, or too many folders")
    for part in parts:
        is_plain = part.isprintable() and not any(sign in part for sign in '/\\:*?"<>|')
        if not is_plain or part in (".", "..") or ignored(part) or len(os.fsencode(part)) > 1024:
            raise UploadRefusedError(f"{part[:80]!r}: a name that no inbox takes; give it another")
    *folders, name = parts
    is_prompt = recipe is not None and recipe.generates and name.lower().endswith(recipe.suffixes)
    is_beside = side_of(name) is not None or companion_of(name) is not None
    if not (is_photo_name(name) or is_prompt or is_beside):
        raise UploadRefusedError(f"{name[:80]}: its name is not that of a photograph")
    return tuple(fit_name(part) for part in folders), fit_name(name)


def _named(upload: Upload, folder: int) -> str:
    """Give a whole file its name, or another one where that is taken."""
    for name in names_to_try(upload.name, upload.id[:6]):
        try:
            os.link(upload.part, name, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=False)
        except FileExistsError:
            continue
        except OSError as error:
            if error.errno not in NO_LINKS:
                raise
            if _exists(name, folder):
                continue
            os.rename(upload.part, name, src_dir_fd=folder, dst_dir_fd=folder)
            return name
        os.unlink(upload.part, dir_fd=folder)
        return name
    raise AssertionError("there is always one more name")


def _exists(name: str, folder: int) -> bool:
    try:
        os.stat(name, dir_fd=folder, follow_symlinks=False)
    except OSError as error:
        return error.errno != errno.ENOENT
    return True
