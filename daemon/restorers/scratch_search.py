"""Find the scratches and dust of a photograph by what the prior would change, and a second opinion.

The prior was trained to remove scratches and dust. It does so faintly, and changes texture too; but
where it changes a thin patch of some size evenly and far more than all that is around it, that
patch is damage, the more so if the damage network says so too. The prior knows bright, upright
scratches best, so the picture is shown to it in four quarter turns, and dark damage is looked for
in its negative; wide scratches are found in reduced pictures. On a print of one tone, grey or
brown, what the damage network finds alone counts too (`daemon.restorers.crack_search`).
`benchmarks.defects` fits the weights below and measures them.
"""

from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation, gaussian_filter
from torch import Tensor

from daemon.config.steps import Inpaint
from daemon.diffusion.concurrent import gather_bounded
from daemon.diffusion.pixels import LEVEL, to_device, to_grey, to_tensor
from daemon.diffusion.self_ensemble import TRANSFORMS, Transform
from daemon.diffusion.windows import Window, by_windows
from daemon.models.calls import ModelCalls
from daemon.models.transfers import download
from daemon.photo import Picture
from daemon.restorers.chroma import box_means, eight_bits
from daemon.restorers.crack_search import crack_candidates, damage_probability
from daemon.restorers.damage_patches import (
    LEAST_EXCESS,
    Mask,
    Patches,
    connected_patches,
    log_odds,
)
from daemon.restorers.denoise import blind_mean
from daemon.restorers.print_tone import tone_curve

Floats = NDArray[np.float32]

REDUCTIONS = (1, 2, 4, 8)
"""How many times the picture is reduced for each search, as far as it is large enough."""

SMALLEST_PX = 480
"""Long side of the smallest reduced picture that is searched."""

CANDIDATE = 3.0
"""Contrast of a change, in times the usual change around it, from which it may be damage."""

SIGNS = {"bright": (1,), "dark": (-1,), "both": (1, -1)}
"""Factors on a picture in [-1, 1] for each `tone`: dark damage is bright in the negative."""

QUARTER_TURNS = 4
"""Orientations in which the picture is shown: four find twice as many pixels of lines in all
directions as one."""

THICKEST_PX = 12.0
"""Thickest patch, area over length, that counts as a scratch at one reduction.

A thicker one is found in a more reduced picture, or is none: a connected area of a noisy wall must
not be taken for damage.
"""

_USUAL_CHANGE = 10.0
"""Largest change, in levels of 0 to 255, that counts as usual."""

_AROUND_PX = 12.0
"""Standard deviation of the Gaussian that averages the usual change around a pixel."""

_NO_CHANGE = 1.0
"""Levels that are added to the usual change, so that rounding on even ground does not stand out."""

_LEAST_PROBABILITY = 0.004
"""Mean probabilities of the damage network nearer to 0 or 1 than this count as this."""

_WEIGHTS = (6.02, -4.0, 1.12, 0.48, -1.95)
_BIAS = -4.75
"""Weights of a patch's features, and the constant, in the log-odds that it is damage.

Fitted as `python -m benchmarks.defects --photos PHOTOS` fits them, to the first 90 photographs that
it scratches; the constant is 0.54 lower than fitted, so that at the default sensitivity one of 40
photographs gets worse and not two.
"""


@dataclass(frozen=True, eq=False)
class Candidates:
    """Patches that may be damage.

    Attributes:
        patches: The patches, N of them.
        features: For each patch, natural logarithms of the mean contrast of its change, of the
            largest, of its area in pixels, of the odds that the damage network gives it on average,
            and of half a pixel more than its thickness, (N, 5).
        visible: Whether each is lighter than what is around it, (N,); what is not is no bright
            damage, whatever the prior would change.
    """

    patches: Patches
    features: NDArray[np.float64]
    visible: Mask

    def probability(self) -> NDArray[np.float64]:
        """The probability that each patch is damage, (N,)."""
        odds: NDArray[np.float64] = np.exp(self.features @ np.array(_WEIGHTS) + _BIAS)
        possible = self.visible & (self.patches.thickness <= THICKEST_PX)
        return np.where(possible, odds / (1 + odds), 0)

    def damage(self, sensitivity: float) -> Mask:
        """Which pixels belong to patches that are damage with more than 1 - sensitivity, (H, W)."""
        return self.patches.among(self.probability() > 1 - sensitivity)


def find_scratches(picture: Picture, params: Inpaint) -> ModelCalls[NDArray[np.uint8]]:
    """Find scratches and dust.

    Args:
        picture: A picture of any size, uint8 or uint16.
        params: The recipe's step, whose model was trained for blind repair.

    Returns:
        255 where the picture is damaged, (H, W), and for one pixel around.
    """
    height, width = picture.pixels.shape[:2]
    levels = eight_bits(picture.pixels)
    toned = tone_curve(levels).is_toned
    found = np.zeros((height, width), np.uint8)
    for reduction in REDUCTIONS:
        if reduction > 1 and max(height, width) < reduction * SMALLEST_PX:
            break
        reduced = box_means(levels, reduction)

        def search(window: Window, reduced: NDArray[np.uint8] = reduced) -> ModelCalls[Tensor]:
            return _search_window(window.crop(reduced), params, grey=picture.grey, toned=toned)

        mask = (yield from by_windows(reduced, search))[..., 0]
        enlarged = np.repeat(np.repeat(mask, reduction, 0), reduction, 1)[:height, :width]
        np.maximum(found, enlarged, out=found)
    return np.where(found > 127, np.uint8(255), np.uint8(0))


def change_contrast(picture: Tensor, model: str, *, grey: bool) -> ModelCalls[Floats]:
    """Contrast of what the network darkens, the largest over four orientations.

    Args:
        picture: The picture, or its negative, (3, H, W) in [-1, 1].
        model: Reference of a network that was trained for blind repair.
        grey: Whether what it makes of the picture is made grey.

    Returns:
        The change of each pixel in times the usual change around it, (H, W).
    """

    def contrast_in(turn: Transform) -> ModelCalls[Floats]:
        repaired = turn.undo((yield from blind_mean(turn.apply(picture), model)))
        return _darkened(picture, to_grey(repaired) if grey else repaired)

    each = yield from gather_bounded(
        [partial(contrast_in, turn) for turn in TRANSFORMS[:QUARTER_TURNS]], picture[0].numel()
    )
    result: Floats = np.max(each, axis=0)
    return result


def _darkened(picture: Tensor, repaired: Tensor) -> Floats:
    """The change of each pixel over the usual change around it; 0 where it got no darker."""
    change = (picture - repaired) / LEVEL
    size = download(change.abs().amax(0)).numpy()
    # A scratch must not pass for usual because it is large.
    usual = gaussian_filter(np.minimum(size, _USUAL_CHANGE), _AROUND_PX)
    result: Floats = np.where(download(change.mean(0)).numpy() > 0, size / (usual + _NO_CHANGE), 0)
    return result


def candidates(contrast: Floats, probability: Floats, light: Floats) -> Candidates:
    """The connected patches whose change stands out.

    Args:
        contrast: What `change_contrast` returns, (H, W).
        probability: Of damage, as the damage network sees it, (H, W).
        light: Lightness of the picture, or of its negative, in levels of 0 to 255, (H, W).
    """
    patches = connected_patches(contrast > CANDIDATE)
    features = (
        np.log(patches.mean(contrast)),
        np.log(patches.most(contrast)),
        np.log(patches.areas),
        log_odds(patches.mean(probability), _LEAST_PROBABILITY),
        np.log(np.minimum(patches.thickness, THICKEST_PX) + 0.5),
    )
    usual, _ = patches.surroundings(light)
    visible = patches.mean(light) > usual + LEAST_EXCESS
    return Candidates(patches, np.column_stack(features), visible)


def lightness(picture: Tensor) -> Floats:
    """Mean of the channels, (3, H, W) in [-1, 1] -> (H, W) in levels of 0 to 255."""
    return np.asarray(download((picture.mean(0) + 1) / LEVEL), np.float32)


def _search_window(
    pixels: NDArray[np.generic], params: Inpaint, *, grey: bool, toned: bool
) -> ModelCalls[Tensor]:
    """1 where a window of a picture is damaged, -1 elsewhere, (3, H, W)."""
    picture = to_tensor(pixels)
    probability = download((yield from damage_probability(picture))).numpy()
    damaged = np.zeros(pixels.shape[:2], bool)
    for sign in SIGNS[params.tone]:
        shown = picture if sign == 1 else -picture
        light = lightness(shown)
        contrast = yield from change_contrast(shown, params.model, grey=grey)
        damaged |= candidates(contrast, probability, light).damage(params.sensitivity)
        if toned:
            damaged |= crack_candidates(probability, light).damage(params.sensitivity)
    mask = to_device(binary_dilation(damaged)).float() * 2 - 1
    return mask.expand(3, -1, -1)
