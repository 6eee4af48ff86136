"""Makes training batches from clean pictures: what the network is given and must predict.

The conventions of conditions and task numbers are those of `daemon.models.prior_network`. At
t = pi/2 the noisy picture is zeros, and the network is a plain regressor.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.random import Generator
from PIL import Image
from torch import Tensor

from training.damage import enlarge, random_kernel, random_repair, reduce
from training.photos import (
    Pixels,
    Pyramid,
    complete_picture,
    is_grey,
    random_crop,
    to_grey_pixels,
    to_tensor,
)

KINDS = ("unconditional", "enlarge", "colour", "repair")
"""Kinds of examples; the index of a kind is its row in the learned loss weights."""

_GREY = torch.tensor([0.299, 0.587, 0.114])
CROP_PX = 64
"""Side of the crops by default, in pixels."""

_THUMBNAIL_PIXELS = 16 * 64 * 64
_CROPS_PER_KIND = 8
"""Crops of each kind in a batch at `CROP_PX`; of larger crops fewer, with as many pixels."""

_SCALES = (2.0, 3.0, 4.0)
_SCALE_ODDS = (0.55, 0.1, 0.35)
_REGRESSED = 0.7
"""Share of conditional examples at t = pi/2: most recipes need only the mean."""

_GREY_SHARE = 0.15
"""Share of crops made grey: people restore black-and-white photographs too."""

_SMALL_THUMBNAILS = ((64, 96), (64, 64), (96, 64), (96, 144), (144, 96))
_LARGE_THUMBNAILS = ((112, 160), (160, 112), (128, 192), (128, 128), (160, 160))


@dataclass(frozen=True)
class Example:
    """One picture's condition.

    Attributes:
        condition: What is known of the picture, (3, H, W), in [-1, 1].
        task: What the condition means, as the network's four task numbers.
    """

    condition: Tensor
    task: Tensor


@dataclass(frozen=True)
class Batch:
    """What one forward pass is given and must predict.

    Attributes:
        x0: Clean pictures, (B, 3, H, W), in [-1, 1].
        x_t: Noisy pictures; zeros where t = pi/2.
        v: cos(t) eps - sin(t) x0, with eps as 0 where t = pi/2.
        t: Angles, (B,).
        condition: (B, 3, H, W); zeros without one.
        task: (grey, log2(scale) / 2, sigma, blind), (B, 4).
        kinds: Indices into `KINDS`, (B,).
    """

    x0: Tensor
    x_t: Tensor
    v: Tensor
    t: Tensor
    condition: Tensor
    task: Tensor
    kinds: Tensor


def unconditional(pixels: Pixels, rng: Generator) -> Example:
    """An example without a condition."""
    return Example(torch.zeros(3, *pixels.shape[:2]), torch.zeros(4))


def enlargement(pixels: Pixels, rng: Generator) -> Example:
    """The picture reduced by 2, 3 or 4, sometimes with noise, and enlarged bicubically."""
    scale = _SCALES[rng.choice(len(_SCALES), p=_SCALE_ODDS)]
    sigma = float(rng.uniform(0, 0.15)) if rng.random() < 0.2 else 0.0
    return enlarged(pixels, scale, random_kernel(rng), sigma, rng)


def enlarged(pixels: Pixels, scale: float, kernel: int, sigma: float, rng: Generator) -> Example:
    """An enlargement by a given scale; sigma is the reduced picture's noise, in [-1, 1]."""
    height, width = pixels.shape[:2]
    small = reduce(pixels, scale, Image.Resampling(kernel))
    if sigma:
        noisy = small + 127.5 * sigma * rng.standard_normal(small.shape)
        small = np.clip(np.rint(noisy), 0, 255).astype(np.uint8)
    log_scale = math.log2(height / small.shape[0]) / 2
    return Example(
        to_tensor(enlarge(small, height, width)), torch.tensor([0.0, log_scale, sigma, 0.0])
    )


def colour(pixels: Pixels, rng: Generator) -> Example:
    """The picture in grey, in all three channels."""
    grey = torch.einsum("c,chw->hw", _GREY, to_tensor(pixels))
    return Example(grey.expand(3, -1, -1), torch.tensor([1.0, 0.0, 0.0, 0.0]))


def repair(pixels: Pixels, rng: Generator) -> Example:
    """The damaged picture; the network is not told how it was damaged.

    The damage of a grey picture is in colour half of the time, as in a scan, else in grey.
    """
    damaged = random_repair(pixels, rng)
    if is_grey(pixels) and rng.random() < 0.5:
        damaged = to_grey_pixels(damaged)
    return Example(to_tensor(damaged), torch.tensor([0.0, 0.0, 0.0, 1.0]))


EXAMPLES: tuple[Callable[[Pixels, Generator], Example], ...] = (
    unconditional,
    enlargement,
    colour,
    repair,
)


def crop_batch(pyramids: Sequence[Pyramid], rng: Generator, side_px: int = CROP_PX) -> Batch:
    """Square crops, equally many of every kind but colour, so that each step trains every kind."""
    each = max(1, round(_CROPS_PER_KIND * (CROP_PX / side_px) ** 2))
    kinds = [kind for kind, name in enumerate(KINDS) if name != "colour" for _ in range(each)]
    chosen = rng.integers(len(pyramids), size=len(kinds))
    pixels = [random_crop(pyramids[index], side_px, rng) for index in chosen]
    pixels = [to_grey_pixels(one) if rng.random() < _GREY_SHARE else one for one in pixels]
    return make_batch(pixels, kinds, rng)


def colour_batch(pyramids: Sequence[Pyramid], rng: Generator) -> Batch:
    """Complete pictures at one thumbnail size, since colours depend on the scene."""
    sizes = _SMALL_THUMBNAILS + _LARGE_THUMBNAILS
    height, width = sizes[rng.integers(len(sizes))]
    count = max(2, _THUMBNAIL_PIXELS // (height * width))
    chosen = rng.integers(len(pyramids), size=count)
    pixels = [complete_picture(pyramids[index], height, width, rng) for index in chosen]
    return make_batch(pixels, (KINDS.index("colour"),) * count, rng)


def make_batch(pixels: Sequence[Pixels], kinds: Sequence[int], rng: Generator) -> Batch:
    """Draw conditions, times and noise for clean pictures of one size."""
    examples = [EXAMPLES[kind](one, rng) for one, kind in zip(pixels, kinds, strict=True)]
    x0 = torch.stack([to_tensor(one) for one in pixels])
    t = torch.tensor([draw_time(kind, rng) for kind in kinds], dtype=torch.float32)
    noise = torch.from_numpy(rng.standard_normal(x0.shape, dtype=np.float32))
    regress = (t >= math.pi / 2)[:, None, None, None]
    cos, sin = t.cos()[:, None, None, None], t.sin()[:, None, None, None]
    return Batch(
        x0=x0,
        x_t=torch.where(regress, 0.0, cos * x0 + sin * noise),
        v=torch.where(regress, -x0, cos * noise - sin * x0),
        t=t,
        condition=torch.stack([example.condition for example in examples]),
        task=torch.stack([example.task for example in examples]),
        kinds=torch.tensor(kinds),
    )


def draw_time(kind: int, rng: Generator) -> float:
    """Draw an angle t: sigma = tan(t) is log-normal; most conditional examples are at pi/2."""
    if KINDS[kind] == "unconditional":
        return math.atan(math.exp(rng.normal(-1.4, 1.1)))
    if rng.random() < _REGRESSED:
        return math.pi / 2
    return math.atan(math.exp(rng.normal(0, 1.2)))
