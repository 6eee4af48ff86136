"""Files as Pillow opens them, and their headers within bounds.

Pillow is imported by the first call that opens a picture, not before.
"""

from __future__ import annotations

import os
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, BinaryIO, cast

from daemon.photo.picture import Header
from daemon.system.errors import PhotoError

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageFile import ImageFile

_FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "DIB", "GIF", "PCX")

_WHOLE_KINDS = {"MPO": "JPEG", "DIB": "BMP"}

_MAX_PROFILE_BYTES = 1 << 26

_MAX_HEADER_READS = 200_000
"""Reads of a decoder within a header: half a second. Sound headers take some hundreds."""

_MAX_HEADER_BYTES = 1 << 28
"""Bytes that a decoder reads of a header."""


def open_image(file: BinaryIO) -> ImageFile:
    """Open a file as one of Pillow's formats, recognised by content.

    Pillow is given a file object, not a path: from a path it maps uncompressed pixels into memory,
    and a writer that shortens the file then kills the process.
    """
    _prepare_pillow()
    from PIL import Image

    file.seek(0)
    return Image.open(cast("BinaryIO", _BoundedReads(file)), formats=_FORMATS)


def format_name(image: Image) -> str:
    """Pillow's name of the format, but that of the whole kind for its variants.

    A JPEG that carries further pictures (MPO) is a JPEG, a BMP without its first header (DIB) a
    BMP.
    """
    return _WHOLE_KINDS.get(str(image.format), str(image.format))


def read_pillow_header(file: BinaryIO, label: str) -> Header:
    """The header of a file as Pillow reads it."""
    file.seek(0)
    image = open_image(cast("BinaryIO", _HeaderReads(file, label)))
    return Header(format_name(image), image.width, image.height, image.mode)


class _BoundedReads:
    """A file of which no more is asked than it has: Python takes memory for all that is asked.

    Pillow asks for what a chunk of the file claims, which may be gigabytes.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._end = file.seek(0, os.SEEK_END)
        file.seek(0)
        self.seek, self.tell, self.fileno = file.seek, file.tell, file.fileno

    def read(self, size: int = -1) -> bytes:
        """As the file itself does."""
        left = max(0, self._end - self._file.tell())
        return self._file.read(left if size < 0 else min(size, left))


class _HeaderReads:
    """A file whose header is read: a decoder that goes on without end is stopped."""

    def __init__(self, file: BinaryIO, label: str) -> None:
        self._file = file
        self._label = label
        self._left, self._left_bytes = _MAX_HEADER_READS, _MAX_HEADER_BYTES
        self.seek, self.tell, self.fileno = file.seek, file.tell, file.fileno

    def read(self, size: int = -1) -> bytes:
        """As the file itself does."""
        content = self._file.read(min(size, self._left_bytes) if size >= 0 else self._left_bytes)
        self._left -= 1
        self._left_bytes -= len(content)
        if self._left <= 0 or self._left_bytes <= 0:
            raise PhotoError(self._label, "its header has no end", "save it anew")
        return content


@cache
def _prepare_pillow() -> None:
    """Register the formats, and leave sizes to `Limits`, whose errors name their setting."""
    from PIL import Image, PngImagePlugin

    for plugin in ("Bmp", "Gif", "Jpeg", "Pcx", "Tiff", "WebP"):
        import_module(f"PIL.{plugin}ImagePlugin")
    Image.MAX_IMAGE_PIXELS = None
    # Colour profiles of scanners exceed Pillow's 1 MiB for a compressed chunk.
    PngImagePlugin.MAX_TEXT_CHUNK = _MAX_PROFILE_BYTES
