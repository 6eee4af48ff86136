"""The header of a Targa picture (TGA), read with bounds.

The first version of the format has no signature. So a file counts as one where each field of its
header fits the others and its length fits the header: no other kind of file does so by chance.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass, replace
from typing import BinaryIO

from daemon.photo.picture import Header
from daemon.system.files import read_at

PALETTE, RGB, GREY = 1, 2, 3
"""Kinds of pixels."""

UNSAID, NO_ALPHA, UNDEFINED, ALPHA, PREMULTIPLIED = -1, 0, 2, 3, 4
"""What the fourth channel means: as the number of its bits says, or as the extension area does."""

_COMPRESSED = 8
_HEAD_BYTES = 18
_DEPTHS = {PALETTE: (8, 16), RGB: (15, 16, 24, 32), GREY: (8, 16)}
_PALETTE_DEPTHS = (15, 16, 24, 32)
_FOOTER = b"TRUEVISION-XFILE.\0"
_FOOTER_BYTES = 26
_AREA_BYTES = 495
_MAX_BEHIND = 4096
"""Bytes behind the pixels of a file without footer, which some programs pad."""

_MOST_OF_A_PACKET = 128
"""Pixels that one packet of compressed pixels stands for."""


@dataclass(frozen=True)
class TgaHead:
    """The header.

    Attributes:
        kind: `PALETTE`, `RGB` or `GREY`.
        compressed: Its pixels are in packets.
        width, height: Size in pixels.
        bits: Bits of a stored pixel.
        alpha_bits: Bits of it that are said to be opacity.
        from_right, from_top: Where the first pixel is.
        palette_first, palette_length, palette_bits: Index of the first colour, their number, and
            bits of each.
        palette: Where the palette begins.
        pixels: Where the pixels begin.
        alpha: What the fourth channel means.
        comments: What its identification and its author say of it.
    """

    kind: int
    compressed: bool
    width: int
    height: int
    bits: int
    alpha_bits: int
    from_right: bool
    from_top: bool
    palette_first: int
    palette_length: int
    palette_bits: int
    palette: int
    pixels: int
    alpha: int = UNSAID
    comments: tuple[bytes, ...] = ()

    @property
    def pixel_bytes(self) -> int:
        """Bytes of a stored pixel."""
        return (self.bits + 7) // 8

    @property
    def colour_bits(self) -> int:
        """Bits of a colour: of the pixel, or of an entry of the palette."""
        return self.palette_bits if self.kind == PALETTE else self.bits


def is_tga(start: bytes, file: BinaryIO) -> bool:
    """Whether a file is a Targa picture, by its whole header and its length."""
    try:
        read_tga_head(file)
    except (ValueError, struct.error):
        return False
    return True


def read_tga_header(file: BinaryIO, label: str) -> Header:
    """The header of a Targa picture.

    Raises:
        ValueError, struct.error: It is none.
    """
    head = read_tga_head(file)
    mode = {PALETTE: "P", RGB: "RGBA" if head.bits == 32 else "RGB", GREY: "L"}[head.kind]
    return Header("TGA", head.width, head.height, mode)


def read_tga_head(file: BinaryIO) -> TgaHead:
    """The header of a Targa picture, with what stands at its end.

    Raises:
        ValueError, struct.error: It is none.
    """
    size = file.seek(0, os.SEEK_END)
    fields = struct.unpack("<BBBHHBHHHHBB", read_at(file, 0, _HEAD_BYTES))
    identity, has_palette, kind, first, length, palette_bits = fields[:6]
    width, height, bits, flags = fields[8:]
    head = TgaHead(
        kind & ~_COMPRESSED,
        bool(kind & _COMPRESSED),
        width,
        height,
        bits,
        flags & 15,
        bool(flags & 0x10),
        bool(flags & 0x20),
        first,
        length,
        palette_bits,
        _HEAD_BYTES + identity,
        _HEAD_BYTES + identity + has_palette * length * ((palette_bits + 7) // 8),
    )
    footer = read_at(file, max(0, size - _FOOTER_BYTES), _FOOTER_BYTES)
    is_signed = footer.endswith(_FOOTER)
    palette_fits = (
        length > 0 and palette_bits in _PALETTE_DEPTHS
        if has_palette
        else head.kind != PALETTE and (is_signed or not (first or length or palette_bits))
    )
    if (
        has_palette > 1
        or bits not in _DEPTHS.get(head.kind, ())
        or flags & 0xC0
        or head.alpha_bits > 8
        or not (width and height and palette_fits)
    ):
        raise ValueError("its header is none of a Targa picture")
    _check_length(head, size, is_signed=is_signed)
    comments = [read_at(file, _HEAD_BYTES, identity)]
    area = int.from_bytes(footer[:4], "little") if is_signed else 0
    content = read_at(file, area, _AREA_BYTES) if area else b""
    if len(content) < _AREA_BYTES:
        return _with_end(head, UNSAID, comments)
    lines = [content[43 + 81 * line :][:81].partition(b"\0")[0] for line in range(4)]
    return _with_end(head, content[494], [*comments, b"\n".join(filter(None, lines))])


def _with_end(head: TgaHead, alpha: int, comments: list[bytes]) -> TgaHead:
    kept = (comment.partition(b"\0")[0].strip() for comment in comments)
    return replace(head, alpha=alpha, comments=tuple(filter(None, kept)))


def _check_length(head: TgaHead, size: int, *, is_signed: bool) -> None:
    """Refuse a header that does not fit the length of the file.

    Raises:
        ValueError: It does not.
    """
    count, left = head.width * head.height, size - head.pixels
    if head.compressed:
        fits = left >= -(-count // _MOST_OF_A_PACKET) * (1 + head.pixel_bytes)
    else:
        behind = left - count * head.pixel_bytes
        fits = behind >= 0 and (is_signed or behind <= _MAX_BEHIND)
    if not fits:
        raise ValueError("it has not the length that its header says")
