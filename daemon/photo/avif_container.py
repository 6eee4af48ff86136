"""The boxes of an AVIF file: AV1 images put together with profile, EXIF and XMP.

Encoders write images alone, each into a file of its own; their coded data and properties are taken
out of it.

Source: ISO/IEC 14496-12, 23008-12 (items and their properties), AV1 Image File Format 1.1.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import BinaryIO

from daemon.photo.isobmff import Box, boxes

_HEAD = struct.Struct(">I4s")
_BRANDS = b"avif\0\0\0\0avifmif1miafMA1A"
"""Brands of a still picture in the advanced profile, which covers 12 bits and all colour detail."""

_OPACITY = b"urn:mpeg:mpegB:cicp:systems:auxiliary:alpha\0"
_ESSENTIAL = 0x80
_HIDDEN = 1

_COLOUR, _ALPHA, _EXIF, _XMP = 1, 2, 3, 4
"""Numbers of the items."""


@dataclass(frozen=True)
class CodedImage:
    """An AV1 image.

    Attributes:
        data: Its coded data.
        properties: The boxes that describe it, whole: size, depth, decoder configuration, colours.
    """

    data: bytes
    properties: tuple[bytes, ...]


@dataclass(frozen=True)
class _Item:
    number: int
    kind: bytes
    data: bytes
    properties: tuple[bytes, ...] = ()
    reference: bytes = b""


def coded_image(content: bytes) -> CodedImage:
    """The image of a file that holds one and nothing else.

    Raises:
        ValueError: It is no such file.
    """
    file = io.BytesIO(content)
    whole = {box.kind: box for box in boxes(file, 0, len(content))}
    try:
        data = whole[b"mdat"]
        described = _below(file, whole[b"meta"], 4)
        properties = _below(file, _below(file, described[b"iprp"])[b"ipco"])
    except KeyError as error:
        raise ValueError(f"the encoder wrote no {error} box") from error
    kept = [content[box.begin - _HEAD.size : box.end] for box in properties.values()]
    return CodedImage(content[data.begin : data.end], tuple(kept))


def write_avif(
    file: BinaryIO,
    colours: CodedImage,
    opacity: CodedImage | None,
    *,
    icc: bytes | None,
    exif: bytes | None,
    xmp: bytes | None,
) -> None:
    """Write a still picture.

    Args:
        file: An empty file.
        colours: Its colours.
        opacity: Its opacity, an image of one channel, or None.
        icc: Colour profile, or None where the properties tell the colours.
        exif: EXIF, from the TIFF header on, or None.
        xmp: XMP packet, or None.
    """
    profile = (_box(b"colr", b"prof" + icc),) if icc is not None else ()
    items = [_Item(_COLOUR, b"av01", colours.data, (*colours.properties, *profile))]
    if opacity is not None:
        kept = [one for one in opacity.properties if one[4:8] != b"colr"]
        what = _full_box(b"auxC", _OPACITY)
        items.append(_Item(_ALPHA, b"av01", opacity.data, (*kept, what), b"auxl"))
    if exif is not None:
        items.append(_Item(_EXIF, b"Exif", struct.pack(">I", 0) + exif, (), b"cdsc"))
    if xmp is not None:
        items.append(_Item(_XMP, b"mime", xmp, (), b"cdsc"))
    start = _box(b"ftyp", _BRANDS)
    length = len(_described(items, 0))
    file.write(start)
    file.write(_described(items, len(start) + length + _HEAD.size))
    # What is said stands before the picture, so that readers of the head of a file find it.
    stored = _stored(items)
    file.write(_HEAD.pack(_HEAD.size + sum(len(item.data) for item in stored), b"mdat"))
    for item in stored:
        file.write(item.data)


def _stored(items: Sequence[_Item]) -> list[_Item]:
    return sorted(items, key=lambda item: len(item.properties) > 0)


def _described(items: Sequence[_Item], begin: int) -> bytes:
    """The `meta` box.

    Args:
        items: The items.
        begin: Where the data of the first stored one lies in the file.
    """
    places = {}
    for item in _stored(items):
        places[item.number] = begin
        begin += len(item.data)
    located = b"".join(
        struct.pack(">HHHII", item.number, 0, 1, places[item.number], len(item.data))
        for item in items
    )
    infos = b"".join(_item_info(item) for item in items)
    parts = [
        _full_box(b"hdlr", bytes(4) + b"pict" + bytes(13)),
        _full_box(b"pitm", struct.pack(">H", _COLOUR)),
        _full_box(b"iloc", struct.pack(">HH", 0x4400, len(items)) + located),
        _full_box(b"iinf", struct.pack(">H", len(items)) + infos),
    ]
    references = b"".join(
        _box(item.reference, struct.pack(">HHH", item.number, 1, _COLOUR))
        for item in items
        if item.reference
    )
    parts += [_full_box(b"iref", references)] if references else []
    return _full_box(b"meta", b"".join([*parts, _properties(items)]))


def _item_info(item: _Item) -> bytes:
    # EXIF and XMP are no pictures to be shown; opacity is told by its reference.
    flags = 0 if item.properties else _HIDDEN
    mime = b"application/rdf+xml\0" if item.kind == b"mime" else b""
    head = struct.pack(">HH", item.number, 0) + item.kind
    return _full_box(b"infe", head + b"\0" + mime, version=2, flags=flags)


def _properties(items: Sequence[_Item]) -> bytes:
    """The properties of all items, each once, and which item has which."""
    each = list(dict.fromkeys(one for item in items for one in item.properties))
    described = [item for item in items if item.properties]
    attached = b""
    for item in described:
        numbers = bytes(
            1 + each.index(one) | (_ESSENTIAL if one[4:8] == b"av1C" else 0)
            for one in item.properties
        )
        attached += struct.pack(">HB", item.number, len(numbers)) + numbers
    association = _full_box(b"ipma", struct.pack(">I", len(described)) + attached)
    return _box(b"iprp", _box(b"ipco", b"".join(each)) + association)


def _below(file: BinaryIO, box: Box, skipped: int = 0) -> dict[bytes, Box]:
    return {one.kind: one for one in boxes(file, box.begin + skipped, box.end)}


def _box(kind: bytes, content: bytes) -> bytes:
    return _HEAD.pack(_HEAD.size + len(content), kind) + content


def _full_box(kind: bytes, content: bytes, version: int = 0, flags: int = 0) -> bytes:
    return _box(kind, struct.pack(">I", version << 24 | flags) + content)
