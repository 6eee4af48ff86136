"""Camera raw files: how they are recognised, their size, and whether they are whole.

Many are TIFFs (DNG, NEF, CR2, ARW, PEF), whose directories tell the size. Of the others (CR3, RAF,
ORF, RW2 and kin) LibRaw reads the header.
"""

from __future__ import annotations

import os
import struct
from importlib.util import find_spec
from typing import BinaryIO

from daemon.photo.isobmff import boxes
from daemon.photo.picture import Header
from daemon.photo.tiff_directory import (
    RAW_PHOTOMETRICS,
    Directory,
    Layout,
    Tag,
    is_raw,
    read_directory,
    read_layout,
)
from daemon.photo.truncation import truncated_error
from daemon.system.errors import PhotoError

_MAX_DIRECTORIES = 32

_OLYMPUS = (b"IIRO", b"IIRS", b"MMOR")
"""First bytes of Olympus' raw files: a TIFF under another name."""

_PHASE_ONE = (b"IIII", b"MMMM")
"""What a Phase One file, a TIFF of a thumbnail, has behind the TIFF's own head."""

_PANASONIC, _FUJIFILM = b"IIU\0", b"FUJIFILMCCD-RAW"
_CANON = ((4, b"ftypcrx"), (6, b"HEAPCCDR"))
_OTHERS = (
    *((0, start) for start in (*_OLYMPUS, _PANASONIC, _FUJIFILM, b"FOVb", b"\0MRM")),
    *_CANON,
)
"""Where raw files that are no TIFF have which bytes: also Sigma's and Minolta's."""

_FUJIFILM_SENSOR = 100
"""Place of offset and length of the sensor's data in a Fujifilm file."""

_DATA = ((273, 279), (324, 325))
"""Tags of the offsets of strips and tiles, with those of their lengths."""

_LEAST_BYTES = 0.05
"""Bytes of a file for each pixel; the densest compression of a sensor's levels takes 0.3."""

_PANASONIC_BYTES = 1.0
"""Bytes for each pixel of a Panasonic, which packs at a fixed rate of 8/7 or 9/8."""


def is_raw_tiff(start: bytes, file: BinaryIO) -> bool:
    """Whether a file is a camera's raw file in a TIFF."""
    if start[:4] not in (b"II*\0", b"MM\0*"):
        return False
    if start[8:12] in _PHASE_ONE:
        return True
    try:
        layout = read_layout(file)
        return layout is not None and is_raw(file, read_directory(file, layout, layout.first))
    except (struct.error, ValueError, OverflowError, OSError):
        return False


def is_other_raw(start: bytes, file: BinaryIO) -> bool:
    """Whether a file is a camera's raw file of another container."""
    return any(start[place:].startswith(mark) for place, mark in _OTHERS)


def read_raw_header(file: BinaryIO, label: str) -> Header:
    """The header of a camera's raw file in a TIFF: the size of its largest directory.

    Raises:
        PhotoError: What reads raw files is not installed.
    """
    _require_library(label)
    layout = read_layout(file)
    if layout is None:
        raise ValueError("no TIFF")
    directories = _directories(file, layout)
    raw = [one for one in directories if one.number(file, Tag.PHOTOMETRIC, -1) in RAW_PHOTOMETRICS]
    sizes = [
        (one.number(file, Tag.WIDTH, 0), one.number(file, Tag.HEIGHT, 0))
        for one in raw or directories
    ]
    width, height = max(sizes, key=lambda size: size[0] * size[1])
    return Header("RAW", width, height, "RGB;16")


def read_other_raw_header(file: BinaryIO, label: str) -> Header:
    """The header of a camera's raw file of another container, by LibRaw.

    Raises:
        PhotoError: What reads raw files is not installed.
    """
    _require_library(label)
    import rawpy

    file.seek(0)
    with rawpy.imread(file) as raw:
        sizes = raw.sizes
    return Header("RAW", sizes.width, sizes.height, "RGB;16")


def refuse_cut_raw(file: BinaryIO, label: str, header: Header) -> None:
    """Refuse a file that ends before its sensor's data: LibRaw makes a picture of it all the same.

    Raises:
        TruncatedError: It is cut.
    """
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    start = file.read(_FUJIFILM_SENSOR + 8)
    least = _PANASONIC_BYTES if start.startswith(_PANASONIC) else _LEAST_BYTES
    if size < least * header.width * header.height or _is_cut(file, start, size):
        raise truncated_error(label, size)


def raw_layout(file: BinaryIO) -> Layout | None:
    """How a raw file that is a TIFF, by that name or another, writes numbers; else None."""
    file.seek(0)
    start = file.read(8)
    if start[:4] not in _OLYMPUS:
        return read_layout(file)
    order = "<" if start[:2] == b"II" else ">"
    return Layout(order, big=False, first=struct.unpack(f"{order}I", start[4:8])[0])


def _require_library(label: str) -> None:
    if find_spec("rawpy") is None:
        raise PhotoError(
            label,
            "is a camera's raw file, which needs the extra `raw`",
            "pip install 'restored[raw]', or develop it with a raw converter and hand in the TIFF",
        )


def _is_cut(file: BinaryIO, start: bytes, size: int) -> bool:
    """Whether what a file says of its sensor's data lies beyond its end."""
    if start.startswith(_FUJIFILM):
        offset, length = struct.unpack_from(">II", start, _FUJIFILM_SENSOR)
        return bool(offset + length > size)
    if start[4:8] == b"ftyp":
        return any(box.end > size for box in boxes(file, 0, size))
    layout = raw_layout(file)
    if layout is None:
        return False
    return any(
        offset + length > size
        for directory in _directories(file, layout)
        for offsets, lengths in _DATA
        for offset, length in zip(
            directory.all_numbers(file, offsets), directory.all_numbers(file, lengths), strict=False
        )
    )


def _directories(file: BinaryIO, layout: Layout) -> list[Directory]:
    """The directories of a file and those below them, as far as they are sound."""
    waiting, seen = [layout.first], set[int]()
    found: list[Directory] = []
    while waiting and len(seen) < _MAX_DIRECTORIES:
        offset = waiting.pop(0)
        if not offset or offset in seen:
            continue
        seen.add(offset)
        try:
            directory = read_directory(file, layout, offset)
            below = directory.numbers(file, Tag.SUB_DIRECTORIES)[:_MAX_DIRECTORIES]
        except (struct.error, ValueError, OverflowError, OSError):
            continue
        found.append(directory)
        waiting += [*below, directory.following]
    if not found:
        raise ValueError("its first directory is damaged")
    return found
