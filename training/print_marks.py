"""Draw marks on a print: soft-edged lines and patches, walks, and smooth noise."""

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy.ndimage import gaussian_filter

Floats = NDArray[np.float32]
Points = NDArray[np.float64]
"""Places in pixels, (N, 2): across, then down."""

_FINE = 2
"""Marks are drawn at so many times the size, for soft edges."""

_STEP_PX = 4.0
_LEAST_OPACITY = 0.03


class Pen:
    """Draws marks on a square layer of its own; `cover` gives the layer.

    Args:
        side: Side of the layer, in pixels.
    """

    def __init__(self, side: int) -> None:
        self._layer = Image.new("L", (_FINE * side, _FINE * side))
        self._draw = ImageDraw.Draw(self._layer)
        self._side = side

    def line(self, points: Points, widths: Points, opacities: Points) -> None:
        """A line through points, of a width in pixels and an opacity in [0, 1] at each, (N,)."""
        places = points * _FINE
        thick = np.maximum(1, np.rint(widths * _FINE)).astype(int)
        for index in range(len(places) - 1):
            if opacities[index] < _LEAST_OPACITY:
                continue
            fill, width = _level(opacities[index]), int(thick[index])
            (x, y), (to_x, to_y) = places[index], places[index + 1]
            self._draw.line((x, y, to_x, to_y), fill=fill, width=width)
            if width > 2:
                half = width / 2 - 0.5
                self._draw.ellipse((to_x - half, to_y - half, to_x + half, to_y + half), fill=fill)

    def patch(self, centre: Points, radius: float, ragged: float, rng: Generator) -> None:
        """A ragged disc; `ragged` is the deviation of the logarithm of its radius."""
        count = int(np.clip(3 * radius, 6, 60))
        angles = np.linspace(0, 2 * np.pi, count, endpoint=False)
        wave = gaussian_filter(rng.standard_normal(count), 1.2, mode="wrap")
        radii = radius * np.exp(ragged * wave)
        stretch = np.exp(rng.normal(0, 0.35))
        outline = np.column_stack(
            (radii * np.cos(angles) * stretch, radii * np.sin(angles) / stretch)
        )
        self.area(centre + outline)

    def area(self, outline: Points) -> None:
        """A filled polygon."""
        self._draw.polygon([(float(x), float(y)) for x, y in outline * _FINE], fill=255)

    def text(self, place: tuple[float, float], words: str, size_px: float) -> None:
        """Printed letters."""
        font = ImageFont.load_default(max(8.0, size_px * _FINE))
        self._draw.text((place[0] * _FINE, place[1] * _FINE), words, fill=255, font=font)

    def cover(self) -> Floats:
        """What was drawn, (side, side) in [0, 1]."""
        small = self._layer.resize((self._side, self._side), Image.Resampling.BOX)
        return np.asarray(np.asarray(small, np.float32) / np.float32(255), np.float32)


def walk(start: Points, angle: float, length: float, wander: float, rng: Generator) -> Points:
    """A line that strays by `wander` radians a step and comes back to its direction."""
    count = max(2, int(length / _STEP_PX))
    turns = rng.normal(0, wander, count)
    drift = np.zeros(count)
    for index in range(1, count):
        drift[index] = 0.93 * drift[index - 1] + turns[index]
    angles = angle + drift
    strides = _STEP_PX * rng.uniform(0.6, 1.4, (count, 1))
    result: Points = start + np.cumsum(
        strides * np.column_stack((np.cos(angles), np.sin(angles))), axis=0
    )
    return result


def uneven(count: int, spread: float, rng: Generator) -> Points:
    """Positive numbers around 1 that change slowly, (count,)."""
    wave = gaussian_filter(rng.standard_normal(count + 20), 2.5)[10:-10]
    wave = (wave - wave.mean()) / max(float(wave.std()), 1e-3)
    result: Points = np.exp(np.clip(spread * wave, -1.5, 1.5))
    return result


def with_gaps(count: int, share: float, rng: Generator) -> Points:
    """1, and 0 in about this share of a line, softly, (count,)."""
    wave = gaussian_filter(rng.standard_normal(count + 20), 3.0)[10:-10]
    result: Points = np.clip(4 * (wave - np.quantile(wave, share)) / max(wave.std(), 1e-3), 0, 1)
    return result


def clouds(side: int, coarse_px: float, rng: Generator) -> Floats:
    """Smooth noise of unit deviation, `coarse_px` wide, (side, side)."""
    small = max(2, round(side / coarse_px) + 1)
    noise = Image.fromarray(rng.standard_normal((small, small)).astype(np.float32))
    wide = np.asarray(noise.resize((side, side), Image.Resampling.BICUBIC), np.float32)
    return wide / max(float(wide.std()), 1e-3)


def _level(opacity: float) -> int:
    return int(np.clip(255 * opacity, 0, 255))
