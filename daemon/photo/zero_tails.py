"""Zeros in place of the rest of a file, as a half copy or a crash leaves them.

Most formats break there. In those that store pixels as they are, zeros are black pixels, and some
decoders take zeros for codes: the picture decodes, and nothing but the file tells. A real picture
may end black, too, so it is noted and not refused. JPEG has a check of its own (`jpeg_data`).
"""

from __future__ import annotations

import os
from typing import BinaryIO

from daemon.photo.notes import Note, NoteKind

STORED = ("BMP", "HDR", "PPM", "PSD", "SGI", "TGA", "TIFF")
"""Formats that may store pixels as they are."""

CODED = ("AVIF", "HEIF", "JPEG2000", "WEBP")
"""Formats without check sums whose decoders take zeros for codes of some picture."""

_LEAST = 4096
"""Zeros at the end of a file, in bytes, below which it is not suspected: a page of memory."""

_LARGE_SHARE = 1 / 8
"""Share of a file that ends in zeros from which on it is suspected wherever they begin."""

_SECTOR = 512
"""Bytes whose multiples a copy has reached when it is interrupted: disks are written in sectors."""

_BEFORE_SECTOR = 16
"""Most bytes before such a multiple that a picture's own last codes may be zero."""

_BLOCK = 1 << 20


def zero_tail_notes(file: BinaryIO, format: str) -> tuple[Note, ...]:
    """A note if a file ends in zeros as an interrupted copy does.

    Args:
        file: The file, whose picture has been decoded.
        format: Name of its format, as headers have it.

    Raises:
        OSError: It cannot be read.
    """
    if format not in (*STORED, *CODED):
        return ()
    size = _end_of_picture(file, format)
    begin = _zeros_from(file, size)
    if size - begin < _LEAST:
        return ()
    is_at_sector = -begin % _SECTOR <= _BEFORE_SECTOR
    if not is_at_sector and size - begin < _LARGE_SHARE * size:
        return ()
    what = "are black in the picture" if format in STORED else "part of the picture may be lost"
    share = max(1, round(100 * (size - begin) / size))
    return (
        Note(
            NoteKind.DAMAGE,
            f"the last {share} % of its file are zeros, as where a copy was interrupted, and "
            f"{what}: compare it with another copy",
        ),
    )


def _end_of_picture(file: BinaryIO, format: str) -> int:
    """The offset behind the picture; what follows a WebP in its file is no part of it."""
    size = os.fstat(file.fileno()).st_size
    if format != "WEBP":
        return size
    file.seek(4)
    return min(size, 8 + int.from_bytes(file.read(4), "little"))


def _zeros_from(file: BinaryIO, size: int) -> int:
    """The offset from which on a file has zeros only."""
    end = size
    while end > 0:
        start = max(0, end - _BLOCK)
        file.seek(start)
        left = file.read(end - start).rstrip(b"\0")
        if left:
            return start + len(left)
        end = start
    return 0
