"""Undo the bias that clipping to [-1, 1] gives to noise.

A file clips noise at black and white, so the mean of the noisy shadows is too bright and that of
the noisy highlights too dark; a denoiser returns that mean.

Source: A. Foi, Clipped noisy images: heteroskedastic modeling and practical denoising, Signal
Processing 89 (2009), section 6: denoise, then invert the mean of the clipped variable.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional

_TABLE_ENTRIES = 2048
"""Entries of the table by which the mean of clipped noise is inverted."""

_EVEN_ENTRIES = 2**15
"""Entries of the same table in even steps; with so many the difference is below 1e-5."""

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
    x0 = torch.linspace(-1, 1, _TABLE_ENTRIES, dtype=torch.float64, device=mean.device)
    unclipped = _interpolate(mean, clipped_mean(x0, sigma), x0)
    dark, bright = _local_share(y <= -1 + _TOLERANCE), _local_share(y >= 1 - _TOLERANCE)
    clipped = torch.where(unclipped < 0, dark, bright)
    expected = torch.special.ndtr((unclipped.abs() - 1) / sigma).clamp(min=_LEAST_EXPECTED)
    return mean.lerp(unclipped, (clipped / expected / _CONVINCING).clamp(0, 1))


def _interpolate(x: Tensor, known: Tensor, values: Tensor) -> Tensor:
    """Interpolate values between the places at which they are known; beyond them the outermost.

    The table is made finer and even first, so that a place in it is computed rather than searched.

    Args:
        x: Where to interpolate, any shape.
        known: Places, ascending, (N,).
        values: Values at the places, (N,).
    """
    share = torch.linspace(0, 1, _EVEN_ENTRIES, dtype=known.dtype, device=known.device)
    even = torch.lerp(known[0], known[-1], share)
    after = torch.searchsorted(known, even).clamp_(1, len(known) - 1)
    weight = (even - known[after - 1]) / (known[after] - known[after - 1])
    table = torch.lerp(values[after - 1], values[after], weight).to(x.dtype)
    width = (known[-1] - known[0]).to(x.dtype) / (_EVEN_ENTRIES - 1)
    place = ((x - known[0].to(x.dtype)) / width).clamp_(0, _EVEN_ENTRIES - 1)
    index = place.int().clamp_(max=_EVEN_ENTRIES - 2)
    below = table.index_select(0, index.view(-1)).view_as(x)
    above = table.index_select(0, index.add_(1).view(-1)).view_as(x)
    return torch.lerp(below, above, place.sub_(index).add_(1))


def _local_share(chosen: Tensor) -> Tensor:
    """Share of the chosen pixels in the square around each, (3, H, W)."""
    margin = _SIDE_PX // 2
    means = chosen.float()
    for kernel, padding in (((_SIDE_PX, 1), (margin, 0)), ((1, _SIDE_PX), (0, margin))):
        means = functional.avg_pool2d(means, kernel, 1, padding, count_include_pad=False)
    return means


def _normal_density(z: Tensor) -> Tensor:
    return torch.exp(-z.square() / 2) / math.sqrt(2 * math.pi)
