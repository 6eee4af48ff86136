"""Measures of damage, by which a recipe decides what a photograph needs: noise and JPEG blocks.

Both look at nine parts of a large photograph, so that they cost the same whatever its size.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

_PART_PX = 1024
"""Side of each part; a multiple of `_GRID_PX`, as is where it begins."""

_GRID_PX = 8
"""Side of the blocks that JPEG makes."""

_PATCH_PX = 24
"""Side of the patches whose noise is compared."""

_QUIET = 5
"""Percentile of the patches' deviations that counts: texture, which looks like noise, fills few
photographs to the last twentieth."""

_QUIET_SHARE = 0.93
"""What that percentile is of the deviation where there is noise alone: a patch of 16 px tells it to
some 5 %."""

_OPEN = (12, 243)
"""Levels between which a patch must lie to count, since noise is clipped beyond."""

_FEWEST = 8
"""Patches between those levels from which only they count."""

_SMALLEST_GRID_PX = 4 * _GRID_PX
"""Side below which a photograph says nothing of blocks."""


def quiet_noise(pixels: NDArray[np.generic]) -> float:
    """Noise of a photograph where it is quietest, so that texture does not count as noise.

    Deviation of the diagonal Haar details in the quietest patches of 16 px.

    Args:
        pixels: (H, W, 3), uint8 or uint16.

    Returns:
        Standard deviation in levels of 0 to 255; 0 for pictures under 16 px.
    """
    if min(pixels.shape[:2]) < _PATCH_PX:
        return 0.0
    deviations, is_open = (
        np.concatenate(found) for found in zip(*map(_patches, _parts(pixels)), strict=True)
    )
    counted = deviations[is_open] if is_open.sum() >= _FEWEST else deviations
    return float(np.percentile(counted, _QUIET)) / _QUIET_SHARE


def block_edges(pixels: NDArray[np.generic]) -> float:
    """How much more a photograph jumps at the edges of JPEG's blocks of 8 px than elsewhere.

    The grid may begin anywhere, as it does after cropping. Both directions must show it.

    Args:
        pixels: (H, W, 3), uint8 or uint16.

    Returns:
        Levels of 0 to 255, 0 or more; 0 for pictures under 32 px.
    """
    if min(pixels.shape[:2]) < _SMALLEST_GRID_PX:
        return 0.0
    greys = [part.mean(axis=2) for part in _parts(pixels)]
    return min(_grid_excess(greys), _grid_excess([grey.T for grey in greys]))


def _parts(pixels: NDArray[np.generic]) -> Iterator[Floats]:
    """Nine parts of a large photograph, or the whole of a small one, in levels of 0 to 255."""
    scale = np.float32(255 / np.iinfo(pixels.dtype.name).max)
    for top in _starts(pixels.shape[0]):
        for left in _starts(pixels.shape[1]):
            yield pixels[top : top + _PART_PX, left : left + _PART_PX].astype(np.float32) * scale


def _starts(length: int) -> list[int]:
    """Where parts begin along a side, in phase with a grid that begins at 0."""
    room = max(0, length - _PART_PX)
    return sorted({room * third // 2 // _GRID_PX * _GRID_PX for third in range(3)})


def _patches(part: Floats) -> tuple[Floats, NDArray[np.bool_]]:
    """Deviation of the diagonal details of each patch, and whether its levels are open."""
    high, wide = (length // _PATCH_PX for length in part.shape[:2])
    patches = part[: high * _PATCH_PX, : wide * _PATCH_PX].reshape(
        high, _PATCH_PX, wide, _PATCH_PX, 3
    )
    a, b = patches[:, 0::2, :, 0::2], patches[:, 0::2, :, 1::2]
    c, d = patches[:, 1::2, :, 0::2], patches[:, 1::2, :, 1::2]
    detail, mean = (a - b - c + d) / 2, (a + b + c + d) / 4
    deviation = np.sqrt(np.square(detail).mean(axis=(1, 3))).mean(axis=-1)
    is_open = (mean.min(axis=(1, 3, 4)) > _OPEN[0]) & (mean.max(axis=(1, 3, 4)) < _OPEN[1])
    return deviation.reshape(-1), is_open.reshape(-1)


def _grid_excess(greys: list[Floats]) -> float:
    """The jump at the strongest of the eight places of a grid, less that at the second."""
    sums, count = np.zeros(_GRID_PX), 0
    for grey in greys:
        jumps = np.abs(np.diff(grey, axis=1))
        excess = jumps[:, 1:-1] - (jumps[:, :-2] + jumps[:, 2:]) / 2
        whole = excess.shape[1] // _GRID_PX * _GRID_PX
        sums += excess[:, :whole].reshape(-1, _GRID_PX).sum(axis=0)
        count += len(excess) * whole // _GRID_PX
    second, first = np.sort(sums / count)[-2:]
    return max(0.0, float(first - second))
