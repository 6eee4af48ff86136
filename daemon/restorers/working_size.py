"""Work on a photograph at the size that a checkpoint was trained for, and bring the change back.

A checkpoint that sees one part of a large photograph at a time edits each part in its own way; one
that sees a small photograph in a corner of its canvas wastes the rest. So the photograph is brought
to the size of the training, and what the checkpoint changed there is brought to the photograph's
own size, guided by the photograph: around each pixel the change is fitted as a linear function of
the small photograph, and the function is applied to the large one. What did not change stays to
the level, and edges are as sharp as the photograph's.

Source: fast guided filter, arXiv:1505.00996, with the change in place of the filtered picture.
"""

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from daemon.checkpoints.traits import Traits
from daemon.config.steps import Denoise, Restyle
from daemon.diffusion.pixels import resize, to_grey, to_pixels, to_tensor
from daemon.models.calls import ModelCalls
from daemon.photo import Picture
from daemon.restorers.pipeline_tiles import LEAST_SIDE_PX, side_multiple

_RADIUS = 3
"""Pixels around one of the small picture in which the change is fitted."""

_LEAST_VARIANCE = 4e-4
"""Variance of the small picture, in units of [-1, 1], below which its texture is taken for noise
that the change does not follow: 2.5 levels."""

_BAND_ROWS = 256
"""Rows of the result that are made at a time."""

_LONGEST_TO_SHORTEST = 4
"""Longer pictures than this are not brought to the area of a square: they would become a strip."""


def working_size(
    size: tuple[int, int], params: Restyle | Denoise, traits: Traits
) -> tuple[int, int] | None:
    """The size that a photograph is brought to before the checkpoint sees it.

    Args:
        size: Its height and width, in pixels.
        params: The recipe's step.
        traits: Traits of the step's model.

    Returns:
        Height and width; None where it is worked on at its own size, in tiles if it is large.
    """
    height, width = size
    wanted, stepwise = params.work_px, traits.family != "pipeline"
    if wanted == 0 or traits.family in ("prior", "pixel"):
        return None
    if wanted is None and stepwise and height * width >= traits.side_px**2:
        return None
    if wanted is None and max(size) > _LONGEST_TO_SHORTEST * min(size):
        return None
    wanted = wanted or traits.side_px
    # Driven step by step, tiles are squares of the training's size: the short side fills one.
    scale = wanted / (min(size) if stepwise else math.sqrt(height * width))
    multiple = side_multiple(traits)
    small = (_rounded(height * scale, multiple), _rounded(width * scale, multiple))
    return None if small == size else small


def at_working_size(
    picture: Picture,
    size: tuple[int, int],
    mask: NDArray[np.uint8] | None,
    restore: Callable[[Picture], ModelCalls[NDArray[np.generic]]],
) -> ModelCalls[NDArray[np.generic]]:
    """Restore a photograph at another size and bring the change back.

    Args:
        picture: The photograph.
        size: Height and width to work at, in pixels.
        mask: (H, W), 0 keeps and 255 may change; None lets all change.
        restore: Gives the pixels of the restored one, of its own size and type.

    Returns:
        Pixels of the photograph's size and type.
    """
    height, width = size
    small_mask = None if mask is None else resize(mask, width, height)
    deep = to_pixels(to_tensor(resize(picture.pixels, width, height), on_host=True), np.uint16)
    small = replace(picture, pixels=deep, mask=small_mask, alpha=None, hints=None, original=None)
    before = to_tensor(small.pixels, on_host=True)
    change = to_tensor((yield from restore(small)), on_host=True) - before
    enlarged = height * width > picture.pixels[..., 0].size
    if enlarged:  # averaged once, not picked
        whole = functional.interpolate(
            change[None], picture.pixels.shape[:2], mode="bilinear", antialias=True
        )
        gain, offset = torch.zeros_like(change), whole[0]
    else:
        gain, offset = _fitted(before, change)
    result = np.empty_like(picture.pixels)
    for top in range(0, len(result), _BAND_ROWS):
        rows = slice(top, top + _BAND_ROWS)
        original = to_tensor(picture.pixels[rows], on_host=True)
        place = (top, *original.shape[1:])
        here = [_part(plane, place, len(result)) for plane in (gain, offset)]
        changed = original + here[0] * original + here[1]
        changed = to_grey(changed) if picture.grey else changed
        if mask is not None:
            changed = original.lerp(changed, torch.from_numpy(mask[rows].astype(np.float32)) / 255)
        result[rows] = to_pixels(changed, result.dtype)
    return result


def _rounded(length: float, multiple: int) -> int:
    least = -(-LEAST_SIDE_PX // multiple) * multiple
    return max(least, round(length / multiple) * multiple)


def _fitted(picture: Tensor, change: Tensor) -> tuple[Tensor, Tensor]:
    """Gain and offset, each (3, h, w), of the change as a linear function of the picture.

    The offset has what the function misses, so that new edges are as sharp as they were made.
    """
    mean = _around(picture)
    covariance = _around(picture * change) - mean * _around(change)
    gain = covariance / (_around(picture.square()) - mean.square() + _LEAST_VARIANCE)
    gain = _around(gain)
    return gain, change - gain * picture


def _around(plane: Tensor) -> Tensor:
    """Means of the squares around all pixels, (3, h, w)."""
    side = 2 * _RADIUS + 1
    return functional.avg_pool2d(plane[None], side, 1, _RADIUS, count_include_pad=False)[0]


def _part(plane: Tensor, place: tuple[int, int, int], height: int) -> Tensor:
    """Rows of a small plane (3, h, w), as if it had been resized to the photograph's size.

    Args:
        plane: The plane.
        place: First row, number of rows, and width of the photograph.
        height: Height of the photograph.
    """
    top, rows, width = place
    y = (torch.arange(top, top + rows) + 0.5) * (2 / height) - 1
    x = (torch.arange(width) + 0.5) * (2 / width) - 1
    grid = torch.stack((x.expand(rows, width), y[:, None].expand(rows, width)), 2)[None]
    return functional.grid_sample(
        plane[None], grid, mode="bilinear", padding_mode="border", align_corners=False
    )[0]
