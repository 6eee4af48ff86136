"""Find the cracks, scratches and dust of a print by a network that was trained to see them.

It knows damage of 1 to some 10 px in width; a large scan is therefore searched at several sizes,
and the highest probability of all counts. Connected pixels that may be damage are taken if one of
them surely is.

Source: hysteresis thresholds of Canny, A computational approach to edge detection, 1986.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import binary_dilation, label
from torch import Tensor

from daemon.config.model_reference import DAMAGE
from daemon.config.steps import Inpaint
from daemon.diffusion.pixels import to_tensor
from daemon.diffusion.tiling import FittedTiles, Tiling
from daemon.diffusion.windows import Window, by_windows
from daemon.models.calls import DamageCall, ModelCalls, ask
from daemon.photo import Picture
from daemon.restorers.chroma import eight_bits

SMALLEST_PX = 640
"""Long side of the smallest reduced picture that is searched.

Damaged prints enlarged to 2,048 px: found 0.3 % of the damage at one size, 19 % at all.
"""

PERHAPS = 0.5
"""Probability from which a pixel may be damage."""

SURELY_PER_SENSITIVITY = 1 / 3
"""A patch is damage if a pixel's probability is above 1 - sensitivity times this: 0.9 at 0.3."""

TILES = FittedTiles(largest=1024, multiple=16, overlap=288, feather=32)
"""Tiles of the network, in pixels: 128 px from an edge its answer is within 0.01 of that for the
whole picture."""


def find_cracks(picture: Picture, params: Inpaint) -> ModelCalls[NDArray[np.uint8]]:
    """Find cracks, scratches and dust.

    Args:
        picture: A picture of any size, uint8 or uint16.
        params: The recipe's step.

    Returns:
        255 where the picture is damaged, (H, W), and for one pixel around.
    """
    levels = yield from damage_levels(eight_bits(picture.pixels))
    surely = 1 - params.sensitivity * SURELY_PER_SENSITIVITY
    damaged = binary_dilation(connected(levels, surely, PERHAPS))
    return np.where(damaged, np.uint8(255), np.uint8(0))


def damage_levels(pixels: NDArray[np.uint8]) -> ModelCalls[NDArray[np.uint8]]:
    """The probability of damage, the highest of all sizes at which a picture is searched.

    Args:
        pixels: (H, W, 3).

    Returns:
        (H, W); 255 stands for probability 1.
    """
    height, width = pixels.shape[:2]
    found = np.zeros((height, width), np.uint8)
    for reduction in _reductions(max(height, width)):
        reduced = np.asarray(Image.fromarray(pixels).reduce(reduction))

        def search(window: Window, reduced: NDArray[np.uint8] = reduced) -> ModelCalls[Tensor]:
            return _search_window(window.crop(reduced))

        likely = np.ascontiguousarray((yield from by_windows(reduced, search))[..., 0], np.uint8)
        size = (likely.shape[1] * reduction, likely.shape[0] * reduction)
        enlarged = Image.fromarray(likely).resize(size, Image.Resampling.BILINEAR)
        np.maximum(found, np.asarray(enlarged)[:height, :width], out=found)
    return found


def connected(levels: NDArray[np.uint8], surely: float, perhaps: float) -> NDArray[np.bool_]:
    """The connected pixels above one probability that hold a pixel above the other.

    Args:
        levels: Probability of each pixel, (H, W), 255 being 1.
        surely: The higher probability.
        perhaps: The lower one.

    Returns:
        (H, W).
    """
    patches, count = label(levels > 255 * perhaps, np.ones((3, 3)))
    chosen = np.zeros(count + 1, bool)
    chosen[patches[levels > 255 * surely]] = True
    chosen[0] = False
    result: NDArray[np.bool_] = chosen[patches]
    return result


def _reductions(longest: int) -> Iterator[int]:
    """How many times a picture of this long side is reduced for each search."""
    reduction = 1
    yield reduction
    while longest >= 2 * reduction * SMALLEST_PX:
        reduction *= 2
        yield reduction


def _search_window(pixels: NDArray[np.generic]) -> ModelCalls[Tensor]:
    """The probability of damage in a window, (H, W, 3) -> (3, H, W), -1 for 0 and 1 for 1."""
    picture = to_tensor(pixels)
    tiling = Tiling(TILES.cut(picture.shape[1]), TILES.cut(picture.shape[2]))
    answers = yield from ask([DamageCall(DAMAGE, tile) for tile in tiling.split(picture)])
    return (tiling.blend(answers) * 2 - 1).expand(3, -1, -1)
