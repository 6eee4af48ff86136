"""Headers of images in boxes (HEIF, AVIF: ISO/IEC 23008-12), read with bounds.

Nothing is decoded: the daemon reads headers with it, decoders the colours and what is carried.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

from daemon.photo.picture import Header
from daemon.system.errors import PhotoError

MAX_BOXES = 10_000
"""Boxes in a row that are looked at."""

_MAX_META_BYTES = 1 << 22
"""Longest description of the images; those of phones have some kilobytes."""

_MAX_EXTENTS = 1 << 16
"""Pieces that all items of a file lie in."""

_MAX_BLOCK_BYTES = 1 << 26
"""Longest EXIF or XMP block that is read."""

_ORIENTATIONS = ((1, 4, 2), (8, 5, 7), (3, 2, 4), (6, 7, 5))
"""EXIF orientation by the quarters turned anticlockwise, and by mirroring: none, axis 0, axis 1."""

_UNSPECIFIED = 2
"""Code point of primaries and transfer functions that are not told (ITU-T H.273)."""

C2PA_UUID = bytes.fromhex("d8fec3d61b0e483c92975828877ec481")
_CODED = (b"av01", b"hvc1", b"hev1", b"j2k1")
"""Kinds of items whose codes are not stored pixels."""

_MANIFEST_HEAD = 128
"""Bytes of a box in which its kind stands."""


@dataclass(frozen=True)
class Box:
    """A box: its kind, and where its content begins and ends."""

    kind: bytes
    begin: int
    end: int


@dataclass
class _Item:
    """An item of a file: an image, or a block of metadata."""

    kind: bytes = b""
    mime: bytes = b""
    extents: list[tuple[int, int]] = field(default_factory=list)
    in_description: bool = False
    properties: list[tuple[bytes, bytes]] = field(default_factory=list)


@dataclass(frozen=True)
class HeifInfo:
    """The main image of a file.

    Attributes:
        width, height: Size in pixels before cropping and turning.
        bits: Bits of a sample.
        is_grey: Whether it has one channel.
        has_alpha: Whether an image of its opacity belongs to it.
        orientation: EXIF orientation that its turning and mirroring amount to.
        crop: Its clean aperture as left, top, width and height, or None.
        icc: Its colour profile, or None.
        cicp: Code points of its primaries and transfer function, or None.
        exif: Its EXIF block, from the TIFF header on, or None.
        xmp: Its XMP packet, or None.
        images: Images of the file that stand by themselves.
        is_sequence: Whether it is an animation.
    """

    width: int
    height: int
    bits: int
    is_grey: bool
    has_alpha: bool
    orientation: int
    crop: tuple[int, int, int, int] | None
    icc: bytes | None
    cicp: tuple[int, int] | None
    exif: bytes | None
    xmp: bytes | None
    images: int
    is_sequence: bool


def read_heif_header(file: BinaryIO, label: str) -> Header:
    """The header of a HEIF or AVIF file.

    Raises:
        ValueError: It describes no image.
        PhotoError: It holds a film only.
    """
    start = file_start(file)
    info = read_heif_info(file, label)
    mode = ("L" if info.is_grey else "RGB") + ("A" if info.has_alpha else "")
    depth = f";{info.bits}" if info.bits > 8 else ""
    return Header("AVIF" if is_avif(start) else "HEIF", info.width, info.height, mode + depth)


def file_start(file: BinaryIO) -> bytes:
    """The first 64 bytes of a file, which hold the brands of an ISO base media file."""
    file.seek(0)
    return file.read(64)


def is_avif(start: bytes) -> bool:
    """Whether a file is AVIF, from its first bytes."""
    return start[4:8] == b"ftyp" and _has_brand(start, b"avif", b"avis")


def is_heif(start: bytes) -> bool:
    """Whether a file is HEIF, AVIF included, from its first bytes."""
    return start[4:8] == b"ftyp" and _has_brand(
        start, b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"mif2", b"msf1",
        b"avif", b"avis",
    )  # fmt: skip


def read_heif_info(file: BinaryIO, label: str) -> HeifInfo:
    """The header of a file's main image.

    Raises:
        ValueError: It describes no image.
        PhotoError: It holds a film only, or a part whose kind is no text.
    """
    start = file_start(file)
    description = _Description(file)
    # libheif's binding dies of a kind that is no text.
    if any(not (item.kind + item.mime).isascii() for item in description.items.values()):
        raise PhotoError(label, "is damaged: a part of it is of a kind that is no text")
    if not description.items:
        if _has_brand(start, b"msf1", b"avis", b"hevc"):
            raise PhotoError(label, "is an image sequence without a still", "export a frame of it")
        raise ValueError("it describes no image")
    return _info(description, is_sequence=_has_brand(start[:12], b"msf1", b"avis", b"hevc"))


def is_heif_truncated(file: BinaryIO, size: int) -> bool:
    """Whether boxes or images of a HEIF or AVIF file lie beyond its end, at `size` bytes."""
    try:
        for box in boxes(file, 0, size):
            if box.end > size:
                return True
        items = _Description(file).items.values()
    except (struct.error, ValueError, IndexError):
        return True
    return any(
        begin + length > size
        for item in items
        if not item.in_description
        for begin, length in item.extents
    )


def coded_extents(file: BinaryIO) -> list[tuple[int, int]]:
    """Offset and length of each piece of the coded images of a HEIF or AVIF file.

    Raises:
        ValueError, struct.error, IndexError: Its description is damaged.
    """
    images = (item for item in _Description(file).items.values() if item.kind in _CODED)
    return [extent for image in images if not image.in_description for extent in image.extents]


def has_manifest(file: BinaryIO) -> bool:
    """Whether a file of boxes has a C2PA manifest.

    Source: C2PA Technical Specification 2.1, A.5 (a box "uuid") and A.3.7 (JPEG XL: "jumb").
    """
    try:
        for box in boxes(file, 0, file.seek(0, os.SEEK_END)):
            if box.kind not in (b"uuid", b"jumb"):
                continue
            file.seek(box.begin)
            content = file.read(min(box.end - box.begin, _MANIFEST_HEAD))
            if content.startswith(C2PA_UUID) or (box.kind == b"jumb" and b"c2pa" in content):
                return True
    except (struct.error, ValueError):
        return False
    return False


def boxes(file: BinaryIO, begin: int, end: int) -> Iterator[Box]:
    """The boxes between two places of a file; the last may declare that it ends beyond them.

    Raises:
        ValueError: A box is shorter than its head, or there are more than `MAX_BOXES`.
    """
    for _ in range(MAX_BOXES):
        if begin + 8 > end:
            return
        file.seek(begin)
        head = file.read(16)
        length, kind = struct.unpack_from(">I4s", head)
        inner = 8
        if length == 1:
            (length,) = struct.unpack_from(">Q", head, 8)
            inner = 16
        elif length == 0:
            length = end - begin
        if length < inner:
            raise ValueError(f"a box of {length} bytes")
        yield Box(kind, begin + inner, begin + length)
        begin += length
    raise ValueError(f"more than {MAX_BOXES} boxes")


def _has_brand(start: bytes, *brands: bytes) -> bool:
    length = min(len(start), int.from_bytes(start[:4], "big"))
    found = [start[8:12], *(start[place : place + 4] for place in range(16, length - 3, 4))]
    return any(brand in found for brand in brands)


class _Description:
    """The `meta` box of a file: its items with their properties, and which is the main one."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.items: dict[int, _Item] = {}
        self.primary = 0
        self.references: list[tuple[bytes, int, tuple[int, ...]]] = []
        self._idat = 0
        size = os.fstat(file.fileno()).st_size
        meta = next((box for box in boxes(file, 0, size) if box.kind == b"meta"), None)
        if meta is None:
            return
        if meta.end - meta.begin > _MAX_META_BYTES:
            raise ValueError("its description is too long")
        file.seek(meta.begin)
        content = file.read(meta.end - meta.begin)
        for kind, inner, place in _inside(content, 4):
            match kind:
                case b"pitm":
                    self.primary = _number(inner, 4, 2 if inner[0] == 0 else 4)
                case b"iinf":
                    self._read_kinds(inner)
                case b"iloc":
                    self._read_places(inner)
                case b"iprp":
                    self._read_properties(inner)
                case b"iref":
                    self._read_references(inner)
                case b"idat":
                    self._idat = meta.begin + place

    def block(self, item: _Item) -> bytes:
        """The content of an item.

        Raises:
            ValueError: It is too long.
        """
        if sum(length for _, length in item.extents) > _MAX_BLOCK_BYTES:
            raise ValueError("a block of its metadata is too long")
        parts = []
        for begin, length in item.extents:
            self._file.seek(begin + (self._idat if item.in_description else 0))
            parts.append(self._file.read(length))
        return b"".join(parts)

    def referring(self, kind: bytes, target: int) -> list[int]:
        """The items that refer to another in a way."""
        return [one for name, one, others in self.references if name == kind and target in others]

    def _item(self, number: int) -> _Item:
        if len(self.items) > MAX_BOXES:
            raise ValueError(f"more than {MAX_BOXES} items")
        return self.items.setdefault(number, _Item())

    def _read_kinds(self, content: bytes) -> None:
        for kind, inner, _ in _inside(content, 6 if content[0] == 0 else 8):
            if kind != b"infe" or inner[0] < 2:
                continue
            wide = 2 if inner[0] == 2 else 4
            item = self._item(_number(inner, 4, wide))
            item.kind = inner[6 + wide : 10 + wide]
            item.mime = inner[10 + wide :].split(b"\0", 2)[1:2][0] if item.kind == b"mime" else b""

    def _read_places(self, content: bytes) -> None:
        version = content[0]
        sizes = (content[4] >> 4, content[4] & 15, content[5] >> 4)
        index = content[5] & 15 if version in (1, 2) else 0
        wide = 4 if version == 2 else 2
        count, place, left = _number(content, 6, wide), 6 + wide, _MAX_EXTENTS
        for _ in range(count):
            item = self._item(_number(content, place, wide))
            place += wide
            if version in (1, 2):
                item.in_description = _number(content, place, 2) & 15 == 1
                place += 2
            place += 2
            base = _number(content, place, sizes[2])
            place += sizes[2]
            extents = _number(content, place, 2)
            place += 2
            left -= extents
            if left < 0:
                raise ValueError(f"more than {_MAX_EXTENTS} pieces")
            for _ in range(extents):
                place += index
                offset = _number(content, place, sizes[0])
                length = _number(content, place + sizes[0], sizes[1])
                place += sizes[0] + sizes[1]
                item.extents.append((base + offset, length))

    def _read_properties(self, content: bytes) -> None:
        shared: list[tuple[bytes, bytes]] = []
        for kind, inner, _ in _inside(content, 0):
            if kind == b"ipco":
                shared = [(name, value) for name, value, _ in _inside(inner, 0)]
            elif kind == b"ipma":
                self._attach(inner, shared)

    def _attach(self, content: bytes, shared: list[tuple[bytes, bytes]]) -> None:
        wide = 2 if content[0] == 0 else 4
        step = 2 if content[3] & 1 else 1
        place = 8
        for _ in range(_number(content, 4, 4)):
            item = self._item(_number(content, place, wide))
            count = content[place + wide]
            place += wide + 1
            for _ in range(count):
                which = _number(content, place, step) & (0x7FFF if step == 2 else 0x7F)
                place += step
                if 0 < which <= len(shared):
                    item.properties.append(shared[which - 1])

    def _read_references(self, content: bytes) -> None:
        wide = 2 if content[0] == 0 else 4
        for kind, inner, _ in _inside(content, 4):
            count = _number(inner, wide, 2)
            targets = (_number(inner, wide + 2 + wide * i, wide) for i in range(count))
            self.references.append((kind, _number(inner, 0, wide), tuple(targets)))


def _inside(content: bytes, place: int) -> Iterator[tuple[bytes, bytes, int]]:
    """Kind, content and place of the content of each box within another."""
    while place + 8 <= len(content):
        length, kind = struct.unpack_from(">I4s", content, place)
        inner = 8
        if length == 1 and place + 16 <= len(content):
            (length,) = struct.unpack_from(">Q", content, place + 8)
            inner = 16
        elif length == 0:
            length = len(content) - place
        if length < inner or place + length > len(content):
            raise ValueError("a box of its description is cut short")
        yield kind, content[place + inner : place + length], place + inner
        place += length


def _number(content: bytes, place: int, wide: int) -> int:
    if place + wide > len(content):
        raise ValueError("its description is cut short")
    return int.from_bytes(content[place : place + wide], "big")


def _info(description: _Description, *, is_sequence: bool) -> HeifInfo:
    main = description.items.get(description.primary)
    if main is None:
        raise ValueError("it has no main image")
    values = dict(reversed(main.properties))
    if b"ispe" not in values:
        raise ValueError("its main image has no size")
    width, height = struct.unpack_from(">II", values[b"ispe"], 4)
    pixi = values.get(b"pixi", b"")
    channels = pixi[4] if len(pixi) > 4 else _channels(description, values)
    icc, cicp = _colours([main, *_tiles(description)])
    alpha = any(
        b"alpha" in dict(description.items[one].properties).get(b"auxC", b"")
        or b"auxid:1" in dict(description.items[one].properties).get(b"auxC", b"")
        for one in description.referring(b"auxl", description.primary)
        if one in description.items
    )
    blocks = _blocks(description)
    return HeifInfo(
        width,
        height,
        bits=pixi[5] if len(pixi) > 5 else _bits(description, values),
        is_grey=channels == 1,
        has_alpha=alpha,
        orientation=_orientation(values),
        crop=_crop(values.get(b"clap"), width, height),
        icc=icc,
        cicp=cicp,
        exif=blocks[0],
        xmp=blocks[1],
        images=_images(description),
        is_sequence=is_sequence,
    )


def _coded(description: _Description, values: dict[bytes, bytes], kind: bytes) -> bytes:
    """The configuration of the decoder: the image's own, or that of the first of its tiles."""
    if kind in values:
        return values[kind]
    found = (dict(item.properties).get(kind) for item in description.items.values())
    return next((one for one in found if one is not None), b"")


def _bits(description: _Description, values: dict[bytes, bytes]) -> int:
    av1 = _coded(description, values, b"av1C")
    if len(av1) > 2:
        return {0: 8, 0x40: 10, 0x60: 12}.get(av1[2] & 0x60, 8)
    hevc = _coded(description, values, b"hvcC")
    return 8 + (hevc[17] & 7) if len(hevc) > 17 else 8


def _channels(description: _Description, values: dict[bytes, bytes]) -> int:
    av1 = _coded(description, values, b"av1C")
    if len(av1) > 2:
        return 1 if av1[2] & 0x10 else 3
    hevc = _coded(description, values, b"hvcC")
    return 1 if len(hevc) > 16 and hevc[16] & 3 == 0 else 3


def _tiles(description: _Description) -> list[_Item]:
    """The first of the parts that the main image is made of, which may tell what it does not."""
    for kind, one, others in description.references:
        if kind == b"dimg" and one == description.primary and others:
            return [description.items[others[0]]] if others[0] in description.items else []
    return []


def _colours(images: list[_Item]) -> tuple[bytes | None, tuple[int, int] | None]:
    """Profile and code points of the first image that has any; the profile goes first."""
    for image in images:
        if any(kind == b"colr" for kind, _ in image.properties):
            return _own_colours(image)
    return None, None


def _own_colours(image: _Item) -> tuple[bytes | None, tuple[int, int] | None]:
    icc, cicp = None, None
    for kind, value in image.properties:
        if kind != b"colr":
            continue
        if value[:4] in (b"prof", b"rICC"):
            icc = value[4:]
        elif value[:4] == b"nclx" and len(value) >= 8:
            primaries, transfer = struct.unpack_from(">HH", value, 4)
            if (primaries, transfer) != (_UNSPECIFIED, _UNSPECIFIED):
                cicp = (primaries, 13 if transfer == _UNSPECIFIED else transfer)
    return icc, cicp


def _orientation(values: dict[bytes, bytes]) -> int:
    turned = values.get(b"irot", b"\0")[0] & 3
    mirrored = 1 + (values[b"imir"][0] & 1) if values.get(b"imir") else 0
    return _ORIENTATIONS[turned][mirrored]


def _crop(clap: bytes | None, width: int, height: int) -> tuple[int, int, int, int] | None:
    """The clean aperture in whole pixels, or None where it is the whole image or cannot be."""
    if clap is None or len(clap) < 32:
        return None
    w, wd, h, hd, x, xd, y, yd = struct.unpack(">IIIIiIiI", clap[:32])
    if 0 in (wd, hd, xd, yd):
        return None
    wide, high = w // wd, h // hd
    left = round(x / xd + (width - wide) / 2)
    top = round(y / yd + (height - high) / 2)
    inside = min(left, top) >= 0 and left + wide <= width and top + high <= height
    if not inside or wide < 1 or high < 1 or (wide, high) == (width, height):
        return None
    return left, top, wide, high


def _blocks(description: _Description) -> tuple[bytes | None, bytes | None]:
    """The EXIF block and the XMP packet of the main image."""
    exif, xmp = None, None
    described = description.referring(b"cdsc", description.primary)
    for number, item in description.items.items():
        if described and number not in described:
            continue
        if item.kind == b"Exif" and exif is None:
            block = description.block(item)
            begin = 4 + int.from_bytes(block[:4], "big")
            exif = block[begin:].removeprefix(b"Exif\0\0") or None
        elif item.kind == b"mime" and item.mime == b"application/rdf+xml" and xmp is None:
            xmp = description.block(item) or None
    return exif, xmp


def _images(description: _Description) -> int:
    """Images that are no part of another, no thumbnail and no opacity."""
    parts = {one for kind, one, _ in description.references if kind in (b"thmb", b"auxl")}
    for kind, _, others in description.references:
        if kind == b"dimg":
            parts |= set(others)
    image = (b"hvc1", b"av01", b"grid", b"iden", b"iovl", b"jpeg")
    found = [n for n, item in description.items.items() if item.kind in image and n not in parts]
    return max(1, len(found))
