"""The fields of a TIFF's or an EXIF block's directories: taken apart and put together again.

Values are kept as bytes in the order of their block, so nothing is interpreted on the way. A value
that holds offsets itself, as maker notes do, can be pinned to the place where it lay.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import BinaryIO

from daemon.photo.tiff_directory import Layout, read_directory, read_layout
from daemon.system.files import read_at

EXIF, GPS, INTEROPERABILITY = 0x8769, 0x8825, 0xA005
SUB_DIRECTORIES = (EXIF, GPS, INTEROPERABILITY)
"""Tags that point to EXIF's own directory, to GPS and to interoperability."""

_MAX_BYTES = 1 << 26
"""Bytes of all values of a block together: fields that share their bytes cannot multiply them."""

_HEADER_BYTES = 8
_LONG, _SIGNED, _IFD, _LONG8, _IFD8 = 4, 9, 13, 16, 18
_POINTERS = {_LONG: "I", _SIGNED: "I", _IFD: "I", _LONG8: "Q", _IFD8: "Q"}


@dataclass(frozen=True)
class RawField:
    """A field with its value.

    Attributes:
        tag: Its tag.
        kind: Its type.
        count: Number of values.
        content: Their bytes; of a pointer to a directory nothing.
        below: Fields of the directory that it points to, or None.
        place: Offset at which the content lay; None if it stood in the directory itself.
        pinned: Whether it must lie there again.
    """

    tag: int
    kind: int
    count: int
    content: bytes
    below: tuple[RawField, ...] | None = None
    place: int | None = None
    pinned: bool = False


def parse_block(block: bytes) -> tuple[str, tuple[RawField, ...]]:
    """The byte order of an EXIF block ("<" or ">") and the fields of its first directory.

    Raises:
        ValueError, struct.error: It is no such block, or is cut.
    """
    file = io.BytesIO(block.removeprefix(b"Exif\0\0"))
    layout = read_layout(file)
    if layout is None:
        raise ValueError("it is no EXIF")
    return layout.order, parse_directory(file, layout, layout.first, lambda tag: False)


def parse_directory(
    file: BinaryIO, layout: Layout, offset: int, is_skipped: Callable[[int], bool]
) -> tuple[RawField, ...]:
    """The fields of a directory and of those below it.

    Args:
        file: The file.
        layout: How it writes numbers.
        offset: Where the directory begins.
        is_skipped: Says of a tag of this directory that its value shall not be read.

    Raises:
        ValueError, struct.error: The directory is cut, or its values are too long.
    """
    return _Parser(file, layout).fields(offset, is_skipped)


class _Parser:
    """Reads directories until their values together are too long."""

    def __init__(self, file: BinaryIO, layout: Layout) -> None:
        self._file, self._layout = file, layout
        self._left = _MAX_BYTES

    def fields(
        self, offset: int, is_skipped: Callable[[int], bool], depth: int = 0
    ) -> tuple[RawField, ...]:
        inline = 8 if self._layout.big else 4
        fields = []
        for tag, field in read_directory(self._file, self._layout, offset).fields.items():
            if is_skipped(tag) or not 0 < field.size <= _MAX_BYTES:
                continue
            self._left -= field.size
            if self._left < 0:
                raise ValueError(f"its values are longer than {_MAX_BYTES} bytes")
            content = read_at(self._file, field.offset, field.size)
            if len(content) < field.size:
                continue
            if tag in SUB_DIRECTORIES:
                below = self._below(field.kind, content, depth)
                if below:
                    fields.append(RawField(tag, _LONG, 1, b"", below))
            elif field.kind not in (_IFD, _IFD8):
                place = field.offset if field.size > inline else None
                fields.append(RawField(tag, field.kind, field.count, content, place=place))
        return tuple(fields)

    def _below(self, kind: int, content: bytes, depth: int) -> tuple[RawField, ...]:
        """Fields of a directory below; nothing where the pointer points to none."""
        code = _POINTERS.get(kind)
        if code is None or depth >= len(SUB_DIRECTORIES):
            return ()
        try:
            (place,) = struct.unpack_from(self._layout.order + code, content)
            return self.fields(place, lambda tag: False, depth + 1)
        except (struct.error, OSError, OverflowError):
            return ()


def numbers_field(order: str, tag: int, kind: int, values: Sequence[int]) -> RawField:
    """A field of whole numbers: bytes (1), 16 (3), 32 (4) or 64 bits (16)."""
    code = {1: "B", 3: "H", 4: "I", 16: "Q"}[kind]
    return RawField(tag, kind, len(values), struct.pack(f"{order}{len(values)}{code}", *values))


def pinned_fields(fields: Sequence[RawField]) -> list[RawField]:
    """Fields whose values must keep their offset, those of sub-directories included."""
    found = [field for field in fields if field.pinned]
    for field in fields:
        found += pinned_fields(field.below or ())
    return found


def without_pinned(fields: Sequence[RawField]) -> list[RawField]:
    """The fields but for those that must lie where they lay, of all directories."""
    kept = [field for field in fields if not field.pinned]
    return [
        field if field.below is None else replace(field, below=tuple(without_pinned(field.below)))
        for field in kept
    ]


def packed_block(fields: Sequence[RawField], order: str) -> bytes:
    """An EXIF block, from its TIFF header on, with what is pinned at its place."""
    packer = _Packer(order, _HEADER_BYTES, big=False)
    for field in pinned_fields(fields):
        packer.pin(field)
    first = packer.directory(fields)
    start = b"II" if order == "<" else b"MM"
    return start + struct.pack(f"{order}HI", 42, first) + bytes(packer.content)


def packed_directory(fields: Sequence[RawField], order: str, begin: int, *, big: bool) -> bytes:
    """A directory, its values and the directories below it, to stand at an offset.

    What is pinned is taken to lie at its place already, before that offset.

    Args:
        fields: In any order; of two with one tag the last counts.
        order: "<" or ">".
        begin: Offset in the file at which the directory begins, even.
        big: Whether the file is a BigTIFF.

    """
    packer = _Packer(order, begin, big=big)
    packer.directory(fields)
    return bytes(packer.content)


class _Packer:
    """Puts directories and values one behind the other, around what is pinned."""

    def __init__(self, order: str, begin: int, *, big: bool) -> None:
        self._order, self._begin, self._big = order, begin, big
        self._number, self._pointer, self._inline = ("Q", "Q", 8) if big else ("H", "I", 4)
        self._taken: list[range] = []
        self._free = begin
        self.content = bytearray()

    def pin(self, field: RawField) -> None:
        """Reserve the place of a field."""
        if field.place is not None:
            self._taken.append(range(field.place, field.place + len(field.content)))
            self._put(field.place, field.content)

    def directory(self, fields: Sequence[RawField]) -> int:
        """Pack a directory; the offset at which it begins."""
        entries = sorted({field.tag: field for field in fields}.values(), key=lambda one: one.tag)
        head = struct.calcsize("<" + self._number)
        entry = 4 + 2 * self._inline
        size = head + entry * len(entries) + self._inline
        begin = self._allocate(size)
        self._put(begin, struct.pack(self._order + self._number, len(entries)))
        for index, field in enumerate(entries):
            self._put(begin + head + index * entry, self._entry(field))
        self._put(begin + size - self._inline, b"\0" * self._inline)
        return begin

    def _entry(self, field: RawField) -> bytes:
        kind, count, content = field.kind, field.count, field.content
        if field.below is not None:
            kind, count = (_LONG8 if self._big else _LONG), 1
            content = struct.pack(self._order + self._pointer, self.directory(field.below))
        elif len(content) > self._inline:
            place = field.place if field.pinned else None
            if place is None:
                place = self._allocate(len(content))
                self._put(place, content)
            content = struct.pack(self._order + self._pointer, place)
        start = struct.pack(f"{self._order}HH{self._pointer}", field.tag, kind, count)
        return start + content.ljust(self._inline, b"\0")

    def _allocate(self, size: int) -> int:
        place = self._free + self._free % 2
        for taken in sorted(self._taken, key=lambda one: one.start):
            if place < taken.stop and place + size > taken.start:
                place = taken.stop + taken.stop % 2
        self._free = place + size
        return place

    def _put(self, place: int, content: bytes) -> None:
        start = place - self._begin
        self.content.extend(b"\0" * (start + len(content) - len(self.content)))
        self.content[start : start + len(content)] = content
