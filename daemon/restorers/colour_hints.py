"""Colour hints: a person's dabs of paint, and how their colour spreads.

Comes in: an RGBA picture, transparent but for the dabs. Goes out: the chroma they ask for on the
small working grid, and a correction that brings it to all that looks like the same surface.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array, diags_array
from scipy.sparse.linalg import splu

from daemon.restorers.chroma import BAND_ROWS, BLUE, GREEN, RED, Floats

_SURFACE = 0.04
"""Difference of luminance, of 1, over which paint hardly flows from a pixel to the next."""

_FADE = 1e-5
"""Pull towards the network's own colours; on a flat surface paint reaches _FADE ** -0.5 pixels."""

_HELD = 1e3
"""Weight of the dabs themselves: they keep their colour to a thousandth."""


@dataclass(frozen=True, eq=False)
class ColourHints:
    """Painted pixels of the working grid.

    Attributes:
        painted: bool, (h, w).
        chroma: (R - Y, B - Y), float32 (h, w, 2); 0 where nothing is painted.
    """

    painted: NDArray[np.bool_]
    chroma: Floats


def hints_on(hints: NDArray[np.uint8], height: int, width: int) -> ColourHints | None:
    """Bring painted dabs to the working grid; a dab of one pixel is not lost.

    Args:
        hints: RGBA, uint8, (H, W, 4), of any size; alpha above 0 is painted.
        height: Of the grid.
        width: Of the grid.

    Returns:
        The dabs, or None where nothing is painted.
    """
    finer = (-(-height // hints.shape[0]), -(-width // hints.shape[1]))
    sums = np.zeros((height * width, 4))
    tall, wide = hints.shape[0] * finer[0], hints.shape[1] * finer[1]
    columns = np.arange(wide) * width // wide
    for top in range(0, tall, BAND_ROWS):
        rows = np.arange(top, min(top + BAND_ROWS, tall))
        band = hints[rows // finer[0]][:, np.arange(wide) // finer[1]]
        y, x = np.nonzero(band[..., 3])
        cell = (rows[y] * height // tall) * width + columns[x]
        paint = band[y, x].astype(np.float64)
        for channel, value in enumerate((*(paint[:, :3] * paint[:, 3:]).T, paint[:, 3])):
            sums[:, channel] += np.bincount(cell, value, height * width)
    painted = sums[:, 3] > 0
    if not painted.any():
        return None
    colour = sums[:, :3] / np.maximum(sums[:, 3:], 1) / 255
    luma = colour @ (np.array((RED, GREEN, BLUE)) / 65536)
    chroma = (colour[:, (0, 2)] - luma[:, None]).astype(np.float32)
    return ColourHints(painted.reshape(height, width), chroma.reshape(height, width, 2))


class HintSpread:
    """Brings the dabs' colour to the surfaces they lie on.

    What a dab changes is carried on from pixel to pixel where the luminance hardly changes, and
    fades with distance: the smoothest correction that equals the dabs' on the dabs.

    Source: Levin, Lischinski and Weiss, Colorization using Optimization, 2004, eq. 1, for the
    difference from the network's colours and with a weak pull of it to zero.
    """

    def __init__(self, guide: Floats, dabs: ColourHints) -> None:
        """Factorise once; every `applied` is then two triangular solutions."""
        self._dabs = dabs
        self._held = _HELD * dabs.painted.ravel().astype(np.float64)
        self._solve = splu(_smoothness(guide) + diags_array(self._held + _FADE, format="csc")).solve

    def applied(self, chroma: Floats) -> Floats:
        """Chroma, float32 (h, w, 2), corrected so that dabs and their surfaces are as painted."""
        missing = (self._dabs.chroma - chroma).reshape(-1, 2) * self._held[:, None]
        correction: NDArray[np.float64] = self._solve(missing)
        return chroma + correction.reshape(chroma.shape).astype(np.float32)


def _smoothness(guide: Floats) -> coo_array:
    """The Laplacian of the grid whose pixels are joined as strongly as they are alike."""
    index = np.arange(guide.size).reshape(guide.shape)
    pairs = ((index[:-1], index[1:]), (index[:, :-1], index[:, 1:]))
    one = np.concatenate([a.ravel() for a, _ in pairs])
    other = np.concatenate([b.ravel() for _, b in pairs])
    lit = guide.ravel().astype(np.float64)
    joined = np.exp(-(((lit[one] - lit[other]) / _SURFACE) ** 2))
    both = np.concatenate((joined, joined))
    ends = (np.concatenate((one, other)), np.concatenate((other, one)))
    links = coo_array((both, ends), shape=(guide.size, guide.size))
    return (diags_array(links.sum(axis=1)) - links).tocsc()
