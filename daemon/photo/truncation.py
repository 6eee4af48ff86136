"""Whether a file ends before its picture does, read from a few of its bytes.

The daemon's loop asks this, so the work is bounded whatever the file declares. Nothing is decoded
and nothing mapped into memory: a file that shrinks under a map kills the process.
"""

import os
import struct
from pathlib import Path
from typing import BinaryIO

from daemon.config.steps import PROMPT_SUFFIXES
from daemon.photo import jpeg2000_header, jpegxl_header
from daemon.photo.isobmff import is_heif, is_heif_truncated
from daemon.photo.tiff_directory import read_directory, read_layout
from daemon.system.errors import TruncatedError
from daemon.system.files import open_regular

_SIGNATURES = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF87a", b"GIF89a", b"RIFF", b"BM")
_TIFF_SIGNATURES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_BLOCK = 1 << 20

_MAX_SEARCH = 64 << 20
"""Bytes of a JPEG that are searched for its end marker: 0.05 s."""

_MAX_PARTS = 100_000
"""Segments or chunks that are followed: 0.3 s. A PNG of 800 MB in chunks of 8 KiB has as many."""

_MAX_FILL = 4096
"""Fill bytes in a row between two JPEG segments; more of them are no JPEG."""

_PDF_TAIL = 1 << 16
"""Bytes at the end of a PDF among which its last line stands: some programs append to it."""

_MAX_TIFF_PARTS = 1 << 20
"""Strips or tiles of a TIFF; photographs have some ten thousand at most."""

_TIFF_LENGTHS = {273: 279, 324: 325}
"""Tags of the offsets of a TIFF's strips and tiles, with the tags of their lengths."""


def is_truncated(path: Path, *, beneath: Path | None = None) -> bool:
    """Whether a picture file lacks its end; False where its format cannot tell.

    JPEG must have its end marker, PNG its last chunk, GIF its trailer, WebP and BMP the length
    they declare, TIFF all that its first directory points at, HEIF, AVIF, JPEG XL and JPEG 2000
    all boxes, a PDF its last line. A prompt file has no end to lack, whatever its first characters.
    An end that a bounded search does not find is lacking.

    Args:
        path: The file.
        beneath: A folder below which no link is followed, see `open_regular`.

    Raises:
        OSError: The file cannot be read.
    """
    if path.suffix.lower() in PROMPT_SUFFIXES:
        return False
    with open_regular(path, beneath) as file:
        size = os.fstat(file.fileno()).st_size
        start = file.read(64)
        if any(s.startswith(start) for s in (*_SIGNATURES, *_TIFF_SIGNATURES)):
            return True
        try:
            if start.startswith(b"\xff\xd8\xff"):
                return _is_jpeg_truncated(file, size)
            if start.startswith(b"\x89PNG\r\n\x1a\n"):
                return _is_png_truncated(file, size)
            if start.startswith((b"GIF87a", b"GIF89a")):
                return not _tail(file, size, 64).rstrip(b"\0").endswith(b";")
            if start.startswith(b"RIFF"):
                return size < 8 + int(struct.unpack_from("<I", start, 4)[0])
            if start.startswith(b"BM"):
                return size < _bmp_length(start)
            if start.startswith(_TIFF_SIGNATURES):
                return is_tiff_truncated(file, size)
            if start.startswith(b"%PDF"):
                return b"%%EOF" not in _tail(file, size, _PDF_TAIL)
            if is_heif(start):
                return is_heif_truncated(file, size)
            if start.startswith(jpegxl_header.CONTAINER):
                return jpegxl_header.is_jpegxl_truncated(file, size)
            if start.startswith(jpeg2000_header.CONTAINER):
                return jpeg2000_header.is_jpeg2000_truncated(file, size)
        except struct.error:
            # Too short for the fields that every file of the format has.
            return True
    return False


def truncated_error(label: str, size: int) -> TruncatedError:
    """The error for a file that ends early, after `size` bytes."""
    why = f"ends early, after {size} bytes; expected a whole picture"
    return TruncatedError(label, why, "copy it again")


def _tail(file: BinaryIO, size: int, length: int) -> bytes:
    file.seek(max(0, size - length))
    return file.read(length)


def _is_jpeg_truncated(file: BinaryIO, size: int) -> bool:
    if _tail(file, size, 64).rstrip(b"\0").endswith(b"\xff\xd9"):
        return False
    # Something may be appended to the picture (phones add films), so look for the marker behind
    # the last header: a thumbnail in the headers has an end marker of its own.
    offset, fill = 2, 0
    for _ in range(_MAX_PARTS):
        file.seek(offset)
        marker = file.read(4)
        if len(marker) < 4 or marker[0] != 0xFF:
            return len(marker) < 4
        if marker[1] == 0xFF:
            fill += 1
            if fill > _MAX_FILL:
                return False
            offset += 1
            continue
        fill = 0
        offset += 2 + int(struct.unpack(">H", marker[2:])[0])
        if marker[1] == 0xDA:  # start of scan
            return not _contains(file, offset, b"\xff\xd9")
    return True


def _contains(file: BinaryIO, offset: int, wanted: bytes) -> bool:
    """Whether these bytes occur in a file within `_MAX_SEARCH` from an offset on."""
    file.seek(offset)
    before = b""
    for _ in range(_MAX_SEARCH // _BLOCK):
        block = file.read(_BLOCK)
        if wanted in before + block:
            return True
        if not block:
            break
        before = block[1 - len(wanted) :]
    return False


def _is_png_truncated(file: BinaryIO, size: int) -> bool:
    if _tail(file, size, 12)[4:8] == b"IEND":
        return False
    offset = 8
    for _ in range(_MAX_PARTS):
        if offset + 12 > size:
            break
        file.seek(offset)
        length, kind = struct.unpack(">I4s", file.read(8))
        offset += 12 + length
        if kind == b"IEND":
            return False
        if not kind.isalpha():  # the zeros of a file whose size was set before its content came
            break
    return True


def _bmp_length(start: bytes) -> int:
    """Bytes that a BMP file must have; the length that it declares is wrong in many files."""
    declared, _, offset, head = struct.unpack_from("<IIII", start, 2)
    if head < 40:
        return int(declared)
    width, height, _, bits, compression = struct.unpack_from("<iiHHI", start, 18)
    if compression not in (0, 3, 6):
        return int(declared)
    return int(offset + (width * bits + 31) // 32 * 4 * abs(height))


def is_tiff_truncated(file: BinaryIO, size: int, offset: int | None = None) -> bool:
    """Whether a directory of a TIFF points beyond the end of the file.

    Args:
        file: The file, a TIFF.
        size: Its bytes.
        offset: Where the directory begins; None for the first.
    """
    try:
        layout = read_layout(file)
        if layout is None:
            return False
        begin = layout.first if offset is None else offset
        directory = read_directory(file, layout, begin)
        if begin + directory.size > size:
            return True
        for tag, field in directory.fields.items():
            if field.offset + field.size > size:
                return True
            if tag in (*_TIFF_LENGTHS, *_TIFF_LENGTHS.values()) and field.count > _MAX_TIFF_PARTS:
                return False  # it is no photograph; whoever reads its header says so
        return any(
            offset + length > size
            for offsets, lengths in _TIFF_LENGTHS.items()
            for offset, length in zip(
                directory.all_numbers(file, offsets),
                directory.all_numbers(file, lengths),
                strict=False,
            )
        )
    except struct.error:
        # Too short for the fields that every file of the format has.
        return True
