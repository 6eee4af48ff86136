"""Restyle by diffusers pipelines: image-to-image, or an edit by instruction.

The photograph stays to the level where its mask is black. A sweep of strengths gives one labelled
sheet.
"""

from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from daemon.checkpoints.traits import Traits
from daemon.config.steps import Restyle
from daemon.diffusion.noise import Noise
from daemon.diffusion.pixels import to_grey, to_tensor
from daemon.diffusion.windows import Window, by_windows
from daemon.models.calls import ModelCalls
from daemon.photo import Picture
from daemon.restorers.interface import Restoration
from daemon.restorers.pipeline_tiles import PipelineRequest, noise_of_window, run_tiled
from daemon.restorers.restyle import fitted_mask, mask_window, picture_or_sheet
from daemon.restorers.working_size import at_working_size, working_size


@dataclass(frozen=True)
class _PipelineRestyling:
    """One photograph that is restyled by a pipeline, window by window.

    Attributes:
        picture: The photograph.
        mask: (H, W), 0 keeps, 255 restyles; None restyles all.
        noise: The step's noise.
        traits: Traits of the step's model.
        work_at: Height and width at which the model sees it; None for its own.
    """

    picture: Picture
    mask: NDArray[np.uint8] | None
    noise: Noise
    traits: Traits
    work_at: tuple[int, int] | None

    @classmethod
    def of_step(
        cls, pictures: tuple[Picture, ...], params: Restyle, noise: Noise, traits: Traits
    ) -> "_PipelineRestyling":
        """A step's only photograph, with its mask if the step uses it."""
        (picture,) = pictures
        mask = fitted_mask(picture) if params.mask else None
        height, width = picture.pixels.shape[:2]
        return cls(picture, mask, noise, traits, working_size((height, width), params, traits))

    def run(self, request: PipelineRequest) -> ModelCalls[NDArray[np.generic]]:
        """Pixels of the result; at strength 0 those of the photograph itself."""
        if request.strength == 0:
            return self.picture.pixels
        if self.work_at is not None:
            return (
                yield from at_working_size(
                    self.picture, self.work_at, self.mask, partial(self._small, request)
                )
            )
        pixels = yield from by_windows(
            self.picture.pixels, lambda window: self._restore_window(request, window)
        )
        return pixels

    def _small(self, request: PipelineRequest, small: Picture) -> ModelCalls[NDArray[np.generic]]:
        """Pixels of the photograph at the size of the model's training, restyled."""
        return replace(self, picture=small, mask=small.mask, work_at=None).run(request)

    def _restore_window(self, request: PipelineRequest, window: Window) -> ModelCalls[Tensor]:
        original = to_tensor(window.crop(self.picture.pixels))
        noise = noise_of_window(self.noise, window)
        restyled = yield from run_tiled(request, original, noise, self.traits)
        if self.picture.grey:
            restyled = to_grey(restyled)
        if self.mask is None:
            return restyled
        return original.lerp(restyled, mask_window(self.mask, window))


def restyle(
    pictures: tuple[Picture, ...], params: Restyle, noise: Noise, traits: Traits
) -> ModelCalls[Restoration]:
    """Restyle one photograph, or try several strengths on it.

    Args:
        pictures: One picture, uint8 or uint16.
        params: The recipe's step; its strength is an angle, as for every model.
        noise: The step's noise; all strengths of a sweep share its seeds.
        traits: Traits of the step's model.

    Returns:
        The picture, with measure "sigma" (levels of 0 to 255), or the sheet in uint8.
    """
    restyling = _PipelineRestyling.of_step(pictures, params, noise, traits)
    request = PipelineRequest.for_step(params, "image")

    def at_strength(strength: float) -> ModelCalls[NDArray[np.generic]]:
        return restyling.run(replace(request, strength=strength))

    return picture_or_sheet(restyling.picture, params, at_strength)


def edit(
    pictures: tuple[Picture, ...], params: Restyle, noise: Noise, traits: Traits
) -> ModelCalls[Restoration]:
    """Edit one photograph as the prompt says.

    Args:
        pictures: One picture, uint8 or uint16.
        params: The recipe's step, with a prompt and without a strength.
        noise: The step's noise.
        traits: Traits of the step's model.

    Returns:
        The picture.
    """
    editing = _PipelineRestyling.of_step(pictures, params, noise, traits)
    pixels = yield from editing.run(PipelineRequest.for_step(params, "edit"))
    return Restoration((replace(editing.picture, pixels=pixels, mask=None),))
