"""Inpaint: what a mask marks as lost is made anew, to fit what is around it.

Comes in: one picture with its mask, or to be searched for damage. Goes out: the picture filled in
where the mask is white, and untouched where it is black; or the mask of what was found.

Source: SDEdit with a mask, arXiv:2108.01073, algorithm 3, begun from a smooth filling rather than
from the damage, of which nothing is kept. The filling is pull-push interpolation (Gortler et al.,
The Lumigraph, SIGGRAPH 1996, section 3.4). The mean of several samples is nearer to the lost
picture than any of them, but smoother.
"""

from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from daemon.checkpoints.traits import PRIOR_TRAITS, Traits
from daemon.config.steps import Inpaint
from daemon.diffusion.angles import even_angles
from daemon.diffusion.concurrent import gather_bounded
from daemon.diffusion.noise import Noise
from daemon.diffusion.windows import Window, by_windows
from daemon.models.calls import ModelCalls
from daemon.photo import Picture
from daemon.restorers.registry import Restoration
from daemon.restorers.restyle import Edit, fitted_mask, sdedit
from daemon.restorers.scratch_search import found_defects
from daemon.restorers.spaces import WorkingSpace, space_of
from daemon.system.errors import PhotoError

STEPS = 10
"""Evaluations of a sampling run unless the recipe says otherwise."""

START = 0.9
"""Angle that the filling is taken up to: little but its colours is left. See docs/design.md."""

MEAN_SAMPLES = 4
"""Samples whose mean is taken for realism 0: a fourth of their variance remains."""

_DRAWS = 2**11
"""Numbers of draws that are set aside for each sample; a step takes one."""


def inpaint(
    pictures: tuple[Picture, ...], params: Inpaint, noise: Noise, traits: Traits = PRIOR_TRAITS
) -> ModelCalls[Restoration]:
    """Fill in one picture.

    Args:
        pictures: One picture, uint8 or uint16, with its mask; without one if the step finds it.
        params: The recipe's step.
        noise: The step's noise.
        traits: Of the step's model.

    Returns:
        The picture, or the mask if the step asks for that alone, with measure "filled" (share of
        its pixels that could change, [0, 1]).

    Raises:
        PhotoError: It has no mask and is not searched, or one that leaves nothing to go by.
    """
    (picture,) = pictures
    searched = params.find and picture.mask is None
    if searched:
        defects = yield from found_defects(picture, params)
        picture = replace(picture, mask=defects)
    mask = fitted_mask(picture)
    if mask is None:
        raise PhotoError("inpaint needs NAME.mask.png beside NAME, white where the picture is lost")
    share = float((mask > 0).mean())
    if share == 1:
        raise PhotoError("its mask is black (0) nowhere; what is to be kept must be black")
    measures = (("filled", share),)
    notes = ("no scratches were found",) if searched and share == 0 else ()
    if params.mask_only:
        return Restoration((_mask_alone(picture, mask),), measures, notes)
    space = yield from space_of(params, traits)
    work = _Work(picture, mask, space, params, noise)
    pixels = yield from by_windows(picture.pixels, partial(_window, work))
    return Restoration((replace(picture, pixels=pixels, mask=None),), measures, notes)


def _mask_alone(picture: Picture, mask: NDArray[np.float32]) -> Picture:
    """The mask as a grey picture in uint8."""
    levels = np.rint(mask * 255).astype(np.uint8)
    pixels = np.repeat(levels[..., None], 3, axis=2)
    return replace(picture, pixels=pixels, alpha=None, grey=True, mask=None, hints=None)


@dataclass(frozen=True, eq=False)
class _Work:
    """What all windows have in common; of the mask, (H, W), 0 keeps."""

    picture: Picture
    mask: NDArray[np.float32]
    space: WorkingSpace
    params: Inpaint
    noise: Noise


def _window(work: _Work, window: Window) -> ModelCalls[Tensor]:
    """The mean of samples mixed with the first of them; a window without damage is left alone."""
    edit = Edit.of(work.picture, work.mask, window)
    photo, share = edit.original, edit.mask
    if share is None or not share.any():
        return photo
    lost = share > 0
    edit = replace(edit, original=filled(photo, lost), mask=lost.to(photo.dtype))
    draw = work.space.draws(window, work.picture.pixels.shape[:2], work.noise)
    angles = even_angles(START, work.params.steps or STEPS)

    def sampled(number: int) -> ModelCalls[Tensor]:
        return sdedit(work.space, edit, angles, lambda step: draw(number * _DRAWS + step))

    count = 1 if work.params.realism == 1 else MEAN_SAMPLES
    samples = yield from gather_bounded(
        [partial(sampled, number) for number in range(count)], edit.original[0].numel()
    )
    made = torch.stack(samples).mean(0).lerp(samples[0], work.params.realism)
    return photo.lerp(made, share)  # the soft edge of a brush is lost by its share only


def filled(picture: Tensor, lost: Tensor) -> Tensor:
    """A picture whose lost pixels are interpolated from the others; those stay as they are.

    Args:
        picture: (3, H, W).
        lost: bool (H, W), true where the picture says nothing; if everywhere, the result is 0.
    """
    known = (~lost)[None, None].to(picture.dtype)
    return _interpolated(picture[None] * known, known)[0]


def _interpolated(weighted: Tensor, weight: Tensor) -> Tensor:
    """Means where the weight is above 0; elsewhere those of half the resolution, enlarged."""
    means = weighted / weight.clamp(min=1e-12)
    if bool((weight > 0).all()) or weight.numel() == 1:
        return means
    halved = (functional.avg_pool2d(one, 2, ceil_mode=True) for one in (weighted, weight))
    coarse = functional.interpolate(
        _interpolated(*halved), weighted.shape[2:], mode="bilinear", align_corners=False
    )
    return torch.where(weight > 0, means, coarse)
