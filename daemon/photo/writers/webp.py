"""WebP of 8 bits, by Pillow."""

from __future__ import annotations

from typing import BinaryIO

from daemon.photo.embedded_blocks import iptc_of
from daemon.photo.output_formats import EncoderOptions
from daemon.photo.postprocessing import Finished
from daemon.photo.tiff_fields import RawField
from daemon.photo.writers.pillow import common_options, exif_of, image_of

_IPTC, _UNDEFINED = 33723, 7
_LOSSLESS_EFFORT = 50
"""Quality of a lossless picture, which is its effort: 100 takes nine times as long for 0.002 %."""


def write(finished: Finished, file: BinaryIO, options: EncoderOptions) -> tuple[str, ...]:
    """Write a WebP; see `photo.output_formats.Write`."""
    carried, exif = common_options(finished), exif_of(finished, *_iptc(finished))
    if finished.metadata.xmp is not None:
        carried["xmp"] = finished.metadata.xmp
    if exif is not None:
        carried["exif"] = exif
    carried |= {
        "quality": _LOSSLESS_EFFORT if options.is_lossless else options.quality,
        "lossless": options.is_lossless,
        "method": 4,
        "exact": True,
    }
    image_of(finished).save(file, "WEBP", **carried)
    return ()


def _iptc(finished: Finished) -> tuple[RawField, ...]:
    """IPTC as a field of EXIF, since WebP has no chunk for it."""
    resources = finished.metadata.photoshop
    iptc = None if resources is None else iptc_of(resources)
    return () if not iptc else (RawField(_IPTC, _UNDEFINED, len(iptc), iptc),)
