"""JPEG of 8 bits, by Pillow."""

from __future__ import annotations

from typing import BinaryIO

from daemon.photo.embedded_blocks import photoshop_segments
from daemon.photo.notes import Note, NoteKind
from daemon.photo.output_formats import EncoderOptions
from daemon.photo.postprocessing import Finished
from daemon.photo.writers.pillow import common_options, exif_of, image_of
from daemon.photo.xmp import extended_segments

_MAX_EXIF_BYTES = 65533
_MAX_COMMENT_BYTES = 65533
_MAX_XMP_BYTES = 65504


def write(finished: Finished, file: BinaryIO, options: EncoderOptions) -> tuple[str, ...]:
    """Write a JPEG; see `photo.output_formats.Write`."""
    carried, notes = common_options(finished), []
    exif, xmp = exif_of(finished), finished.metadata.xmp
    if exif is not None and len(exif) > _MAX_EXIF_BYTES:
        notes.append(Note(NoteKind.METADATA, "its EXIF is longer than JPEG allows: left out"))
    elif exif is not None:
        carried["exif"] = exif
    segments = b""
    if xmp is not None and len(xmp) > _MAX_XMP_BYTES:
        segments = extended_segments(xmp) or b""
    if segments:
        carried["extra"] = segments
    elif xmp is not None and len(xmp) > _MAX_XMP_BYTES:
        notes.append(Note(NoteKind.METADATA, "its XMP is longer than JPEG allows: left out"))
    elif xmp is not None:
        carried["xmp"] = xmp
    if finished.metadata.photoshop is not None:
        carried["extra"] = segments + photoshop_segments(finished.metadata.photoshop)
    if finished.metadata.comments:
        carried["comment"] = b"\n".join(finished.metadata.comments)[:_MAX_COMMENT_BYTES]
    image_of(finished).save(
        file,
        "JPEG",
        quality=options.quality,
        subsampling=0 if options.has_whole_chroma else 2,
        progressive=options.progressive,
        **carried,
    )
    return tuple(notes)
