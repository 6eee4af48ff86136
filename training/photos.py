"""Photographs to train on: reads a folder into pyramids in memory, and draws crops from them.

The validation split depends on the name of a file alone, so that it stays the same when photographs
are added or removed.
"""

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

Pixels = NDArray[np.uint8]
"""(H, W, 3), RGB, sRGB-encoded."""

SUFFIXES = frozenset({".webp", ".jpg", ".jpeg", ".png", ".tif", ".tiff"})

_SHRINK = 0.6
"""Scale of the finest level. Small sources have JPEG blur; at 0.6 they are sharp targets."""

_PYRAMID_STEP = 5 / 8
_SMALLEST_PX = 72
_VALIDATION_SHARE = 16
"""One photograph in so many is held out."""

_GREY_CHROMA = 4.0
"""Mean absolute chroma, 0 to 255, below which a picture shows nothing about colour."""


@dataclass(frozen=True)
class Pyramid:
    """One photograph at several scales, finest first; every level shows the complete scene."""

    name: str
    levels: tuple[Pixels, ...]

    @property
    def colourful(self) -> bool:
        """Whether it has colours to learn from."""
        pixels = self.levels[-1].astype(np.float32)
        grey = pixels @ np.array([0.299, 0.587, 0.114], np.float32)
        return bool(np.abs(pixels - grey[..., None]).mean() > _GREY_CHROMA)


def is_validation(name: str) -> bool:
    """Whether the photograph of this file name is held out; about one in sixteen is."""
    return hashlib.sha256(name.encode()).digest()[0] % _VALIDATION_SHARE == 0


def photo_paths(folder: Path, *, validation: bool) -> list[Path]:
    """Photographs of a folder, sorted by name: the validation split, or all others."""
    found = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
    return [path for path in found if is_validation(path.name) == validation]


def load_pyramids(paths: Sequence[Path], threads: int = 2) -> list[Pyramid]:
    """Read and reduce photographs; those too small for one crop are left out."""
    with ThreadPoolExecutor(threads) as pool:
        pyramids = list(pool.map(_load_pyramid, paths))
    return [pyramid for pyramid in pyramids if pyramid.levels]


def with_room(pyramids: Sequence[Pyramid], side_px: int) -> list[Pyramid]:
    """The pyramids with room for a square crop of this side."""
    return [one for one in pyramids if min(one.levels[0].shape[:2]) >= side_px]


def random_crop(pyramid: Pyramid, side_px: int, rng: Generator) -> Pixels:
    """A square crop, (side, side, 3), of a random level, mirrored half of the time.

    A level is drawn in proportion to the square root of its area, so that coarse levels, which show
    complete scenes in few pixels, are drawn more often than by area.
    """
    fitting = [level for level in pyramid.levels if min(level.shape[:2]) >= side_px]
    odds = np.sqrt([level.shape[0] * level.shape[1] for level in fitting])
    level = fitting[rng.choice(len(fitting), p=odds / odds.sum())]
    top = rng.integers(level.shape[0] - side_px + 1)
    left = rng.integers(level.shape[1] - side_px + 1)
    crop = level[top : top + side_px, left : left + side_px]
    return crop[:, ::-1] if rng.random() < 0.5 else crop


def complete_picture(pyramid: Pyramid, height: int, width: int, rng: Generator) -> Pixels:
    """The complete scene at thumbnail size, cut only as far as the aspect ratio demands."""
    level = next(
        (
            one
            for one in reversed(pyramid.levels)
            if one.shape[0] >= height and one.shape[1] >= width
        ),
        pyramid.levels[0],
    )
    across, down = level.shape[1], level.shape[0]
    scale = min(across / width, down / height)
    # One side fits exactly; rounding may put it just over the edge, which Pillow refuses.
    cut_width, cut_height = min(across, width * scale), min(down, height * scale)
    left = rng.random() * (across - cut_width)
    top = rng.random() * (down - cut_height)
    box = (left, top, min(across, left + cut_width), min(down, top + cut_height))
    small = Image.fromarray(level).resize((width, height), Image.Resampling.BICUBIC, box)
    pixels = np.asarray(small)
    return pixels[:, ::-1] if rng.random() < 0.5 else pixels


def to_grey_pixels(pixels: Pixels) -> Pixels:
    """Pillow's luminance in all three channels."""
    return np.asarray(Image.fromarray(pixels).convert("L").convert("RGB"))


def is_grey(pixels: Pixels) -> bool:
    """Whether the three channels are equal."""
    return bool((pixels == pixels[..., :1]).all())


def to_tensor(pixels: Pixels) -> Tensor:
    """Convert pixels (H, W, 3), 0 to 255, to (3, H, W), float32, in [-1, 1]."""
    return torch.from_numpy(np.array(pixels)).permute(2, 0, 1).float() / 127.5 - 1


def to_pixels(picture: Tensor) -> Pixels:
    """Convert (3, H, W) in [-1, 1] to pixels (H, W, 3), rounded and clipped to 8 bits."""
    scaled = (picture.float() + 1).mul(127.5).round().clamp(0, 255)
    return scaled.to(torch.uint8).permute(1, 2, 0).contiguous().numpy()


def _load_pyramid(path: Path) -> Pyramid:
    with Image.open(path) as opened:
        picture = opened.convert("RGB")
    levels: list[Pixels] = []
    scale = _SHRINK
    while min(picture.size) * scale >= _SMALLEST_PX:
        size = (round(picture.width * scale), round(picture.height * scale))
        levels.append(np.asarray(picture.resize(size, Image.Resampling.BICUBIC)))
        scale *= _PYRAMID_STEP
    return Pyramid(path.name, tuple(levels))
