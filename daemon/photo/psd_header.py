"""The header of a Photoshop file's (PSD, PSB) merged picture, read with bounds."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import BinaryIO

from daemon.photo.picture import Header
from daemon.system.errors import PhotoError
from daemon.system.files import read_at

SIGNATURE = b"8BPS"

BITMAP, GREY, INDEXED, RGB, CMYK, DUOTONE, LAB = 0, 1, 2, 3, 4, 8, 9
"""Colour modes."""

_MODES = {BITMAP: "1", GREY: "L", INDEXED: "P", RGB: "RGB", CMYK: "CMYK", DUOTONE: "L", LAB: "LAB"}
_DEPTHS = (1, 8, 16, 32)

RESOLUTION, ICC, VERSION, EXIF, XMP = 1005, 1039, 1057, 1058, 1060
"""Resources that are read."""

_MAX_RESOURCES = 10_000
_MAX_RESOURCE_BYTES = 1 << 26


@dataclass(frozen=True)
class PsdHead:
    """The header, and where the parts of the file begin.

    Attributes:
        is_large: It is a PSB, whose lengths have 8 bytes.
        channels, height, width, bits, mode: As the file says.
        resources, layers, pixels: Where each part begins.
        palette: Of an indexed picture: where it is.
    """

    is_large: bool
    channels: int
    height: int
    width: int
    bits: int
    mode: int
    palette: int
    resources: int
    layers: int
    pixels: int


def read_psd_header(file: BinaryIO, label: str) -> Header:
    """The header of a Photoshop file.

    Raises:
        PhotoError: It has no merged picture, or is of a kind that is not read.
        struct.error: It ends within its header.
    """
    head = read_psd_head(file)
    remedy = "save it as TIFF and hand that in"
    if head.mode not in _MODES:
        raise PhotoError(label, f"is a Photoshop file of colour mode {head.mode}", remedy)
    if head.bits not in _DEPTHS or not 1 <= head.channels <= 56:
        raise ValueError(f"it has {head.channels} channels of {head.bits} bits")
    version = read_psd_resources(file, head).get(VERSION, b"")
    if len(version) > 4 and not version[4]:
        raise PhotoError(
            label,
            "is a Photoshop file that was saved without its merged picture",
            'save it again with "Maximize Compatibility" on, or as TIFF',
        )
    depth = f";{head.bits}" if head.bits > 8 else ""
    return Header("PSD", head.width, head.height, _MODES[head.mode] + depth)


def read_psd_head(file: BinaryIO) -> PsdHead:
    """The header of a Photoshop file.

    Raises:
        struct.error: It ends within its header.
    """
    file.seek(0)
    _, version, channels, height, width, bits, mode, length = struct.unpack(
        ">4sH6xHIIHHI", file.read(30)
    )
    is_large = version == 2
    resources = 30 + length
    file.seek(resources)
    layers = resources + 4 + int(struct.unpack(">I", file.read(4))[0])
    file.seek(layers)
    wide = ">Q" if is_large else ">I"
    pixels = layers + struct.calcsize(wide)
    pixels += int(struct.unpack(wide, file.read(struct.calcsize(wide)))[0])
    return PsdHead(is_large, channels, height, width, bits, mode, 30, resources, layers, pixels)


def read_psd_resources(file: BinaryIO, head: PsdHead) -> dict[int, bytes]:
    """The resources that are of use, by their number."""
    wanted = (RESOLUTION, ICC, VERSION, EXIF, XMP)
    place = head.resources + 4
    found: dict[int, bytes] = {}
    for _ in range(_MAX_RESOURCES):
        if place + 12 > head.layers:
            break
        file.seek(place)
        start = file.read(7)
        name = start[6] + 1 if len(start) == 7 else 0
        place += 6 + name + name % 2
        file.seek(place)
        (length,) = struct.unpack(">I", file.read(4))
        number = int.from_bytes(start[4:6], "big")
        if number in wanted and length <= _MAX_RESOURCE_BYTES:
            found.setdefault(number, file.read(length))
        place += 4 + length + length % 2
    return found


def psd_resource_block(file: BinaryIO, head: PsdHead) -> bytes:
    """All resources as they stand in the file; nothing if they are too long."""
    length = head.layers - head.resources - 4
    if not 0 < length <= _MAX_RESOURCE_BYTES:
        return b""
    return read_at(file, head.resources + 4, length)


def has_transparency(file: BinaryIO, head: PsdHead) -> bool:
    """Whether the first channel after the colours is the opacity of the merged picture."""
    wide = 8 if head.is_large else 4
    file.seek(head.layers + wide)
    length = int.from_bytes(file.read(wide), "big")
    count = file.read(2)
    return length >= 2 and len(count) == 2 and int(struct.unpack(">h", count)[0]) < 0
