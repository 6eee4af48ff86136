"""Shared parts of the writers that use Pillow."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np
from PIL import Image

from daemon.photo.embedded_blocks import iptc_of
from daemon.photo.exif_block import ExifChanges, changed_exif
from daemon.photo.picture import Metadata
from daemon.photo.postprocessing import Finished
from daemon.photo.tiff_fields import RawField, numbers_field, packed_block

_IPTC, _UNDEFINED, _SHORT, _RATIONAL = 33723, 7, 3, 5
_RESOLUTIONS, _RESOLUTION_UNIT, _PER_INCH = (282, 283), 296, 2
_DPI_UNIT = 10_000
"""Largest denominator of a resolution."""


def image_of(finished: Finished) -> Image.Image:
    """The codes, in uint8, as Pillow takes them."""
    codes = finished.codes
    if codes.shape[2] == 2:
        return Image.fromarray(np.ascontiguousarray(codes), "LA")
    plane = codes[..., 0] if codes.shape[2] == 1 else codes
    return Image.fromarray(np.ascontiguousarray(plane))


def exif_fields(finished: Finished) -> tuple[str, list[RawField]] | None:
    """Byte order and fields of the EXIF of a result; None if it has none.

    Raises:
        ValueError, struct.error: The block that is carried is damaged.
    """
    metadata = finished.metadata
    if metadata.exif is None:
        return None
    height, width = finished.codes.shape[:2]
    is_srgb = None
    if finished.icc != metadata.icc:
        is_srgb = finished.icc is None
    changes = ExifChanges(
        width, height, metadata.scale, is_turned=metadata.turned != 1, is_srgb=is_srgb
    )
    return changed_exif(metadata.exif, changes)


def exif_of(finished: Finished) -> bytes | None:
    """The EXIF of a result as a block that begins with "Exif"; None if it has none."""
    found = exif_fields(finished)
    if found is None:
        return None
    order, fields = found
    return b"Exif\0\0" + packed_block(fields, order)


def carried_exif(finished: Finished) -> bytes | None:
    """The EXIF of a format that has no other place for resolution and IPTC.

    Returns:
        The block, from its TIFF header on; None if there is nothing to say.
    """
    found = exif_fields(finished)
    order, fields = found or ("<", [])
    fields = [*fields, *iptc_fields(finished), *_resolution(finished, order, fields)]
    return packed_block(fields, order) if fields else None


def iptc_fields(finished: Finished) -> tuple[RawField, ...]:
    """IPTC as a field of EXIF."""
    resources = finished.metadata.photoshop
    iptc = None if resources is None else iptc_of(resources)
    return () if not iptc else (RawField(_IPTC, _UNDEFINED, len(iptc), iptc),)


def _resolution(finished: Finished, order: str, fields: Sequence[RawField]) -> list[RawField]:
    """Resolution as fields, unless EXIF's own is there, which is exact and in its unit."""
    dpi = scaled_dpi(finished.metadata)
    if dpi is None or any(field.tag == _RESOLUTIONS[0] for field in fields):
        return []
    return resolution_fields(dpi, order)


def resolution_fields(dpi: tuple[float, float], order: str) -> list[RawField]:
    """Resolution in dots per inch as fields of a directory."""
    fields = []
    for tag, value in zip(_RESOLUTIONS, dpi, strict=True):
        share = Fraction(value).limit_denominator(_DPI_UNIT)
        content = struct.pack(f"{order}II", share.numerator, share.denominator)
        fields.append(RawField(tag, _RATIONAL, 1, content))
    return [*fields, numbers_field(order, _RESOLUTION_UNIT, _SHORT, [_PER_INCH])]


def scaled_dpi(metadata: Metadata) -> tuple[float, float] | None:
    """Resolution of a result in dots per inch: an enlarged picture is as large on paper."""
    if metadata.dpi is None:
        return None
    return (metadata.dpi[0] * metadata.scale, metadata.dpi[1] * metadata.scale)


def common_options(finished: Finished) -> dict[str, Any]:
    """Keyword arguments of Pillow's encoders, which are untyped: resolution and profile."""
    options: dict[str, Any] = {}
    dpi = scaled_dpi(finished.metadata)
    if dpi is not None:
        options["dpi"] = dpi
    if finished.icc is not None:
        options["icc_profile"] = finished.icc
    return options
