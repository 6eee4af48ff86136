"""WebP of 8 bits, by Pillow; at quality 100 it loses nothing."""

from __future__ import annotations

from typing import BinaryIO

from daemon.photo.finishing import Finished
from daemon.photo.writers.pillow import common_options, exif_of, image_of


def write(finished: Finished, file: BinaryIO, quality: int) -> tuple[str, ...]:
    """Write a WebP; see `photo.outputs.Write`."""
    options, exif = common_options(finished), exif_of(finished)
    if finished.metadata.xmp is not None:
        options["xmp"] = finished.metadata.xmp
    if exif is not None:
        options["exif"] = exif.tobytes()
    options |= {"quality": quality, "lossless": quality == 100, "method": 4, "exact": True}
    image_of(finished).save(file, "WEBP", **options)
    return ()
