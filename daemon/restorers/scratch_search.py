"""Where a photograph is scratched or dusty, found by what the network would change.

Comes in: one picture. Goes out: a mask of what is surely damage. It finds what stands out, leaves
what might be texture, and changes nothing.

The network has learned to take scratches and dust away. It does so faintly, and changes texture
too; but where it changes a patch of some size evenly and far more than all that is around it, that
patch is damage. It knows bright, upright scratches best, so the picture is shown to it in four
ways, and dark ones are looked for in its negative; wide ones are found in reduced pictures.
`benchmarks.defects` fits the numbers and measures them.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import binary_dilation, find_objects, gaussian_filter, label, maximum
from torch import Tensor

from daemon.config.steps import Inpaint
from daemon.diffusion.pixels import LEVEL, to_grey, to_tensor
from daemon.diffusion.self_ensemble import ensemble_outputs
from daemon.diffusion.windows import Window, by_windows
from daemon.models.calls import ModelCalls
from daemon.photo import Picture
from daemon.restorers.chroma import eight_bits
from daemon.restorers.denoise import blind_mean

Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]

REDUCTIONS = (1, 2, 4, 8)
"""The picture is searched at these parts of its size, as far as it is large enough."""

SMALLEST_PX = 480
"""Long side of the smallest picture that is searched, unless the photograph itself is smaller."""

CANDIDATE = 3.0
"""Times the change around it from which a change may be damage."""

SIGNS = {"bright": (1,), "dark": (-1,), "both": (1, -1)}
"""Of a picture in [-1, 1], for what is looked for: dark damage is bright in the negative."""

WAYS = 4
"""The quarter turns: of lines in all directions twice as many pixels are found as in one."""

THICKEST_PX = 12.0
"""Area over length of a patch above which it is no scratch, or one for a reduced picture to find:
a noisy wall that hangs together must not be taken for damage."""

_USUAL_CHANGE = 10.0
"""Levels of 0 to 255; what is above does not count as usual."""
_AROUND_PX = 12.0
_NO_CHANGE = 1.0
"""Levels that even ground is taken to change by, so that rounding does not stand out."""

_EVIDENCE = (7.59, -4.37, 0.86)
_BIAS = -7.63
"""Weights of a patch's traits, and the constant, in the log-odds that it is damage: what
`python -m benchmarks.defects --photos PHOTOS` printed for the photographs of training/README.md."""


@dataclass(frozen=True, eq=False)
class Candidates:
    """Patches that may be damage.

    Attributes:
        labels: The number of each pixel's patch from 1, or 0, (H, W).
        traits: Of each patch, (N, 3), natural logarithms: the mean of how much its change stands
            out, the largest, and its pixels.
        thickness: Of each patch, its pixels over the diagonal of the box around it, (N,).
    """

    labels: NDArray[np.int32]
    traits: NDArray[np.float64]
    thickness: NDArray[np.float64]

    def likelihood(self) -> NDArray[np.float64]:
        """The probability that each patch is damage, (N,)."""
        odds: NDArray[np.float64] = np.exp(self.traits @ np.array(_EVIDENCE) + _BIAS)
        return np.where(self.thickness > THICKEST_PX, 0, odds / (1 + odds))

    def among(self, chosen: Mask) -> Mask:
        """The pixels of the chosen patches, (N,) -> (H, W)."""
        return np.concatenate(([False], chosen))[self.labels]

    def damage(self, sensitivity: float) -> Mask:
        """The pixels of the patches that are damage with more than 1 - sensitivity, (H, W)."""
        return self.among(self.likelihood() > 1 - sensitivity)


def found_defects(picture: Picture, params: Inpaint) -> ModelCalls[NDArray[np.uint8]]:
    """Look for scratches and dust.

    Args:
        picture: Any, uint8 or uint16.
        params: The step, whose model has learned blind repair.

    Returns:
        255 where the picture is damaged, (H, W), one pixel more to each side than was seen.
    """
    height, width = picture.pixels.shape[:2]
    levels = eight_bits(picture.pixels)
    found = np.zeros((height, width), np.uint8)
    for reduction in REDUCTIONS:
        if reduction > 1 and max(height, width) < reduction * SMALLEST_PX:
            break
        seen = _reduced(levels, reduction)

        def restore_window(window: Window, seen: NDArray[np.uint8] = seen) -> ModelCalls[Tensor]:
            return _window(window.crop(seen), params, grey=picture.grey)

        mask = (yield from by_windows(seen, restore_window))[..., 0]
        enlarged = np.repeat(np.repeat(mask, reduction, 0), reduction, 1)[:height, :width]
        np.maximum(found, enlarged, out=found)
    return np.where(found > 127, np.uint8(255), np.uint8(0))


def changes(seen: Tensor, model: str, *, grey: bool) -> ModelCalls[Floats]:
    """How much what the network darkens stands out, the most of four ways to lie, (H, W).

    Args:
        seen: The picture, or its negative, (3, H, W) in [-1, 1].
        model: Reference of a network that has learned blind repair.
        grey: What it makes of the picture is made grey.
    """
    repaired = yield from ensemble_outputs(WAYS, seen, lambda laid: blind_mean(laid, model))
    each = [_darkened(seen, to_grey(one) if grey else one) for one in repaired]
    result: Floats = np.max(each, axis=0)
    return result


def _darkened(seen: Tensor, repaired: Tensor) -> Floats:
    """The change of each pixel over the usual change around it; 0 where it got no darker."""
    change = (seen - repaired) / LEVEL
    size = change.abs().amax(0).numpy()
    # A scratch must not pass for usual because it is large.
    usual = gaussian_filter(np.minimum(size, _USUAL_CHANGE), _AROUND_PX)
    result: Floats = np.where(change.mean(0).numpy() > 0, size / (usual + _NO_CHANGE), 0)
    return result


def candidates(change: Floats) -> Candidates:
    """The patches whose change stands out, (H, W) as of `changes`."""
    labels, count = label(change > CANDIDATE, np.ones((3, 3)))
    areas = np.bincount(labels.ravel(), minlength=count + 1)[1:]
    sums = np.bincount(labels.ravel(), change.ravel(), count + 1)[1:]
    peaks = np.asarray(maximum(change, labels, np.arange(1, count + 1)), np.float64)
    lengths = [np.hypot(*(side.stop - side.start for side in box)) for box in find_objects(labels)]
    traits = np.log(np.stack([sums / areas, peaks, areas], axis=1))
    return Candidates(labels, traits, areas / np.array(lengths, np.float64))


def _window(pixels: NDArray[np.generic], params: Inpaint, *, grey: bool) -> ModelCalls[Tensor]:
    """1 where a part of a picture is damaged, -1 elsewhere, (3, H, W)."""
    damaged = np.zeros(pixels.shape[:2], bool)
    for sign in SIGNS[params.tone]:
        change = yield from changes(sign * to_tensor(pixels), params.model, grey=grey)
        damaged |= candidates(change).damage(params.sensitivity)
    mask = torch.from_numpy(binary_dilation(damaged)).float() * 2 - 1
    return mask.expand(3, -1, -1)


def _reduced(pixels: NDArray[np.uint8], reduction: int) -> NDArray[np.uint8]:
    """Box means, (H, W, 3) -> (ceil(H / reduction), ceil(W / reduction), 3)."""
    return np.asarray(Image.fromarray(pixels).reduce(reduction))
