"""How bitmaps whose signature is too short are recognised: by several fields that fit together."""

from __future__ import annotations

import struct
from typing import BinaryIO

_OLD_DIB_HEADER = 12
_DIB_HEADERS = (40, 52, 56, 64, 108, 124)
"""Lengths of headers, the first field of a BMP that lacks its own first header (DIB)."""

_DIB_BITS = (1, 4, 8, 16, 24, 32)
_DIB_COMPRESSIONS = (0, 1, 2, 3, 6)
_PCX_VERSIONS = (0, 2, 3, 4, 5)
_PCX_BITS = (1, 2, 4, 8)


def is_dib(start: bytes, file: BinaryIO) -> bool:
    """Whether a file is a BMP without its first header, as clipboards and programs keep it."""
    if len(start) < 40:
        return False
    (length,) = struct.unpack_from("<I", start)
    if length == _OLD_DIB_HEADER:
        width, height, planes, bits = struct.unpack_from("<4H", start, 4)
        compression = 0
    elif length in _DIB_HEADERS:
        width, height, planes, bits, compression = struct.unpack_from("<iiHHI", start, 4)
    else:
        return False
    fits = planes == 1 and bits in _DIB_BITS and compression in _DIB_COMPRESSIONS
    return fits and width > 0 and height != 0


def is_pcx(start: bytes, file: BinaryIO) -> bool:
    """Whether a file is a PCX picture."""
    if len(start) < 12 or start[0] != 10:
        return False
    left, top, right, bottom = struct.unpack_from("<4H", start, 4)
    fits = start[1] in _PCX_VERSIONS and start[2] == 1 and start[3] in _PCX_BITS
    return fits and left <= right and top <= bottom
