"""JPEG of 12 bits and lossless JPEG, decoded by imagecodecs at their full precision."""

from __future__ import annotations

from typing import BinaryIO

import imagecodecs

from daemon.photo.decoded import ColourTags, Decoded, Model
from daemon.photo.jpeg_data import read_frame
from daemon.photo.metadata import read_jpeg_metadata

_MODELS: dict[int, Model] = {1: "grey", 3: "rgb", 4: "cmyk"}
_MODES = {1: "L", 3: "RGB", 4: "CMYK"}


def decode(file: BinaryIO, label: str, page: int = 0) -> Decoded:
    """Decode the picture; see `photo.decoded.Decode`."""
    frame = read_frame(file)
    if frame is None or frame.components not in _MODELS:
        raise ValueError("it has no frame header of 1, 3 or 4 components")
    file.seek(0)
    content = file.read()
    # libjpeg-turbo; imagecodecs' decoder of lossless ones alone dies of damaged headers.
    codes = imagecodecs.jpeg8_decode(content)
    if codes.shape[:2] != (frame.height, frame.width):
        raise ValueError(f"its picture is not of the {frame.width}x{frame.height} pixels it says")
    said = read_jpeg_metadata(file, f"{_MODES[frame.components]};{frame.bits}")
    return Decoded(
        codes.reshape(codes.shape[0], codes.shape[1], -1),
        _MODELS[frame.components],
        said.metadata,
        ColourTags(icc=said.metadata.icc, is_adobe_rgb=said.is_adobe_rgb),
        white=float(2**frame.bits - 1),
        orientation=said.orientation,
        notes=said.notes,
    )
