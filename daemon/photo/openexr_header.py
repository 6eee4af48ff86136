"""The header of an OpenEXR picture, read with bounds and without its library."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from importlib.util import find_spec
from typing import BinaryIO

from daemon.photo.picture import Header
from daemon.system.errors import PhotoError

SIGNATURE = b"\x76\x2f\x31\x01"

_MAX_HEADER_BYTES = 1 << 20
_MAX_ATTRIBUTES = 1000
_MAX_BYTES_PER_PIXEL = 64
"""Bytes of all channels at a pixel together: the library reads them all at once."""

_DEEP = 0x800
"""Flag of a file with samples at several depths."""

_BYTES = {0: 4, 1: 2, 2: 4}
"""Bytes of a sample by its type: whole number, half, float."""


@dataclass(frozen=True)
class OpenExrInfo:
    """The header of a file's first picture.

    Attributes:
        width, height: Size of its data window in pixels.
        channels: Names of its channels.
        points: Red, green, blue and white as x and y, or None.
        is_deep: Whether it has samples at several depths.
    """

    width: int
    height: int
    channels: tuple[str, ...]
    points: tuple[tuple[float, float], ...] | None
    is_deep: bool

    @property
    def is_grey(self) -> bool:
        """Whether it has luminance and no colours."""
        return "Y" in self.channels and not {"RY", "BY"} <= set(self.channels)


def read_openexr_header(file: BinaryIO, label: str) -> Header:
    """The header of an OpenEXR picture.

    Raises:
        PhotoError: What reads it is not installed, or it is of a kind that is not read.
        ValueError: Its header is damaged.
    """
    if find_spec("OpenEXR") is None:
        remedy = "pip install 'restored[exr]', or convert it to TIFF and hand that in"
        raise PhotoError(label, "is an OpenEXR picture, which needs the extra `exr`", remedy)
    info = read_openexr_info(file)
    remedy = "convert it to TIFF and hand that in"
    if info.is_deep:
        raise PhotoError(label, "is a deep OpenEXR, with samples at several depths", remedy)
    if "Y" not in info.channels and not {"R", "G", "B"} <= set(info.channels):
        why = f"is an OpenEXR without colours; its channels are {', '.join(info.channels)}"
        raise PhotoError(label, why, remedy)
    mode = ("L" if info.is_grey else "RGB") + "A" * ("A" in info.channels)
    return Header("EXR", info.width, info.height, f"{mode};32")


def read_openexr_info(file: BinaryIO) -> OpenExrInfo:
    """The header of a file's first picture.

    Raises:
        ValueError: Its header is damaged.
    """
    file.seek(0)
    content = file.read(_MAX_HEADER_BYTES)
    if content[:4] != SIGNATURE or len(content) < 8:
        raise ValueError("it has no header")
    (version,) = struct.unpack_from("<I", content, 4)
    values = _attributes(content)
    left, top, right, bottom = struct.unpack("<4i", values.get(b"dataWindow", b""))
    channels = _channels(values.get(b"channels", b""))
    numbers = values.get(b"chromaticities")
    points = None
    if numbers is not None:
        xy = struct.unpack("<8f", numbers)
        points = tuple((xy[i], xy[i + 1]) for i in range(0, 8, 2))
    return OpenExrInfo(right - left + 1, bottom - top + 1, channels, points, bool(version & _DEEP))


def _attributes(content: bytes) -> dict[bytes, bytes]:
    """The attributes of the first header, by their name."""
    found: dict[bytes, bytes] = {}
    place = 8
    for _ in range(_MAX_ATTRIBUTES):
        name, place = _text(content, place)
        if not name:
            return found
        _, place = _text(content, place)
        if place + 4 > len(content):
            break
        (size,) = struct.unpack_from("<I", content, place)
        place += 4 + size
        if place > len(content):
            break
        found[name] = content[place - size : place]
    raise ValueError("its header has no end")


def _channels(content: bytes) -> tuple[str, ...]:
    """The names of the channels."""
    found: list[str] = []
    place = size = 0
    while place < len(content) and content[place]:
        name, place = _text(content, place)
        kind, _, across, down = struct.unpack_from("<iIii", content, place)
        place += 16
        if kind not in _BYTES or across < 1 or down < 1:
            raise ValueError("a channel is of no known type")
        size += _BYTES[kind]
        found.append(name.decode("latin-1"))
    if size > _MAX_BYTES_PER_PIXEL:
        raise ValueError(f"its {len(found)} channels have {size} bytes at a pixel")
    return tuple(found)


def _text(content: bytes, place: int) -> tuple[bytes, int]:
    """A text that ends with a zero byte, and the place behind it."""
    end = content.find(b"\0", place, place + 256)
    if end < 0:
        raise ValueError("its header has no end")
    return content[place:end], end + 1
