"""Opening files as one of six formats, recognised by content, and errors that say who is at fault.

A damaged file is a `PhotoError`; what the machine is at fault for stays an `OSError`. Pillow is
imported by the first call that opens a picture, not before.
"""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

from daemon.photo.picture import Header, Limits
from daemon.photo.prompts import is_prompt_file, prompt_file_header
from daemon.photo.truncation import is_truncated
from daemon.system.errors import CannotWriteError, PhotoError, RestoredError, TruncatedError
from daemon.system.files import open_regular, shown

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageFile import ImageFile

FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF")
_ACCEPTED = "JPEG, PNG, WebP, TIFF, BMP or GIF"

_BAD_SEEK = {errno.EINVAL, errno.EOVERFLOW, errno.EFBIG}
"""Errors of a seek to an offset that only a damaged file can contain."""

_MAX_PROFILE_BYTES = 1 << 26

_MAX_HEADER_READS = 200_000
"""Reads of a decoder within a header: half a second. Sound headers take some hundreds."""

_MAX_HEADER_BYTES = 1 << 28
"""Bytes that a decoder reads of a header, except of a TIFF."""

_MAX_TIFF_FIELDS = 1 << 16

_MAX_TIFF_VALUES = 1 << 20
"""Numbers in one field of a TIFF: the decoder makes 100 bytes of each of them."""

_TIFF_BYTES = (1, 2, 6, 7)
"""Types of fields that a decoder leaves as they are: bytes and text."""


def read_header(path: Path, limits: Limits, *, name: str | None = None) -> Header:
    """Read a file's header without decoding pixels; its content tells the format.

    A prompt file, recognised by its suffix, is read to its end.

    Args:
        path: The file.
        limits: Sizes beyond which it is refused.
        name: What to call it in messages; its own name if None.

    Raises:
        TruncatedError: It ends within its header.
        PhotoError: It is empty, larger than the limits, or no picture of a format that is read.
        OSError: It cannot be read.
    """
    label = shown(path.name if name is None else name)
    if is_prompt_file(path):
        return prompt_file_header(path, label)
    with open_regular(path) as file:
        size_bytes = os.fstat(file.fileno()).st_size
        if size_bytes == 0:
            raise PhotoError(label, "the file has 0 bytes; expected a photograph")
        refuse_large_file(size_bytes, label, limits)
        with photo_errors(path, label):
            # The decoder reads each field of a TIFF; Photoshop keeps its layers in one.
            layers = 2 * size_bytes if _is_sound_tiff(file, label) else 0
            reads = _HeaderReads(file, label, max(layers, _MAX_HEADER_BYTES))
            header = _webp_header(file) or _header(cast("BinaryIO", reads))
    if header.width < 1 or header.height < 1:
        raise PhotoError(label, f"{header.width}x{header.height} pixels, expected at least 1x1")
    if header.megapixels > limits.max_input_megapixels:
        raise PhotoError(
            label,
            f"{header.width}x{header.height} are {header.megapixels:.1f} megapixels; "
            f"allowed: at most {limits.max_input_megapixels:g}",
            "raise the setting max_input_megapixels",
        )
    return header


def refuse_large_file(size_bytes: int, label: str, limits: Limits) -> None:
    """Refuse a file by its size, before anything of it is read.

    Raises:
        PhotoError: It is larger than the limits.
    """
    if size_bytes > limits.max_file_mb * 1e6:
        raise PhotoError(
            label,
            f"{size_bytes / 1e6:.1f} MB; allowed: at most {limits.max_file_mb:g} MB",
            "raise the setting max_file_mb",
        )


def verify_file(path: Path, width: int, height: int) -> None:
    """See that a written file decodes again, every frame of it.

    Args:
        path: The file.
        width: Width that it must have, in pixels.
        height: Height that it must have, in pixels.

    Raises:
        CannotWriteError: It does not decode, or not to width x height pixels.
        OSError: It cannot be read.
    """
    label = shown(path.name)
    try:
        with path.open("rb") as file, photo_errors(path, label):
            image = open_image(file)
            for frame in range(getattr(image, "n_frames", 1)):
                image.seek(frame)
                image.load()
            size = image.size
    except PhotoError as error:
        raise CannotWriteError(f"written file does not decode again: {error}") from error
    if size != (width, height):
        raise CannotWriteError(
            f"{label}: decodes to {size[0]}x{size[1]} pixels, expected {width}x{height}; "
            "the disk or its file system is not to be trusted"
        )


def open_image(file: BinaryIO) -> ImageFile:
    """Open a file as one of the six formats, recognised by content.

    Pillow is given a file object, not a path: from a path it maps uncompressed pixels into memory,
    and a writer that shortens the file then kills the process.
    """
    _prepare_pillow()
    from PIL import Image

    file.seek(0)
    return Image.open(file, formats=FORMATS)


@contextmanager
def photo_errors(path: Path, label: str) -> Iterator[None]:
    """Turn whatever a decoder raises for a damaged file into a `PhotoError` that names it.

    Decoders raise nearly every built-in exception on damaged input. What the machine is at fault
    for (an `OSError` with a number, no memory) is let through.

    Args:
        path: The file that is decoded.
        label: What to call it in messages.
    """
    try:
        yield
    except (RestoredError, MemoryError):
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno not in {None, *_BAD_SEEK}:
            raise
        # Pillow's own text says "truncated" of whole files with damaged data, too.
        if is_truncated(path):
            raise truncated_error(label, path.stat().st_size) from error
        raise PhotoError(label, _describe(path, error)) from error


def truncated_error(label: str, size: int) -> TruncatedError:
    """The error for a file that ends early, after `size` bytes."""
    why = f"ends early, after {size} bytes; expected a whole picture"
    return TruncatedError(label, why, "copy it again")


def _describe(path: Path, error: Exception) -> str:
    from PIL import UnidentifiedImageError

    if isinstance(error, UnidentifiedImageError):
        with path.open("rb") as file:
            start = file.read(8)
        return f"starts with {start!r} and is not a readable {_ACCEPTED}"
    return f"cannot be decoded: {type(error).__name__}: {error}; expected a sound {_ACCEPTED}"


def format_name(image: Image) -> str:
    """Pillow's name of the format; a JPEG that carries further pictures (MPO) is a JPEG."""
    return "JPEG" if image.format == "MPO" else str(image.format)


def _header(file: BinaryIO) -> Header:
    image = open_image(file)
    return Header(format_name(image), image.width, image.height, image.mode)


class _HeaderReads:
    """A file whose header is read: a decoder that goes on without end is stopped."""

    def __init__(self, file: BinaryIO, label: str, max_bytes: int) -> None:
        self._file = file
        self._label = label
        self._left, self._left_bytes = _MAX_HEADER_READS, max_bytes
        self.seek, self.tell, self.fileno = file.seek, file.tell, file.fileno

    def read(self, size: int = -1) -> bytes:
        """As the file itself does."""
        content = self._file.read(min(size, self._left_bytes) if size >= 0 else self._left_bytes)
        self._left -= 1
        self._left_bytes -= len(content)
        if self._left <= 0 or self._left_bytes <= 0:
            raise PhotoError(self._label, "its header has no end", "save it anew")
        return content


def _is_sound_tiff(file: BinaryIO, label: str) -> bool:
    """Whether a file is a TIFF; reads the start of its first directory and goes back to 0.

    Raises:
        PhotoError: Its directory has more numbers than a decoder can hold in memory.
    """
    start = file.read(16)
    big = start[:4] in (b"II+\0", b"MM\0+")
    is_tiff = big or start[:4] in (b"II*\0", b"MM\0*")
    if is_tiff:
        order = "<" if start[:1] == b"I" else ">"
        long, entry, fields = ("Q", "HHQQ", 20) if big else ("I", "HHII", 12)
        (offset,) = struct.unpack_from(f"{order}{long}", start, 8 if big else 4)
        file.seek(offset)
        number = f"{order}{'Q' if big else 'H'}"
        (count,) = struct.unpack(number, file.read(struct.calcsize(number)))
        directory = file.read(fields * min(count, _MAX_TIFF_FIELDS))
        for position in range(0, len(directory) - fields + 1, fields):
            tag, kind, values, _ = struct.unpack_from(f"{order}{entry}", directory, position)
            if kind not in _TIFF_BYTES and values > _MAX_TIFF_VALUES:
                why = f"field {tag} of its directory has {values} values"
                raise PhotoError(label, f"{why}; allowed: at most {_MAX_TIFF_VALUES}")
    file.seek(0)
    return is_tiff


def _webp_header(file: BinaryIO) -> Header | None:
    """The header of a WebP file; Pillow would read the file to its end and reserve its canvas."""
    start = file.read(30)
    if start[:4] != b"RIFF" or start[8:12] != b"WEBP" or len(start) < 30:
        return None
    alpha = False
    match start[12:16]:
        case b"VP8X":
            alpha = bool(start[20] & 0x10)
            width = 1 + int.from_bytes(start[24:27], "little")
            height = 1 + int.from_bytes(start[27:30], "little")
        case b"VP8L":
            (bits,) = struct.unpack_from("<I", start, 21)
            alpha = bool(bits >> 28 & 1)
            width, height = 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
        case b"VP8 ":
            width, height = (side & 0x3FFF for side in struct.unpack_from("<HH", start, 26))
        case _:
            return None
    return Header("WEBP", width, height, "RGBA" if alpha else "RGB")


@cache
def _prepare_pillow() -> None:
    """Register the six formats, and leave sizes to `Limits`, whose errors name their setting."""
    from PIL import Image, PngImagePlugin

    for plugin in ("Bmp", "Gif", "Jpeg", "Tiff", "WebP"):
        import_module(f"PIL.{plugin}ImagePlugin")
    Image.MAX_IMAGE_PIXELS = None
    # Colour profiles of scanners exceed Pillow's 1 MiB for a compressed chunk.
    PngImagePlugin.MAX_TEXT_CHUNK = _MAX_PROFILE_BYTES
