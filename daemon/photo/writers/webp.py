"""WebP of 8 bits, by Pillow; at quality 100 it loses nothing."""

from __future__ import annotations

from typing import BinaryIO

from daemon.photo.embedded_blocks import iptc_of
from daemon.photo.finishing import Finished
from daemon.photo.tiff_fields import RawField
from daemon.photo.writers.pillow import common_options, exif_of, image_of

_IPTC, _UNDEFINED = 33723, 7


def write(finished: Finished, file: BinaryIO, quality: int) -> tuple[str, ...]:
    """Write a WebP; see `photo.outputs.Write`."""
    options, exif = common_options(finished), exif_of(finished, *_iptc(finished))
    if finished.metadata.xmp is not None:
        options["xmp"] = finished.metadata.xmp
    if exif is not None:
        options["exif"] = exif
    options |= {"quality": quality, "lossless": quality == 100, "method": 4, "exact": True}
    image_of(finished).save(file, "WEBP", **options)
    return ()


def _iptc(finished: Finished) -> tuple[RawField, ...]:
    """IPTC as a field of EXIF, since WebP has no chunk for it."""
    resources = finished.metadata.photoshop
    iptc = None if resources is None else iptc_of(resources)
    return () if not iptc else (RawField(_IPTC, _UNDEFINED, len(iptc), iptc),)
