"""Shared parts of the writers that use Pillow."""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image

from daemon.photo.exif_block import ExifChanges, changed_exif
from daemon.photo.picture import Metadata
from daemon.photo.postprocessing import Finished
from daemon.photo.tiff_fields import RawField, packed_block


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


def exif_of(finished: Finished, *further: RawField) -> bytes | None:
    """The EXIF of a result as a block that begins with "Exif"; None if it has none.

    Args:
        finished: The result.
        further: Fields that are added, in little-endian order where there is no other EXIF.
    """
    found = exif_fields(finished)
    if found is None and not further:
        return None
    order, fields = found or ("<", [])
    return b"Exif\0\0" + packed_block([*fields, *further], order)


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
