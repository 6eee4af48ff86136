"""Photographs for tests, and ways to damage them."""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter
from skimage import data

from daemon.restorers.dye_fading import Fading

Levels = NDArray[np.uint8]

FADED = Fading(np.array((0.45, 0.65, 0.75)), np.array((0.03, 0.06, 0.15)))
"""What years do to the dyes of a print."""


def photograph(size: int = 128, top: int = 0, left: int = 160) -> Levels:
    """A square part of astronaut(), (size, size, 3)."""
    whole: Levels = data.astronaut()
    return whole[top : top + size, left : left + size]


def noisy(pixels: NDArray[np.generic], sigma: float, seed: int = 0) -> Levels:
    """Pixels with Gaussian noise, sigma in levels of 0 to 255."""
    noise = np.random.default_rng(seed).standard_normal(pixels.shape) * sigma
    levels: Levels = (pixels.astype(float) + noise).round().clip(0, 255).astype(np.uint8)
    return levels


def blurred(pixels: NDArray[np.generic], deviation_px: float) -> Levels:
    """Pixels out of focus: blurred by a Gaussian."""
    return np.asarray(Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(deviation_px)))


def compressed(pixels: NDArray[np.generic], quality: int) -> Levels:
    """Pixels as Pillow's JPEG of a quality."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file).convert("RGB"))


def reduced(pixels: NDArray[np.generic], scale: int) -> Levels:
    """Pixels reduced by box means."""
    return np.asarray(Image.fromarray(pixels).reduce(scale))


def bicubic(pixels: NDArray[np.generic], scale: int) -> Levels:
    """Pixels enlarged bicubically."""
    size = (pixels.shape[1] * scale, pixels.shape[0] * scale)
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC))


def pillow_luminance(pixels: NDArray[np.generic]) -> Levels:
    """Pillow's `convert("L")`."""
    return np.asarray(Image.fromarray(pixels).convert("L"))


def cracked_print() -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.bool_]]:
    """A brown print of scikit-image's cat, whole and with a light, crooked crack; where that is."""
    photograph = Image.fromarray(data.chelsea()).crop((0, 0, 448, 288)).convert("L")
    across = np.linspace(0, photograph.width, 40)
    down = 120 + np.cumsum(np.random.default_rng(4).normal(2, 7, across.size))
    layer = Image.new("L", photograph.size)
    points = [(float(x), float(y)) for x, y in zip(across, down, strict=True)]
    ImageDraw.Draw(layer).line(points, fill=255, width=3)
    damaged = photograph.copy()
    damaged.paste(235, mask=layer)
    return _brown(photograph), _brown(damaged), np.asarray(layer) > 0


def _brown(photograph: Image.Image) -> NDArray[np.uint8]:
    light = np.asarray(photograph, np.float32)[..., None]
    tone = np.array([(26, 20, 15), (0.8, 0.72, 0.6)], np.float32)
    brown: NDArray[np.uint8] = np.rint(tone[0] + tone[1] * light).astype(np.uint8)
    return brown
