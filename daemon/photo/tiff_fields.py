"""The fields of a TIFF's or an EXIF block's directories: taken apart and put together again.

Values are kept as bytes in the order of their block, so nothing is interpreted on the way.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Sequence
from dataclasses import dataclass

from daemon.photo.tiff_directory import Layout, read_directory, read_layout
from daemon.system.files import read_at

SUB_DIRECTORIES = (0x8769, 0x8825, 0xA005)
"""Tags that point to EXIF's own directory, to GPS and to interoperability."""

_MAX_BYTES = 1 << 28
_LONG, _LONG8 = 4, 16


@dataclass(frozen=True)
class RawField:
    """A field with its value.

    Attributes:
        tag: Its tag.
        kind: Its type.
        count: Number of values.
        content: Their bytes; of a pointer to a directory nothing.
        below: Fields of the directory that it points to, or None.
    """

    tag: int
    kind: int
    count: int
    content: bytes
    below: tuple[RawField, ...] | None = None


def parse_block(block: bytes) -> tuple[str, tuple[RawField, ...]]:
    """The byte order of an EXIF block ("<" or ">") and the fields of its first directory.

    Raises:
        ValueError, struct.error: It is no such block, or is cut.
    """
    file = io.BytesIO(block.removeprefix(b"Exif\0\0"))
    layout = read_layout(file)
    if layout is None:
        raise ValueError("it is no EXIF")
    return layout.order, _fields(file, layout, layout.first, depth=0)


def numbers_field(order: str, tag: int, kind: int, values: Sequence[int]) -> RawField:
    """A field of whole numbers: bytes (1), 16 (3), 32 (4) or 64 bits (16)."""
    code = {1: "B", 3: "H", 4: "I", 16: "Q"}[kind]
    return RawField(tag, kind, len(values), struct.pack(f"{order}{len(values)}{code}", *values))


def packed_directory(fields: Sequence[RawField], order: str, begin: int, *, big: bool) -> bytes:
    """A directory, its values and the directories below it, to stand at an offset.

    Args:
        fields: In any order; of two with one tag the last counts.
        order: "<" or ">".
        begin: Offset in the file at which the directory begins, even.
        big: Whether the file is a BigTIFF.
    """
    entries = sorted({field.tag: field for field in fields}.values(), key=lambda one: one.tag)
    number, pointer, inline = ("Q", "Q", 8) if big else ("H", "I", 4)
    entry_bytes = 12 + 2 * inline - 4 if big else 12
    size = struct.calcsize(order + number) + entry_bytes * len(entries) + inline
    head, tail = struct.pack(order + number, len(entries)), b""
    for field in entries:
        tail += b"\0" * (len(tail) % 2)
        place = begin + size + len(tail)
        kind, count, content = field.kind, field.count, field.content
        if field.below is not None:
            kind, count = (_LONG8 if big else _LONG), 1
            content = struct.pack(order + pointer, place)
            tail += packed_directory(field.below, order, place, big=big)
        elif len(content) > inline:
            tail += content
            content = struct.pack(order + pointer, place)
        head += struct.pack(f"{order}HH{pointer}", field.tag, kind, count)
        head += content.ljust(inline, b"\0")
    return head + struct.pack(order + pointer, 0) + tail


def _fields(file: io.BytesIO, layout: Layout, offset: int, depth: int) -> tuple[RawField, ...]:
    fields = []
    for tag, field in read_directory(file, layout, offset).fields.items():
        if field.size == 0 or field.size > _MAX_BYTES:
            continue
        content = read_at(file, field.offset, field.size)
        if len(content) < field.size:
            continue
        below = None
        if tag in SUB_DIRECTORIES and depth < len(SUB_DIRECTORIES) and len(content) == 4:
            (place,) = struct.unpack(layout.order + "I", content)
            below = _fields(file, layout, place, depth + 1)
        fields.append(RawField(tag, field.kind, field.count, content, below))
    return tuple(fields)
