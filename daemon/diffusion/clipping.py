"""What files do to noise: they clip it at black and white, so that its mean moves inwards.

Comes in: a denoised picture and the noisy one, in [-1, 1]. Goes out: the denoised picture with its
shadows as dark and its lights as bright as they were.

Source: A. Foi, Clipped noisy images: heteroskedastic modeling and practical denoising, Signal
Processing 89 (2009), section 6: denoise, then invert the mean of the clipped variable.
"""

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

_ENTRIES = 2048
_SIDE = 9
_BELIEVED = 0.5
"""Share of the clipped pixels to be expected that proves clipping in full: 81 pixels are few."""
_NEAR, _RARELY = 1e-4, 1e-3


def clipped_mean(x0: Tensor, sigma: float) -> Tensor:
    """The mean of x0 + sigma eps clipped to [-1, 1], for eps standard normal.

    Args:
        x0: Any shape.
        sigma: Deviation, above 0.
    """
    low, high = (-1 - x0) / sigma, (1 - x0) / sigma
    below, above = torch.special.ndtr(low), torch.special.ndtr(-high)
    mean: Tensor = above - below + x0 * (1 - above - below)
    return mean + sigma * (_density(low) - _density(high))


def unclip(mean: Tensor, y: Tensor, sigma: float) -> Tensor:
    """Undo in a denoised picture what clipping did to the noisy one.

    A denoiser averages the noise that it sees. In black half of it was cut off: at sigma 25 of 255
    black comes out at level 10. Only where about as many pixels of y were clipped as noise of this
    sigma would clip is this believed; shadows with less noise than the rest stay.

    Args:
        mean: Denoised, (3, H, W).
        y: What it was denoised from, same shape.
        sigma: Deviation of the noise, in units of [-1, 1], above 0.

    Returns:
        Same shape; within [-1, 1] where it differs from `mean`.
    """
    x0 = torch.linspace(-1, 1, _ENTRIES)
    table = clipped_mean(x0.double(), sigma).numpy()
    inverted: NDArray[np.float64] = np.interp(mean.numpy(), table, x0.numpy())
    true = torch.from_numpy(inverted).to(mean.dtype)
    clipped = torch.where(true < 0, _seen(y <= -1 + _NEAR), _seen(y >= 1 - _NEAR))
    # Far from both ends next to nothing is clipped, and next to nothing is there to undo.
    expected = torch.special.ndtr((true.abs() - 1) / sigma).clamp(min=_RARELY)
    return mean.lerp(true, (clipped / expected / _BELIEVED).clamp(0, 1))


def _seen(clipped: Tensor) -> Tensor:
    """Share of clipped pixels around each, (3, H, W)."""
    margin = _SIDE // 2
    return functional.avg_pool2d(clipped.float(), _SIDE, 1, padding=margin, count_include_pad=False)


def _density(z: Tensor) -> Tensor:
    return torch.exp(-z.square() / 2) / math.sqrt(2 * math.pi)
