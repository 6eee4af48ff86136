"""Windows: very large photographs part by part, so that no float copy of the whole is ever made.

Windows overlap, start at multiples of `tiling.GRID` and are blended; each may be a whole sampling
run of its own, where a tile is but a part of one evaluation.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from daemon.diffusion.noise import Noise
from daemon.diffusion.pixels import to_pixels
from daemon.diffusion.tiling import GRID, Cut, cut_evenly
from daemon.models.calls import ModelCalls
from daemon.models.transfers import download

WINDOW_PX = 2640
"""Longest side of a window: three tiles of 1024 px; 7 megapixels bound the memory."""

WINDOW_OVERLAP_PX = 288
"""Least overlap of windows: whole sampling runs differ more than tiles of one evaluation do."""

WINDOW_FEATHER_PX = 128
"""Width of the blend in the middle of an overlap of windows."""

_CONVERTED_ROWS = 256
"""Rows that become levels at a time: a whole strip of 100 megapixels takes copies of 400 MB."""


@dataclass(frozen=True)
class Window:
    """A rectangle of a large picture, in pixels."""

    top: int
    left: int
    height: int
    width: int

    def crop(self, pixels: NDArray[np.generic]) -> NDArray[np.generic]:
        """This part of an array (H, W, ...), as a view."""
        return pixels[self.top : self.top + self.height, self.left : self.left + self.width]

    def draw(self, noise: Noise, draw: int, height: int, width: int, channels: int = 3) -> Tensor:
        """This part of the noise of a whole picture, (channels, self.height, self.width).

        Args:
            noise: The noise of the picture.
            draw: Number of the draw.
            height: Rows of the whole picture.
            width: Columns of the whole picture.
            channels: Channels of the picture or latent.
        """
        columns = slice(self.left, self.left + self.width)
        return noise.draw(
            draw, height, width, self.top, self.height, channels=channels, columns=columns
        )


def cut_windows(length: int) -> Cut:
    """Cut a side into windows: one up to `WINDOW_PX`, else as few as possible, of equal size."""
    if length <= WINDOW_PX:
        return Cut(length, length, (0,), WINDOW_FEATHER_PX)
    count = -(-(length - WINDOW_OVERLAP_PX) // (WINDOW_PX - WINDOW_OVERLAP_PX))
    size = -(-(length + (count - 1) * WINDOW_OVERLAP_PX) // count)
    return cut_evenly(
        length, min(WINDOW_PX, -(-size // GRID) * GRID), WINDOW_OVERLAP_PX, WINDOW_FEATHER_PX
    )


def by_windows(
    pixels: NDArray[np.generic],
    restore_window: Callable[[Window], ModelCalls[Tensor]],
    scale: int = 1,
) -> ModelCalls[NDArray[np.generic]]:
    """Restore a picture window by window and blend the results.

    Args:
        pixels: (H, W, 3), uint8 or uint16; only its size and type are used here.
        restore_window: Gives the result for a window, (3, height, width) in [-1, 1]; the window is
            in pixels of the result.
        scale: How many times larger the result is.

    Returns:
        Pixels of the result, (H scale, W scale, 3), same type.
    """
    height, width = pixels.shape[0] * scale, pixels.shape[1] * scale
    down, across = cut_windows(height), cut_windows(width)
    if len(down.starts) == len(across.starts) == 1:
        whole = yield from restore_window(Window(0, 0, height, width))
        return to_pixels(whole, pixels.dtype)
    result = np.empty((height, width, 3), pixels.dtype)
    above = torch.empty(3, 0, width)
    for i, top in enumerate(down.starts):
        rows = down.stop(i) - top
        strip = torch.zeros(3, rows, width)
        for j, left in enumerate(across.starts):
            window = Window(top, left, rows, across.stop(j) - left)
            restored = yield from restore_window(window)
            strip[:, :, left : left + window.width] += download(restored) * across.weights(j)
        strip *= down.weights(i)[:, None]
        strip[:, : above.shape[1]] += above
        done = down.starts[i + 1] - top if i + 1 < len(down.starts) else rows
        for first in range(0, done, _CONVERTED_ROWS):
            last = min(done, first + _CONVERTED_ROWS)
            result[top + first : top + last] = to_pixels(strip[:, first:last], pixels.dtype)
        above = strip[:, done:].clone()
    return result
