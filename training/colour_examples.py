"""Examples for the colour network: a photograph as an old print has it, and its true chroma."""

import io
import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image, ImageFilter
from torch import Tensor

from daemon.models.colour_network import GRID
from daemon.restorers.chroma import BLUE, GREEN, RED
from training.photos import Pixels
from training.sources import Sources

Floats = NDArray[np.float32]

SHAPES = ((160, 224), (224, 160), (192, 192))
"""Heights and widths of the crops; a batch has one of them."""

_SHAPE_ODDS = (0.45, 0.3, 0.25)
_LUMINANCE = np.array([RED, GREEN, BLUE], np.float32) / 65536


@dataclass(frozen=True)
class ColourBatch:
    """Examples of one size.

    Attributes:
        grey: Luminance in [-1, 1], (B, 1, H, W).
        chroma: (R - Y, B - Y) of each cell of the network's grid, (B, 2, H / 4, W / 4).
    """

    grey: Tensor
    chroma: Tensor

    def to(self, device: torch.device) -> "ColourBatch":
        """The same batch on a device."""
        return ColourBatch(self.grey.to(device), self.chroma.to(device))


def draw_batch(sources: Sources, count: int, rng: Generator) -> ColourBatch:
    """Draw examples, all that is random from `rng`."""
    height, width = SHAPES[rng.choice(len(SHAPES), p=_SHAPE_ODDS)]
    crops = [random_view(sources.draw(rng), height, width, rng) for _ in range(count)]
    grey = np.stack([as_printed(one, rng) for one in crops])[:, None]
    chroma = np.stack([chroma_cells(one) for one in crops])
    return ColourBatch(torch.from_numpy(grey / 127.5 - 1), torch.from_numpy(chroma))


def random_view(pixels: Pixels, height: int, width: int, rng: Generator) -> Pixels:
    """Most of a photograph, cut to an aspect ratio and resized, mirrored half of the time."""
    tall, wide = pixels.shape[:2]
    most = min(tall / height, wide / width)
    scale = most * math.sqrt(rng.uniform(0.4, 1.0)) if rng.random() < 0.7 else most
    cut_height, cut_width = min(tall, height * scale), min(wide, width * scale)
    left, top = rng.random() * (wide - cut_width), rng.random() * (tall - cut_height)
    box = (left, top, min(wide, left + cut_width), min(tall, top + cut_height))
    view = Image.fromarray(pixels).resize((width, height), Image.Resampling.BICUBIC, box)
    result: Pixels = np.asarray(view)
    return result[:, ::-1] if rng.random() < 0.5 else result


def chroma_cells(pixels: Pixels) -> Floats:
    """Mean (R - Y, B - Y) of each cell, white less black being 1, (2, H / 4, W / 4)."""
    levels = pixels.astype(np.float32) / 255
    light = levels @ _LUMINANCE
    chroma = np.stack((levels[..., 0] - light, levels[..., 2] - light))
    rows, columns = (side // GRID for side in light.shape)
    cells: Floats = chroma.reshape(2, rows, GRID, columns, GRID).mean((2, 4))
    return cells


def as_printed(pixels: Pixels, rng: Generator) -> Floats:
    """The grey photograph that the network sees, at times as an old print has it.

    Args:
        pixels: RGB, (H, W, 3).
        rng: What is random about it.

    Returns:
        Levels of 0 to 255, (H, W).
    """
    if rng.random() < 0.65:
        picture = Image.fromarray(np.ascontiguousarray(pixels)).convert("L")
        grey = np.asarray(picture, np.float32)
        if rng.random() < 0.5:
            return grey
    else:
        grey = _through_a_plate(pixels, rng)
    if rng.random() < 0.3:
        grey = _blurred(grey, rng.uniform(0.4, 2.0))
    if rng.random() < 0.6:
        grey = _printed_tones(grey, rng)
    if rng.random() < 0.4:
        grey = grey + _grain(grey.shape, rng)
    grey = grey.round().clip(0, 255).astype(np.float32)
    return _compressed(grey, int(rng.integers(15, 60))) if rng.random() < 0.15 else grey


def _through_a_plate(pixels: Pixels, rng: Generator) -> Floats:
    """Another mix of the channels, such as that of orthochromatic plates.

    They see little red: lips and skin are dark, and skies white.
    """
    mix = np.array((0.05, 0.5, 0.45))
    if rng.random() < 0.6:
        mix = rng.dirichlet((2.0, 3.0, 2.0))
    grey: Floats = pixels.astype(np.float32) @ mix.astype(np.float32)
    return grey


def _blurred(grey: Floats, radius: float) -> Floats:
    picture = Image.fromarray(grey.round().clip(0, 255).astype(np.uint8))
    return np.asarray(picture.filter(ImageFilter.GaussianBlur(radius)), np.float32)


def _printed_tones(grey: Floats, rng: Generator) -> Floats:
    """Another gamma, at times a steeper middle, pale blacks and dull whites."""
    light = (grey / 255).clip(0, 1) ** math.exp(rng.normal(0, 0.3))
    if rng.random() < 0.3:
        light = light + rng.uniform(0.3, 1.0) * (3 * light**2 - 2 * light**3 - light)
    black = rng.uniform(0, 0.25) if rng.random() < 0.6 else 0.0
    white = 1 - rng.uniform(0, 0.3) if rng.random() < 0.6 else 1.0
    return np.asarray(255 * (black + (white - black) * light), np.float32)


def _grain(shape: tuple[int, ...], rng: Generator) -> Floats:
    noise = rng.standard_normal(shape, np.float32)
    if rng.random() < 0.5:
        coarser = tuple(max(1, int(side / rng.uniform(1.2, 3))) for side in shape)
        coarse = Image.fromarray(rng.standard_normal(coarser, np.float32))
        height, width = shape
        noise = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC))
    return np.asarray(rng.uniform(2, 20) * noise, np.float32)


def _compressed(grey: Floats, quality: int) -> Floats:
    stream = io.BytesIO()
    Image.fromarray(grey.astype(np.uint8)).save(stream, "JPEG", quality=quality)
    return np.asarray(Image.open(stream), np.float32)
