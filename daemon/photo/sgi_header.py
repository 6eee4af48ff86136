"""The header of a picture of Silicon Graphics (.sgi, .rgb, .rgba, .bw), read with bounds."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import BinaryIO

from daemon.photo.picture import Header
from daemon.system.errors import PhotoError
from daemon.system.files import read_at

SIGNATURE = b"\x01\xda"
HEAD_BYTES = 512
_NORMAL, _SCREEN = 0, 2
_MAX_CHANNELS = 8
"""Packed rows may all share a few bytes, so the file's length does not bound them."""

_MODES = {1: "L", 2: "LA", 3: "RGB"}


@dataclass(frozen=True)
class SgiHead:
    """The header.

    Attributes:
        compressed: Its rows are in packets.
        sample_bytes: Bytes of a sample, 1 or 2.
        width, height, channels: As the file says.
        name: What it is called, or b"".
    """

    compressed: bool
    sample_bytes: int
    width: int
    height: int
    channels: int
    name: bytes


def is_sgi(start: bytes, file: BinaryIO) -> bool:
    """Whether a file is of Silicon Graphics: its signature is too short to go by it alone."""
    return (
        start.startswith(SIGNATURE)
        and len(start) > 12
        and start[2] in (0, 1)
        and start[3] in (1, 2)
        and start[4] == 0
        and start[5] in (1, 2, 3)
    )


def read_sgi_header(file: BinaryIO, label: str) -> Header:
    """The header of a picture of Silicon Graphics.

    Raises:
        PhotoError: It is a palette, or coded by one.
        struct.error: It ends within its header.
    """
    head = read_sgi_head(file, label)
    mode = _MODES.get(head.channels, "RGBA")
    return Header("SGI", head.width, head.height, mode + ";16" * (head.sample_bytes == 2))


def read_sgi_head(file: BinaryIO, label: str) -> SgiHead:
    """The header; errors as in `read_sgi_header`."""
    content = read_at(file, 0, HEAD_BYTES)
    fields = struct.unpack_from(">HBBHHHHII4x80sI", content)
    _, storage, sample_bytes, dimension, width, height, channels, _, _, name, colours = fields
    if colours not in (_NORMAL, _SCREEN):
        why = "it is a palette, or a picture that needs one in another file, which is not read"
        raise PhotoError(label, why, "convert it to TIFF and hand that in")
    height = height if dimension > 1 else 1
    channels = channels if dimension > 2 else 1
    if not 1 <= channels <= _MAX_CHANNELS:
        raise ValueError(f"it has {channels} channels, expected 1 to {_MAX_CHANNELS}")
    title = name.partition(b"\0")[0].strip()
    return SgiHead(storage == 1, sample_bytes, width, height, channels, title)
