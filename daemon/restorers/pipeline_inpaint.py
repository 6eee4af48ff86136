"""Inpaint and masked restyle by diffusers pipelines that take a picture, a mask and a prompt.

The photograph stays to the level where its mask is black.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from daemon.checkpoints.traits import Traits
from daemon.config.steps import Inpaint, Restyle
from daemon.diffusion.noise import Noise
from daemon.diffusion.pixels import to_grey, to_tensor
from daemon.diffusion.windows import Window, by_windows
from daemon.models.calls import ModelCalls
from daemon.photo import Picture
from daemon.restorers.inpaint import usable_mask
from daemon.restorers.interface import Restoration
from daemon.restorers.pipeline_tiles import PipelineRequest, noise_of_window, run_tiled
from daemon.restorers.restyle import fitted_mask, mask_window, picture_or_sheet


def inpaint(
    pictures: tuple[Picture, ...], params: Inpaint, noise: Noise, traits: Traits
) -> ModelCalls[Restoration]:
    """Fill in one photograph.

    Args:
        pictures: One picture, uint8 or uint16, with its mask.
        params: The recipe's step; without a strength nothing of what lies under the mask is kept.
        noise: The step's noise.
        traits: Traits of the step's model.

    Returns:
        The picture, with measure "filled" (share of its pixels that could change, [0, 1]).

    Raises:
        PhotoError: It has no mask, or its mask leaves nothing to go by.
    """
    (picture,) = pictures
    mask, share = usable_mask(picture)
    filling = _Filling(picture, mask, noise, traits)
    pixels = yield from filling.run(PipelineRequest.for_step(params, "inpaint"), params.strength)
    return Restoration((replace(picture, pixels=pixels, mask=None),), (("filled", share),))


def restyle(
    pictures: tuple[Picture, ...], params: Restyle, noise: Noise, traits: Traits
) -> ModelCalls[Restoration]:
    """Restyle what the mask of one photograph marks, or all of it without a mask.

    Args:
        pictures: One picture, uint8 or uint16.
        params: The recipe's step; its strength is an angle, as for every model.
        noise: The step's noise; all strengths of a sweep share its seeds.
        traits: Traits of the step's model.

    Returns:
        The picture, with measure "sigma" (levels of 0 to 255), or the sheet in uint8.
    """
    (picture,) = pictures
    given = fitted_mask(picture) if params.mask else None
    mask = np.full(picture.pixels.shape[:2], 255, np.uint8) if given is None else given
    filling = _Filling(picture, mask, noise, traits)
    request = PipelineRequest.for_step(params, "inpaint")

    def at_strength(strength: float) -> ModelCalls[NDArray[np.generic]]:
        if strength == 0:
            return picture.pixels
        return (yield from filling.run(request, strength))

    return picture_or_sheet(picture, params, at_strength)


@dataclass(frozen=True)
class _Filling:
    """One photograph that is made anew under its mask, window by window.

    Attributes:
        picture: The photograph.
        mask: (H, W), 0 keeps, 255 is made anew.
        noise: The step's noise.
        traits: Traits of the step's model.
    """

    picture: Picture
    mask: NDArray[np.uint8]
    noise: Noise
    traits: Traits

    def run(
        self, request: PipelineRequest, strength: float | None
    ) -> ModelCalls[NDArray[np.generic]]:
        """Pixels of the result; a strength of None keeps nothing of what lies under the mask."""
        whole = replace(request, strength=1.0 if strength is None else strength)
        pixels = yield from by_windows(
            self.picture.pixels, lambda window: self._restore_window(whole, window)
        )
        return pixels

    def _restore_window(self, request: PipelineRequest, window: Window) -> ModelCalls[Tensor]:
        original = to_tensor(window.crop(self.picture.pixels))
        mask = mask_window(self.mask, window)
        if not mask.any():
            return original
        noise, anew = noise_of_window(self.noise, window), (mask > 0).to(original.dtype)
        made = yield from run_tiled(request, original, noise, self.traits, anew)
        made = to_grey(made) if self.picture.grey else made
        return original.lerp(made, mask)
