"""Colours hidden under full transparency: kept from the networks, and kept for the file.

What nobody sees may be anything: black, another picture, noise. A network would draw it into what
is beside it, and enlarging would blend it in. So hidden pixels are filled from the visible ones by
pull-push interpolation (Gortler et al., The Lumigraph, SIGGRAPH 1996, section 3.4).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from daemon.photo.bit_depth import slabs, to_unit
from daemon.photo.colour import GREY, SRGB, Floats
from daemon.photo.decoded import Codes
from daemon.photo.picture import Original, Picture

_TINY = np.float32(1e-12)


def without_hidden(picture: Picture) -> Picture:
    """The picture with colours like those around where it is fully transparent.

    Its file's own codes stay in its `original`, so that they come back where nothing is resized.
    """
    if picture.alpha is None:
        return picture
    hidden = picture.alpha == 0
    if not hidden.any() or hidden.all():
        return picture
    filled = _filled(picture.pixels, picture.alpha, hidden)
    original = picture.original
    if original is None:
        codes = picture.pixels[..., :1] if picture.grey else picture.pixels
        original = Original(codes, GREY if picture.grey else SRGB)
    return replace(picture, pixels=filled, original=replace(original, hidden=hidden))


def _filled(pixels: Codes, alpha: Codes, hidden: NDArray[np.bool_]) -> Codes:
    """Pixels of which the hidden ones are interpolated, from a copy of half the resolution."""
    height, width = hidden.shape
    half = _pull_push(*_halves(pixels, alpha))
    filled = pixels.copy()
    columns = np.arange(width) // 2
    for rows in slabs(height, width):
        places = hidden[rows]
        around = half[np.arange(rows.start, rows.stop) // 2][:, columns]
        filled[rows][places] = np.rint(around[places]).astype(pixels.dtype)
    return filled


def _halves(pixels: Codes, alpha: Codes) -> tuple[Floats, Floats]:
    """Colours weighted by their opacity, and the weights, at half the resolution."""
    height, width = alpha.shape
    weighted = np.zeros(((height + 1) // 2, (width + 1) // 2, 3), np.float32)
    weight = np.zeros((*weighted.shape[:2], 1), np.float32)
    for top in range(0, height, 512):
        rows, half = slice(top, top + 512), slice(top // 2, top // 2 + 256)
        opacity = to_unit(alpha[rows])[..., None]
        colours = pixels[rows].astype(np.float32) * opacity
        weighted[half], weight[half] = _box(colours), _box(opacity)
    return weighted, weight


def _pull_push(weighted: Floats, weight: Floats) -> Floats:
    """Means where the weight is above 0; elsewhere the means at half the resolution, enlarged."""
    means = np.asarray(weighted / np.maximum(weight, _TINY), np.float32)
    empty = weight[..., 0] <= 0
    if not empty.any() or weight.shape[:2] == (1, 1):
        return means
    coarse = _pull_push(_box(weighted), _box(weight))
    means[empty] = _doubled(coarse, *empty.shape)[empty]
    return means


def _box(values: Floats) -> Floats:
    """Means of blocks of 2 x 2 pixels; what a block lacks at the edges counts as 0."""
    height, width = values.shape[:2]
    padded = np.pad(values, ((0, height % 2), (0, width % 2), (0, 0)))
    rows = padded[::2] + padded[1::2]
    return np.asarray((rows[:, ::2] + rows[:, 1::2]) / 4, np.float32)


def _doubled(values: Floats, height: int, width: int) -> Floats:
    """Twice the size, bilinear, cut to a height and width."""
    for axis, length in ((0, height), (1, width)):
        place = np.clip((np.arange(length) + 0.5) / 2 - 0.5, 0, values.shape[axis] - 1)
        first = np.floor(place).astype(np.intp)
        share = (place - first).astype(np.float32)
        share = share[:, None, None] if axis == 0 else share[None, :, None]
        second = np.minimum(first + 1, values.shape[axis] - 1)
        before, after = np.take(values, first, axis), np.take(values, second, axis)
        values = np.asarray(before + (after - before) * share, np.float32)
    return values
