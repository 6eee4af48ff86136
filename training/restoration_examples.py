"""Examples for the restoration networks: damaged crops of one grid and the clean ones."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from daemon.models.restoration_network import (
    BLUR_UNIT,
    JPEG_LEVEL,
    TASKS,
    RestorationBatch,
    RestorationTask,
)
from training.crop_store import CropStore
from training.torch_damage import Damager
from training.torch_jpeg import round_to_levels

CELLS = 32
"""Side of a crop in cells of the network's grid: 64 px of the result at x2, 128 at x4."""

BINS = 8 * len(TASKS)
"""Kinds of examples whose errors are compared each with its own running mean."""

CROPS: Mapping[RestorationTask, int] = {
    "x2": 5,
    "x3": 1,
    "x4": 3,
    "noise": 5,
    "blind": 9,
    "deblur": 3,
}
"""Crops of each task in a step."""

_CELL_PX: Mapping[RestorationTask, int] = {
    "x2": 2,
    "x3": 3,
    "x4": 4,
    "noise": 2,
    "blind": 2,
    "deblur": 2,
}
_MARGIN_PX = 16
"""Pixels around a blind crop, so that a part of them do not begin on JPEG's blocks; around one that
is blurred, so that no mirrored edge is learned."""

BLURS_PX = (0.3, 2.2)
"""Least and most deviation of the Gaussian blur that is to be undone, in pixels."""

_LOWEST_SMALL = 40
"""Least JPEG quality of small pictures."""

_JPEG_KNOWN = 0.85
_JPEG_MISJUDGED = (0.85, 1.2)
"""Factors, least and most, by which the level that is told of a JPEG is wrong."""

_BLUR_KNOWN = 0.7
_BLUR_NOISY = 0.5
_BLUR_COMPRESSED = 0.3


@dataclass(frozen=True)
class SmallPictures:
    """What the small pictures to be enlarged have gone through; people bring such.

    Attributes:
        blurred: Share that was blurred by 0.4 to 1.4 px of the result before the reduction.
        compressed: Share that was compressed as JPEG of quality 40 to 95, of which the network is
            told as if it were noise: what is clean need not be suspected of it.
        noisy: Share with noise of up to 20 levels, of which the network is told.
    """

    blurred: float = 0.0
    compressed: float = 0.0
    noisy: float = 0.1


@dataclass(frozen=True)
class Examples:
    """One step's examples.

    Attributes:
        batches: What the network is given, one entry for each task.
        clean: What it is to give, (B, 3, H, W) in [-1, 1], for each batch.
        bins: Kind of each example, (all B,), below `BINS`.
    """

    batches: list[RestorationBatch]
    clean: list[Tensor]
    bins: Tensor


def draw_examples(
    store: CropStore,
    crops: Mapping[RestorationTask, int],
    damager: Damager,
    small: SmallPictures = SmallPictures(),
) -> Examples:
    """Draw the examples of one step.

    Args:
        store: Photographs.
        crops: Number of crops of each task.
        damager: Draws the damage.
        small: What small pictures have gone through.
    """
    batches: list[RestorationBatch] = []
    clean: list[Tensor] = []
    bins: list[Tensor] = []
    for task, count in crops.items():
        side = CELLS * _CELL_PX[task]
        margin = _MARGIN_PX if task in ("blind", "deblur") else 0
        pictures = store.crops(count, side + margin, damager.generator)
        pictures = damager.some_grey(pictures)
        match task:
            case "blind":
                given, pictures, sigma, kinds = _blind(pictures, side, damager)
            case "noise":
                given, sigma = _noisy(pictures, damager)
                kinds = (sigma / 10).long().clamp(max=7)
            case "deblur":
                given, pictures, blur, kinds = _blurred(pictures, side, damager)
                sigma = 127.5 * BLUR_UNIT * blur
            case _:
                given, sigma, kinds = _reduced(pictures, _CELL_PX[task], damager, small)
        batches.append(RestorationBatch(task, _to_unit(given), sigma / 127.5))
        clean.append(_to_unit(pictures))
        bins.append(kinds + 8 * TASKS.index(task))
    return Examples(batches, clean, torch.cat(bins))


def jpeg_level(quality: Tensor) -> Tensor:
    """The noise, in levels of 0 to 255, that JPEG of a quality counts as where it is enlarged."""
    coarseness = torch.where(quality < 50, 5000 / quality, 200 - 2 * quality)
    return JPEG_LEVEL * coarseness.sqrt()


def _blind(pictures: Tensor, side: int, damager: Damager) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Damaged and clean crops, the level of JPEG that is told, and the kind of damage.

    A quarter of the steps are off JPEG's grid. Where JPEG came last it is mostly told, as it is
    mostly seen from the pixels.
    """
    damaged, kinds, quality = damager.damaged(pictures)
    told = damager.chosen(_JPEG_KNOWN, len(pictures)).flatten() * jpeg_level(quality)
    told = told * damager.log_uniform(*_JPEG_MISJUDGED, len(pictures)).flatten()
    off = damager.dice.random() < 0.25
    top, left = (damager.dice.randrange(8) if off else 0 for _ in range(2))
    part = (slice(None), slice(None), slice(top, top + side), slice(left, left + side))
    return damaged[part], pictures[part], told, kinds


def _noisy(pictures: Tensor, damager: Damager) -> tuple[Tensor, Tensor]:
    """Noise of 0 to 75 levels, half of it below 30; four fifths clipped and rounded as in files."""
    count = len(pictures)
    top = torch.where(damager.uniform(0, 1, count) < 0.5, 75.0, 30.0)
    sigma = top * damager.uniform(0, 1, count)
    noisy = pictures + sigma[:, None, None, None] * damager.normal(*pictures.shape)
    return torch.where(damager.chosen(0.8, count), round_to_levels(noisy), noisy), sigma


def _blurred(
    pictures: Tensor, side: int, damager: Damager
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Blurred and clean crops, the blur that is told in pixels or 0, and which third it is in.

    Half have up to 3 levels of noise and three tenths are JPEG, as files are: what sharpens them
    is not to sharpen these. Three tenths are not told their blur.
    """
    count = len(pictures)
    blur = damager.uniform(*BLURS_PX, count, 1)
    soft = damager.blurred_by(pictures, blur, BLURS_PX[1])
    noise = damager.chosen(_BLUR_NOISY, count) * damager.uniform(0, 3, count, 1, 1, 1)
    given = round_to_levels(soft + noise * damager.normal(*pictures.shape))
    squeezed = damager.compressed(given, lowest=70)
    given = torch.where(damager.chosen(_BLUR_COMPRESSED, count), squeezed, given)
    inner = slice(_MARGIN_PX // 2, _MARGIN_PX // 2 + side)
    told = damager.chosen(_BLUR_KNOWN, count).flatten() * blur.flatten()
    kinds = (blur.flatten() / 0.3).long().clamp(max=7)
    return given[:, :, inner, inner], pictures[:, :, inner, inner], told, kinds


def _reduced(
    pictures: Tensor, scale: int, damager: Damager, small: SmallPictures
) -> tuple[Tensor, Tensor, Tensor]:
    """Small pictures, the noise in them, and whether they have any or were harmed otherwise."""
    count = len(pictures)
    blurred = damager.chosen(small.blurred, count)
    soft = damager.blurred(pictures, 0.4, 1.4) if small.blurred else pictures
    given = damager.reduced(torch.where(blurred, soft, pictures), scale)
    noisy = damager.chosen(small.noisy, count)
    sigma = (noisy * damager.uniform(0, 20, count, 1, 1, 1)).flatten()
    given = round_to_levels(given + sigma[:, None, None, None] * damager.normal(*given.shape))
    compressed = damager.chosen(small.compressed, count)
    if small.compressed:
        quality = damager.qualities(_LOWEST_SMALL, count)
        given = torch.where(compressed, damager.as_jpeg(given, quality), given)
        told = jpeg_level(quality) * damager.log_uniform(*_JPEG_MISJUDGED, count).flatten()
        sigma = torch.hypot(sigma, compressed.flatten() * told)
    kinds = noisy.long() + 2 * blurred.long() + 4 * compressed.long()
    return given, sigma, kinds.flatten()


def _to_unit(pictures: Tensor) -> Tensor:
    return pictures / 127.5 - 1
