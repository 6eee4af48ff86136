"""The chunks of a PNG before and behind its pixels, and what they say of its colours."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from daemon.photo.decoded import ColourTags
from daemon.photo.profiles import Primaries
from daemon.system.files import read_at

SIGNATURE = b"\x89PNG\r\n\x1a\n"

_MAX_CHUNKS = 200_000
_MAX_KEPT_BYTES = 1 << 26
"""Longest chunk that is read, but for those of pixels, which never are."""

_READ_BYTES = 1 << 20
"""Bytes of pixels that are read at a time for their checksum."""

_PIXELS = (b"IDAT", b"fdAT", b"fcTL", b"acTL")
_OF_PIXELS = (b"PLTE", b"tRNS", b"bKGD", b"hIST", b"sBIT", b"sPLT")
"""Chunks that hold only for the picture's own bits and colour type."""


@dataclass(frozen=True)
class Chunk:
    """A chunk: its kind of four letters, and its content."""

    kind: bytes
    content: bytes


@dataclass(frozen=True)
class PngHeader:
    """IHDR, as far as it concerns decoding.

    Attributes:
        width, height: Size in pixels.
        bits: Bits of a sample.
        colour_type: 0 grey, 2 RGB, 3 palette, 4 grey with opacity, 6 RGB with opacity.
    """

    width: int
    height: int
    bits: int
    colour_type: int


def read_chunks(file: BinaryIO) -> Iterator[Chunk]:
    """The chunks of a PNG without its pixels, IEND included; stops where the file is damaged."""
    offset = len(SIGNATURE)
    for _ in range(_MAX_CHUNKS):
        head = read_at(file, offset, 8)
        if len(head) < 8:
            return
        length, kind = struct.unpack(">I4s", head)
        if kind not in _PIXELS and length <= _MAX_KEPT_BYTES:
            yield Chunk(kind, file.read(length))
        if kind == b"IEND":
            return
        offset += 12 + length


def has_wrong_checksum(file: BinaryIO) -> bool:
    """Whether the checksum of a chunk of pixels is wrong; a chunk that is cut short is left out.

    Decoders stop once they have all rows. Zeros in place of the rest of a file may give rows, too:
    only the checksum tells.
    """
    offset = len(SIGNATURE)
    for _ in range(_MAX_CHUNKS):
        head = read_at(file, offset, 8)
        if len(head) < 8:
            return False
        length, kind = struct.unpack(">I4s", head)
        if kind == b"IDAT":
            expected = _checksum(file, kind, length)
            said = file.read(4)
            if len(said) == 4 and int.from_bytes(said) != expected:
                return True
        if kind == b"IEND":
            return False
        offset += 12 + length
    return False


def _checksum(file: BinaryIO, kind: bytes, length: int) -> int:
    checksum = zlib.crc32(kind)
    while length > 0 and (read := file.read(min(length, _READ_BYTES))):
        checksum = zlib.crc32(read, checksum)
        length -= len(read)
    return checksum


def png_header(chunks: list[Chunk]) -> PngHeader:
    """The header of a PNG.

    Raises:
        struct.error, IndexError: It has none.
    """
    return PngHeader(*struct.unpack_from(">IIBB", chunks[0].content))


def colour_tags(chunks: list[Chunk], icc: bytes | None, *, is_adobe_rgb: bool) -> ColourTags:
    """The colour chunks of a PNG.

    Args:
        chunks: Its chunks.
        icc: Its profile, or None.
        is_adobe_rgb: What its EXIF says.
    """
    by_kind = {chunk.kind: chunk.content for chunk in reversed(chunks)}
    cicp = by_kind.get(b"cICP", b"")
    gamma = by_kind.get(b"gAMA", b"")
    return ColourTags(
        icc=icc,
        cicp=(cicp[0], cicp[1]) if len(cicp) == 4 else None,
        is_srgb=b"sRGB" in by_kind,
        gamma=int.from_bytes(gamma) / 100_000 if len(gamma) == 4 and any(gamma) else None,
        primaries=_primaries(by_kind.get(b"cHRM", b"")),
        is_adobe_rgb=is_adobe_rgb,
    )


def without_pixels(chunks: list[Chunk]) -> bytes:
    """A PNG of one pixel with all that another says beside its pixels.

    Whatever reads metadata finds it there without decoding the picture.
    """
    header = Chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0))
    skipped = (b"IHDR", b"IEND", *_OF_PIXELS)
    kept = [chunk for chunk in chunks if chunk.kind not in skipped]
    end = [Chunk(b"IDAT", zlib.compress(b"\0\0")), Chunk(b"IEND", b"")]
    return SIGNATURE + b"".join(packed(chunk) for chunk in (header, *kept, *end))


def packed(chunk: Chunk) -> bytes:
    """A chunk as a file has it."""
    body = chunk.kind + chunk.content
    return struct.pack(">I", len(chunk.content)) + body + struct.pack(">I", zlib.crc32(body))


def _primaries(chromaticities: bytes) -> Primaries | None:
    if len(chromaticities) != 32:
        return None
    values = [value / 100_000 for value in struct.unpack(">8I", chromaticities)]
    white, red, green, blue = zip(values[::2], values[1::2], strict=True)
    return Primaries(white, red, green, blue)
