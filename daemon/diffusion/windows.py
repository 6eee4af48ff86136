"""Very large photographs, window by window, so that no float copy of the whole is ever made.

Windows start at multiples of `tiling.GRID`, overlap and are blended; each may be a whole sampling
run of its own.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from daemon.diffusion.noise import Noise
from daemon.diffusion.pixels import to_pixels
from daemon.diffusion.tiling import GRID, Cut, spread
from daemon.models.calls import ModelCalls

WINDOW = 2640
"""Longest side of a window: three tiles of 1024, and 7 megapixels bound the memory."""

WINDOW_OVERLAP = 288
"""Least overlap of windows, which are whole sampling runs and so differ more than tiles."""

WINDOW_FEATHER = 128


@dataclass(frozen=True)
class Window:
    """A part of a large picture, in pixels; its blending shares are separable."""

    top: int
    left: int
    height: int
    width: int

    def of(self, pixels: NDArray[np.generic]) -> NDArray[np.generic]:
        """This part of (H, W, ...)."""
        return pixels[self.top : self.top + self.height, self.left : self.left + self.width]

    def draw(self, noise: Noise, draw: int, height: int, width: int, channels: int = 3) -> Tensor:
        """This part, (channels, height, width), of a draw for a picture of the given size."""
        rows = noise.draw(draw, height, width, self.top, self.height, channels=channels)
        return rows[:, :, self.left : self.left + self.width].contiguous()


def cut_windows(length: int) -> Cut:
    """Windows along a side: one up to WINDOW, else as few as possible of nearly equal size."""
    if length <= WINDOW:
        return Cut(length, length, (0,), WINDOW_FEATHER)
    count = -(-(length - WINDOW_OVERLAP) // (WINDOW - WINDOW_OVERLAP))
    size = -(-(length + (count - 1) * WINDOW_OVERLAP) // count)
    return spread(length, min(WINDOW, -(-size // GRID) * GRID), WINDOW_OVERLAP, WINDOW_FEATHER)


def by_windows(
    pixels: NDArray[np.generic], solve: Callable[[Window], ModelCalls[Tensor]], scale: int = 1
) -> ModelCalls[NDArray[np.generic]]:
    """Work on a picture window by window and blend the results.

    Args:
        pixels: (H, W, 3), uint8 or uint16; only its size and type are used here.
        solve: Gives the result of a window, (3, height, width) in [-1, 1], the window being in
            pixels of the result.
        scale: How many times larger the result is.

    Returns:
        Pixels of the result, (H scale, W scale, 3), same type. No float copy of all of it is made.
    """
    height, width = pixels.shape[0] * scale, pixels.shape[1] * scale
    down, across = cut_windows(height), cut_windows(width)
    result = np.empty((height, width, 3), pixels.dtype)
    above = torch.empty(3, 0, width)
    for i, top in enumerate(down.starts):
        rows = down.stop(i) - top
        strip = torch.zeros(3, rows, width)
        for j, left in enumerate(across.starts):
            window = Window(top, left, rows, across.stop(j) - left)
            solved = yield from solve(window)
            strip[:, :, left : left + window.width] += solved * across.weights(j)
        strip *= down.weights(i)[:, None]
        strip[:, : above.shape[1]] += above
        done = down.starts[i + 1] - top if i + 1 < len(down.starts) else rows
        result[top : top + done] = to_pixels(strip[:, :done], pixels.dtype)
        above = strip[:, done:].clone()
    return result
