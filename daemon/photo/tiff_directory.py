"""The directories of a TIFF, classic or BigTIFF: read with bounds, without Pillow or numpy.

The daemon reads headers with it; nothing here decodes a pixel or follows what a file declares
further than `MAX_VALUE_BYTES`.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import BinaryIO

from daemon.photo.picture import Header
from daemon.system.errors import PhotoError
from daemon.system.files import read_at

MAX_FIELDS = 1 << 16
"""Fields of a directory that are looked at."""

MAX_VALUES = 1 << 20
"""Numbers in one field; photographs have some ten thousand strips at most."""

MAX_VALUE_BYTES = 1 << 16
"""Longest value that `Directory.numbers` reads."""

MAX_PAGES = 1000
"""Pages of a file up to which each can be restored."""

_MAX_SUB_DIRECTORIES = 16
_REDUCED, _MASK = 1, 4
"""Bits of NewSubfileType: a smaller copy of another page, and a mask of one."""


_SIZES = {
    **{1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4},
    **{16: 8, 17: 8, 18: 8},
}
"""Bytes of one value of each field type."""

_FORMATS = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i", 13: "I", 16: "Q", 17: "q", 18: "Q"}
_BYTE_TYPES = (1, 2, 6, 7)
"""Types of fields that decoders leave as they are: bytes and text."""


class Tag(IntEnum):
    """Tags that tell what a directory's picture is."""

    NEW_SUBFILE_TYPE = 254
    WIDTH = 256
    HEIGHT = 257
    BITS_PER_SAMPLE = 258
    COMPRESSION = 259
    PHOTOMETRIC = 262
    MAKE = 271
    SAMPLES_PER_PIXEL = 277
    TILE_WIDTH = 322
    TILE_HEIGHT = 323
    SUB_DIRECTORIES = 330
    EXTRA_SAMPLES = 338
    SAMPLE_FORMAT = 339
    DNG_VERSION = 50706


class Photometric(IntEnum):
    """The meaning of a pixel's samples."""

    WHITE_IS_ZERO = 0
    BLACK_IS_ZERO = 1
    RGB = 2
    PALETTE = 3
    MASK = 4
    CMYK = 5
    YCBCR = 6
    CIELAB = 8
    ICCLAB = 9
    ITULAB = 10
    CFA = 32803
    LINEAR_RAW = 34892


RAW_PHOTOMETRICS = (Photometric.CFA, Photometric.LINEAR_RAW)
_MODES: dict[int, str] = {
    Photometric.WHITE_IS_ZERO: "L",
    Photometric.BLACK_IS_ZERO: "L",
    Photometric.PALETTE: "P",
    Photometric.CMYK: "CMYK",
    Photometric.YCBCR: "YCbCr",
    Photometric.CIELAB: "LAB",
    Photometric.ICCLAB: "LAB",
}


@dataclass(frozen=True)
class Layout:
    """How a TIFF writes numbers.

    Attributes:
        order: "<" or ">".
        big: Whether it is a BigTIFF.
        first: Offset of its first directory.
    """

    order: str
    big: bool
    first: int


@dataclass(frozen=True)
class Field:
    """A field of a directory: type, number of values and where they lie in the file."""

    kind: int
    count: int
    offset: int

    @property
    def size(self) -> int:
        """Bytes of its values; 0 for a type that is unknown."""
        return _SIZES.get(self.kind, 0) * self.count


@dataclass(frozen=True)
class Directory:
    """A directory, without its values.

    Attributes:
        layout: How the file writes numbers.
        fields: Its fields by their tag.
        following: Offset of the next directory, 0 after the last.
        size: Bytes of it, without values that lie elsewhere.
    """

    layout: Layout
    fields: dict[int, Field]
    following: int
    size: int

    def numbers(self, file: BinaryIO, tag: int, default: int | None = None) -> tuple[int, ...]:
        """The whole numbers of a field; the default, or nothing, where it has none."""
        field = self.fields.get(tag)
        if field is None or not 0 < field.size <= MAX_VALUE_BYTES:
            return () if default is None else (default,)
        return self.all_numbers(file, tag) or (() if default is None else (default,))

    def all_numbers(self, file: BinaryIO, tag: int) -> tuple[int, ...]:
        """The whole numbers of a field of up to `MAX_VALUES`; nothing where it has none."""
        field = self.fields.get(tag)
        code = _FORMATS.get(field.kind) if field else None
        if field is None or code is None or field.count > MAX_VALUES:
            return ()
        content = read_at(file, field.offset, field.size)
        return struct.unpack(f"{self.layout.order}{field.count}{code}", content)

    def number(self, file: BinaryIO, tag: int, default: int) -> int:
        """The first number of a field."""
        return self.numbers(file, tag, default)[0]


def read_layout(file: BinaryIO) -> Layout | None:
    """How a file writes numbers; None if it is no TIFF."""
    file.seek(0)
    start = file.read(16)
    order = {b"II": "<", b"MM": ">"}.get(start[:2])
    if order is None:
        return None
    (version,) = struct.unpack_from(f"{order}H", start, 2)
    if version == 42:
        return Layout(order, big=False, first=struct.unpack_from(f"{order}I", start, 4)[0])
    if version == 43:
        return Layout(order, big=True, first=struct.unpack_from(f"{order}Q", start, 8)[0])
    return None


def read_directory(file: BinaryIO, layout: Layout, offset: int) -> Directory:
    """Read a directory.

    Raises:
        struct.error: The file ends before it does.
    """
    number, pointer, length = ("Q", "Q", 20) if layout.big else ("H", "I", 12)
    entry = f"{layout.order}HH{pointer}"
    inline = struct.calcsize(layout.order + pointer)
    begin = offset + struct.calcsize(number)
    (count,) = struct.unpack(layout.order + number, read_at(file, offset, begin - offset))
    content = read_at(file, begin, length * min(count, MAX_FIELDS))
    fields: dict[int, Field] = {}
    for place in range(0, len(content) - length + 1, length):
        tag, kind, values = struct.unpack_from(entry, content, place)
        where = place + length - inline
        field = Field(kind, values, begin + where)
        if field.size > inline:
            (target,) = struct.unpack_from(layout.order + pointer, content, where)
            field = Field(kind, values, target)
        fields.setdefault(tag, field)
    size = begin - offset + length * count
    rest = read_at(file, offset + size, inline)
    whole = len(rest) == inline
    (following,) = struct.unpack(layout.order + pointer, rest) if whole else (0,)
    return Directory(layout, fields, following, size)


def read_tiff_header(file: BinaryIO, label: str) -> Header:
    """The header of a TIFF's first page.

    Raises:
        PhotoError: It is a camera's raw file, or its directory holds more than a decoder can.
        struct.error: It ends within its first directory.
    """
    layout = read_layout(file)
    if layout is None:
        raise ValueError("no TIFF")
    directory = read_directory(file, layout, layout.first)
    if not directory.fields:
        raise ValueError("its first directory is empty")
    for tag, field in directory.fields.items():
        if field.kind not in _BYTE_TYPES and field.count > MAX_VALUES:
            why = f"field {tag} of its directory has {field.count} values"
            raise PhotoError(label, f"{why}; allowed: at most {MAX_VALUES}")
    if is_raw(file, directory):
        raise PhotoError(
            label,
            "is a camera's raw file, of which only the preview could be read",
            "develop it with a raw converter and hand in the TIFF that it writes",
        )
    pages = full_pages(file, layout)
    sizes = tuple(_size(file, page) for _, page in pages)
    if len(pages) == 1 or any(side < 1 for size in sizes for side in size):
        sizes = ()
    width, height = _size(file, directory)
    return Header("TIFF", width, height, _mode(file, directory), page_sizes=sizes)


def full_pages(file: BinaryIO, layout: Layout) -> list[tuple[int, Directory]]:
    """The number and directory of each page that is no smaller copy and no mask of another.

    Of a file with more than `MAX_PAGES`, or with a damaged or endless chain of pages, the first.
    """
    pages: list[tuple[int, Directory]] = []
    seen: set[int] = set()
    offset = layout.first
    try:
        while offset:
            if offset in seen or len(seen) >= MAX_PAGES:
                return pages[:1]
            directory = read_directory(file, layout, offset)
            kind = directory.number(file, Tag.NEW_SUBFILE_TYPE, 0)
            if not seen or not kind & (_REDUCED | _MASK):
                pages.append((len(seen), directory))
            seen.add(offset)
            offset = directory.following
    except (struct.error, OSError, ValueError, OverflowError):
        return pages[:1]
    return pages


def is_raw(file: BinaryIO, directory: Directory) -> bool:
    """Whether a TIFF is a camera's raw file, whose first directory often has a mere thumbnail."""
    file.seek(8)
    if file.read(2) == b"CR" or Tag.DNG_VERSION in directory.fields:
        return True
    if directory.number(file, Tag.PHOTOMETRIC, -1) in RAW_PHOTOMETRICS:
        return True
    offsets = directory.numbers(file, Tag.SUB_DIRECTORIES)[:_MAX_SUB_DIRECTORIES]
    for offset in offsets:
        try:
            below = read_directory(file, directory.layout, offset)
            if below.number(file, Tag.PHOTOMETRIC, -1) in RAW_PHOTOMETRICS:
                return True
        except (struct.error, OSError, ValueError, OverflowError):
            continue
    # A first page that calls itself reduced stands for a larger one, as in a Nikon's raw file.
    reduced = directory.number(file, Tag.NEW_SUBFILE_TYPE, 0) & 1 == 1
    return bool(offsets) and reduced


def _size(file: BinaryIO, directory: Directory) -> tuple[int, int]:
    return directory.number(file, Tag.WIDTH, 0), directory.number(file, Tag.HEIGHT, 0)


def _mode(file: BinaryIO, directory: Directory) -> str:
    """The pixels in Pillow's words, with ";16" for depth where it has none."""
    bits = max(directory.numbers(file, Tag.BITS_PER_SAMPLE, 1))
    photometric = directory.number(file, Tag.PHOTOMETRIC, 1)
    mode = _MODES.get(photometric, "RGB")
    opaque = not {1, 2} & set(directory.numbers(file, Tag.EXTRA_SAMPLES))
    is_float = directory.number(file, Tag.SAMPLE_FORMAT, 1) == 3
    if mode == "L" and opaque:
        return "F" if is_float else {1: "1", 16: "I;16", 32: "I"}.get(bits, "L")
    return mode + ("" if opaque else "A") + (f";{bits}" if bits > 8 else "")
