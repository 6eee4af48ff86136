"""WebP of 8 bits, by Pillow."""

from __future__ import annotations

from typing import BinaryIO

from daemon.photo.output_formats import EncoderOptions
from daemon.photo.postprocessing import Finished
from daemon.photo.writers.pillow import carried_exif, common_options, image_of

_LOSSLESS_EFFORT = 50
"""Quality of a lossless picture, which is its effort: 100 takes nine times as long for 0.002 %."""


def write(finished: Finished, file: BinaryIO, options: EncoderOptions) -> tuple[str, ...]:
    """Write a WebP; see `photo.output_formats.Write`."""
    carried, exif = common_options(finished), carried_exif(finished)
    if finished.metadata.xmp is not None:
        carried["xmp"] = finished.metadata.xmp
    if exif is not None:
        carried["exif"] = b"Exif\0\0" + exif
    carried |= {
        "quality": _LOSSLESS_EFFORT if options.is_lossless else options.quality,
        "lossless": options.is_lossless,
        "method": 4,
        "exact": True,
    }
    image_of(finished).save(file, "WEBP", **carried)
    return ()
