"""Denoise, colorize and super-resolve by diffusers pipelines.

An edit model repairs or colours as an instruction says; of its colours only the chroma is taken. An
upscaler's result is projected on the small picture. Pipelines give samples; there is no mean among
them and so no `realism`.
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from daemon.checkpoints.traits import Traits
from daemon.config.steps import Colorize, Denoise, SuperResolve
from daemon.diffusion.noise import Noise
from daemon.diffusion.operators import box_mean, project_box_means
from daemon.diffusion.pixels import LEVEL, to_device, to_grey, to_tensor
from daemon.diffusion.windows import Window, by_windows
from daemon.models.calls import ModelCalls
from daemon.photo import Picture
from daemon.restorers.checkpoint_colorize import colorized_like
from daemon.restorers.chroma import luminance
from daemon.restorers.colorize import luminance_guide
from daemon.restorers.interface import Restoration
from daemon.restorers.pipeline_tiles import PipelineRequest, enlargement, noise_of_window, run_tiled
from daemon.restorers.super_resolve import clip_and_project, enlarged_restoration, projection_weight
from daemon.restorers.working_size import at_working_size, working_size

CLEAN = "remove the noise, grain, dust and compression artifacts, keep everything else"
"""The instruction of `denoise` to an edit model if the recipe has no prompt."""

COLOUR = "turn this black-and-white photograph into a photograph in natural colours"
"""The instruction of `colorize` to an edit model if the recipe has no prompt."""


def denoise(
    pictures: tuple[Picture, ...], params: Denoise, noise: Noise, traits: Traits
) -> ModelCalls[Restoration]:
    """Repair one photograph by instruction.

    Args:
        pictures: One picture, uint8 or uint16.
        params: The recipe's step; its prompt replaces the instruction.
        noise: The step's noise.
        traits: Traits of the step's model.

    Returns:
        The picture.
    """
    (picture,) = pictures
    request = PipelineRequest.for_step(params, "edit", CLEAN)

    def cleaned(shown: Picture) -> ModelCalls[NDArray[np.generic]]:
        def restore_window(window: Window) -> ModelCalls[Tensor]:
            y = to_tensor(window.crop(shown.pixels))
            clean = yield from run_tiled(request, y, noise_of_window(noise, window), traits)
            return to_grey(clean) if shown.grey else clean

        return by_windows(shown.pixels, restore_window)

    height, width = picture.pixels.shape[:2]
    work_at = working_size((height, width), params, traits)
    if work_at is None:
        pixels = yield from cleaned(picture)
    else:
        pixels = yield from at_working_size(picture, work_at, None, cleaned)
    return Restoration((replace(picture, pixels=pixels),))


def colorize(
    pictures: tuple[Picture, ...], params: Colorize, noise: Noise, traits: Traits
) -> ModelCalls[Restoration]:
    """Colour one photograph by instruction; its luminance stays, only the chroma is taken.

    Args:
        pictures: One picture, uint8 or uint16.
        params: The recipe's step; its prompt replaces the instruction.
        noise: The step's noise.
        traits: Traits of the step's model; the picture is shown to it at its training size.

    Returns:
        The picture, whose luminance is that of the input to the level.
    """
    (picture,) = pictures
    guide = luminance_guide(luminance(picture.pixels), traits.side_px)
    grey = to_device(guide * 2 - 1).expand(3, -1, -1).contiguous()
    request = PipelineRequest.for_step(params, "edit", COLOUR)
    coloured = yield from run_tiled(request, grey, noise, traits)
    return colorized_like(picture, guide, coloured, params)


def super_resolve(
    pictures: tuple[Picture, ...], params: SuperResolve, noise: Noise, traits: Traits
) -> ModelCalls[Restoration]:
    """Enlarge one photograph, then project the result on it.

    The pipeline's own enlargement is resized to the wanted scale.

    Args:
        pictures: One picture, uint8 or uint16.
        params: The recipe's step.
        noise: The step's noise.
        traits: Traits of the step's model.

    Returns:
        The enlarged picture, with measure "residual": RMS of A x - y in levels of 0 to 255.
    """
    (picture,) = pictures
    request, scale = PipelineRequest.for_step(params, "upscale"), params.scale

    def restore_window(window: Window) -> ModelCalls[Tensor]:
        y = to_tensor(_reduced_window(window, scale).crop(picture.pixels))
        large = yield from run_tiled(request, y, noise_of_window(noise, window), traits)
        x0 = _rescaled(large, enlargement(traits), scale)
        sigma = params.sigma * LEVEL

        def project(x0: Tensor) -> Tensor:
            weight = projection_weight(y - box_mean(x0, scale), sigma)
            return project_box_means(x0, y, scale, weight)

        return clip_and_project(project(to_grey(x0) if picture.grey else x0), project)

    pixels = yield from by_windows(picture.pixels, restore_window, scale)
    return enlarged_restoration(picture, pixels, scale)


def _reduced_window(window: Window, scale: int) -> Window:
    """The window of the small picture below a window of the large one."""
    top, left = window.top // scale, window.left // scale
    return Window(top, left, window.height // scale, window.width // scale)


def _rescaled(large: Tensor, factor: int, scale: int) -> Tensor:
    """A picture that was enlarged `factor` times, as if enlarged `scale` times."""
    if factor % scale == 0:
        return box_mean(large, factor // scale) if factor > scale else large
    size = [side * scale // factor for side in large.shape[1:]]
    return functional.interpolate(large[None], size, mode="bicubic", antialias=True)[0]
