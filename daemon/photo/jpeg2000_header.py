"""The header of a JPEG 2000 file (ISO/IEC 15444-1), read with bounds and without decoding."""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from typing import BinaryIO

from daemon.photo.isobmff import C2PA_UUID, Box, boxes
from daemon.photo.notes import Note, NoteKind
from daemon.photo.picture import Header

CODESTREAM = b"\xff\x4f\xff\x51"
CONTAINER = b"\0\0\0\x0cjP  \r\n\x87\n"

_MAX_COMPONENTS = 16384
_MAX_PROFILE_BYTES = 1 << 26
_MAX_BLOCK_BYTES = 1 << 26
_OPACITY, _PREMULTIPLIED = 1, 2

_CODING_STYLE, _TILE_PART = b"\xff\x52", b"\xff\x90"
"""Markers of a codestream."""

_REVERSIBLE = 1
"""Transformation of the wavelet 5/3; that of 9/7 is 0."""

_MAIN_HEADER_BYTES = 1 << 17
"""Bytes that the sizes of 16384 components, a comment and the coding style fit into."""

_LARGEST_PRECINCT = 0xFF
"""Exponents of the sides of a precinct, 4 bits each, where the codestream tells none."""

_EXIF = b"JpgTiffExif->JP2"
_XMP = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")
_IPTC = bytes.fromhex("33c7a4d2b81d4723a0baf1a3e097ad38")
"""Identifiers of the boxes of EXIF, XMP and IPTC."""


@dataclass(frozen=True)
class Jpeg2000Info:
    """The header of a file's picture.

    Attributes:
        width, height: Size in pixels.
        bits: Bits of the samples, of the palette's where there is one.
        is_signed: Samples are signed.
        components: Channels of the codestream.
        is_subsampled: Not all have the size of the picture.
        has_palette: Channels are made of one by a palette.
        opacity: Which channel is opacity, or None; it may be told by nothing but the count.
        premultiplied: Colours are multiplied by it.
        colours: Enumerated colour space (16 sRGB, 17 grey, 18 sYCC and others), or None.
        icc: Colour profile, or None.
        colour_box: The box that tells the last two, or None.
    """

    width: int
    height: int
    bits: int
    is_signed: bool
    components: int
    is_subsampled: bool
    has_palette: bool = False
    opacity: int | None = None
    premultiplied: bool = False
    colours: int | None = None
    icc: bytes | None = None
    colour_box: Box | None = None


def read_jpeg2000_header(file: BinaryIO, label: str) -> Header:
    """The header of a JPEG 2000 file.

    Raises:
        ValueError: It ends within its header or has none.
    """
    info = read_jpeg2000_info(file)
    grey = info.components < 3 and not info.has_palette
    mode = ("L" if grey else "RGB") + ("A" if info.opacity is not None else "")
    return Header("JPEG2000", info.width, info.height, mode + (f";{info.bits}" * (info.bits > 8)))


def read_jpeg2000_info(file: BinaryIO) -> Jpeg2000Info:
    """The header of a file's picture.

    Raises:
        ValueError: It ends within its header or has none.
    """
    found = jpeg2000_boxes(file)
    stream = next((box for box in found if box.kind == b"jp2c"), None)
    if stream is None:
        raise ValueError("it has no codestream")
    file.seek(stream.begin)
    said = _codestream(file.read(42 + 3 * _MAX_COMPONENTS))
    head = next((box for box in found if box.kind == b"jp2h"), None)
    return (
        said if head is None else _with_boxes(file, said, list(boxes(file, head.begin, head.end)))
    )


def jpeg2000_boxes(file: BinaryIO) -> list[Box]:
    """The boxes of a file; a bare codestream counts as one."""
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    if file.read(4) == CODESTREAM:
        return [Box(b"jp2c", 0, size)]
    return list(boxes(file, 0, size))


def is_jpeg2000_truncated(file: BinaryIO, size: int) -> bool:
    """Whether a box of a JPEG 2000 file ends beyond its end; a bare codestream cannot tell."""
    try:
        return any(box.end > size for box in jpeg2000_boxes(file))
    except (ValueError, struct.error):
        return True


def most_packets_of_a_tile(head: bytes) -> int:
    """How many packets a tile may have, rounded up, by the main header of a codestream.

    Raises:
        ValueError, struct.error, IndexError: It ends within its header or has none.

    Source: ITU-T T.800, A.5.1, A.6.1 and B.6: layers x components x precincts of each resolution.
    """
    components = _codestream(head).components
    right, bottom, left, top, tile_width, tile_height = struct.unpack_from(">6I", head, 8)
    sides = (min(tile_width, right - left), min(tile_height, bottom - top))
    place = _coding_style(head)
    layers, levels = int.from_bytes(head[place + 6 : place + 8]), head[place + 9]
    precincts = 0
    for level in range(levels + 1):
        exponents = head[place + 14 + level] if head[place + 4] & 1 else _LARGEST_PRECINCT
        across, down = (
            (side >> (levels - level) >> exponent) + 2
            for side, exponent in zip(sides, (exponents & 15, exponents >> 4), strict=True)
        )
        precincts += across * down
    return layers * components * precincts


def is_jpeg2000_lossless(file: BinaryIO) -> bool:
    """Whether a file is coded by the reversible wavelet (5/3), which alone can lose nothing.

    An encoder may have thrown away what is finest of it all the same; no header tells.

    Raises:
        ValueError: It has no codestream.

    Source: ITU-T T.800, A.6.1.
    """
    stream = next((box for box in jpeg2000_boxes(file) if box.kind == b"jp2c"), None)
    if stream is None:
        raise ValueError("it has no codestream")
    file.seek(stream.begin)
    head = file.read(_MAIN_HEADER_BYTES)
    try:
        return head[_coding_style(head) + 13] == _REVERSIBLE
    except (ValueError, IndexError):
        return False


def _coding_style(head: bytes) -> int:
    """Where a main header says how the picture is coded.

    Raises:
        ValueError: It does not.
    """
    place = 2
    while head[place : place + 2] != _CODING_STYLE:
        if head[place : place + 2] == _TILE_PART or place + 4 > len(head):
            raise ValueError("it does not say how it is coded")
        place += 2 + int.from_bytes(head[place + 2 : place + 4])
    return place


@dataclass(frozen=True)
class Jpeg2000Blocks:
    """The metadata of a file: EXIF, XMP and IPTC, and notes on what is not read."""

    exif: bytes | None
    xmp: bytes | None
    iptc: bytes | None
    notes: tuple[Note, ...]


def read_jpeg2000_blocks(file: BinaryIO) -> Jpeg2000Blocks:
    """The metadata in the boxes of a file."""
    exif, xmp, iptc, others = None, None, None, False
    for box in jpeg2000_boxes(file):
        length = box.end - box.begin
        if box.kind not in (b"uuid", b"xml ") or length > _MAX_BLOCK_BYTES:
            continue
        file.seek(box.begin)
        content = file.read(length)
        if content[:16] == _EXIF:
            exif = content[16:].removeprefix(b"Exif\0\0")
        elif content[:16] == _XMP:
            xmp = content[16:]
        elif box.kind == b"xml " and b"x:xmpmeta" in content:
            xmp = xmp or content
        elif content[:16] == _IPTC:
            iptc = content[16:]
        elif content[:16] != C2PA_UUID:
            others = True
    said = "what a program put into boxes beside the picture was left out"
    notes = (Note(NoteKind.METADATA, said),) if others else ()
    return Jpeg2000Blocks(exif, xmp, iptc, notes)


def _codestream(head: bytes) -> Jpeg2000Info:
    if head[:4] != CODESTREAM:
        raise ValueError("its codestream has no signature")
    _, _, right, bottom, left, top, *_, components = struct.unpack_from(">HHIIIIIIIIH", head, 4)
    if not 1 <= components <= _MAX_COMPONENTS or len(head) < 42 + 3 * components:
        raise ValueError(f"its codestream has {components} components")
    kinds = [struct.unpack_from("BBB", head, 42 + 3 * i) for i in range(components)]
    depths = [kind[0] for kind in kinds]
    return Jpeg2000Info(
        right - left,
        bottom - top,
        bits=max((depth & 0x7F) + 1 for depth in depths),
        is_signed=any(depth & 0x80 for depth in depths),
        components=components,
        is_subsampled=any((across, down) != (1, 1) for _, across, down in kinds),
    )


def _with_boxes(file: BinaryIO, said: Jpeg2000Info, found: list[Box]) -> Jpeg2000Info:
    bits, has_palette, colours, icc = said.bits, False, None, None
    opacity, premultiplied, colour_box = None, False, None
    for box in found:
        length = min(box.end - box.begin, _MAX_PROFILE_BYTES)
        file.seek(box.begin)
        match box.kind:
            case b"pclr":
                has_palette = True
                depths = file.read(3 + 255)
                bits = max((depth & 0x7F) + 1 for depth in depths[3 : 3 + depths[2]])
            case b"colr" if colour_box is None:
                colour_box, content = box, file.read(length)
                if content[0] == 1:
                    (colours,) = struct.unpack_from(">I", content, 3)
                elif content[0] in (2, 3):
                    icc = content[3:]
            case b"cdef":
                opacity, premultiplied = _opacity(file.read(min(length, 6 * _MAX_COMPONENTS)))
    return Jpeg2000Info(
        said.width,
        said.height,
        bits,
        said.is_signed,
        said.components,
        said.is_subsampled,
        has_palette,
        opacity,
        premultiplied,
        colours,
        icc,
        colour_box,
    )


def _opacity(definitions: bytes) -> tuple[int | None, bool]:
    """The channel that is opacity, and whether colours are multiplied by it."""
    for place in range(2, len(definitions) - 5, 6):
        channel, kind, _ = struct.unpack_from(">HHH", definitions, place)
        if kind in (_OPACITY, _PREMULTIPLIED):
            return channel, kind == _PREMULTIPLIED
    return None, False
