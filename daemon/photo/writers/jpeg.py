"""JPEG of 8 bits, by Pillow."""

from __future__ import annotations

from typing import BinaryIO

from daemon.photo.embedded_blocks import photoshop_segments
from daemon.photo.finishing import Finished
from daemon.photo.notes import Note, NoteKind
from daemon.photo.writers.pillow import common_options, exif_of, image_of
from daemon.photo.xmp import extended_segments

_MAX_EXIF_BYTES = 65533
_MAX_COMMENT_BYTES = 65533
_MAX_XMP_BYTES = 65504
_WHOLE_COLOUR = 90
"""Quality below which the eye does not miss the colour detail that subsampling drops."""


def write(finished: Finished, file: BinaryIO, quality: int) -> tuple[str, ...]:
    """Write a JPEG; see `photo.outputs.Write`."""
    options, notes = common_options(finished), []
    exif, xmp = exif_of(finished), finished.metadata.xmp
    if exif is not None and len(exif) > _MAX_EXIF_BYTES:
        notes.append(Note(NoteKind.METADATA, "its EXIF is longer than JPEG allows: left out"))
    elif exif is not None:
        options["exif"] = exif
    segments = b""
    if xmp is not None and len(xmp) > _MAX_XMP_BYTES:
        segments = extended_segments(xmp) or b""
    if segments:
        options["extra"] = segments
    elif xmp is not None and len(xmp) > _MAX_XMP_BYTES:
        notes.append(Note(NoteKind.METADATA, "its XMP is longer than JPEG allows: left out"))
    elif xmp is not None:
        options["xmp"] = xmp
    if finished.metadata.photoshop is not None:
        options["extra"] = segments + photoshop_segments(finished.metadata.photoshop)
    if finished.metadata.comments:
        options["comment"] = b"\n".join(finished.metadata.comments)[:_MAX_COMMENT_BYTES]
    subsampling = 0 if quality >= _WHOLE_COLOUR else 2
    image_of(finished).save(file, "JPEG", quality=quality, subsampling=subsampling, **options)
    return tuple(notes)
