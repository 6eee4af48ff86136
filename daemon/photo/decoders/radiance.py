"""Radiance pictures of high dynamic range by imagecodecs, tone-mapped."""

from __future__ import annotations

from typing import BinaryIO

import imagecodecs
import numpy as np

from daemon.photo.decoded import Decoded
from daemon.photo.picture import Metadata
from daemon.photo.radiance_header import read_radiance_header
from daemon.photo.tone_mapping import exposed, mapped_to_srgb_curve, tone_mapping_note


def decode(file: BinaryIO, label: str, page: int = 0) -> Decoded:
    """Decode the picture; see `photo.decoded.Decode`."""
    header = read_radiance_header(file, label)
    file.seek(0)
    light = np.asarray(imagecodecs.rgbe_decode(file.read()), np.float32)
    if light.shape != (header.height, header.width, 3):
        raise ValueError(f"it has not the {header.width}x{header.height} pixels that it says")
    light, note = exposed(light)
    return Decoded(
        mapped_to_srgb_curve(light),
        "rgb",
        Metadata("HDR", header.mode),
        white=65535,
        notes=(tone_mapping_note("Radiance"), *note),
    )
