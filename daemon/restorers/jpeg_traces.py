"""Traces of JPEG in the pixels of a photograph: how coarsely its details were rounded.

JPEG rounds each frequency of each block of 8 px to multiples of a step. In a photograph that was
compressed and then neither resized nor repaired the frequencies still lie near those multiples,
whatever its file says today.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from daemon.restorers.chroma import eight_bits, luminance

_BLOCK_PX = 8

_COSINES = np.float32(np.sqrt(2 / _BLOCK_PX)) * np.cos(
    np.pi * np.outer(np.arange(_BLOCK_PX), np.arange(_BLOCK_PX) + 0.5) / _BLOCK_PX
).astype(np.float32)
_COSINES[0] *= np.float32(np.sqrt(0.5))
"""Orthonormal cosine transform (DCT-II) of eight pixels; importing scipy's takes a third of a
second."""

_PART_PX = 768
"""Side of the middle part that is looked at."""

_USUAL_STEPS: Mapping[tuple[int, int], int] = {
    (0, 1): 11,
    (1, 0): 12,
    (1, 1): 12,
    (0, 2): 10,
    (2, 0): 14,
    (1, 2): 14,
    (2, 1): 13,
}
"""Steps of some frequencies, as row and column, in JPEG's example table, which is quality 50.

Higher frequencies are mostly rounded to 0, which tells nothing.
"""

_STEPS = range(2, 61)
"""Steps that are tried."""

_FEWEST = 12
"""Frequencies of some size by which a step is told."""

_REGULAR = 0.5
"""How regular they must be: 0 without a step, 1 if all are its multiples."""

_AGREED = 3
"""Frequencies that must show a step for the photograph to count as a JPEG."""


def jpeg_coarseness(pixels: NDArray[np.generic]) -> float:
    """How coarsely JPEG has rounded a photograph.

    Args:
        pixels: (H, W, 3), uint8 or uint16.

    Returns:
        Per cent of JPEG's example table: 100 at quality 50, 50 at 75, 20 at 90; 0 where no trace
        is found, as in most of quality 95 and more.
    """
    grey = luminance(eight_bits(_middle(pixels))).astype(np.float32) - 128
    best = 0.0
    for top, left in ((0, 0), _grid_start(grey)):
        shares = _shares_of(grey[top:, left:])
        if len(shares) >= _AGREED:
            best = max(best, 100 * float(np.median(shares)))
    return best


def _middle(pixels: NDArray[np.generic]) -> NDArray[np.generic]:
    """The middle part, in phase with a grid that begins at 0."""
    top, left = (
        max(0, length - _PART_PX) // 2 // _BLOCK_PX * _BLOCK_PX for length in pixels.shape[:2]
    )
    return pixels[top : top + _PART_PX, left : left + _PART_PX]


def _grid_start(grey: NDArray[np.float32]) -> tuple[int, int]:
    """Where the grid of blocks most likely begins, in rows and columns."""
    return _phase(grey.T), _phase(grey)


def _phase(grey: NDArray[np.float32]) -> int:
    """The column, modulo 8, at which the picture jumps most beyond what it does beside it."""
    if grey.shape[1] < 4 * _BLOCK_PX:
        return 0
    jumps = np.abs(np.diff(grey, axis=1))
    excess = (jumps[:, 1:-1] - (jumps[:, :-2] + jumps[:, 2:]) / 2).sum(axis=0)
    whole = excess.size // _BLOCK_PX * _BLOCK_PX
    sums = excess[:whole].reshape(-1, _BLOCK_PX).sum(axis=0)
    return (int(sums.argmax()) + 2) % _BLOCK_PX


def _shares_of(grey: NDArray[np.float32]) -> list[float]:
    """The steps that the frequencies of the blocks show, beside the usual ones."""
    high, wide = (length // _BLOCK_PX for length in grey.shape)
    if high * wide < _FEWEST:
        return []
    blocks = grey[: high * _BLOCK_PX, : wide * _BLOCK_PX].reshape(high, _BLOCK_PX, wide, _BLOCK_PX)
    spectrum = np.einsum("ui,hiwj,vj->huwv", _COSINES, blocks, _COSINES, optimize=True)
    found = (
        (_step(spectrum[:, row, :, column].ravel()), usual)
        for (row, column), usual in _USUAL_STEPS.items()
    )
    return [step / usual for step, usual in found if step is not None]


def _step(values: NDArray[np.float32]) -> int | None:
    """The largest step whose multiples the values are; None if there is none.

    Values are multiples of a step's divisors as well, hence the largest.
    """
    regular = [_regularity(values, step) for step in _STEPS]
    highest = max(regular)
    if highest < _REGULAR:
        return None
    return max(step for step, one in zip(_STEPS, regular, strict=True) if one > 0.8 * highest)


def _regularity(values: NDArray[np.float32], step: int) -> float:
    """How near to multiples of the step the values are that are no smaller than half of it."""
    large = values[np.abs(values) > step / 2]
    return float(np.cos(2 * np.pi / step * large).mean()) if len(large) >= _FEWEST else 0.0
