"""Denoise, colorize and super-resolve through whole pipelines.

Comes in: one picture. Goes out: the picture repaired as an edit model understands the instruction,
coloured with its luminance kept, or enlarged and bound to the small one. Pipelines give samples;
there is no mean among them and so no `realism`.
"""

from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional

from daemon.checkpoints.traits import PipelineUse, Traits
from daemon.config.steps import BaseStep, Colorize, Denoise, SuperResolve
from daemon.diffusion.noise import Noise
from daemon.diffusion.operators import box_mean, project_box_means
from daemon.diffusion.pixels import LEVEL, to_grey, to_tensor
from daemon.diffusion.windows import Window, by_windows
from daemon.models.calls import ModelCalls
from daemon.photo import Picture
from daemon.restorers.colorize import painted, small_guide
from daemon.restorers.pipeline_tiles import PipelineRequest, enlargement, run_tiled
from daemon.restorers.registry import Restoration
from daemon.restorers.super_resolve import binding_weight, enlarged, within_range

CLEAN = "remove the noise, grain, dust and compression artifacts, keep everything else"
"""What `denoise` asks an edit model for, unless the recipe has a prompt."""

COLOUR = "turn this black-and-white photograph into a photograph in natural colours"
"""What `colorize` asks an edit model for, unless the recipe has a prompt."""


def denoise(
    pictures: tuple[Picture, ...], params: Denoise, noise: Noise, traits: Traits
) -> ModelCalls[Restoration]:
    """Repair one picture by instruction.

    Args:
        pictures: One picture, uint8 or uint16.
        params: The recipe's step; its prompt replaces the instruction.
        noise: The step's noise.
        traits: Of the step's model.

    Returns:
        The picture.
    """
    (picture,) = pictures
    request = _request(params, CLEAN)

    def window(place: Window) -> ModelCalls[Tensor]:
        y = to_tensor(place.crop(picture.pixels))
        clean = yield from run_tiled(request, y, _noise_of(noise, place), traits)
        return to_grey(clean) if picture.grey else clean

    pixels = yield from by_windows(picture.pixels, window)
    return Restoration((replace(picture, pixels=pixels),))


def colorize(
    pictures: tuple[Picture, ...], params: Colorize, noise: Noise, traits: Traits
) -> ModelCalls[Restoration]:
    """Colour one picture by instruction; its luminance stays, only the colour is taken.

    Args:
        pictures: One picture, uint8 or uint16.
        params: The recipe's step; its prompt replaces the instruction.
        noise: The step's noise.
        traits: Of the step's model; the picture is shown to it at the size it was trained on.

    Returns:
        The picture in uint8, `convert("L")` of which is that of the input rounded to 8 bits.
    """
    (picture,) = pictures
    guide = small_guide(picture, traits.side_px)
    grey = torch.from_numpy(guide * 2 - 1).expand(3, -1, -1).contiguous()
    coloured = yield from run_tiled(_request(params, COLOUR), grey, noise, traits)
    return painted(picture, guide, coloured, params)


def super_resolve(
    pictures: tuple[Picture, ...], params: SuperResolve, noise: Noise, traits: Traits
) -> ModelCalls[Restoration]:
    """Enlarge one picture, then bind the result to it.

    The pipeline enlarges as many times as it does; that is reduced to the wanted scale.

    Args:
        pictures: One picture, uint8 or uint16.
        params: The recipe's step.
        noise: The step's noise.
        traits: Of the step's model.

    Returns:
        The enlarged picture, with measure "residual": RMS of A x - y in levels of 0 to 255.
    """
    (picture,) = pictures
    request, scale = _request(params, ""), params.scale

    def window(place: Window) -> ModelCalls[Tensor]:
        y = to_tensor(_under(place, scale).crop(picture.pixels))
        large = yield from run_tiled(request, y, _noise_of(noise, place), traits)
        x0 = _resized(large, enlargement(traits), scale)
        sigma = params.sigma * LEVEL

        def bind(x0: Tensor) -> Tensor:
            return project_box_means(x0, y, scale, binding_weight(y - box_mean(x0, scale), sigma))

        return within_range(bind(to_grey(x0) if picture.grey else x0), bind)

    pixels = yield from by_windows(picture.pixels, window, scale)
    return enlarged(picture, pixels, scale)


def _request(params: BaseStep, instruction: str) -> PipelineRequest:
    use: PipelineUse = "upscale" if isinstance(params, SuperResolve) else "edit"
    return PipelineRequest(
        params.model,
        use,
        params.prompt or instruction,
        params.negative_prompt,
        params.steps,
        guidance=params.guidance,
    )


def _noise_of(noise: Noise, window: Window) -> Noise:
    return noise.child(window.top).child(window.left)


def _under(window: Window, scale: int) -> Window:
    """The window of the small picture below one of the large."""
    top, left = window.top // scale, window.left // scale
    return Window(top, left, window.height // scale, window.width // scale)


def _resized(large: Tensor, factor: int, scale: int) -> Tensor:
    """A picture enlarged `factor` times, as one that was enlarged `scale` times."""
    if factor % scale == 0:
        return box_mean(large, factor // scale) if factor > scale else large
    size = [side * scale // factor for side in large.shape[1:]]
    return functional.interpolate(large[None], size, mode="bicubic", antialias=True)[0]
