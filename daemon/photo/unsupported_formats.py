"""Kinds of files that people hand in and that are not read: what they are and what would help."""

from __future__ import annotations

from dataclasses import dataclass

_TO_TIFF = "convert it to TIFF and hand that in"
_TO_PNG = "convert it to PNG and hand that in"


@dataclass(frozen=True)
class UnreadKind:
    """A kind of file.

    Attributes:
        name: What it is, with its article.
        remedy: What would help.
        signatures: Where its files have which bytes; one of them is enough.
    """

    name: str
    remedy: str
    signatures: tuple[tuple[int, bytes], ...]


_KINDS = (
    UnreadKind("a JPEG XR picture", _TO_TIFF, ((0, b"II\xbc\x01"), (0, b"II\xbc\x00"))),
    UnreadKind("a DjVu document", "export its pages as TIFF", ((0, b"AT&TFORM"),)),
    UnreadKind("a GIMP picture", "export it as TIFF", ((0, b"gimp xcf"),)),
    UnreadKind("a drawing (SVG)", "export it as PNG", ((0, b"<svg"),)),
    UnreadKind("an icon", _TO_PNG, ((0, b"\0\0\1\0"), (0, b"\0\0\2\0"), (0, b"icns"))),
    UnreadKind("a texture (DDS)", _TO_PNG, ((0, b"DDS "),)),
    UnreadKind("a QOI picture", _TO_PNG, ((0, b"qoif"),)),
    UnreadKind("a FITS picture", _TO_TIFF, ((0, b"SIMPLE  ="),)),
    UnreadKind("a Sun raster picture", _TO_TIFF, ((0, b"\x59\xa6\x6a\x95"),)),
    UnreadKind("a PostScript document", "export its pages as TIFF", ((0, b"%!PS"),)),
    UnreadKind("a film", "export a frame of it", ((4, b"ftyp"), (0, b"\x1a\x45\xdf\xa3"))),
)
"""The first that matches counts."""


def unread_kind(start: bytes) -> UnreadKind | None:
    """The kind of a file that is not read, from its first bytes, or None if it is unknown."""
    return next(
        (
            kind
            for kind in _KINDS
            if any(start[place:].startswith(mark) for place, mark in kind.signatures)
        ),
        None,
    )
