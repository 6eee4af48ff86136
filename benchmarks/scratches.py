"""Draws scratches, dust and a tear: the same for every photograph of a size, or random ones."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from benchmarks.restoring import Pixels

_SCRATCHES = 4
_SPECKS = 30

_FINE = 4
"""Factor of the size at which random damage is drawn, for soft edges."""


def lost_pixels(height: int, width: int) -> NDArray[np.bool_]:
    """Pixels where a photograph is lost, (height, width): about 2 % of 480 x 320."""
    rng = np.random.default_rng(0)
    layer = Image.new("L", (width, height))
    pen = ImageDraw.Draw(layer)
    for _ in range(_SCRATCHES):
        points = rng.uniform((0, 0), (width, height), (2, 2))
        pen.line([(float(x), float(y)) for x, y in points], fill=255, width=2)
    for x, y in rng.uniform((0, 0), (width, height), (_SPECKS, 2)):
        radius = float(rng.uniform(0.5, 3))
        pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=255)
    tear = rng.uniform((0.2 * width, 0.2 * height), (0.8 * width, 0.8 * height))
    pen.polygon(
        [(tear[0], tear[1]), (tear[0] + 16, tear[1] + 40), (tear[0] - 4, tear[1] + 44)], 255
    )
    return np.asarray(layer) > 0


def scratched(truth: Pixels, rng: np.random.Generator) -> Pixels:
    """A photograph whose lost pixels show bare paper."""
    lost = lost_pixels(*truth.shape[:2])
    return np.where(lost[..., None], np.array((235, 230, 215), np.uint8), truth)


def worn(truth: Pixels, rng: np.random.Generator) -> Pixels:
    """A photograph with one to five scratches, and two to thirty specks and fibres.

    All of them have the tint of paper or all of them that of dirt. They cover the photograph by 28
    to 100 %.
    """
    height, width = truth.shape[:2]
    layer = Image.new("L", (_FINE * width, _FINE * height))
    pen = ImageDraw.Draw(layer)
    for _ in range(rng.integers(1, 6)):
        _scratch(pen, layer.size, rng)
    for _ in range(rng.integers(2, 31)):
        mark = _speck if rng.random() < 0.7 else _fibre
        mark(pen, layer.size, rng)
    opacity = np.asarray(layer.resize((width, height), Image.Resampling.BOX)) / 255.0
    tint = rng.uniform(185, 255) if rng.random() < 0.7 else rng.uniform(0, 50)
    cover = (opacity * rng.uniform(0.6, 1))[..., None]
    mixed = (1 - cover) * truth + cover * (tint + rng.normal(0, 8, 3))
    return np.clip(np.rint(mixed), 0, 255).astype(np.uint8)


def _scratch(pen: ImageDraw.ImageDraw, size: tuple[int, int], rng: np.random.Generator) -> None:
    angle, reach = rng.uniform(0, np.pi), rng.uniform(0.1, 1.2) * size[1]
    count = int(rng.integers(2, 8))
    along = np.linspace(-0.5, 0.5, count)[:, None] * (np.cos(angle), np.sin(angle)) * reach
    bends = np.cumsum(rng.normal(0, 0.008 * size[1], (count, 2)), axis=0)
    _line(pen, rng.uniform((0, 0), size) + along + bends, int(rng.integers(3, 12)), rng)


def _fibre(pen: ImageDraw.ImageDraw, size: tuple[int, int], rng: np.random.Generator) -> None:
    angles = rng.uniform(0, 2 * np.pi) + np.cumsum(rng.normal(0, 0.5, 6))
    steps = 10 * np.column_stack((np.cos(angles), np.sin(angles)))
    _line(pen, rng.uniform((0, 0), size) + np.cumsum(steps, axis=0), int(rng.integers(3, 7)), rng)


def _line(
    pen: ImageDraw.ImageDraw, points: NDArray[np.float64], width: int, rng: np.random.Generator
) -> None:
    places = [(float(x), float(y)) for x, y in points]
    pen.line(places, fill=int(rng.integers(120, 256)), width=width, joint="curve")


def _speck(pen: ImageDraw.ImageDraw, size: tuple[int, int], rng: np.random.Generator) -> None:
    (x, y), (across, down) = rng.uniform((0, 0), size), np.exp(rng.uniform(0.7, 2.5, 2))
    fill = int(rng.integers(120, 256))
    pen.ellipse((x - across, y - down, x + across, y + down), fill=fill)
