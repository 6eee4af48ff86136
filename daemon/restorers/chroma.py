"""Chroma: paint grey photographs without changing their luminance.

Small maps of chroma are brought to full size along the edges of the photograph. Knows no network
and, past the small maps, never holds more than a band of rows in floats.

Chroma is (R - Y, B - Y), float32 (h, w, 2), in units where white less black is 1; G - Y follows.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from daemon.photo.bit_depth import to_depth
from daemon.photo.picture import SLAB_PIXELS

Grey = NDArray[np.uint8]
Floats = NDArray[np.float32]

RED, GREEN, BLUE = 19595, 38470, 7471
"""Pillow's luminance: L = (RED R + GREEN G + BLUE B + 32768) >> 16; they add up to 65536."""

BAND_ROWS = 64
"""Rows of a photograph that are worked on at a time."""

_RADIUS_PX = 3
"""Radius of the guided filter's window."""

_EDGE = 0.04
"""Contrast, white less black being 1, from which the guided filter takes a step for an edge."""


@dataclass(frozen=True)
class LocalColours:
    """Chroma as a local linear function of luminance, chroma = slope Y + offset, on a small grid.

    Attributes:
        slope: float32 (h, w, 2).
        offset: float32 (h, w, 2).
    """

    slope: Floats
    offset: Floats


def luminance(pixels: NDArray[np.generic]) -> Grey:
    """The luminance of sRGB pixels, as Pillow's `convert("L")`; 16 bits are rounded to 8 first.

    Args:
        pixels: uint8 or uint16, (H, W, 3).

    Returns:
        uint8, (H, W).
    """
    grey = np.empty(pixels.shape[:2], np.uint8)
    for top in range(0, len(grey), BAND_ROWS):
        rows = slice(top, top + BAND_ROWS)
        red, green, blue = np.moveaxis(eight_bits(pixels[rows]).astype(np.int32), 2, 0)
        grey[rows] = (RED * red + GREEN * green + BLUE * blue + 32768) >> 16
    return grey


def whole_luminance(pixels: NDArray[np.generic]) -> NDArray[Any]:
    """The luminance of sRGB pixels at their own depth, (H, W), with the weights of `luminance`."""
    if pixels.dtype == np.uint8:
        return luminance(pixels)
    grey = np.empty(pixels.shape[:2], np.uint16)
    for top in range(0, len(grey), BAND_ROWS):
        rows = slice(top, top + BAND_ROWS)
        red, green, blue = np.moveaxis(pixels[rows].astype(np.int64), 2, 0)
        grey[rows] = (RED * red + GREEN * green + BLUE * blue + 32768) >> 16
    return grey


def eight_bits(levels: NDArray[np.generic]) -> NDArray[np.uint8]:
    """Levels of 8 or 16 bits, of any shape, rounded to 8 bits."""
    return to_depth(levels, np.uint8).view(np.uint8)


def box_means(pixels: NDArray[np.generic], factor: int) -> NDArray[np.uint8]:
    """Reduce a picture by the means of boxes, some megapixels at a time.

    Args:
        pixels: uint8 or uint16, (H, W, 3).
        factor: Side of a box in pixels; at the edges boxes hold what is there.

    Returns:
        uint8, (ceil(H / factor), ceil(W / factor), 3).
    """
    height, width = pixels.shape[:2]
    if factor == 1:
        return eight_bits(pixels)
    reduced = np.empty((-(-height // factor), -(-width // factor), 3), np.uint8)
    rows = max(1, SLAB_PIXELS // (factor * width))
    for top in range(0, len(reduced), rows):
        band = eight_bits(pixels[top * factor : (top + rows) * factor])
        reduced[top : top + rows] = np.asarray(Image.fromarray(band).reduce(factor))
    return reduced


def resized(
    grey: Grey,
    height: int,
    width: int,
    resampling: Image.Resampling = Image.Resampling.BILINEAR,
) -> Floats:
    """A grey photograph resized, float32 (height, width) in [0, 1]."""
    image = Image.fromarray(grey).resize((width, height), resampling)
    return np.asarray(image, np.float32) / np.float32(255)


def local_colours(guide: Floats, chroma: Floats) -> LocalColours:
    """Fit chroma as a linear function of luminance in every small window.

    In a window with an edge, the line separates the colours of its two sides; in a flat window the
    line is level and chroma is averaged, which removes patches of a few pixels.

    Args:
        guide: Luminance, (h, w) in [0, 1].
        chroma: (h, w, 2).

    Source: Fast Guided Filter, arXiv:1505.00996, algorithm 2, lines 2 to 5.
    """
    plane = guide[..., None]
    mean, mean_chroma = _box(plane), _box(chroma)
    variance = np.maximum(_box(plane * plane) - mean * mean, 0)
    covariance = _box(plane * chroma) - mean * mean_chroma
    slope = np.asarray(covariance / (variance + _EDGE**2), np.float32)
    offset = mean_chroma - slope * mean
    return LocalColours(_box(slope), _box(offset))


def coloured(
    grey: NDArray[np.generic],
    colours: LocalColours,
    saturation: float = 1.0,
    band_rows: int = BAND_ROWS,
) -> NDArray[Any]:
    """Paint a photograph of any size with colours from a small grid.

    Args:
        grey: uint8 or uint16, (H, W).
        colours: Colours on a grid of any size that covers the same picture.
        saturation: Factor on the chroma, 0 or more.
        band_rows: Rows painted at a time; the result does not depend on it.

    Returns:
        (H, W, 3), of the type of the grey photograph, which is its luminance to the level.

    Source: Fast Guided Filter, arXiv:1505.00996, algorithm 2, lines 6 to 8.
    """
    height, width = grey.shape
    line = np.concatenate((colours.slope, colours.offset), axis=2) * np.float32(saturation)
    above, below, lower = _neighbours(height, line.shape[0])
    left, right, further = _neighbours(width, line.shape[1])
    highest = np.float32(np.iinfo(grey.dtype.name).max)
    painted = np.empty((height, width, 3), grey.dtype)
    for top in range(0, height, band_rows):
        rows = slice(top, top + band_rows)
        weight = lower[rows, None, None]
        band = line[above[rows]] * (1 - weight) + line[below[rows]] * weight
        band = band[:, left] * (1 - further[:, None]) + band[:, right] * further[:, None]
        plane = grey[rows].astype(np.float32)[..., None] / highest
        chroma = np.asarray(band[..., :2] * plane + band[..., 2:], np.float32)
        painted[rows] = with_chroma(grey[rows], chroma)
    return painted


def with_chroma(grey: NDArray[np.generic], chroma: Floats) -> NDArray[Any]:
    """Colour every pixel without changing its luminance.

    Where a channel would leave black to white, all of the pixel's chroma shrinks, so that its hue
    stays. Red and blue are rounded, then green is the whole number that brings the luminance back.
    Rounding the two moves green by at most 0.36, so it stays in range; rounding green costs at most
    half of its weight, 0.29 levels of luminance, which `convert("L")` rounds away.

    Args:
        grey: uint8 or uint16, (H, W).
        chroma: (H, W, 2), finite.

    Returns:
        (H, W, 3), of the type of the grey pixels.
    """
    level = grey.astype(np.float32)
    highest = np.float32(np.iinfo(grey.dtype.name).max)
    red, blue = chroma[..., 0] * highest, chroma[..., 1] * highest
    green = (red * RED + blue * BLUE) / np.float32(-GREEN)
    most, least = (op(op(red, green), blue) for op in (np.maximum, np.minimum))
    room = np.minimum(
        (highest - level) / np.maximum(most, np.float32(1e-6)),
        level / np.maximum(-least, np.float32(1e-6)),
    )
    room = np.minimum(room, 1)
    whole_red = np.rint(level + red * room).astype(np.int64)
    whole_blue = np.rint(level + blue * room).astype(np.int64)
    wanted = 65536 * grey.astype(np.int64) - RED * whole_red - BLUE * whole_blue
    whole_green = (wanted + GREEN // 2) // GREEN
    return np.stack((whole_red, whole_green, whole_blue), axis=2).astype(grey.dtype)


def colourfulness(pixels: NDArray[np.generic]) -> float:
    """How colourful people find a picture: 0 grey, 33 averagely, 109 extremely.

    Source: Hasler and Suesstrunk, Measuring colourfulness in natural images, 2003.
    """
    sums, squares = np.zeros(2), np.zeros(2)
    for top in range(0, len(pixels), BAND_ROWS):
        band = eight_bits(pixels[top : top + BAND_ROWS])
        red, green, blue = np.moveaxis(band.astype(np.float32), 2, 0)
        opponents = np.stack((red - green, (red + green) / 2 - blue))
        sums += opponents.sum(axis=(1, 2), dtype=np.float64)
        squares += np.square(opponents).sum(axis=(1, 2), dtype=np.float64)
    count = pixels.shape[0] * pixels.shape[1]
    mean = sums / count
    variance = np.maximum(squares / count - mean**2, 0)
    return float(np.sqrt(variance.sum()) + 0.3 * np.sqrt((mean**2).sum()))


def _box(planes: Floats) -> Floats:
    size = (2 * _RADIUS_PX + 1, 2 * _RADIUS_PX + 1, 1)
    from scipy.ndimage import uniform_filter  # loads all of scipy's array functions: 0.3 s

    mean: Floats = uniform_filter(planes, size, mode="nearest")
    return mean


def _neighbours(count: int, grid: int) -> tuple[NDArray[np.intp], NDArray[np.intp], Floats]:
    """The two grid cells around each of `count` pixels, and the second one's weight in it."""
    place = np.clip((np.arange(count) + 0.5) * grid / count - 0.5, 0, grid - 1)
    first = np.floor(place).astype(np.intp)
    return first, np.minimum(first + 1, grid - 1), (place - first).astype(np.float32)
