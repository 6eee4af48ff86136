"""Colour hints: dabs of paint that say a surface's colour, and how their colour spreads.

Hints are painted on an RGBA layer, transparent elsewhere. They are brought to the small working
grid as chroma, and spread there to all that looks like the same surface.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array, diags_array
from scipy.sparse.linalg import splu

from daemon.restorers.chroma import BAND_ROWS, BLUE, GREEN, RED, Floats

_SURFACE = 0.04
"""Difference of luminance, white less black being 1, across which colour hardly spreads."""

_FADE = 1e-5
"""Weight of the network's own colours. On a flat surface hints reach _FADE ** -0.5 pixels."""

_HELD = 1e3
"""Weight of the hints on painted pixels: they keep their colour to a thousandth."""


@dataclass(frozen=True, eq=False)
class ColourHints:
    """Hints on the working grid.

    Attributes:
        painted: Which pixels are painted, bool (h, w).
        chroma: Their (R - Y, B - Y), float32 (h, w, 2); 0 where nothing is painted.
    """

    painted: NDArray[np.bool_]
    chroma: Floats


def hints_on_grid(hints: NDArray[np.uint8], height: int, width: int) -> ColourHints | None:
    """Bring a layer of hints to the working grid; a dab of one pixel is not lost.

    Args:
        hints: RGBA, uint8, (H, W, 4), of any size; alpha above 0 is painted.
        height: Rows of the grid.
        width: Columns of the grid.

    Returns:
        The hints, or None if nothing is painted.
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


class HintPropagation:
    """Spreads the colour of hints over the surfaces they lie on.

    What a hint changes is carried from pixel to pixel where the luminance hardly changes, and fades
    with distance: the smoothest correction that equals the hints' on painted pixels.

    Source: Levin, Lischinski and Weiss, Colorization using Optimization, 2004, eq. 1, for the
    difference from the network's colours and with a weak pull of it to zero.
    """

    def __init__(self, guide: Floats, hints: ColourHints) -> None:
        """Factorise the linear system once; every `apply` then takes two triangular solves.

        Args:
            guide: Luminance on the working grid, (h, w) in [0, 1].
            hints: The hints.
        """
        self._hints = hints
        self._weights = _HELD * hints.painted.ravel().astype(np.float64)
        system = _smoothness(guide) + diags_array(self._weights + _FADE, format="csc")
        self._solve = splu(system).solve

    def apply(self, chroma: Floats) -> Floats:
        """Correct chroma, float32 (h, w, 2), so that painted surfaces have the hints' colours."""
        missing = (self._hints.chroma - chroma).reshape(-1, 2) * self._weights[:, None]
        correction: NDArray[np.float64] = self._solve(missing)
        return chroma + correction.reshape(chroma.shape).astype(np.float32)

    def reach(self) -> Floats:
        """Share of a hint's correction that each pixel takes over, (h, w) in [0, 1]."""
        share: NDArray[np.float64] = self._solve(self._weights)
        return share.reshape(self._hints.painted.shape).astype(np.float32)


def _smoothness(guide: Floats) -> coo_array:
    """Graph Laplacian of the grid, with neighbours joined as strongly as they are alike."""
    index = np.arange(guide.size).reshape(guide.shape)
    pairs = ((index[:-1], index[1:]), (index[:, :-1], index[:, 1:]))
    first = np.concatenate([a.ravel() for a, _ in pairs])
    second = np.concatenate([b.ravel() for _, b in pairs])
    values = guide.ravel().astype(np.float64)
    alike = np.exp(-(((values[first] - values[second]) / _SURFACE) ** 2))
    edges = (np.concatenate((first, second)), np.concatenate((second, first)))
    adjacency = coo_array((np.concatenate((alike, alike)), edges), shape=(guide.size, guide.size))
    return (diags_array(adjacency.sum(axis=1)) - adjacency).tocsc()
