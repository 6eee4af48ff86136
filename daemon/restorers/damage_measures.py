"""Measures of damage, by which a recipe decides what a photograph needs: noise, blocks, blur.

All look at nine parts of a large photograph, so that they cost the same whatever its size.
"""

from collections.abc import Iterable, Iterator

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


_STEADY_PX, _AGAIN_PX = 0.7, 1.0
"""Deviations of the blur under which edges are measured, so that noise and blocks count little, and
of the one that is added to see how much it changes them."""

_LEAST_SLOPE = 6.0
"""Levels a pixel that an edge must rise by under that blur."""

_STEEP = 60
"""Percentile of the edges' slopes from which they count: texture and shadows are faint edges."""

_SHARPEST = 30
"""Percentile of the edges' blurs that counts: it is sharp where something is in focus."""

_FEWEST_EDGES = 50
"""Pixels of edges below which a photograph says nothing of its sharpness."""


def quiet_noise(pixels: NDArray[np.generic]) -> float:
    """Noise of a photograph where it is quietest, so that texture does not count as noise.

    Deviation of the diagonal Haar details in the quietest patches of 16 px.

    Args:
        pixels: (H, W, 3), uint8 or uint16.

    Returns:
        Standard deviation in levels of 0 to 255; 0 for pictures under 16 px.
    """
    return _quiet(_parts(pixels)) if min(pixels.shape[:2]) >= _PATCH_PX else 0.0


def coarse_noise(pixels: NDArray[np.generic]) -> float:
    """`quiet_noise` at half the size, times two: the same where noise is independent in each pixel.

    It is more where noise has grain or blotches, or lost its finest part to JPEG, and in texture.

    Args:
        pixels: (H, W, 3), uint8 or uint16.

    Returns:
        Standard deviation in levels of 0 to 255; 0 for pictures under 48 px.
    """
    if min(pixels.shape[:2]) < 2 * _PATCH_PX:
        return 0.0
    return 2 * _quiet(_halved(part) for part in _parts(pixels))


def _quiet(parts: Iterable[Floats]) -> float:
    """Noise of the quietest patches of some parts of a picture, each at least a patch large."""
    deviations, is_open = (
        np.concatenate(found) for found in zip(*map(_patches, parts), strict=True)
    )
    counted = deviations[is_open] if is_open.sum() >= _FEWEST else deviations
    return float(np.percentile(counted, _QUIET)) / _QUIET_SHARE


def _halved(part: Floats) -> Floats:
    height, width = (length // 2 for length in part.shape[:2])
    blocks = part[: 2 * height, : 2 * width].reshape(height, 2, width, 2, 3)
    halved: Floats = blocks.mean(axis=(1, 3))
    return halved


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


def blur_px(pixels: NDArray[np.generic]) -> float:
    """How far a photograph is out of focus where it is sharpest.

    An edge blurred by a Gaussian of variance v loses slope by sqrt((v + s) / v) under a further one
    of variance s; so the slopes before and after tell v.

    Args:
        pixels: (H, W, 3), uint8 or uint16.

    Returns:
        Deviation of a Gaussian, in pixels; 0 where too few edges tell.

    Source: Zhuo and Sim, Defocus map estimation from a single image, 2011, section 3.
    """
    found = [_edges(part.mean(axis=2)) for part in _parts(pixels) if min(part.shape[:2]) > 1]
    if not found:
        return 0.0
    slopes, variances = (np.concatenate(one) for one in zip(*found, strict=True))
    if len(slopes) < _FEWEST_EDGES:
        return 0.0
    counted = variances[slopes >= np.percentile(slopes, _STEEP)]
    return float(np.sqrt(np.percentile(counted, _SHARPEST)))


def _edges(grey: Floats) -> tuple[Floats, Floats]:
    """Slopes of a picture's edges, in levels a pixel, and the variance of the blur of each."""
    # Only blur needs it, and importing it takes longer than most recipes that measure nothing else.
    from scipy.ndimage import gaussian_filter

    steady = gaussian_filter(grey, _STEADY_PX)
    again = gaussian_filter(grey, float(np.hypot(_STEADY_PX, _AGAIN_PX)))
    down, across = np.gradient(steady)
    slope = np.hypot(down, across)
    crest = np.where(np.abs(across) > np.abs(down), _crests(slope), _crests(slope.T).T)
    edge = crest & (slope > _LEAST_SLOPE)
    before, after = slope[edge], np.hypot(*np.gradient(again))[edge]
    lost = np.maximum((before / np.maximum(after, 1e-3)) ** 2 - 1, 1e-3)
    return before, np.maximum(_AGAIN_PX**2 / lost - _STEADY_PX**2, 0).astype(np.float32)


def _crests(slope: Floats) -> NDArray[np.bool_]:
    """Where no pixel to the left or to the right is steeper."""
    padded = np.pad(slope, ((0, 0), (1, 1)))
    crest: NDArray[np.bool_] = (slope >= padded[:, :-2]) & (slope >= padded[:, 2:])
    return crest


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
