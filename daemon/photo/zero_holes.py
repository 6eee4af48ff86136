"""Zeros within a coded picture, as a copy with gaps or a damaged disk leaves them.

Decoders without check sums take zeros for codes of some picture. What is well coded looks random,
so that a run of zeros tells. Even areas are coded in few bits, which may all be zero: how long
their runs get depends on the size of the picture, unless a run fills whole sectors of a disk. Where
zeros end the file, `zero_tails` tells. JPEG has a check of its own (`jpeg_data`), and what stores
pixels as they are may hold any number of zeros.
"""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import BinaryIO

from daemon.photo.isobmff import coded_extents
from daemon.photo.jpeg2000_header import jpeg2000_boxes, most_packets_of_a_tile
from daemon.photo.notes import Note, NoteKind
from daemon.photo.tiff_directory import Tag, full_pages, read_layout
from daemon.system.files import read_at

_SECTOR = 512
"""Bytes of which gaps have a multiple: disks are written in sectors."""

_SLACK = 16
"""Most bytes beside such a gap that the picture's own codes may be zero."""

_RANDOM = 256
"""Zeros beyond any run in data that look random; at most 50 were found in made AVIF files."""

_EVEN_VP8 = 8
"""Macroblocks for each zero that an even area may give: 40 were found in even WebP pictures."""

_EVEN_JPEG = 256
"""Samples for each zero that an even area may give: a block of 64 takes two bits at least."""

_COMPRESSIONS = {
    **dict.fromkeys((6, 7, 34892), "jpeg"),
    **dict.fromkeys((33003, 33005, 34712), "jpeg2000"),
    **dict.fromkeys((34927, 50001), "webp"),
}
"""Compressions of TIFF that code a picture without check sums."""

_MAX_CHUNKS = 10_000
"""Chunks of a WebP, or of a frame of it, that are looked at."""

_MAX_HEAD = 1 << 16
"""Bytes of a codestream in which its header ends."""

_STRIPS, _STRIP_BYTES, _TILES, _TILE_BYTES = 273, 279, 324, 325
"""Tags of a TIFF."""

_NOT_ZERO = re.compile(rb"[^\0]")
_RANDOM_ZEROS = bytes(_RANDOM)


@dataclass(frozen=True)
class _Coded:
    """A part of a file that codes a picture.

    Attributes:
        begin: Offset of its first byte.
        end: Offset behind its last byte.
        most: Zeros in a row that a sound picture may have.
    """

    begin: int
    end: int
    most: int


def zero_hole_notes(file: BinaryIO, format: str) -> tuple[Note, ...]:
    """A note if zeros lie within a coded picture.

    Args:
        file: The file, whose picture has been decoded.
        format: Name of its format, as headers have it.

    Raises:
        OSError: It cannot be read.
    """
    find = _FINDERS.get(format)
    if find is None:
        return ()
    try:
        lost = sum(_zeros_in(file, part) for part in _joined(find(file)))
    except (struct.error, ValueError, IndexError):  # what is wrong with it, its decoder tells
        return ()
    if not lost:
        return ()
    return (
        Note(
            NoteKind.DAMAGE,
            f"{lost} bytes within its coded picture are zeros, as gaps of a copy leave them: part "
            "of the picture may be lost; compare it with another copy",
        ),
    )


def _joined(parts: Iterable[_Coded]) -> list[_Coded]:
    """Parts in their order in the file; those that follow each other as one: a gap spans them."""
    joined: list[_Coded] = []
    for part in sorted(parts, key=lambda part: part.begin):
        if joined and 0 <= part.begin - joined[-1].end <= _SLACK:
            before = joined.pop()
            part = _Coded(before.begin, part.end, max(before.most, part.most))
        joined.append(part)
    return joined


def _zeros_in(file: BinaryIO, part: _Coded) -> int:
    """How many zeros of a part are in gaps."""
    size = os.fstat(file.fileno()).st_size
    content = read_at(file, part.begin, max(0, min(part.end, size) - part.begin))
    found, place = 0, 0
    while (place := content.find(_RANDOM_ZEROS, place)) >= 0:
        after = _NOT_ZERO.search(content, place)
        end = after.start() if after else len(content)
        if end - place > part.most or _fills_sectors(part.begin + place, end - place):
            found += end - place
        place = end
    return found


def _fills_sectors(begin: int, length: int) -> bool:
    """Whether a run of zeros is whole sectors, but for a few zeros of the picture beside them."""
    end = begin + length
    first, last = begin + -begin % _SECTOR, end - end % _SECTOR
    return last > first and first - begin <= _SLACK and end - last <= _SLACK


def _webp(file: BinaryIO) -> Iterator[_Coded]:
    file.seek(4)
    yield from _riff(file, 12, 8 + int.from_bytes(file.read(4), "little"))


def _riff(file: BinaryIO, begin: int, end: int, *, in_frame: bool = False) -> Iterator[_Coded]:
    """The coded parts among the chunks of a WebP, or of a frame within it."""
    for _ in range(_MAX_CHUNKS):
        if begin + 8 >= end:
            return
        kind, length = struct.unpack("<4sI", read_at(file, begin, 8))
        inner, head = begin + 8, file.read(10)
        match kind:
            case b"VP8 ":
                width, height = (side & 0x3FFF for side in struct.unpack_from("<HH", head, 6))
                blocks = (width + 15) // 16 * ((height + 15) // 16)
                yield _Coded(inner, inner + length, _RANDOM + blocks // _EVEN_VP8)
            case b"VP8L":
                yield _Coded(inner, inner + length, _RANDOM)
            case b"ALPH" if head[0] & 3:  # else opacity is stored as it is
                yield _Coded(inner, inner + length, _RANDOM)
            case b"ANMF" if not in_frame:
                yield from _riff(file, inner + 16, inner + length, in_frame=True)
        begin = inner + length + length % 2


def _heif(file: BinaryIO) -> Iterator[_Coded]:
    for begin, length in coded_extents(file):
        yield _Coded(begin, begin + length, _RANDOM)


def _jpeg2000(file: BinaryIO) -> Iterator[_Coded]:
    for box in jpeg2000_boxes(file):
        if box.kind == b"jp2c":
            yield _codestream(file, box.begin, box.end)


def _codestream(file: BinaryIO, begin: int, end: int) -> _Coded:
    """A codestream of JPEG 2000, in which a packet without content is a zero."""
    head = read_at(file, begin, _MAX_HEAD)
    return _Coded(begin, end, _RANDOM + most_packets_of_a_tile(head))


def _tiff(file: BinaryIO) -> Iterator[_Coded]:
    layout = read_layout(file)
    if layout is None:
        return
    for _, directory in full_pages(file, layout):
        coder = _COMPRESSIONS.get(directory.number(file, Tag.COMPRESSION, 1))
        begins = directory.all_numbers(file, _STRIPS) or directory.all_numbers(file, _TILES)
        lengths = directory.all_numbers(file, _STRIP_BYTES)
        lengths = lengths or directory.all_numbers(file, _TILE_BYTES)
        width, height = (directory.number(file, tag, 0) for tag in (Tag.WIDTH, Tag.HEIGHT))
        samples = width * height * directory.number(file, Tag.SAMPLES_PER_PIXEL, 1)
        for begin, length in zip(begins, lengths, strict=False):
            match coder:
                case "jpeg":
                    yield _Coded(begin, begin + length, _RANDOM + samples // _EVEN_JPEG)
                case "jpeg2000":
                    yield _codestream(file, begin, begin + length)
                case "webp":
                    yield from _riff(file, begin + 12, begin + length)


_FINDERS: Mapping[str, Callable[[BinaryIO], Iterator[_Coded]]] = {
    "AVIF": _heif,
    "HEIF": _heif,
    "JPEG2000": _jpeg2000,
    "TIFF": _tiff,
    "WEBP": _webp,
}
"""What finds the coded parts of a file, by the name of its format."""
