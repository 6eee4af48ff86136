"""Undo the bias that clipping to [-1, 1] gives to noise.

A file clips noise at black and white, so the mean of the noisy shadows is too bright and that of
the noisy highlights too dark; a denoiser returns that mean.

Source: A. Foi, Clipped noisy images: heteroskedastic modeling and practical denoising, Signal
Processing 89 (2009), section 6: denoise, then invert the mean of the clipped variable.
"""

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

_TABLE_ENTRIES = 2048
"""Entries of the table by which the mean of clipped noise is inverted."""

_SIDE_PX = 9
"""Side of the square around a pixel in which clipped pixels are counted."""

_CONVINCING = 0.5
"""Share of the expected clipped pixels that proves clipping in full: 81 pixels are few."""

_TOLERANCE = 1e-4
"""Distance from -1 or 1 within which a pixel counts as clipped."""

_LEAST_EXPECTED = 1e-3
"""Smallest expected share of clipped pixels: below it there is next to nothing to undo."""


def clipped_mean(x0: Tensor, sigma: float) -> Tensor:
    """Mean of x0 + sigma eps clipped to [-1, 1], with eps standard normal.

    Args:
        x0: Clean values, any shape.
        sigma: Standard deviation of the noise, above 0.

    Returns:
        Same shape as x0.
    """
    low, high = (-1 - x0) / sigma, (1 - x0) / sigma
    below, above = torch.special.ndtr(low), torch.special.ndtr(-high)
    mean: Tensor = above - below + x0 * (1 - above - below)
    return mean + sigma * (_normal_density(low) - _normal_density(high))


def unclip(mean: Tensor, y: Tensor, sigma: float) -> Tensor:
    """Undo in a denoised picture what clipping did to the noisy one.

    A denoiser averages the noise that it sees. Around black half of the noise was cut off: at
    sigma 25 of 255 black comes out at level 10. This is undone only where about as many pixels of
    y are clipped as noise of this sigma would clip; shadows with less noise than the rest stay.

    Args:
        mean: Denoised picture, (3, H, W).
        y: The noisy picture it was made from, same shape.
        sigma: Standard deviation of the noise, in units of [-1, 1], above 0.

    Returns:
        Same shape; within [-1, 1] where it differs from `mean`.
    """
    x0 = torch.linspace(-1, 1, _TABLE_ENTRIES)
    table = clipped_mean(x0.double(), sigma).numpy()
    inverted: NDArray[np.float64] = np.interp(mean.numpy(), table, x0.numpy())
    unclipped = torch.from_numpy(inverted).to(mean.dtype)
    dark, bright = _local_share(y <= -1 + _TOLERANCE), _local_share(y >= 1 - _TOLERANCE)
    clipped = torch.where(unclipped < 0, dark, bright)
    expected = torch.special.ndtr((unclipped.abs() - 1) / sigma).clamp(min=_LEAST_EXPECTED)
    return mean.lerp(unclipped, (clipped / expected / _CONVINCING).clamp(0, 1))


def _local_share(chosen: Tensor) -> Tensor:
    """Share of the chosen pixels in the square around each, (3, H, W)."""
    margin = _SIDE_PX // 2
    return functional.avg_pool2d(
        chosen.float(), _SIDE_PX, 1, padding=margin, count_include_pad=False
    )


def _normal_density(z: Tensor) -> Tensor:
    return torch.exp(-z.square() / 2) / math.sqrt(2 * math.pi)
