"""Restyle through a whole pipeline: image-to-image, or an edit by instruction.

Comes in: one picture, with a mask or without. Goes out: the picture restyled where the mask is
white and untouched where it is black, or a labelled sheet of several strengths.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from daemon.checkpoints.traits import Traits
from daemon.config.steps import Restyle
from daemon.diffusion.noise import Noise
from daemon.diffusion.pixels import to_grey, to_tensor
from daemon.diffusion.windows import Window, by_windows
from daemon.models.calls import ModelCalls
from daemon.photo import Picture
from daemon.restorers.pipeline_tiles import PipelineRequest, run_tiled
from daemon.restorers.registry import Restoration
from daemon.restorers.restyle import fitted_mask, presented


@dataclass(frozen=True)
class _Work:
    """What all windows of a picture have in common."""

    picture: Picture
    mask: NDArray[np.float32] | None
    noise: Noise
    traits: Traits


def restyle(
    pictures: tuple[Picture, ...], params: Restyle, noise: Noise, traits: Traits
) -> ModelCalls[Restoration]:
    """Restyle one picture, or try several strengths on it.

    Args:
        pictures: One picture, uint8 or uint16.
        params: The recipe's step; its strength is an angle, as for every model.
        noise: The step's noise; all strengths of a sweep share its seeds.
        traits: Of the step's model.

    Returns:
        The picture, with measure "sigma" (levels of 0 to 255), or the sheet in uint8.
    """
    work = _work(pictures, params, noise, traits)

    def at(strength: float) -> ModelCalls[NDArray[np.generic]]:
        return _restyled(work, replace(_request(params), use="image", strength=strength))

    return presented(work.picture, params, at)


def edit(
    pictures: tuple[Picture, ...], params: Restyle, noise: Noise, traits: Traits
) -> ModelCalls[Restoration]:
    """Edit one picture as the prompt says.

    Args:
        pictures: One picture, uint8 or uint16.
        params: The recipe's step, with a prompt; it knows no strength.
        noise: The step's noise.
        traits: Of the step's model.

    Returns:
        The picture.
    """
    work = _work(pictures, params, noise, traits)
    pixels = yield from _restyled(work, _request(params))
    return Restoration((replace(work.picture, pixels=pixels, mask=None),))


def _work(pictures: tuple[Picture, ...], params: Restyle, noise: Noise, traits: Traits) -> _Work:
    (picture,) = pictures
    return _Work(picture, fitted_mask(picture) if params.mask else None, noise, traits)


def _request(params: Restyle) -> PipelineRequest:
    return PipelineRequest(
        params.model,
        "edit",
        params.prompt,
        params.negative_prompt,
        params.steps,
        guidance=params.guidance,
    )


def _restyled(work: _Work, request: PipelineRequest) -> ModelCalls[NDArray[np.generic]]:
    """The picture's pixels; at strength 0 they are its own."""
    if request.strength == 0:
        return work.picture.pixels
    pixels = yield from by_windows(
        work.picture.pixels, lambda window: _window(work, request, window)
    )
    return pixels


def _window(work: _Work, request: PipelineRequest, window: Window) -> ModelCalls[Tensor]:
    """One window; what the mask keeps is the photograph to the level."""
    original = to_tensor(window.crop(work.picture.pixels))
    noise = work.noise.child(window.top).child(window.left)
    made = yield from run_tiled(request, original, noise, work.traits)
    if work.picture.grey:
        made = to_grey(made)
    if work.mask is None:
        return made
    return original.lerp(made, torch.from_numpy(window.crop(work.mask).copy()))
