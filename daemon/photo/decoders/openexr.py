"""OpenEXR by the library of that name, an extra; tone-mapped, since its light has no white."""

from __future__ import annotations

from typing import BinaryIO

import numpy as np
import OpenEXR
from numpy.typing import NDArray

from daemon.photo.bit_depth import to_depth
from daemon.photo.decoded import ColourTags, Decoded
from daemon.photo.notes import extra_channels_note
from daemon.photo.openexr_header import OpenExrInfo, read_openexr_header, read_openexr_info
from daemon.photo.picture import Metadata
from daemon.photo.profiles import BT709, SRGB_CURVE, Primaries, rgb_profile
from daemon.photo.tone_mapping import exposed, mapped_to_srgb_curve, tone_mapping_note

_NEAR = 1e-3
"""Coordinates that differ by less are those of BT.709."""

_KNOWN = {"R", "G", "B", "A", "Y", "RY", "BY"}

Floats = NDArray[np.float32]


def decode(file: BinaryIO, label: str, page: int = 0) -> Decoded:
    """Decode the first picture; see `photo.decoded.Decode`."""
    header, info = read_openexr_header(file, label), read_openexr_info(file)
    file.seek(0)
    parts = OpenEXR.File(file, separate_channels=True, num_threads=0).parts
    if not parts:
        raise ValueError("its pixels are damaged")
    channels = {
        name: np.asarray(channel.pixels, np.float32) for name, channel in parts[0].channels.items()
    }
    primaries = _primaries(info)
    light = _light(channels, primaries)
    if light.shape[:2] != (header.height, header.width):
        raise ValueError(f"it is not of the {header.width}x{header.height} pixels that it says")
    alpha = channels.get("A")
    if alpha is not None:
        alpha = np.clip(np.nan_to_num(alpha), 0, 1).astype(np.float32)
        with np.errstate(invalid="ignore"):  # of what is no number
            light = np.asarray(light / np.where(alpha > 0, alpha, 1)[..., None], np.float32)
    light, notes = exposed(light)
    left = len(set(channels) - _KNOWN)
    return Decoded(
        mapped_to_srgb_curve(light),
        "grey" if light.shape[2] == 1 else "rgb",
        Metadata("EXR", header.mode),
        ColourTags(icc=_profile(primaries) if light.shape[2] == 3 else None),
        white=65535,
        alpha=None if alpha is None else to_depth(alpha, np.uint16),
        notes=(
            tone_mapping_note("OpenEXR"),
            *notes,
            *((extra_channels_note(left),) if left else ()),
        ),
    )


def _primaries(info: OpenExrInfo) -> Primaries:
    """Those of the file; BT.709 where it names none, as the format says."""
    if info.points is None:
        return BT709
    red, green, blue, white = info.points
    found = Primaries(white, red, green, blue)
    usual = (BT709.white, BT709.red, BT709.green, BT709.blue)
    is_usual = np.allclose((white, red, green, blue), usual, atol=_NEAR)
    return BT709 if is_usual else found


def _profile(primaries: Primaries) -> bytes | None:
    return None if primaries == BT709 else rgb_profile("OpenEXR", primaries, SRGB_CURVE)


def _light(channels: dict[str, Floats], primaries: Primaries) -> Floats:
    """Linear light, (H, W, 1 or 3)."""
    if {"R", "G", "B"} <= set(channels):
        return np.stack([channels[name] for name in "RGB"], axis=2)
    luminance = channels["Y"]
    if not {"RY", "BY"} <= set(channels):
        return luminance[..., None]
    shape = (luminance.shape[0], luminance.shape[1])
    red = (_enlarged(channels["RY"], shape) + 1) * luminance
    blue = (_enlarged(channels["BY"], shape) + 1) * luminance
    r, g, b = _luminance_weights(primaries)
    green = (luminance - r * red - b * blue) / g
    return np.stack([red, green, blue], axis=2).astype(np.float32)


def _enlarged(chroma: Floats, shape: tuple[int, int]) -> Floats:
    """Chroma of every second pixel, interpolated between them."""
    for axis in (0, 1):
        ratio = max(1, round(shape[axis] / chroma.shape[axis]))
        places = np.minimum(np.arange(shape[axis]) / ratio, chroma.shape[axis] - 1)
        before = np.floor(places).astype(int)
        after = np.minimum(before + 1, chroma.shape[axis] - 1)
        share = (places - before).astype(np.float32)
        share = share[:, None] if axis == 0 else share[None]
        chroma = np.take(chroma, before, axis) * (1 - share) + np.take(chroma, after, axis) * share
    return chroma


def _luminance_weights(primaries: Primaries) -> tuple[float, float, float]:
    """Shares of red, green and blue in the luminance."""
    columns = np.array(
        [(x / y, 1, (1 - x - y) / y) for x, y in (primaries.red, primaries.green, primaries.blue)]
    ).T
    x, y = primaries.white
    r, g, b = np.linalg.solve(columns, np.array([x / y, 1, (1 - x - y) / y]))
    return float(r), float(g), float(b)
