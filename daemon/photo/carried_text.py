"""Text of a PNG and comments of a JPEG, carried into formats that have no place for them.

PNG has text chunks and JPEG has comments; in any other format text goes into the XMP, where that
has a property for it, and what has none is left out with a note.
"""

from __future__ import annotations

import zlib
from dataclasses import replace

from daemon.photo.notes import Note, NoteKind
from daemon.photo.picture import Metadata
from daemon.photo.xmp import with_texts

_MAX_TEXT_BYTES = 1 << 20
"""Longest text that is carried, unpacked: a few bytes may stand for gigabytes."""

_PROPERTIES = {
    "Title": "title",
    "Description": "description",
    "Comment": "description",
    "Author": "creator",
    "Artist": "creator",
    "Copyright": "rights",
}
"""Dublin Core's property for a keyword of PNG."""

_OF_THE_FILE = ("Software", "Warning", "Raw profile", "date:", "png:", "exif:", "tiff:", "icc:")
"""How keywords begin that tell of the file as it was, or repeat EXIF as ImageMagick does."""

_SHOWN = 6


def carried_text(metadata: Metadata, format: str) -> tuple[Metadata, tuple[Note, ...]]:
    """The metadata with its texts where a format has them.

    Args:
        metadata: That of a result.
        format: The format's name, as recipes have it.

    Returns:
        The metadata, and a note on texts that have no place.
    """
    if format == "png" or not (metadata.png_text or metadata.comments):
        return metadata, ()
    if format == "jpeg":
        lines = [
            f"{keyword}: {text}" if keyword != "Comment" else text
            for keyword, text in _texts(metadata)
        ]
        comments = (*metadata.comments, *(line.encode() for line in lines))
        return replace(metadata, comments=comments, png_text=()), ()
    texts = _texts(metadata)
    texts += [("Comment", plain_text(comment)) for comment in metadata.comments]
    wanted: dict[str, str] = {}
    left: list[str] = []
    for keyword, text in texts:
        name = _PROPERTIES.get(keyword)
        if name is None or wanted.get(name, text) != text:
            left.append(keyword)
        else:
            wanted[name] = text
    xmp, missing = with_texts(metadata.xmp, wanted) if wanted else (metadata.xmp, ())
    left += [keyword for keyword, _ in texts if _PROPERTIES.get(keyword) in missing]
    return replace(metadata, xmp=xmp, comments=(), png_text=()), _note(left)


def _note(left: list[str]) -> tuple[Note, ...]:
    if not left:
        return ()
    names = list(dict.fromkeys(left))
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    said = f"text that the format has no place for was left out: {', '.join(names[:_SHOWN])}{more}"
    return (Note(NoteKind.METADATA, said),)


def _texts(metadata: Metadata) -> list[tuple[str, str]]:
    """Keyword and text of the chunks of a PNG; damaged ones are left out."""
    found = []
    for kind, content in metadata.png_text:
        keyword, _, rest = content.partition(b"\0")
        text = _unpacked(kind, rest)
        name = keyword.decode("latin-1")
        if text and not name.startswith(_OF_THE_FILE):
            found.append((name, text))
    return found


def _unpacked(kind: bytes, rest: bytes) -> str:
    """The text of a chunk behind its keyword (PNG specification, 11.3.3)."""
    try:
        match kind:
            case b"tEXt":
                return rest.decode("latin-1")
            case b"zTXt":
                return _inflated(rest[1:]).decode("latin-1")
            case _:
                packed, text = rest[:1] == b"\1", rest[2:].split(b"\0", 2)[-1]
                return (_inflated(text) if packed else text).decode()
    except (zlib.error, UnicodeDecodeError):
        return ""


def _inflated(content: bytes) -> bytes:
    return zlib.decompressobj().decompress(content, _MAX_TEXT_BYTES)


def plain_text(text: bytes) -> str:
    """A comment, which is UTF-8 or else taken for Latin-1."""
    text = text.rstrip(b"\0")
    try:
        return text.decode()
    except UnicodeDecodeError:
        return text.decode("latin-1")
