"""EXIF of camera raw files that are no TIFF: found in their own boxes and blocks, or in a preview.

Such a preview is the camera's own JPEG of the same exposure, so its EXIF is the photograph's.
"""

from __future__ import annotations

import io
import os
import struct
from dataclasses import replace
from typing import BinaryIO

from daemon.photo.isobmff import Box, boxes
from daemon.photo.pillow_files import open_image
from daemon.photo.tiff_directory import Layout, read_directory
from daemon.photo.tiff_fields import EXIF, GPS, RawField, packed_block, parse_block
from daemon.system.files import read_at

_FUJIFILM, _PANASONIC, _MINOLTA = b"FUJIFILMCCD-RAW", b"IIU\0", b"\0MRM"

_FUJIFILM_PREVIEW = 84
"""Place of offset and length of the preview in a Fujifilm file, big-endian."""

_PANASONIC_PREVIEW = 0x2E
"""Tag of the preview in the first directory of a Panasonic file."""

_CANON_UUID = bytes.fromhex("85c0b687820f11e08111f4ce462b6a48")
_CANON_PARTS = {b"CMT1": None, b"CMT2": EXIF, b"CMT4": GPS}
"""Boxes of a CR3 that are TIFFs of one directory each, and the tags under which they belong in the
first."""

_CANON_NOTES, _MAKER_NOTE = b"CMT3", 0x927C
_TIFF_HEAD = 8
"""Bytes before the first directory of a TIFF, where Canon's boxes have theirs."""

_MINOLTA_TIFF = b"\0TTW"
_MAX_BLOCKS = 64

_MOST_BYTES = 1 << 21
"""Bytes of a preview or of a box that are looked at; EXIF stands at the start of a preview."""

_ERRORS = (struct.error, ValueError, OverflowError, OSError, SyntaxError)


def other_raw_exif(file: BinaryIO) -> bytes | None:
    """The EXIF of a raw file that is no TIFF, as a block; None where it is not found.

    Args:
        file: A raw file, see `photo.raw_header.is_other_raw`.
    """
    file.seek(0)
    start = file.read(128)
    try:
        if start.startswith(_FUJIFILM):
            return _preview_exif(file, *struct.unpack_from(">II", start, _FUJIFILM_PREVIEW))
        if start.startswith(_PANASONIC):
            return _panasonic_exif(file, start)
        if start.startswith(_MINOLTA):
            return _minolta_exif(file)
        if start[4:11] == b"ftypcrx":
            return _canon_exif(file)
    except _ERRORS:
        # What is damaged here says nothing of the sensor's data, which LibRaw reads.
        return None
    return None


def _preview_exif(file: BinaryIO, offset: int, length: int) -> bytes | None:
    """The EXIF of a JPEG that lies in a file."""
    preview = read_at(file, offset, min(length, _MOST_BYTES))
    found = open_image(io.BytesIO(preview)).info.get("exif")
    return bytes(found) if found else None


def _panasonic_exif(file: BinaryIO, start: bytes) -> bytes | None:
    """The EXIF of the preview that a TIFF of another name and with tags of its own holds."""
    layout = Layout("<", big=False, first=int.from_bytes(start[4:8], "little"))
    preview = read_directory(file, layout, layout.first).fields.get(_PANASONIC_PREVIEW)
    return None if preview is None else _preview_exif(file, preview.offset, preview.size)


def _minolta_exif(file: BinaryIO) -> bytes | None:
    """The TIFF without pixels in the head of a file; every block says its kind and length."""
    place = 8
    for _ in range(_MAX_BLOCKS):
        kind, length = struct.unpack(">4sI", read_at(file, place, 8))
        if kind == _MINOLTA_TIFF:
            return read_at(file, place + 8, min(length, _MOST_BYTES))
        place += 8 + length
    return None


def _canon_exif(file: BinaryIO) -> bytes | None:
    """The directories of the boxes of a CR3, put together."""
    parts = {
        box.kind: read_at(file, box.begin, min(box.end - box.begin, _MOST_BYTES))
        for box in _canon_boxes(file)
    }
    first: list[RawField] = []
    order = ""
    for kind, tag in _CANON_PARTS.items():
        if kind not in parts:
            continue
        own, fields = parse_block(parts[kind])
        if order not in ("", own):
            raise ValueError("its boxes write numbers in different orders")
        order = own
        # Offsets lay in different boxes and mean nothing together.
        loose = tuple(replace(field, place=None) for field in fields)
        if tag == EXIF:
            loose += _canon_notes(parts)
        first += loose if tag is None else [RawField(tag, 4, 1, b"", loose)]
    return packed_block(first, order) if first else None


def _canon_notes(parts: dict[bytes, bytes]) -> tuple[RawField, ...]:
    """The maker notes; what they point to counts from the start of their own box."""
    content = parts.get(_CANON_NOTES, b"")[_TIFF_HEAD:]
    if not content:
        return ()
    return (RawField(_MAKER_NOTE, 7, len(content), content, place=_TIFF_HEAD, pinned=True),)


def _canon_boxes(file: BinaryIO) -> list[Box]:
    """The boxes within Canon's own box of a CR3."""
    size = file.seek(0, os.SEEK_END)
    movie = next((box for box in boxes(file, 0, size) if box.kind == b"moov"), None)
    for box in [] if movie is None else boxes(file, movie.begin, min(movie.end, size)):
        if box.kind == b"uuid" and read_at(file, box.begin, 16) == _CANON_UUID:
            return list(boxes(file, box.begin + 16, min(box.end, size)))
    return []
