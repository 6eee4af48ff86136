"""JPEG of 8 bits, with what is lost of it told.

libjpeg-turbo (simplejpeg) refuses whatever it would warn of, so what it decodes is whole. What it
refuses is decoded by Pillow, and it is found out whether anything is lost.
"""

from __future__ import annotations

import os
from typing import BinaryIO

import numpy as np
import simplejpeg
from PIL.ImageFile import ImageFile

from daemon.photo.decoded import CHANNELS, Decoded, Model
from daemon.photo.decoders.pillow import PillowCodes, decoded_image
from daemon.photo.jpeg_data import DAMAGED, NO_END, Scan, is_damaged, last_scan, picture_file
from daemon.photo.notes import Note, NoteKind
from daemon.photo.pillow_files import open_image
from daemon.photo.truncation import truncated_error

_MODELS: dict[str, tuple[Model, str]] = {"L": ("grey", "GRAY"), "RGB": ("rgb", "RGB")}
"""What the channels are, and what libjpeg-turbo calls them, by Pillow's mode. It does not turn
Adobe's inverted CMYK round, which Pillow does."""

_LEAST_TRAILER, _LOOKED_AT = 64, 1 << 16
"""Bytes behind a picture that are worth a note, and those that tell whether they are anything."""


def decode(file: BinaryIO, label: str, page: int = 0) -> Decoded:
    """Decode the picture; further ones behind it (MPO) are left out, as no page of it is.

    Raises:
        TruncatedError: It lacks its end marker and part of its picture.
    """
    scan = last_scan(file)
    image = open_image(picture_file(file, scan))
    found = None if scan is None else _whole_codes(file, scan, image)
    notes = () if scan is None else _trailer_notes(file, scan)
    if found is not None:
        return decoded_image(image, notes=notes, file=file, found=found)
    image.load()
    notes += () if scan is None else _damage_notes(file, scan, image, label)
    return decoded_image(image, notes=notes, file=file)


def _whole_codes(file: BinaryIO, scan: Scan, image: ImageFile) -> PillowCodes | None:
    """The codes of a JPEG that lacks nothing; None where that is not sure.

    The decoder warns of data that end too early or too late, and of markers that are not in order.
    That scans are missing it does not notice.
    """
    if image.mode not in _MODELS or not (scan.ended and scan.sound and scan.complete):
        return None
    model, space = _MODELS[image.mode]
    file.seek(0)
    try:
        codes = simplejpeg.decode_jpeg(file.read(), space, strict=True)
    except ValueError:
        return None
    if codes.shape != (image.height, image.width, CHANNELS[model]):
        return None
    return PillowCodes(np.asarray(codes), model, None)


def _trailer_notes(file: BinaryIO, scan: Scan) -> tuple[Note, ...]:
    """Note what follows the picture in its file; writers fill up with zeros, which are nothing."""
    if not scan.ended:
        return ()
    begin = scan.end + 2
    length = file.seek(0, os.SEEK_END) - begin
    file.seek(begin)
    if length < _LEAST_TRAILER or not file.read(_LOOKED_AT).strip(b"\0\xff"):
        return ()
    what = "a film, further pictures or a program's own data"
    size = f"{length / 1024:.0f} KB" if length >= 1024 else f"{length} bytes"
    said = f"{size} behind the picture ({what}) were left out"
    return (Note(NoteKind.PAGES, said),)


def _damage_notes(file: BinaryIO, scan: Scan, image: ImageFile, label: str) -> tuple[Note, ...]:
    """Note what a JPEG lacks."""
    if not is_damaged(file, scan, image):
        return () if scan.ended else (NO_END,)
    if scan.ended:
        return (DAMAGED,)
    raise truncated_error(label, file.seek(0, os.SEEK_END))
