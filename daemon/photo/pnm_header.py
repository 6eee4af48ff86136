"""The head of a portable anymap (PBM, PGM, PPM, PAM: Netpbm) or float map (PFM)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import BinaryIO

from daemon.photo.picture import Header

_HEAD_BYTES = 4096
"""Bytes within which the head ends, comments and all."""

_MAX_CHANNELS = 64

_SPACE = rb"(?:\s|#[^\n\r]*[\n\r])+"
_HEAD = re.compile(
    rb"P(?P<kind>[1-6Ff])" + _SPACE + rb"(?P<width>\d{1,9})" + _SPACE + rb"(?P<height>\d{1,9})"
)
_WHITE = re.compile(_SPACE + rb"(?P<white>\d{1,5})")
_LINES = re.compile(rb"P7\s*\n(?P<lines>(?:[^\n]*\n)*?)ENDHDR[ \t\r]*\n")
_LINE = re.compile(rb"^\s*(WIDTH|HEIGHT|DEPTH|MAXVAL)\s+(\d{1,9})\s*$", re.MULTILINE)
_COMMENT = re.compile(rb"#([^\n\r]*)")
_SCALE = re.compile(rb"\s+(?P<scale>[-+.0-9eE]{1,30})")


@dataclass(frozen=True)
class PnmHead:
    """The fields of the head.

    Attributes:
        kind: The letter or digit after the P.
        width, height: Size in pixels.
        white: Code of white; 1 for bitmaps and floats.
        little: Floats are little-endian.
        begin: Where the pixels begin.
        channels: Channels of a pixel.
        comments: What stands behind each #.
    """

    kind: str
    width: int
    height: int
    white: int
    little: bool
    begin: int
    channels: int
    comments: tuple[bytes, ...] = ()


def is_pnm(start: bytes, file: BinaryIO) -> bool:
    """Whether a file is a portable map: its signature is too short to go by it alone."""
    return (
        len(start) > 2
        and start[:1] == b"P"
        and start[1:2] in b"1234567Ff"
        and (start[2:3].isspace() or start[2:3] == b"#")
    )


def read_pnm_header(file: BinaryIO, label: str) -> Header:
    """Read the size and mode of a portable map (PPM, PGM, PBM, PFM).

    Args:
        file: The file.
        label: Not used; readers of all formats have the same arguments.

    Raises:
        ValueError: The head has no end, or its numbers are out of range.
    """
    head = read_pnm_head(file)
    mode = {1: "L", 2: "LA", 3: "RGB"}.get(head.channels, "RGBA")
    depth = ";32" if head.kind in "Ff" else ";16" if head.white > 255 else ""
    return Header("PPM", head.width, head.height, mode + depth)


def read_pnm_head(file: BinaryIO) -> PnmHead:
    """Read the head of a portable map.

    Raises:
        ValueError: It has no end, or its numbers are out of range.
    """
    file.seek(0)
    content = file.read(_HEAD_BYTES)
    if content.startswith(b"P7"):
        return _pam_head(content)
    found = _HEAD.match(content)
    if found is None:
        raise ValueError("its head cannot be read")
    kind = found["kind"].decode()
    white, little, end = 1, False, found.end()
    if kind in "2356":
        number = _WHITE.match(content, end)
        if number is None or not 1 <= int(number["white"]) <= 65535:
            raise ValueError("its head gives no white of 1 to 65535")
        white, end = int(number["white"]), number.end()
    elif kind in "Ff":
        number = _SCALE.match(content, end)
        if number is None:
            raise ValueError("its head gives no scale")
        little, end = float(number["scale"]) < 0, number.end()
    if not content[end : end + 1].isspace():
        raise ValueError("its head has no end")
    channels = 3 if kind in "36F" else 1
    size = int(found["width"]), int(found["height"])
    return PnmHead(kind, *size, white, little, end + 1, channels, _comments(content[:end]))


def _pam_head(content: bytes) -> PnmHead:
    """The head of an arbitrary map (PAM), whose lines are names with their values."""
    found = _LINES.match(content)
    values = {} if found is None else dict(_LINE.findall(found["lines"]))
    if found is None or len(values) < 4:
        raise ValueError("its head cannot be read")
    if b"CMYK" in found["lines"]:
        raise ValueError("its pixels are CMYK, which is not read of a PAM; convert it to TIFF")
    width, height, channels, white = (
        int(values[name]) for name in (b"WIDTH", b"HEIGHT", b"DEPTH", b"MAXVAL")
    )
    if not 1 <= white <= 65535 or not 1 <= channels <= _MAX_CHANNELS:
        raise ValueError("its head gives no white of 1 to 65535, or no channels")
    said = _comments(found["lines"])
    return PnmHead("7", width, height, white, False, found.end(), channels, said)


def _comments(head: bytes) -> tuple[bytes, ...]:
    found = (comment.strip() for comment in _COMMENT.findall(head))
    return tuple(comment for comment in found if comment)
