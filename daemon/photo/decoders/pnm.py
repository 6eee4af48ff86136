"""Portable anymaps, whose codes lie there as they are, and float maps."""

from __future__ import annotations

import re
from typing import BinaryIO

import numpy as np

from daemon.photo.decoded import Codes, ColourTags, Decoded
from daemon.photo.notes import Note, NoteKind, extra_channels_note
from daemon.photo.picture import Metadata
from daemon.photo.pnm_header import PnmHead, read_pnm_head, read_pnm_header
from daemon.photo.truncation import truncated_error

_NO_BITS = bytes(sorted(set(range(256)) - set(b"01")))
_COMMENT = re.compile(rb"#[^\n\r]*")


def decode(file: BinaryIO, label: str, page: int = 0) -> Decoded:
    """Decode the first picture of the file; see `photo.decoded.Decode`.

    Raises:
        TruncatedError: It ends before its pixels do.
    """
    head = read_pnm_head(file)
    size = file.seek(0, 2)
    file.seek(head.begin)
    content = file.read()
    codes, used = _codes(head, content)
    if codes is None:
        raise truncated_error(label, size)
    if head.kind in "14":
        codes = 1 - codes  # 1 is black in bitmaps
    if head.kind not in "Ff" and int(codes.max()) > head.white:
        raise ValueError(f"a pixel is beyond its white of {head.white}")
    more = content[used:].lstrip()[:1] == b"P"
    mode = read_pnm_header(file, label).mode
    notes = (Note(NoteKind.PAGES, "further pictures in the file were left out"),) if more else ()
    colours = 1 if head.channels < 3 else 3
    extra = head.channels - colours
    return Decoded(
        codes[..., :colours],
        "grey" if colours == 1 else "rgb",
        Metadata("PPM", mode, comments=head.comments),
        ColourTags(),
        white=None if head.kind in "Ff" else float(head.white),
        alpha=codes[..., colours] if extra else None,
        notes=(*notes, extra_channels_note(extra - 1)) if extra > 1 else notes,
    )


def _codes(head: PnmHead, content: bytes) -> tuple[Codes | None, int]:
    """The codes, or None where some lack, and the bytes that they take."""
    shape = (head.height, head.width, head.channels)
    count = head.height * head.width * head.channels
    if head.kind in "123":
        return _plain(head, content, shape), len(content)
    if head.kind == "4":
        row = (head.width + 7) // 8
        if len(content) < row * head.height:
            return None, 0
        packed = np.frombuffer(content, np.uint8, row * head.height).reshape(head.height, row)
        return np.unpackbits(packed, axis=1)[:, : head.width, None], row * head.height
    name = "u1" if head.white < 256 else ">u2"
    if head.kind in "Ff":
        name = "<f4" if head.little else ">f4"
    stored: np.dtype[np.generic] = np.dtype(name)
    if len(content) < count * stored.itemsize:
        return None, 0
    codes = np.frombuffer(content, stored, count).reshape(shape)
    codes = codes[::-1] if head.kind in "Ff" else codes
    return codes.astype(stored.newbyteorder("=")), count * stored.itemsize


def _plain(head: PnmHead, content: bytes, shape: tuple[int, int, int]) -> Codes | None:
    """Codes written as text; the digits of a bitmap need no space between them."""
    text, count = _COMMENT.sub(b" ", content), int(np.prod(shape))
    if head.kind == "1":
        digits = np.frombuffer(text.translate(None, _NO_BITS), np.uint8) - ord("0")
    else:
        digits = np.fromstring(text, np.int64, sep=" ")
    if digits.size < count:
        return None
    codes = digits[:count].reshape(shape)
    if not 0 <= int(codes.min()) <= int(codes.max()) <= head.white:
        raise ValueError(f"a pixel is beyond its white of {head.white}")
    return codes.astype(np.uint8 if head.white < 256 else np.uint16)
