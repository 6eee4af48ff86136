"""Targa pictures, decoded here: what other decoders make of their opacity differs."""

from __future__ import annotations

from typing import BinaryIO

import numpy as np

from daemon.photo.decoded import Codes, Decoded
from daemon.photo.notes import extra_channels_note
from daemon.photo.picture import Metadata
from daemon.photo.tga_header import (
    ALPHA,
    GREY,
    PALETTE,
    PREMULTIPLIED,
    UNSAID,
    TgaHead,
    read_tga_head,
    read_tga_header,
)
from daemon.photo.truncation import truncated_error
from daemon.system.files import read_at


def decode(file: BinaryIO, label: str, page: int = 0) -> Decoded:
    """Decode the picture; see `photo.decoded.Decode`.

    Raises:
        TruncatedError: It ends before its pixels do.
    """
    head = read_tga_head(file)
    size = head.width * head.height * head.pixel_bytes
    file.seek(head.pixels)
    stored = _unpacked(file.read(), size, head.pixel_bytes) if head.compressed else file.read(size)
    if len(stored) < size:
        raise truncated_error(label, file.seek(0, 2))
    pixels = np.frombuffer(stored, np.uint8, size)
    pixels = pixels.reshape(head.height, head.width, head.pixel_bytes)
    pixels = pixels if head.from_top else pixels[::-1]
    pixels = pixels[:, ::-1] if head.from_right else pixels
    if head.kind == PALETTE:
        pixels = _palette(file, head)[_whole(pixels)]
    codes, opacity, white = _channels(pixels, head)
    alpha = opacity if opacity is not None and _is_alpha(opacity, head) else None
    is_lost = opacity is not None and alpha is None and bool(np.ptp(opacity))
    return Decoded(
        np.ascontiguousarray(codes),
        "grey" if head.kind == GREY else "rgb",
        Metadata("TGA", read_tga_header(file, label).mode, comments=head.comments),
        white=white,
        alpha=alpha,
        premultiplied=head.alpha == PREMULTIPLIED,
        notes=(extra_channels_note(1),) if is_lost else (),
    )


def _unpacked(content: bytes, wanted: int, size: int) -> bytes:
    """Compressed pixels of `size` bytes as they are; too few bytes where some lack."""
    pixels, place = bytearray(), 0
    while len(pixels) < wanted and place < len(content):
        count = (content[place] & 127) + 1
        if content[place] & 128:
            pixels += content[place + 1 : place + 1 + size] * count
            place += 1 + size
        else:
            pixels += content[place + 1 : place + 1 + size * count]
            place += 1 + size * count
    return bytes(pixels) if place <= len(content) else b""


def _palette(file: BinaryIO, head: TgaHead) -> Codes:
    """The colours as they are stored, (N, bytes), from index 0 on.

    An index without a colour ends in an `IndexError`.
    """
    length = (head.palette_bits + 7) // 8
    content = read_at(file, head.palette, head.palette_length * length)
    colours = np.frombuffer(content, np.uint8).reshape(-1, length)
    return np.concatenate([np.zeros((head.palette_first, length), np.uint8), colours])


def _whole(pixels: Codes) -> Codes:
    """Stored numbers of one or two bytes, (H, W)."""
    whole: Codes = np.ascontiguousarray(pixels).view("<u2" if pixels.shape[2] == 2 else "u1")
    return whole[..., 0]


def _channels(pixels: Codes, head: TgaHead) -> tuple[Codes, Codes | None, float]:
    """Colours, what may be opacity, and white."""
    if head.kind == GREY:
        return pixels[..., :1], pixels[..., 1] if pixels.shape[2] == 2 else None, 255
    if head.colour_bits in (15, 16):
        numbers = _whole(pixels)
        codes = np.stack([numbers >> shift & 31 for shift in (10, 5, 0)], axis=2)
        return codes.astype(np.uint8), ((numbers >> 15) * 31).astype(np.uint8), 31
    return pixels[..., 2::-1], pixels[..., 3] if pixels.shape[2] == 4 else None, 255


def _is_alpha(opacity: Codes, head: TgaHead) -> bool:
    """Whether a channel is opacity; one that hides everything was never meant to be.

    Programs disagree on what a single bit means, so it counts only where the file says so itself.
    """
    is_said = head.alpha in (ALPHA, PREMULTIPLIED)
    if head.alpha == UNSAID and head.colour_bits not in (15, 16):
        is_said = head.alpha_bits > 0
    elif head.alpha == UNSAID:
        is_said = head.kind == GREY
    return is_said and bool(opacity.any())
