"""The blocks of a GIF beside its pixels: profile, XMP, comments, and what programs add.

Everything is bounded: the number of blocks, and the bytes of all that are kept.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from daemon.photo.embedded_blocks import EmbeddedBlocks, foreign_blocks_note, kept_resources

_EXTENSION, _IMAGE = b"!", b","
_COMMENT, _APPLICATION, _TEXT = 0xFE, 0xFF, 0x01
_ICC, _XMP, _C2PA = b"ICCRGBG1012", b"XMP DataXMP", b"C2PA_GIF"
_RESOURCES = (b"MGK8BIM0000", b"MGKIPTC0000")
"""How ImageMagick names Photoshop's resource blocks and IPTC."""

_TECHNICAL = (b"NETSCAPE2.0", b"ANIMEXTS1.0", b"ImageMagick")
"""How often an animation is shown, and ImageMagick's gamma of a palette that is sRGB anyway."""

_TRAILER = b"\x01\xff\xfe\xfd"
"""Begin of the 258 bytes behind XMP, which lead whatever reads sub-blocks to its end."""

_MAX_BLOCKS = 1_000_000
"""Sub-blocks that are followed, of at most 255 bytes: a second."""

_MAX_KEPT_BYTES = 1 << 25


@dataclass(frozen=True)
class _Extension:
    """An extension.

    Attributes:
        label: Its kind.
        name: Name of the application; b"" for other kinds.
        stored: Its bytes with the lengths of its sub-blocks.
        content: Its bytes without them.
    """

    label: int
    name: bytes
    stored: bytes
    content: bytes


def gif_blocks(file: BinaryIO) -> EmbeddedBlocks:
    """Read the extensions of a GIF; stops where the file is damaged."""
    icc = xmp = resources = None
    comments: list[bytes] = []
    others: list[str] = []
    has_manifest, total = False, 0
    for found in _extensions(file):
        total += len(found.stored)
        if total > _MAX_KEPT_BYTES:
            break
        if found.label == _COMMENT:
            comments.append(found.content)
        elif found.label == _TEXT:
            others.append("text that is drawn over the picture")
        elif found.name == _ICC:
            icc = icc or found.content
        elif found.name == _XMP:
            xmp = xmp or _packet(found)
        elif found.name in _RESOURCES:
            resources = resources or found.content
        elif found.name.startswith(_C2PA):
            has_manifest = True
        elif found.name not in _TECHNICAL:
            others.append(_shown(found.name))
    return EmbeddedBlocks(
        kept_resources(resources or b""),
        comments=tuple(dict.fromkeys(comment for comment in comments if comment.strip())),
        icc=icc or None,
        xmp=xmp or None,
        has_manifest=has_manifest,
        notes=(foreign_blocks_note(others),) if others else (),
    )


def _shown(name: bytes) -> str:
    letters = "".join(chr(byte) for byte in name if 32 <= byte < 127).strip()
    return letters or "a block without a name"


def _packet(found: _Extension) -> bytes:
    """The XMP of an extension: as Adobe has it without sub-blocks, or in them."""
    packet, trailer, _ = found.stored.rpartition(_TRAILER)
    return packet if trailer else found.content


def _extensions(file: BinaryIO) -> Iterator[_Extension]:
    """The extensions of a GIF, without what controls the display of a frame."""
    file.seek(10)
    file.seek(13 + _palette_bytes(file.read(1)))
    left = _MAX_BLOCKS
    while left > 0:
        kind = file.read(1)
        if kind == _IMAGE:
            file.seek(8, 1)
            file.seek(_palette_bytes(file.read(1)) + 1, 1)
            left -= _skip(file, left)
        elif kind == _EXTENSION:
            label = int.from_bytes(file.read(1))
            name = b""
            if label == _APPLICATION:
                name = file.read(int.from_bytes(file.read(1)))
            if label in (_COMMENT, _APPLICATION, _TEXT):
                parts = _sub_blocks(file, left)
                left -= len(parts)
                stored = b"".join(bytes((len(part),)) + part for part in parts)
                yield _Extension(label, name, stored, b"".join(parts))
            else:
                left -= _skip(file, left)
        else:
            return
        left -= 1


def _palette_bytes(flags: bytes) -> int:
    """Length of the palette that stands behind these flags."""
    return 3 << (flags[0] & 7) + 1 if flags and flags[0] & 0x80 else 0


def _sub_blocks(file: BinaryIO, most: int) -> list[bytes]:
    """The sub-blocks up to the empty one that ends them, at most so many."""
    parts: list[bytes] = []
    total = 0
    while len(parts) < most and total <= _MAX_KEPT_BYTES:
        length = file.read(1)
        if not length or not length[0]:
            break
        parts.append(file.read(length[0]))
        total += len(parts[-1])
    return parts


def _skip(file: BinaryIO, most: int) -> int:
    """Pass over sub-blocks; how many they were."""
    for count in range(most):
        length = file.read(1)
        if not length or not length[0]:
            return count
        file.seek(length[0], 1)
    return most
