"""Metadata blocks that Pillow does not hand on: IPTC, comments, text, manifests.

Everything is bounded: the number of segments, their lengths, and all of them together.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO

from daemon.photo.notes import Note, NoteKind
from daemon.photo.png_chunks import read_chunks

_PHOTOSHOP = b"Photoshop 3.0\0"
_EXTENDED_XMP = b"http://ns.adobe.com/xmp/extension/\0"
_RESOURCE = b"8BIM"
IPTC_RESOURCE = 0x0404
_PROFILE_KEYWORD = b"Raw profile type "
_XMP_KEYWORD = b"XML:com.adobe.xmp"
_PROFILES = (b"iptc", b"8bim", b"exif", b"APP1", b"xmp")

_MAX_SEGMENTS = 10_000
_MAX_BYTES = 1 << 25
"""Bytes of all blocks of one kind together; photographs have some hundred thousand at most."""

_MAX_RESOURCES = 4096
_RAW_PROFILE = re.compile(rb"\s*\w+\s+\d+\s+([0-9a-fA-F\s]*)")
"""Its name, its length, which is often wrong, and its bytes as digits."""

_SCAN, _COMMENT, _APP1, _APP11, _APP13 = 0xDA, 0xFE, 0xE1, 0xEB, 0xED
_APPLICATIONS = range(0xE0, 0xF0)
_KNOWN: dict[int, tuple[bytes, ...]] = {
    0xE0: (b"JFIF\0", b"JFXX\0"),
    _APP1: (b"Exif\0", b"http://ns.adobe.com/xap/1.0/\0"),
    0xE2: (b"ICC_PROFILE\0", b"MPF\0"),
    0xEC: (b"Ducky",),
    _APP13: (b"Adobe_CM\0",),
    0xEE: (b"Adobe",),
}
"""How segments begin that are read elsewhere, or tell of the file's own coding alone."""

_SEGMENT_NAME = re.compile(rb"[ -~]{2,40}")
_MAX_NAMED = 6
_GONE_RESOURCES = frozenset(
    (
        *(1005, 1007, 1024, 1026, 1033, 1036, 1039, 1041, 1045, 1050, 1053, 1057, 1058, 1059),
        *(1060, 1065, 1067, 1069, 1072, 1077, 1080),
    )
)
"""Resources of pictures, layers, slices, alpha channels, thumbnails, profile, EXIF and XMP, and of
resolution, which the file itself says."""


@dataclass(frozen=True)
class EmbeddedBlocks:
    """Blocks of a file; the fields of one name are those of `picture.Metadata`.

    Attributes:
        photoshop: Photoshop's resource blocks.
        comments: Comments of a JPEG or GIF.
        png_text: Text chunks of a PNG but XMP, as kind and content.
        exif, xmp: Blocks that ImageMagick keeps in text chunks of a PNG; XMP of a GIF.
        icc: Profile of a GIF.
        extended_xmp: The second part of XMP that is too long for one segment of a JPEG.
        has_manifest: Whether it has a C2PA manifest.
        notes: What was left out.
    """

    photoshop: bytes | None = None
    comments: tuple[bytes, ...] = ()
    png_text: tuple[tuple[bytes, bytes], ...] = ()
    exif: bytes | None = None
    xmp: bytes | None = None
    icc: bytes | None = None
    extended_xmp: bytes | None = None
    has_manifest: bool = False
    notes: tuple[Note, ...] = ()


def jpeg_blocks(file: BinaryIO) -> EmbeddedBlocks:
    """Read the segments of a JPEG before its first scan."""
    photoshop, total = bytearray(), 0
    extended: dict[int, bytes] = {}
    comments: list[bytes] = []
    others: list[str] = []
    has_manifest = False
    for marker, content in _segments(file):
        total += len(content)
        if total > _MAX_BYTES:
            break
        if marker == _COMMENT:
            comments.append(content)
        elif marker == _APP13 and content.startswith(_PHOTOSHOP):
            photoshop += content[len(_PHOTOSHOP) :]
        elif marker == _APP1 and content.startswith(_EXTENDED_XMP):
            # A digest of 32 letters, the whole length and this part's offset stand before it.
            head = content[len(_EXTENDED_XMP) :][:40]
            extended[int.from_bytes(head[36:])] = content[len(_EXTENDED_XMP) + 40 :]
        elif marker == _APP11 and content.startswith(b"JP"):
            has_manifest |= b"c2pa" in content
        elif name := _foreign_name(marker, content):
            others.append(name)
    return EmbeddedBlocks(
        kept_resources(bytes(photoshop)),
        tuple(comments),
        # Parts may stand in any order.
        extended_xmp=b"".join(extended[offset] for offset in sorted(extended)) or None,
        has_manifest=has_manifest,
        notes=(foreign_blocks_note(others),) if others else (),
    )


def foreign_blocks_note(names: Sequence[str]) -> Note:
    """Say that blocks of these names, which nothing reads, are lost."""
    said = f"what a camera or a program put beside the picture was left out: {_listed(names)}"
    return Note(NoteKind.METADATA, said)


def _foreign_name(marker: int, content: bytes) -> str:
    """Name of a segment that nothing else reads; "" for the known ones."""
    if marker not in _APPLICATIONS or content.startswith(_KNOWN.get(marker, ())):
        return ""
    found = _SEGMENT_NAME.match(content)
    return f"APP{marker - 0xE0}" + (f" {found[0].decode().strip()}" if found else "")


def _listed(names: Sequence[str]) -> str:
    """Names, each once, and how many more there are."""
    unique = list(dict.fromkeys(names))
    more = len(unique) - _MAX_NAMED
    return ", ".join(unique[:_MAX_NAMED]) + (f" and {more} more" if more > 0 else "")


def _segments(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Marker and content of the segments of a JPEG before its first scan."""
    offset = 2
    for _ in range(_MAX_SEGMENTS):
        file.seek(offset)
        head = file.read(4)
        if len(head) < 4 or head[0] != 0xFF or head[1] == _SCAN:
            return
        if head[1] == 0xFF:  # a fill byte
            offset += 1
            continue
        length = int.from_bytes(head[2:])
        yield head[1], file.read(max(0, length - 2))
        offset += 2 + length


def png_blocks(file: BinaryIO) -> EmbeddedBlocks:
    """Read the text chunks of a PNG."""
    texts: list[tuple[bytes, bytes]] = []
    profiles: dict[bytes, bytes | None] = {}
    has_manifest, total = False, 0
    xmp: bytes | None = None
    for chunk in read_chunks(file):
        has_manifest |= chunk.kind == b"caBX"
        if chunk.kind not in (b"tEXt", b"zTXt", b"iTXt"):
            continue
        total += len(chunk.content)
        if total > _MAX_BYTES:
            break
        keyword = chunk.content.partition(b"\0")[0]
        if keyword.startswith(_PROFILE_KEYWORD):
            name = keyword[len(_PROFILE_KEYWORD) :]
            if name in _PROFILES and name not in profiles:
                profiles[name] = _raw_profile(chunk.kind, chunk.content)
        elif keyword == _XMP_KEYWORD:
            # Pillow reads it where it should stand, in iTXt.
            xmp = xmp or (_text(chunk.kind, chunk.content) if chunk.kind != b"iTXt" else None)
        elif not keyword.startswith(b"Thumb::"):
            texts.append((chunk.kind, chunk.content))
    return EmbeddedBlocks(
        kept_resources(profiles.get(b"iptc") or profiles.get(b"8bim") or b""),
        png_text=tuple(texts),
        exif=profiles.get(b"exif") or profiles.get(b"APP1"),
        xmp=profiles.get(b"xmp") or xmp,
        has_manifest=has_manifest,
    )


def webp_blocks(file: BinaryIO) -> EmbeddedBlocks:
    """See whether a WebP has a manifest; all else Pillow tells."""
    offset = 12
    for _ in range(_MAX_SEGMENTS):
        file.seek(offset)
        head = file.read(8)
        if len(head) < 8:
            break
        if head[:4] == b"C2PA":
            return EmbeddedBlocks(has_manifest=True)
        (length,) = struct.unpack_from("<I", head, 4)
        offset += 8 + length + length % 2
    return EmbeddedBlocks()


def raw_profile(kind: bytes, content: bytes) -> bytes:
    """A text chunk in which ImageMagick keeps a block: its name, length and hexadecimal digits."""
    name = kind.decode()
    digits = content.hex()
    lines = "\n".join(digits[start : start + 72] for start in range(0, len(digits), 72))
    text = f"\n{name}\n{len(content):8}\n{lines}\n".encode()
    return _PROFILE_KEYWORD + kind + b"\0\0" + zlib.compress(text)


def _raw_profile(kind: bytes, content: bytes) -> bytes | None:
    """The block in such a chunk; None if it is damaged."""
    text = _text(kind, content)
    if text is None:
        return None
    found = _RAW_PROFILE.match(text)
    digits = b"" if found is None else b"".join(found[1].split())
    return bytes.fromhex(digits[: len(digits) // 2 * 2].decode()) or None


def _text(kind: bytes, content: bytes) -> bytes | None:
    """What a chunk tEXt or zTXt says behind its keyword; None if it is damaged."""
    text = content.partition(b"\0")[2]
    try:
        return zlib.decompressobj().decompress(text[1:], _MAX_BYTES) if kind == b"zTXt" else text
    except zlib.error:
        return None


def photoshop_segments(resources: bytes) -> bytes:
    """Resource blocks as segments of a JPEG."""
    room = 65533 - len(_PHOTOSHOP)
    parts = (resources[start : start + room] for start in range(0, len(resources), room))
    return b"".join(
        bytes((0xFF, _APP13)) + struct.pack(">H", 2 + len(_PHOTOSHOP) + len(part)) + _PHOTOSHOP
        + part
        for part in parts
    )  # fmt: skip


def with_iptc(resources: bytes | None, iptc: bytes | None) -> bytes | None:
    """Resource blocks with IPTC as one of them, unless they have it."""
    if not iptc or (resources and iptc_of(resources) is not None):
        return resources
    return (resources or b"") + _packed_resource(IPTC_RESOURCE, iptc)


def iptc_of(resources: bytes) -> bytes | None:
    """The IPTC among resource blocks, or None."""
    return next((body for kind, body, _ in _resources(resources) if kind == IPTC_RESOURCE), None)


def without_iptc(resources: bytes) -> bytes:
    """Resource blocks but for IPTC."""
    return b"".join(whole for kind, _, whole in _resources(resources) if kind != IPTC_RESOURCE)


def kept_resources(resources: bytes) -> bytes | None:
    """Resource blocks without those of what a result has not; None if none are left."""
    if resources and not resources.startswith(_RESOURCE):
        # IPTC that stands alone begins with its own marker.
        return _packed_resource(IPTC_RESOURCE, resources) if resources[0] == 0x1C else None
    kept = [whole for kind, _, whole in _resources(resources) if kind not in _GONE_RESOURCES]
    return b"".join(kept) or None


def _packed_resource(kind: int, body: bytes) -> bytes:
    head = _RESOURCE + struct.pack(">HHI", kind, 0, len(body))
    return head + body + b"\0" * (len(body) % 2)


def _resources(resources: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """Kind, body and all bytes of each resource block; stops where they are damaged."""
    offset = 0
    for _ in range(_MAX_RESOURCES):
        if resources[offset : offset + 4] != _RESOURCE or len(resources) < offset + 12:
            return
        (kind,) = struct.unpack_from(">H", resources, offset + 4)
        name = 1 + resources[offset + 6]
        place = offset + 6 + name + name % 2
        if len(resources) < place + 4:
            return
        (length,) = struct.unpack_from(">I", resources, place)
        end = place + 4 + length
        if end > len(resources):
            return
        following = end + length % 2
        whole = resources[offset:following].ljust(following - offset, b"\0")
        yield kind, resources[place + 4 : end], whole
        offset = following
