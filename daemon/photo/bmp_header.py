"""The header of a BMP as far as Pillow does not read it: its bit fields and its colours."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

from daemon.photo.picture import Header
from daemon.photo.pillow_files import read_pillow_header
from daemon.system.files import read_at

if TYPE_CHECKING:
    from daemon.photo.profiles import Primaries

_FILE_HEADER = 14
_PLAIN_HEADER, _WITH_ALPHA, _WITH_PROFILE = 40, 56, 124
"""Lengths of headers from which on they have masks, a mask of opacity, and a profile."""

_BITFIELDS, _ALPHA_BITFIELDS = 3, 6
_EMBEDDED, _LINKED = b"DEBM", b"KNIL"
_CALIBRATED, _CALIBRATED_RGB = 108, bytes(4)
"""Length of a header that has end points and gamma, and its mark that they count."""

_GAMMA_TOLERANCE = 0.01
"""Share by which the gammas of the three channels may differ: only one is read."""
_MAX_PROFILE_BYTES = 1 << 26


@dataclass(frozen=True)
class BitFields:
    """A BMP whose pixels are numbers, in which each channel has bits of its own.

    Attributes:
        width, height: Size in pixels.
        from_top: The first row is the top.
        bits: Bits of a pixel, 16 or 32.
        masks: Bits of red, green and blue, and of opacity where there is any.
        pixels: Where the pixels begin.
        dpi: Pixels per inch across and down; zeros where nothing is said.
    """

    width: int
    height: int
    from_top: bool
    bits: int
    masks: tuple[int, ...]
    pixels: int
    dpi: tuple[float, float]


def read_bmp_header(file: BinaryIO, label: str) -> Header:
    """The header of a BMP."""
    fields = read_bit_fields(file)
    if fields is None:
        return read_pillow_header(file, label)
    return Header("BMP", fields.width, fields.height, bit_fields_mode(fields))


def bit_fields_mode(fields: BitFields) -> str:
    """What its pixels are called."""
    is_deep = max(mask.bit_count() for mask in fields.masks) > 8
    return ("RGB" if len(fields.masks) == 3 else "RGBA") + ";16" * is_deep


def read_bit_fields(file: BinaryIO) -> BitFields | None:
    """The bit fields of a BMP; None where it has none, or such as make no sense."""
    base = _FILE_HEADER if read_at(file, 0, 2) == b"BM" else 0
    head = read_at(file, base, _WITH_ALPHA)
    if len(head) < _WITH_ALPHA:
        return None
    length, width, height, _, bits, compression = struct.unpack_from("<IiiHHI", head)
    if length < _PLAIN_HEADER or compression not in (_BITFIELDS, _ALPHA_BITFIELDS):
        return None
    across, down = struct.unpack_from("<ii", head, 24)
    masks = struct.unpack_from("<4I", head, _PLAIN_HEADER)
    has_alpha = masks[3] and (length >= _WITH_ALPHA or compression == _ALPHA_BITFIELDS)
    masks = masks if has_alpha else masks[:3]
    if width < 1 or bits not in (16, 32) or not _are_sound(masks, bits):
        return None
    end = base + max(length, _PLAIN_HEADER + 4 * len(masks))
    said = int.from_bytes(read_at(file, 10, 4), "little") if base else 0
    dpi = across * 0.0254, down * 0.0254
    return BitFields(width, abs(height), height < 0, bits, masks, said or end, dpi)


def _are_sound(masks: tuple[int, ...], bits: int) -> bool:
    """Whether each mask is of bits in a row, at most 16, and no two share one."""
    in_rows = all(
        mask and (mask // (mask & -mask) + 1).bit_count() == 1 and mask.bit_count() <= 16
        for mask in masks
    )
    together = 0
    for mask in masks:
        together |= mask
    return (
        in_rows and together < 1 << bits and together.bit_count() == sum(map(int.bit_count, masks))
    )


def read_bmp_calibration(file: BinaryIO) -> tuple[float, Primaries] | None:
    """Encoding exponent and primaries of a calibrated BMP; None where it has none that make sense.

    Source: BITMAPV4HEADER; end points are CIE X, Y and Z, and white is their sum.
    """
    base = _FILE_HEADER if read_at(file, 0, 2) == b"BM" else 0
    head = read_at(file, base, _CALIBRATED)
    if len(head) < _CALIBRATED or int.from_bytes(head[:4], "little") < _CALIBRATED:
        return None
    if head[56:60] != _CALIBRATED_RGB:
        return None
    ends = [number / (1 << 30) for number in struct.unpack_from("<9i", head, 60)]
    gammas = [number / (1 << 16) for number in struct.unpack_from("<3I", head, 96)]
    points = [ends[place : place + 3] for place in (0, 3, 6)]
    whole = [sum(axis) for axis in zip(*points, strict=True)]
    if min(map(sum, [*points, whole])) <= 0 or min(gammas) <= 0:
        return None
    if max(gammas) - min(gammas) > _GAMMA_TOLERANCE * max(gammas):
        return None
    gamma = sum(gammas) / 3
    white, red, green, blue = ((x / (x + y + z), y / (x + y + z)) for x, y, z in [whole, *points])
    # Some write what codes are raised to, some its inverse.
    from daemon.photo.profiles import Primaries  # imports numpy, which headers need not

    return 1 / gamma if gamma > 1 else gamma, Primaries(white, red, green, blue)


def read_bmp_profile(file: BinaryIO) -> tuple[bytes | None, bool]:
    """The profile of a BMP, and whether it has one in another file."""
    base = _FILE_HEADER if read_at(file, 0, 2) == b"BM" else 0
    head = read_at(file, base, _WITH_PROFILE)
    if len(head) < _WITH_PROFILE or int.from_bytes(head[:4], "little") < _WITH_PROFILE:
        return None, False
    offset, length = struct.unpack_from("<II", head, 112)
    if head[56:60] != _EMBEDDED or length > _MAX_PROFILE_BYTES:
        return None, head[56:60] == _LINKED
    return read_at(file, base + offset, length) or None, False
