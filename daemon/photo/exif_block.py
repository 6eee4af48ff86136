"""EXIF as a block: what is carried of it, and what is changed of it for a result.

Fields are copied byte by byte. Left out is what tells of parts that are not there any more: the
thumbnail, strips, the orientation. Maker notes, whose offsets nobody documents, stay at their
offset, or are left out where they cannot.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import BinaryIO

from daemon.photo.notes import Note, NoteKind
from daemon.photo.tiff_directory import Layout, read_layout
from daemon.photo.tiff_fields import (
    RawField,
    numbers_field,
    packed_block,
    parse_block,
    parse_directory,
)

ORIENTATION, SOFTWARE = 0x0112, 0x0131
XMP, IPTC, PHOTOSHOP = 700, 33723, 34377
_MAKER_NOTE, _COLOR_SPACE, _INTEROP_INDEX = 0x927C, 0xA001, 1
_WIDTHS = (0x0100, 0xA002, 0x1001)
_HEIGHTS = (0x0101, 0xA003, 0x1002)
_RESOLUTIONS = (282, 283, 0xA20E, 0xA20F)
"""Pixels for each inch of paper and each unit of the sensor."""

_PLACES = (0x9214, 0xA214)
"""Where the subject is, in pixels as they were stored."""

_ASCII, _SHORT, _LONG, _RATIONAL = 2, 3, 4, 5
_SRGB, _UNCALIBRATED = 1, 0xFFFF

_ELSEWHERE = (ORIENTATION, XMP, IPTC, PHOTOSHOP, 34675, 37724, 52545)
"""Tags that are carried in another way (XMP, IPTC, Photoshop's, the profile), or not at all
(orientation, layers, C2PA)."""

_STORAGE = (
    *(0x00FE, 0x00FF, *range(0x102, 0x10B), 0x111, *range(0x115, 0x11A), 0x11C, 0x120, 0x121),
    *(0x122, 0x123, 0x124, 0x125, 0x129, 0x12D, 0x13D, *range(0x140, 0x14E), *range(0x14E, 0x15C)),
    *(*range(0x200, 0x20A), 0x22F, 0x015B, 0x0190, 0x828D, 0x828E, 32995, 32996, 32997, 32998),
)
"""Tags on how pixels are stored, or that point to such."""

_STORAGE_OF_TIFF = (0x0100, 0x0101, 0x0211, 0x0212, 0x0213, 0x0214)
"""Those that another file's EXIF may have, and a TIFF's writer gives itself. Resolution is carried:
in its own unit, be that inches, centimetres or none, it stays exact."""

_FIRST_DNG, _LAST_DNG = 50706, 51200
_OF_THE_CAMERA = (50708, 50735, 50736, 50827)
"""DNG's tags of the camera's name, its serial number, the lens, and the name of the raw file."""

_FARTHEST = 60_000
"""Offset up to which maker notes keep their place: what a JPEG's segment holds."""

_MOVABLE = (b"Nikon\0\x02", b"OLYMPUS\0", b"OM SYSTEM\0", b"FUJIFILM", b"Apple iOS\0", b"HDRP")
"""How maker notes begin whose offsets count from their own beginning."""

_DENOMINATOR = 10_000


@dataclass(frozen=True)
class ExifParts:
    """The fields of a file's EXIF, or of a TIFF's directory.

    Attributes:
        exif: The block that is carried, or None.
        xmp, iptc, photoshop: Blocks that it holds, or None.
        notes: What was left out.
    """

    exif: bytes | None = None
    xmp: bytes | None = None
    iptc: bytes | None = None
    photoshop: bytes | None = None
    notes: tuple[str, ...] = ()


def exif_parts(block: bytes) -> ExifParts:
    """Take an EXIF block apart.

    Raises:
        ValueError, struct.error: It is damaged.
    """
    file = io.BytesIO(block.removeprefix(b"Exif\0\0"))
    layout = read_layout(file)
    if layout is None:
        raise ValueError("it is no EXIF")
    return _parts(file, layout, layout.first, lambda tag: tag in _STORAGE)


def tiff_parts(file: BinaryIO, layout: Layout, offset: int) -> ExifParts:
    """Take what a TIFF's directory says beside its pixels.

    Raises:
        ValueError, struct.error: It is damaged.
    """
    return _parts(
        file, layout, offset, lambda tag: tag in _STORAGE or tag in _STORAGE_OF_TIFF or _is_dng(tag)
    )


def _is_dng(tag: int) -> bool:
    """Whether a tag tells how to develop a DNG; which camera and lens it was stays true."""
    return _FIRST_DNG <= tag <= _LAST_DNG and tag not in _OF_THE_CAMERA


def _parts(
    file: BinaryIO, layout: Layout, offset: int, is_storage: Callable[[int], bool]
) -> ExifParts:
    found = parse_directory(file, layout, offset, is_storage)
    by_tag = {field.tag: field.content for field in found}
    fields, notes = _placed([field for field in found if field.tag not in _ELSEWHERE])
    return ExifParts(
        packed_block(fields, layout.order) if fields else None,
        by_tag.get(XMP),
        by_tag.get(IPTC),
        by_tag.get(PHOTOSHOP),
        notes,
    )


def _placed(fields: Sequence[RawField]) -> tuple[list[RawField], tuple[str, ...]]:
    """The fields, with maker notes pinned to their place, or without those that cannot be."""
    placed: list[RawField] = []
    notes: tuple[str, ...] = ()
    for field in fields:
        if field.below is not None:
            below, more = _placed(field.below)
            notes += more
            if below:
                placed.append(replace(field, below=tuple(below)))
        elif field.tag != _MAKER_NOTE or field.place is None:
            placed.append(field)
        elif field.place >= 16 and field.place + len(field.content) <= _FARTHEST:
            placed.append(replace(field, pinned=True))
        elif field.content.startswith(_MOVABLE):
            placed.append(field)
        else:
            said = "its maker notes hold only where they lay in the file: left out"
            notes += (Note(NoteKind.METADATA, said),)
    return placed, notes


def without_directory(block: bytes, tag: int) -> bytes | None:
    """A block without the directory that a tag points to; None if nothing is left.

    Raises:
        ValueError, struct.error: The block is damaged.
    """
    order, found = parse_block(block)
    fields = _placed(_fields_without(found, tag))[0]
    return packed_block(fields, order) if fields else None


def _fields_without(fields: Sequence[RawField], tag: int) -> list[RawField]:
    """The fields but for those of a tag, wherever they stand."""
    return [
        field
        if field.below is None
        else replace(field, below=tuple(_fields_without(field.below, tag)))
        for field in fields
        if field.tag != tag
    ]


def with_software(block: bytes, software: str) -> bytes:
    """A block that says which program made the picture.

    Raises:
        ValueError, struct.error: The block is damaged.
    """
    order, found = parse_block(block)
    text = software.encode("ascii", "replace") + b"\0"
    fields = _placed(found)[0]
    return packed_block([*fields, RawField(SOFTWARE, _ASCII, len(text), text)], order)


@dataclass(frozen=True)
class ExifChanges:
    """The differences of a result from its original.

    Attributes:
        width, height: Its size in pixels.
        scale: How many times larger than the original it is.
        is_turned: Whether it lies otherwise than the original's pixels did.
        is_srgb: Whether its colours are sRGB now; None where they are what they were.
    """

    width: int
    height: int
    scale: float = 1.0
    is_turned: bool = False
    is_srgb: bool | None = None


def changed_exif(block: bytes, changes: ExifChanges) -> tuple[str, list[RawField]]:
    """The byte order and the fields of a result's EXIF.

    Raises:
        ValueError, struct.error: The block is damaged.
    """
    order, found = parse_block(block)
    fields = [_changed(field, order, changes) for field in _placed(found)[0]]
    kept = [field for field in fields if field is not None]
    return order, [*kept, numbers_field(order, ORIENTATION, _SHORT, [1])]


def _changed(field: RawField, order: str, changes: ExifChanges) -> RawField | None:
    """A field as the result has it; None if it has it no more."""
    if field.below is not None:
        below = [_changed(one, order, changes) for one in field.below]
        kept = tuple(one for one in below if one is not None)
        return replace(field, below=kept) if kept else None
    if field.tag in _WIDTHS:
        return _number(field, order, changes.width)
    if field.tag in _HEIGHTS:
        return _number(field, order, changes.height)
    if field.tag in _RESOLUTIONS and changes.scale != 1:
        return _scaled(field, order, changes.scale)
    if field.tag in _PLACES and (changes.scale != 1 or changes.is_turned):
        return None
    if field.tag == _COLOR_SPACE and changes.is_srgb is not None:
        return _number(field, order, _SRGB if changes.is_srgb else _UNCALIBRATED)
    if field.tag == _INTEROP_INDEX and field.content[:3] == b"R03" and changes.is_srgb:
        return replace(field, content=b"R98\0", count=4)
    return field


def _number(field: RawField, order: str, value: int) -> RawField:
    kind = field.kind if field.kind in (_SHORT, _LONG) and value <= 0xFFFF else _LONG
    return numbers_field(order, field.tag, kind, [value])


def _scaled(field: RawField, order: str, scale: float) -> RawField:
    if field.kind != _RATIONAL or len(field.content) != 8:
        return field
    above, below = struct.unpack(order + "II", field.content)
    if below == 0:
        return field
    share = (Fraction(above, below) * Fraction(scale)).limit_denominator(_DENOMINATOR)
    if share.numerator >= 1 << 32:
        return field
    return replace(field, content=struct.pack(order + "II", share.numerator, share.denominator))
