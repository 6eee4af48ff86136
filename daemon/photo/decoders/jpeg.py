"""JPEG of 8 bits, decoded by Pillow, with what is lost of it told."""

from __future__ import annotations

import os
from typing import BinaryIO

from PIL.ImageFile import ImageFile

from daemon.photo.decoded import Decoded
from daemon.photo.decoders.pillow import decoded_image
from daemon.photo.jpeg_data import DAMAGED, NO_END, Scan, is_damaged, last_scan, picture_file
from daemon.photo.pillow_files import open_image
from daemon.photo.truncation import truncated_error


def decode(file: BinaryIO, label: str, page: int = 0) -> Decoded:
    """Decode the picture; further ones behind it (MPO) are left out, as no page of it is.

    Raises:
        TruncatedError: It lacks its end marker and part of its picture.
    """
    scan = last_scan(file)
    image = open_image(picture_file(file, scan))
    image.load()
    notes = () if scan is None else _damage_notes(file, scan, image, label)
    return decoded_image(image, notes=notes, file=file)


def _damage_notes(file: BinaryIO, scan: Scan, image: ImageFile, label: str) -> tuple[str, ...]:
    """Note what a JPEG lacks."""
    if not is_damaged(file, scan, image):
        return () if scan.ended else (NO_END,)
    if scan.ended:
        return (DAMAGED,)
    raise truncated_error(label, file.seek(0, os.SEEK_END))
