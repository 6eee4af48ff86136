"""The header of a WebP file, and how its picture is coded."""

import os
import struct
from typing import BinaryIO

from daemon.photo.picture import Header
from daemon.photo.pillow_files import read_pillow_header
from daemon.system.files import read_at

_MAX_CHUNKS = 1000


def is_lossless_webp(file: BinaryIO) -> bool:
    """Whether the picture, of an animation its first frame, is coded without loss."""
    size = file.seek(0, os.SEEK_END)
    place = 12
    for _ in range(_MAX_CHUNKS):
        if place + 8 > size:
            return False
        kind, length = struct.unpack("<4sI", read_at(file, place, 8))
        if kind in (b"VP8 ", b"VP8L"):
            return bool(kind == b"VP8L")
        # The chunks of a frame follow its own 16 bytes.
        place += 8 + (16 if kind == b"ANMF" else length + length % 2)
    return False


def read_webp_header(file: BinaryIO, label: str) -> Header:
    """The header of a WebP file; Pillow would read the file to its end and reserve its canvas."""
    file.seek(0)
    start = file.read(30)
    if len(start) < 30:
        raise ValueError("it ends within its header")
    alpha = False
    match start[12:16]:
        case b"VP8X":
            alpha = bool(start[20] & 0x10)
            width = 1 + int.from_bytes(start[24:27], "little")
            height = 1 + int.from_bytes(start[27:30], "little")
        case b"VP8L":
            (bits,) = struct.unpack_from("<I", start, 21)
            alpha = bool(bits >> 28 & 1)
            width, height = 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
        case b"VP8 ":
            width, height = (side & 0x3FFF for side in struct.unpack_from("<HH", start, 26))
        case _:
            return read_pillow_header(file, label)
    return Header("WEBP", width, height, "RGBA" if alpha else "RGB")
