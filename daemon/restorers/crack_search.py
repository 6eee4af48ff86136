"""Find the cracks, scratches and dust of a print by a network that was trained to see them.

It knows damage of 1 to some 10 px in width; a large scan is therefore searched at several sizes,
and the highest probability of all counts. Connected pixels that may be damage are taken if one of
them surely is.

Source: hysteresis thresholds of Canny, A computational approach to edge detection, 1986.
"""

from collections.abc import Iterator
from dataclasses import dataclass

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
from daemon.restorers.damage_patches import (
    LEAST_EXCESS,
    Mask,
    Patches,
    connected_patches,
    log_odds,
)

SMALLEST_PX = 640
"""Long side of the smallest reduced picture that is searched.

Damaged prints enlarged to 2,048 px: found 0.3 % of the damage at one size, 19 % at all.
"""

PERHAPS = 0.5
"""Probability from which a pixel may be damage."""

SURELY_PER_SENSITIVITY = 1 / 3
"""A patch is damage if a pixel's probability is above 1 - sensitivity times this: 0.9 at 0.3."""

_CANDIDATE = 0.8
"""Probability that a pixel of a patch must have for the patch to be weighed."""

_SURE = 0.9
"""Probability from which a pixel is surely damaged."""

_LEAST_PROBABILITY = 0.004
"""Mean probabilities nearer to 0 or 1 than this count as this."""

_FAINT_LEVELS = 2.0
_SHARES = 1e4

_WEIGHTS = (1.71, -0.24, 0.34, 0.6, 0.23, 0.36)
_BIAS = -4.98
"""Weights of a patch's features, and the constant, in the log-odds that it is damage.

Fitted as `python -m benchmarks.defects --photos PHOTOS --find toned` fits them, to 200 photographs
and to 260 squares of whole ones that the network had taken for damaged. The constant is 0.85 higher
than fitted, so that the default sensitivity takes what is damage with 0.5.
"""

TILES = FittedTiles(largest=1024, multiple=16, overlap=288, feather=32)
"""Tiles of the network, in pixels: 128 px from an edge its answer is within 0.01 of that for the
whole picture."""


@dataclass(frozen=True, eq=False)
class Cracks:
    """Patches that the damage network alone takes for damage.

    Attributes:
        patches: The patches, N of them.
        features: For each patch, log-odds of its mean probability, and natural logarithms of its
            area, of its thickness, of how far it is lighter than what is around it, of how uneven
            that is, and of how much more of the picture is surely damaged, (N, 6).
        visible: Whether each is lighter than what is around it, (N,).
        stands_out: Which pixels are lighter than what is around their patch, (H, W): the network
            marks a pixel or two on either side of a crack as well.
    """

    patches: Patches
    features: NDArray[np.float64]
    visible: Mask
    stands_out: Mask

    def probability(self) -> NDArray[np.float64]:
        """The probability that each patch is damage, (N,)."""
        odds: NDArray[np.float64] = np.exp(self.features @ np.array(_WEIGHTS) + _BIAS)
        return np.where(self.visible, odds / (1 + odds), 0)

    def damage(self, sensitivity: float) -> Mask:
        """Which pixels belong to patches that are damage with more than 1 - sensitivity, (H, W)."""
        return self.patches.among(self.probability() > 1 - sensitivity) & self.stands_out


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


def damage_probability(picture: Tensor) -> ModelCalls[Tensor]:
    """The probability of damage of each pixel at one size, in tiles.

    Args:
        picture: RGB, (3, H, W) in [-1, 1].

    Returns:
        (H, W) in [0, 1].
    """
    tiling = Tiling(TILES.cut(picture.shape[1]), TILES.cut(picture.shape[2]))
    answers = yield from ask([DamageCall(DAMAGE, tile) for tile in tiling.split(picture)])
    return tiling.blend(answers)[0]


def crack_candidates(probability: NDArray[np.float32], light: NDArray[np.float32]) -> Cracks:
    """The patches that may be damage by what the network finds alone.

    Args:
        probability: Of damage, (H, W).
        light: Lightness of the picture, or of its negative, in levels of 0 to 255, (H, W).
    """
    found = connected_patches(probability > PERHAPS)
    patches = connected_patches(found.among(found.most(probability) > _CANDIDATE))
    usual, uneven = patches.surroundings(light)
    excess = patches.mean(light) - usual
    stands_out = light > np.concatenate(([0.0], usual))[patches.labels] + LEAST_EXCESS
    sure = probability > _SURE
    elsewhere = sure.sum() - patches.mean(sure.astype(np.float32)) * patches.areas
    features = (
        log_odds(patches.mean(probability), _LEAST_PROBABILITY),
        np.log(patches.areas),
        np.log(patches.thickness + 0.5),
        np.log(np.maximum(excess, 0) + _FAINT_LEVELS),
        np.log(uneven + _FAINT_LEVELS),
        np.log(_SHARES * elsewhere / probability.size + 1),
    )
    return Cracks(patches, np.column_stack(features), excess > LEAST_EXCESS, stands_out)


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
    probability = yield from damage_probability(to_tensor(pixels))
    return (probability * 2 - 1).expand(3, -1, -1)
