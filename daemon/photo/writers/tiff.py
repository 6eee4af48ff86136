"""TIFF of 8 or 16 bits or floats, of any pages: strips, compressed one by one.

A file that may pass 4 GB is a BigTIFF. Numbers are in the byte order of the EXIF that is carried.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from typing import BinaryIO, assert_never

import imagecodecs

from daemon.photo.decoded import Codes
from daemon.photo.embedded_blocks import iptc_of, without_iptc
from daemon.photo.notes import Note, NoteKind
from daemon.photo.output_formats import Compression, EncoderOptions
from daemon.photo.postprocessing import Finished
from daemon.photo.tiff_directory import Photometric
from daemon.photo.tiff_fields import (
    RawField,
    numbers_field,
    packed_directory,
    pinned_fields,
    without_pinned,
)
from daemon.photo.writers.pillow import exif_fields, resolution_fields, scaled_dpi

_STRIP_BYTES = 1 << 20
_LARGEST_CLASSIC = (1 << 32) - (1 << 26)
"""Bytes of codes up to which a classic TIFF holds them, with room for what is carried."""

_LEVELS = {"deflate": 6, "zstd": 9}
"""Levels beyond which more time saves no more than 2 % of a photograph. At them Zstandard's are 6 %
smaller than deflate's, take 2.5 times as long to write and half as long to read."""

_SCHEMES = {"none": 1, "deflate": 8, "zstd": 50000}
"""Codes of the compressions. Zstandard's is that of libtiff 4.0.10 and later."""

_HORIZONTAL = 2
_UNSIGNED, _FLOAT = 1, 3
_UNASSOCIATED = 2
_UNDEFINED, _BYTE, _SHORT, _LONG, _LONG8 = 7, 1, 3, 4, 16
_XMP, _ICC, _IPTC, _PHOTOSHOP = 700, 34675, 33723, 34377
_RESOLUTION = 282


def write(finished: Finished, file: BinaryIO, options: EncoderOptions) -> tuple[str, ...]:
    """Write a TIFF; see `photo.output_formats.Write`. It never loses anything."""
    return write_pages((finished,), file, finished.codes.nbytes, options.compression)


def write_pages(
    pages: Iterable[Finished], file: BinaryIO, nbytes: int, compression: Compression = "deflate"
) -> tuple[str, ...]:
    """Write a TIFF with a directory for each page, which are asked for one by one.

    Args:
        pages: At least one.
        file: An empty file; it may be sought.
        nbytes: Bytes of the codes of all pages.
        compression: How they are compressed.

    Returns:
        Notes on metadata that could not be kept.
    """
    big = nbytes > _LARGEST_CLASSIC
    order, link = "", 8 if big else 4
    notes: list[str] = []
    for finished in pages:
        own_order, carried = _carried(finished)
        if not order:
            order = own_order
            file.write(_head(order, big=big))
            _write_pinned(carried, file)
        elif own_order != order:
            carried = []
            said = "EXIF and XMP of a page of another byte order: left out"
            notes.append(Note(NoteKind.METADATA, said))
        elif pinned_fields(carried):
            carried = without_pinned(carried)
            said = "maker notes of a later page, which hold only at their place: left out"
            notes.append(Note(NoteKind.METADATA, said))
        link = _append_page(finished, carried, file, _Layout(order, compression, big, link))
    return tuple(dict.fromkeys(notes))


def _write_pinned(fields: list[RawField], file: BinaryIO) -> None:
    """Put what is pinned at its place, before all strips."""
    for field in pinned_fields(fields):
        file.seek(field.place or 0)
        file.write(field.content)
    file.seek(0, os.SEEK_END)


@dataclass(frozen=True)
class _Layout:
    """How numbers and codes are written, and where the offset of the next directory stands."""

    order: str
    compression: Compression
    big: bool
    link: int


def _append_page(
    finished: Finished, carried: list[RawField], file: BinaryIO, layout: _Layout
) -> int:
    """Write a page and link it to the one before; where the offset of the next shall stand."""
    order, big = layout.order, layout.big
    offsets, lengths, rows = _write_strips(finished.codes, file, layout)
    begin = file.seek(0, os.SEEK_END)
    file.write(b"\0" * (begin % 2))
    begin += begin % 2
    place = _LONG8 if big else _LONG
    fields = [
        *carried,
        *_picture_fields(finished, layout),
        numbers_field(order, 273, place, offsets),
        numbers_field(order, 278, _LONG, [rows]),
        numbers_field(order, 279, place, lengths),
    ]
    directory = packed_directory(fields, order, begin, big=big)
    file.write(directory)
    file.seek(layout.link)
    file.write(struct.pack(order + ("Q" if big else "I"), begin))
    file.seek(0, os.SEEK_END)
    number, entry = ("Q", 20) if big else ("H", 12)
    (count,) = struct.unpack_from(order + number, directory)
    return begin + struct.calcsize(order + number) + entry * int(count)


def _head(order: str, *, big: bool) -> bytes:
    start = b"II" if order == "<" else b"MM"
    if big:
        return start + struct.pack(f"{order}HHHQ", 43, 8, 0, 0)
    return start + struct.pack(f"{order}HI", 42, 0)


def _write_strips(
    codes: Codes, file: BinaryIO, layout: _Layout
) -> tuple[list[int], list[int], int]:
    """Write the codes; the offsets and lengths of the strips, and the rows of each."""
    height, width, channels = codes.shape
    rows = max(1, _STRIP_BYTES // (width * channels * codes.dtype.itemsize))
    offsets, lengths = [], []
    stored = codes.dtype.newbyteorder("<" if layout.order == "<" else ">")
    for top in range(0, height, rows):
        strip = codes[top : top + rows]
        if _is_predicted(codes, layout):
            predicted = strip.copy()
            predicted[:, 1:] -= strip[:, :-1]
            strip = predicted
        content = _compressed(strip.astype(stored, copy=False).tobytes(), layout.compression)
        offsets.append(file.tell())
        lengths.append(len(content))
        file.write(content)
    return offsets, lengths, rows


def _is_predicted(codes: Codes, layout: _Layout) -> bool:
    """Whether differences of neighbours are stored, which compress better."""
    return codes.dtype.kind == "u" and layout.compression != "none"


def _compressed(content: bytes, compression: Compression) -> bytes:
    match compression:
        case "none":
            return content
        case "deflate":
            return bytes(imagecodecs.deflate_encode(content, level=_LEVELS["deflate"]))
        case "zstd":
            return bytes(imagecodecs.zstd_encode(content, level=_LEVELS["zstd"]))
        case _:
            assert_never(compression)


def _picture_fields(finished: Finished, layout: _Layout) -> list[RawField]:
    codes, order = finished.codes, layout.order
    height, width, channels = codes.shape
    is_float = codes.dtype.kind == "f"
    photometric = Photometric.BLACK_IS_ZERO if finished.is_grey else Photometric.RGB
    fields = [
        numbers_field(order, 256, _LONG, [width]),
        numbers_field(order, 257, _LONG, [height]),
        numbers_field(order, 258, _SHORT, [8 * codes.dtype.itemsize] * channels),
        numbers_field(order, 259, _SHORT, [_SCHEMES[layout.compression]]),
        numbers_field(order, 262, _SHORT, [photometric]),
        numbers_field(order, 274, _SHORT, [1]),
        numbers_field(order, 277, _SHORT, [channels]),
        numbers_field(order, 284, _SHORT, [1]),
        numbers_field(order, 339, _SHORT, [_FLOAT if is_float else _UNSIGNED] * channels),
    ]
    if _is_predicted(codes, layout):
        fields.append(numbers_field(order, 317, _SHORT, [_HORIZONTAL]))
    if finished.has_alpha:
        fields.append(numbers_field(order, 338, _SHORT, [_UNASSOCIATED]))
    if finished.icc is not None:
        fields.append(RawField(_ICC, _UNDEFINED, len(finished.icc), finished.icc))
    return fields


def _carried(finished: Finished) -> tuple[str, list[RawField]]:
    """The byte order, and the fields of EXIF, XMP and resolution."""
    exif, xmp, dpi = exif_fields(finished), finished.metadata.xmp, scaled_dpi(finished.metadata)
    order: str = "<"
    fields: list[RawField] = []
    if exif is not None:
        order, fields = exif
    if xmp is not None:
        fields.append(RawField(_XMP, _BYTE, len(xmp), xmp))
    if finished.metadata.photoshop is not None:
        fields += _photoshop(finished.metadata.photoshop)
    # EXIF's own resolution, exact and in its unit, goes before that of the format.
    if dpi is not None and not any(field.tag == _RESOLUTION for field in fields):
        fields += resolution_fields(dpi, order)
    return order, fields


def _photoshop(resources: bytes) -> list[RawField]:
    """Photoshop's resource blocks, with IPTC in a field of its own as readers of TIFF expect it."""
    fields = ((_IPTC, iptc_of(resources)), (_PHOTOSHOP, without_iptc(resources)))
    return [RawField(tag, _UNDEFINED, len(block), block) for tag, block in fields if block]
