"""HEIF (HEIC, HIF) by libheif, AVIF by libavif, at their full depth; both are boxes of one kind."""

from __future__ import annotations

import io
import os
from typing import BinaryIO

import imagecodecs
import numpy as np
import pi_heif

from daemon.photo.decoded import CHANNELS, Codes, ColourTags, Decoded, Model
from daemon.photo.isobmff import (
    HeifInfo,
    boxes,
    file_start,
    has_manifest,
    is_avif,
    is_heif_truncated,
    read_heif_header,
    read_heif_info,
)
from daemon.photo.metadata import FileBlocks, read_block_metadata
from daemon.photo.notes import Note, NoteKind
from daemon.photo.truncation import truncated_error

_THREADS = 1
"""Threads of a decoder: workers decode side by side already."""


def decode(file: BinaryIO, label: str, page: int = 0) -> Decoded:
    """Decode the main image; others that stand beside it are left out with a note.

    Raises:
        PhotoError: It holds a film only.
        TruncatedError: A part of it lies beyond its end.
    """
    size = os.fstat(file.fileno()).st_size
    if is_heif_truncated(file, size):
        raise truncated_error(label, size)
    header, info = read_heif_header(file, label), read_heif_info(file, label)
    is_av1 = is_avif(file_start(file))
    file.seek(0)
    content = file.read()
    codes, premultiplied = _avif(content, info) if is_av1 else _heif(content, info)
    model: Model = "grey" if codes.shape[2] < CHANNELS["rgb"] else "rgb"
    colours = CHANNELS[model]
    said = read_block_metadata(
        header.format,
        header.mode,
        FileBlocks(info.icc, info.exif, info.xmp, has_manifest=has_manifest(file)),
    )
    return Decoded(
        codes[..., :colours],
        model,
        said.metadata,
        # The profile goes first, as it does in every reader; the code points then tell only how
        # the decoder comes from YCbCr to RGB.
        ColourTags(
            icc=info.icc,
            cicp=None if info.icc else info.cicp,
            is_adobe_rgb=said.is_adobe_rgb and info.cicp is None,
        ),
        white=float(2**info.bits - 1),
        alpha=codes[..., colours] if codes.shape[2] > colours else None,
        premultiplied=premultiplied,
        # libheif turns it upright itself; EXIF's orientation does not count in boxes.
        orientation=info.orientation if is_av1 else 1,
        notes=(*_notes(info), *said.notes),
    )


def _avif(content: bytes, info: HeifInfo) -> tuple[Codes, bool]:
    decoded = imagecodecs.avif_decode(_still(content), 0, numthreads=_THREADS)
    codes = decoded.reshape(*decoded.shape[:2], -1)
    if info.crop is not None:
        left, top, width, height = info.crop
        codes = codes[top : top + height, left : left + width]
    return codes, False


def _still(content: bytes) -> bytes:
    """The file without its film, whose frames imagecodecs writes beyond the array it made for one.

    libavif takes the film of a file whose main brand is that of a sequence, and looks for it where
    any brand is.
    """
    brands = int.from_bytes(content[:4], "big")
    still = bytearray(content[:brands].replace(b"avis", b"avif") + content[brands:])
    for box in boxes(io.BytesIO(content), 0, len(content)):
        if box.kind == b"moov":
            place = content.rindex(b"moov", 0, box.begin)
            still[place : place + 4] = b"free"
    return bytes(still)


def _heif(content: bytes, info: HeifInfo) -> tuple[Codes, bool]:
    opened = pi_heif.open_heif(content, convert_hdr_to_8bit=False, hdr_to_16bit=False)
    image = opened[opened.primary_index]
    if image.size[0] * image.size[1] > info.width * info.height:
        raise ValueError(f"its main image is larger than the {info.width}x{info.height} it says")
    # The array of the image lies in memory that goes with it.
    codes = np.array(image)
    return codes.reshape(*codes.shape[:2], -1), image.mode.startswith("RGBa")


def _notes(info: HeifInfo) -> tuple[str, ...]:
    notes = []
    if info.images > 1:
        left = "1 more was" if info.images == 2 else f"{info.images - 1} more were"
        notes.append(Note(NoteKind.PAGES, f"its main image was restored; {left} left out"))
    if info.is_sequence:
        notes.append(Note(NoteKind.PAGES, "an animation: its still was restored"))
    return tuple(notes)
