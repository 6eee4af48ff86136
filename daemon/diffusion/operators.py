"""Linear operators on pictures: box means A, a smooth right inverse A+, and a Gaussian low-pass.

All take and give single pictures, (C, H, W), float32, in [-1, 1]. A A+ y = y holds to float
precision for y of any size.

Source: DDNM, arXiv:2212.00490, section 3.1, with a smooth A+ in place of pixel replication.
"""

import torch
from torch import Tensor
from torch.nn import functional

_BACK_PROJECTIONS = 3


def box_mean(x: Tensor, scale: int) -> Tensor:
    """A: means of blocks of scale x scale pixels.

    Args:
        x: (3, H scale, W scale).
        scale: Side of the blocks.

    Returns:
        (3, H, W).
    """
    return functional.avg_pool2d(x[None], scale)[0]


def enlarge(y: Tensor, scale: int) -> Tensor:
    """Bicubic enlargement (Keys, a = -0.5, as Pillow's), (3, H, W) -> (3, H scale, W scale)."""
    size = (y.shape[1] * scale, y.shape[2] * scale)
    return functional.interpolate(y[None], size=size, mode="bicubic", antialias=True)[0]


def right_inverse(y: Tensor, scale: int) -> Tensor:
    """A+: a smooth enlargement whose box means are y, (3, H, W) -> (3, H scale, W scale).

    Bicubic enlargement, then a few rounds of back-projection, which keep it smooth, then one step
    of pixel replication for the error that is left.
    """
    x = enlarge(y, scale)
    for _ in range(_BACK_PROJECTIONS):
        x = x + enlarge(y - box_mean(x, scale), scale)
    return x + _replicate(y - box_mean(x, scale), scale)


def project_box_means(x0: Tensor, y: Tensor, scale: int, weight: float = 1.0) -> Tensor:
    """Bring the box means of an estimate towards a measurement: x0 + weight A+(y - A x0).

    Args:
        x0: Estimate of the large picture, (3, H scale, W scale).
        y: The small picture, (3, H, W).
        scale: Side of the blocks.
        weight: 1 makes A x0 = y exactly; less corrects partly, for noisy measurements.

    Returns:
        Same shape as x0.

    Source: DDNM, arXiv:2212.00490, eq. 13; with weight < 1 its DDNM+, eq. 17.
    """
    return x0 + weight * right_inverse(y - box_mean(x0, scale), scale)


def low_frequencies(x: Tensor, deviation_px: float) -> Tensor:
    """Gaussian blur of a picture of any size, with its edge pixels repeated beyond its edges.

    Args:
        x: The picture, (C, H, W).
        deviation_px: Standard deviation of the Gaussian, in pixels.

    Returns:
        Same shape.
    """
    radius = int(3 * deviation_px)
    place = torch.arange(-radius, radius + 1, dtype=x.dtype)
    weights = torch.exp(-(place**2) / (2 * deviation_px**2))
    kernel = (weights / weights.sum()).view(1, 1, 1, -1)
    rows = functional.pad(x[:, None], (radius, radius, 0, 0), "replicate")
    rows = functional.conv2d(rows, kernel)
    columns = functional.pad(rows, (0, 0, radius, radius), "replicate")
    return functional.conv2d(columns, kernel.transpose(2, 3))[:, 0]


def _replicate(y: Tensor, scale: int) -> Tensor:
    return torch.repeat_interleave(torch.repeat_interleave(y, scale, dim=1), scale, dim=2)
