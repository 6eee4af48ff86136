"""Encoding pictures into synced files, with the metadata that they carry.

Nothing is left out without a note.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO, cast

from PIL import Image

from daemon.photo.notes import Note, NoteKind
from daemon.photo.output_formats import (
    Compression,
    Depth,
    EncoderOptions,
    Profile,
    output_named,
)
from daemon.photo.picture import Picture
from daemon.photo.postprocessing import Finished, finish
from daemon.photo.privacy import kept_metadata
from daemon.photo.reading import to_eight_bits
from daemon.photo.writers.tiff import write_pages
from daemon.system.errors import CannotWriteError, PhotoError
from daemon.system.files import shown

_ENCODER_ERRORS = (
    ValueError,
    TypeError,
    KeyError,
    RuntimeError,
    SystemError,
    OverflowError,
    struct.error,
)
"""Exceptions of encoders for pixels or metadata that they cannot write."""


_DEFAULTS = EncoderOptions()


def write_picture(
    picture: Picture,
    path: Path,
    *,
    format: str,
    quality: int | None = None,
    depth: Depth = "same",
    profile: Profile = "keep",
    options: EncoderOptions = _DEFAULTS,
) -> tuple[str, ...]:
    """Write a result, synced to disk, with EXIF, XMP and resolution.

    Args:
        picture: The picture.
        path: The file; an existing one is replaced.
        format: Name of one of `photo.output_formats.OUTPUTS`, in any case.
        quality: 1 to 100, in place of that of the options.
        depth: Bits of a sample; "same" is the picture's own depth.
        profile: Colours; "keep" is the profile of the picture's file.
        options: How it is encoded.

    Returns:
        Notes on what could not be kept.

    Raises:
        PhotoError: The picture is larger than the format allows.
        CannotWriteError: The encoder refuses it.
        OSError: The disk is full or refuses.
    """
    output = output_named(format)
    options = options if quality is None else replace(options, quality=quality)
    height, width = picture.pixels.shape[:2]
    _check_side(output.name, output.max_side_px, width, height)
    finished, notes = finish(picture, output, depth, profile, is_lossless=options.is_lossless)
    write = output.writer()
    try:
        metadata_notes = _save(path, lambda file: write(finished, file, options))
    except OSError as error:
        if error.errno is not None:
            raise
        raise CannotWriteError(f"{shown(path.name)}: cannot be encoded: {error}") from error
    except _ENCODER_ERRORS as error:
        bare, _ = kept_metadata(picture.metadata, "strip")
        if bare == picture.metadata:
            raise CannotWriteError(f"{shown(path.name)}: cannot be encoded: {error}") from error
        without = replace(finished, metadata=bare)
        metadata_notes = (
            *_save(path, lambda file: write(without, file, options)),
            Note(
                NoteKind.METADATA,
                f"EXIF and XMP cannot be written as {output.name} ({error}): left out",
            ),
        )
    return (*notes, *metadata_notes)


def write_tiff_pages(
    pictures: Sequence[Picture],
    path: Path,
    *,
    depth: Depth = "same",
    profile: Profile = "keep",
    compression: Compression = "deflate",
) -> tuple[str, ...]:
    """Write results as the pages of one TIFF, synced to disk; see `write_picture`."""
    output = output_named("tiff")
    notes: list[str] = []

    def finished_pages() -> Iterator[Finished]:
        for picture in pictures:
            finished, more = finish(picture, output, depth, profile)
            notes.extend(more)
            yield finished

    # Opacity and the largest sample, so that a TIFF is big rather than broken.
    nbytes = sum(picture.pixels.size // 3 * 16 for picture in pictures)
    try:
        more = _save(path, lambda file: write_pages(finished_pages(), file, nbytes, compression))
    except _ENCODER_ERRORS as error:
        raise CannotWriteError(f"{shown(path.name)}: cannot be encoded: {error}") from error
    return tuple(dict.fromkeys((*notes, *more)))


def write_animation(pictures: Sequence[Picture], path: Path, *, frame_ms: int) -> None:
    """Write pictures as the frames of an endless animated WebP, synced to disk.

    Transparency is kept.

    Args:
        pictures: At least one, all of one size.
        path: The file; an existing one is replaced.
        frame_ms: How long each frame is shown, in milliseconds.

    Raises:
        PhotoError: They are larger than WebP allows.
        OSError: The disk is full or refuses.
    """
    height, width = pictures[0].pixels.shape[:2]
    _check_side("webp", output_named("webp").max_side_px, width, height)
    first, *others = map(_frame, pictures)

    def write(file: BinaryIO) -> tuple[str, ...]:
        first.save(
            file,
            "WEBP",
            save_all=True,
            append_images=others,
            duration=frame_ms,
            loop=0,
            quality=90,
            method=4,
        )
        return ()

    _save(path, write)


def _frame(picture: Picture) -> Image.Image:
    image = Image.fromarray(to_eight_bits(picture.pixels))
    if picture.alpha is not None:
        image.putalpha(Image.fromarray(to_eight_bits(picture.alpha)))
    return image


def _check_side(format: str, allowed: int | None, width: int, height: int) -> None:
    if allowed is not None and max(width, height) > allowed:
        raise PhotoError(
            "",  # the path is in the staging folder and means nothing to a person
            f"the result has {width}x{height} pixels; {format} allows {allowed} a side",
            'set output.format of the recipe to "png" or "tiff"',
        )


class _WithoutDescriptor:
    """A file that hides its descriptor from encoders.

    Those that write to a descriptor lose the error number of a full disk, or do not notice it.
    """

    def __init__(self, file: BinaryIO) -> None:
        self.write = file.write
        self.seek = file.seek
        self.tell = file.tell
        self.read = file.read
        self.flush = file.flush


def _save(path: Path, write: Callable[[BinaryIO], tuple[str, ...]]) -> tuple[str, ...]:
    with path.open("w+b") as file:
        notes = write(cast("BinaryIO", _WithoutDescriptor(file)))
        file.flush()
        os.fsync(file.fileno())
    return notes
