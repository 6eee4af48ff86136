"""Inpaint: what a mask marks as lost is made anew, to fit what is around it.

The photograph stays to the level where the mask is black. Without a mask the step may search for
damage itself, and may return the mask that it found instead of the photograph.

Source: SDEdit with a mask, arXiv:2108.01073, algorithm 3, begun from a smooth filling rather than
from the damage, of which nothing is kept. The filling is pull-push interpolation (Gortler et al.,
The Lumigraph, SIGGRAPH 1996, section 3.4). The mean of several samples is nearer to the lost
picture than any of them, but smoother.
"""

import math
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from daemon.checkpoints.traits import PRIOR_TRAITS, Traits
from daemon.config.steps import Inpaint
from daemon.diffusion.concurrent import gather_bounded
from daemon.diffusion.noise import Noise
from daemon.diffusion.samplers import SAMPLERS
from daemon.diffusion.windows import Window, by_windows
from daemon.models.calls import ModelCalls
from daemon.photo import Picture
from daemon.photo.notes import Note, NoteKind
from daemon.restorers.crack_search import find_cracks
from daemon.restorers.interface import Restoration
from daemon.restorers.restyle import SdeditInput, fitted_mask, sdedit
from daemon.restorers.sampling_plan import SamplingPlan
from daemon.restorers.scratch_search import find_scratches
from daemon.restorers.working_space import WorkingSpace, working_space
from daemon.system.errors import PhotoError

STEPS = 10
"""Evaluations of a sampling run if the recipe sets no `steps`."""

PLAN = SamplingPlan(SAMPLERS["ancestral"], "even", STEPS)
"""How a sample is made: fresh noise mends thin scratches best, by 0.2 dB; see docs/design.md."""

START = 0.9
"""Angle, in radians, to which the filling is noised: little but its colours is left. See
docs/design.md."""

TOLD_START = math.pi / 2
"""The same for a checkpoint that was trained for inpainting: it is told what lies around the hole
and begins at noise alone, as in its training."""

MEAN_SAMPLES = 4
"""Samples that are averaged for realism 0: a fourth of their variance remains."""

_DRAWS_PER_SAMPLE = 2**11
"""Numbers of draws reserved for each sample; a step takes one."""


def inpaint(
    pictures: tuple[Picture, ...], params: Inpaint, noise: Noise, traits: Traits = PRIOR_TRAITS
) -> ModelCalls[Restoration]:
    """Fill in one photograph.

    Args:
        pictures: One picture, uint8 or uint16, with its mask, unless the step finds it.
        params: The recipe's step.
        noise: The step's noise.
        traits: Traits of the step's model.

    Returns:
        The picture, or the mask if the step asks for that alone, with measure "filled" (share of
        its pixels that could change, [0, 1]).

    Raises:
        PhotoError: It has no mask and is not searched, or its mask leaves nothing to go by.
    """
    (picture,) = pictures
    searched = bool(params.find) and picture.mask is None
    if searched:
        search = find_cracks if params.find == "cracks" else find_scratches
        picture = replace(picture, mask=(yield from search(picture, params)))
    mask, share = usable_mask(picture, searched=searched)
    measures = (("filled", share),)
    what = "damage was" if params.find == "cracks" else "scratches were"
    nothing = Note(NoteKind.NOTHING_FOUND, f"no {what} found")
    notes = (nothing,) if searched and share == 0 else ()
    if params.mask_only:
        return Restoration((_picture_of_mask(picture, mask),), measures, notes)
    space = yield from working_space(params, traits)
    inpainting = _Inpainting(picture, mask, space, params, noise)
    pixels = yield from by_windows(picture.pixels, inpainting.restore_window)
    return Restoration((replace(picture, pixels=pixels, mask=None),), measures, notes)


def usable_mask(picture: Picture, *, searched: bool = False) -> tuple[NDArray[np.uint8], float]:
    """The mask of a photograph that is to be filled in.

    Args:
        picture: The photograph, with its mask.
        searched: Whether the mask was found rather than painted.

    Returns:
        The mask, (H, W), 0 keeps and 255 is lost, and the share of pixels that may change, [0, 1].

    Raises:
        PhotoError: There is none, or it leaves nothing to go by.
    """
    mask = fitted_mask(picture)
    if mask is None:
        raise PhotoError(
            "",
            "inpaint needs NAME.mask.png beside NAME",
            "paint it white where the picture is lost",
        )
    share = float((mask > 0).mean())
    if share == 1 and searched:
        raise PhotoError(
            "",
            "the search takes the whole picture for damage",
            "lower sensitivity, or paint NAME.mask.png beside NAME",
        )
    if share == 1:
        raise PhotoError("", "the mask has no black (0) pixel", "paint what is to be kept black")
    return mask, share


def _picture_of_mask(picture: Picture, mask: NDArray[np.uint8]) -> Picture:
    """The mask as a grey picture in uint8."""
    pixels = np.repeat(mask[..., None], 3, axis=2)
    return Picture(pixels, True, picture.metadata, notes=picture.notes)


@dataclass(frozen=True, eq=False)
class _Inpainting:
    """One photograph that is filled in window by window.

    Attributes:
        picture: The photograph.
        mask: (H, W), 0 keeps, 255 is lost.
        space: Where the model works.
        params: The recipe's step.
        noise: The step's noise.
    """

    picture: Picture
    mask: NDArray[np.uint8]
    space: WorkingSpace
    params: Inpaint
    noise: Noise

    def restore_window(self, window: Window) -> ModelCalls[Tensor]:
        """Mix the mean of samples with the first of them; nothing is asked without damage."""
        photograph = SdeditInput.from_window(self.picture, self.mask, window)
        original, mask = photograph.original, photograph.mask
        if mask is None or not window.crop(self.mask).any():
            return original
        lost, strength = mask > 0, self.params.strength
        begin = filled(original, lost) if strength is None else original
        start = replace(photograph, original=begin, mask=lost.to(original.dtype))
        draw = self.space.noise_draws(window, self.picture.pixels.shape[:2], self.noise)
        trajectory = PLAN.of(self.params, self.space.traits).trajectory(self._first_angle())

        def sample(number: int) -> ModelCalls[Tensor]:
            return sdedit(
                self.space, start, trajectory, lambda step: draw(number * _DRAWS_PER_SAMPLE + step)
            )

        count = 1 if self.params.realism == 1 else MEAN_SAMPLES
        samples = yield from gather_bounded(
            [partial(sample, number) for number in range(count)], original[0].numel()
        )
        restored = samples[0].clone()
        for one in samples[1:]:  # a stack of them would be one more copy of all
            restored += one
        restored = restored.div_(count).lerp_(samples[0], self.params.realism)
        return original.lerp(restored, mask)  # along a soft edge the mask keeps a share

    def _first_angle(self) -> float:
        """The angle that the photograph under the mask, or its filling, is noised to."""
        if self.params.strength is not None:
            return self.params.strength * math.pi / 2
        return TOLD_START if self.space.traits.told_mask else START


def filled(picture: Tensor, lost: Tensor) -> Tensor:
    """Interpolate the lost pixels of a picture from the others, which stay as they are.

    Args:
        picture: (3, H, W).
        lost: bool (H, W), true where a pixel is lost; if all are, the result is 0.

    Returns:
        Same shape as the picture.
    """
    known = (~lost)[None, None].to(picture.dtype)
    return _pull_push(picture[None] * known, known)[0]


def _pull_push(weighted: Tensor, weight: Tensor) -> Tensor:
    """Means where the weight is above 0; elsewhere the means at half the resolution, enlarged."""
    means = weighted / weight.clamp(min=1e-12)
    if weight.numel() == 1:
        return means
    halved = (functional.avg_pool2d(one, 2, ceil_mode=True) for one in (weighted, weight))
    coarse = functional.interpolate(
        _pull_push(*halved), weighted.shape[2:], mode="bilinear", align_corners=False
    )
    return torch.where(weight > 0, means, coarse)
