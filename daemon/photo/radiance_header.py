"""The head of a Radiance picture (.hdr, .pic): lines of text, then its size."""

from __future__ import annotations

import re
from typing import BinaryIO

from daemon.photo.picture import Header

SIGNATURES = (b"#?RADIANCE", b"#?RGBE")

_HEAD_BYTES = 1 << 16
_SIZE = re.compile(rb"\n\n([-+])Y (\d{1,7}) ([-+])X (\d{1,7})\n")


def read_radiance_header(file: BinaryIO, label: str) -> Header:
    """The header of a Radiance picture.

    Raises:
        ValueError: Its head has no end, or it lies on its side.
    """
    file.seek(0)
    found = _SIZE.search(file.read(_HEAD_BYTES))
    if found is None or (found[1], found[3]) != (b"-", b"+"):
        raise ValueError("its head gives no size of rows from the top")
    return Header("HDR", int(found[4]), int(found[2]), "RGB;32")
