"""What the writers that use Pillow have in common."""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image

from daemon.photo.finishing import Finished
from daemon.photo.metadata import exif_for


def image_of(finished: Finished) -> Image.Image:
    """The codes, in uint8, as Pillow takes them."""
    codes = finished.codes
    if codes.shape[2] == 2:
        return Image.fromarray(np.ascontiguousarray(codes), "LA")
    plane = codes[..., 0] if codes.shape[2] == 1 else codes
    return Image.fromarray(np.ascontiguousarray(plane))


def exif_of(finished: Finished) -> Image.Exif | None:
    """The EXIF of a result, with its size."""
    height, width = finished.codes.shape[:2]
    return exif_for(finished.metadata, width, height)


def common_options(finished: Finished) -> dict[str, Any]:
    """Keyword arguments of Pillow's encoders, which are untyped: resolution and profile."""
    options: dict[str, Any] = {}
    if finished.metadata.dpi is not None:
        options["dpi"] = finished.metadata.dpi
    if finished.icc is not None:
        options["icc_profile"] = finished.icc
    return options
