"""Linear operators on pictures: box means A, a smooth right inverse A+, and a Gaussian low-pass.

All take and give single pictures, (C, H, W), float32, in [-1, 1]. A A+ y = y holds to float
precision for y of any size.

Source: DDNM, arXiv:2212.00490, section 3.1, with a smooth A+ in place of pixel replication.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor
from torch.nn import functional

from daemon.diffusion.process import combine

_BACK_PROJECTIONS = 3

_SHORTEST_SIDE = 8
"""Pixels of the shortest side whose ends are far enough apart to be treated each by itself."""


def box_mean(x: Tensor, scale: int) -> Tensor:
    """A: means of blocks of scale x scale pixels.

    Args:
        x: (3, H scale, W scale).
        scale: Side of the blocks.

    Returns:
        (3, H, W).
    """
    # Strided sums take half the time of avg_pool2d, which is not vectorised.
    rows = combine(*((1 / scale**2, x[:, row::scale]) for row in range(scale)))
    return combine(*((1.0, rows[:, :, column::scale]) for column in range(scale)))


def enlarge(y: Tensor, scale: int) -> Tensor:
    """Bicubic enlargement (Keys, a = -0.5, as Pillow's), (3, H, W) -> (3, H scale, W scale)."""
    size = (y.shape[1] * scale, y.shape[2] * scale)
    return functional.interpolate(y[None], size=size, mode="bicubic", antialias=True)[0]


def right_inverse(y: Tensor, scale: int) -> Tensor:
    """A+: a smooth enlargement whose box means are y, (3, H, W) -> (3, H scale, W scale).

    Bicubic enlargement E, then a few rounds of back-projection, x <- x + E(y - A x), which keep it
    smooth, then one step of pixel replication for the error that is left. What is left in round k
    is (1 - A E)^k y, small pictures all of them, so that their sum is enlarged once.
    """
    error, total = y, y.clone()
    for _ in range(_BACK_PROJECTIONS):
        error = error - _means_of_enlarged(error, scale)
        total += error
    x = enlarge(total, scale)
    return _add_replicated(x, y - box_mean(x, scale), scale)


def project_box_means(x0: Tensor, y: Tensor, scale: int, weight: Tensor | float = 1.0) -> Tensor:
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
    correction = right_inverse(y - box_mean(x0, scale), scale)
    exact = not isinstance(weight, Tensor) and weight == 1
    return (correction if exact else correction.mul_(weight)).add_(x0)


def low_frequencies(x: Tensor, deviation_px: float) -> Tensor:
    """Gaussian blur of a picture of any size, with its edge pixels repeated beyond its edges.

    Args:
        x: The picture, (C, H, W).
        deviation_px: Standard deviation of the Gaussian, in pixels.

    Returns:
        Same shape.
    """
    radius = int(3 * deviation_px)
    place = torch.arange(-radius, radius + 1, dtype=x.dtype, device=x.device)
    weights = torch.exp(-(place**2) / (2 * deviation_px**2))
    kernel = (weights / weights.sum()).view(1, 1, 1, -1)
    rows = functional.pad(x[:, None], (radius, radius, 0, 0), "replicate")
    rows = functional.conv2d(rows, kernel)
    columns = functional.pad(rows, (0, 0, radius, radius), "replicate")
    return functional.conv2d(columns, kernel.transpose(2, 3))[:, 0]


def _add_replicated(x: Tensor, y: Tensor, scale: int) -> Tensor:
    """Add each pixel of y, (C, H, W), to its block of x, (C, H scale, W scale), in place."""
    channels, height, width = y.shape
    blocks = x.view(channels, height, scale, width, scale)
    blocks += y[:, :, None, :, None]
    return x


def _means_of_enlarged(y: Tensor, scale: int) -> Tensor:
    """A E y, the box means of the bicubic enlargement, without enlarging."""
    if min(y.shape[1:]) < _SHORTEST_SIDE:
        return box_mean(enlarge(y, scale), scale)
    weights = _weights_of_means(scale)
    first, last = weights.first.to(y), weights.last.to(y)
    rows, means = torch.empty_like(y), torch.empty_like(y)
    rows[:, :2] = first @ y[:, :_SHORTEST_SIDE]
    rows[:, 2:-2] = _weighted(y, 1, weights.middle)
    rows[:, -2:] = last @ y[:, -_SHORTEST_SIDE:]
    means[:, :, :2] = rows[:, :, :_SHORTEST_SIDE] @ first.mT
    means[:, :, 2:-2] = _weighted(rows, 2, weights.middle)
    means[:, :, -2:] = rows[:, :, -_SHORTEST_SIDE:] @ last.mT
    return means


def _weighted(y: Tensor, dim: int, weights: Sequence[float]) -> Tensor:
    """Weighted sums of neighbours along a dimension, which becomes that much shorter."""
    length = y.shape[dim] - len(weights) + 1
    return combine(*((weight, y.narrow(dim, k, length)) for k, weight in enumerate(weights)))


@dataclass(frozen=True, eq=False)
class _WeightsOfMeans:
    """The weights of A E along one side.

    Attributes:
        first: Of the first 8 pixels in the first 2 means, (2, 8).
        middle: Of two pixels, the pixel itself and two more in all other means.
        last: Of the last 8 pixels in the last 2 means, (2, 8).
    """

    first: Tensor
    middle: tuple[float, ...]
    last: Tensor


@cache
def _weights_of_means(scale: int) -> _WeightsOfMeans:
    length, end = 2 * _SHORTEST_SIDE, _SHORTEST_SIDE
    means = box_mean(enlarge(torch.eye(length)[:, None], scale), scale)[:, 0].T
    middle = means[end, end - 2 : end + 3]
    return _WeightsOfMeans(means[:2, :end], tuple(middle.tolist()), means[-2:, -end:])
