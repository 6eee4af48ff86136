"""Colorize with checkpoints: their colours, the photograph's own luminance.

Source: an unconditional or Stable Diffusion checkpoint is sampled by DDIM with every x0 projected
on the measurement (DDNM, arXiv:2212.00490, algorithm 1): A takes the luminance, so A+ A x0 is
replaced by the grey photograph.
"""

import numpy as np
import torch
from torch import Tensor

from daemon.checkpoints.traits import Traits
from daemon.config.steps import Colorize
from daemon.diffusion.noise import Noise
from daemon.diffusion.pixels import to_device, to_host
from daemon.diffusion.process import combine
from daemon.diffusion.windows import Window
from daemon.models.calls import ModelCalls
from daemon.models.transfers import compute_device
from daemon.photo import Picture
from daemon.restorers.chroma import BLUE, GREEN, RED, Floats, luminance
from daemon.restorers.colorize import hint_propagation, luminance_guide, painted
from daemon.restorers.ddnm import DDNM_SAMPLER, Measurement, Project, ddnm_sample
from daemon.restorers.interface import Restoration
from daemon.restorers.sampling_plan import SamplingPlan
from daemon.restorers.working_space import working_space

STEPS = 12
"""Evaluations of a sampling run if the recipe sets no `steps`."""

PLAN = SamplingPlan(DDNM_SAMPLER, "even", STEPS)
"""How colours are sampled."""

START = 1.35
"""Angle, in radians, at which sampling starts. From 1.45 on colours are stronger but come in
patches that follow no object."""

REALISM = 0.7
"""The step's `realism` if the recipe sets none: a checkpoint has no mean in one evaluation."""

_LUMINANCE = tuple(weight / 65536 for weight in (RED, GREEN, BLUE))


def colorize(
    pictures: tuple[Picture, ...], params: Colorize, noise: Noise, traits: Traits
) -> ModelCalls[Restoration]:
    """Colour one photograph by a checkpoint that is driven step by step.

    Args:
        pictures: One picture, uint8 or uint16; if it has colours already, only its luminance is
            used.
        params: The recipe's step.
        noise: The step's noise.
        traits: Traits of the step's model, which sees the picture at its training size.

    Returns:
        The picture, whose luminance is that of the input to the level.
    """
    (picture,) = pictures
    space = yield from working_space(params, traits)
    guide = luminance_guide(luminance(picture.pixels), traits.side_px)
    project = _projection(guide, picture, params)
    nothing = torch.zeros(3, *guide.shape, device=compute_device())
    measurement = Measurement(project(nothing), project)
    trajectory = PLAN.of(params, traits).trajectory(START)
    draw = space.noise_draws(Window(0, 0, *guide.shape), guide.shape, noise)
    realism = REALISM if params.realism is None else params.realism
    small = yield from ddnm_sample(space, measurement, trajectory, draw, realism)
    return painted(picture, guide, _chroma_of(small), params)


def colorized_like(picture: Picture, guide: Floats, small: Tensor, params: Colorize) -> Restoration:
    """Give a photograph the colours of a small coloured picture; its luminance and hints win.

    Args:
        picture: The photograph.
        guide: Its luminance at the small size, from `luminance_guide`.
        small: The coloured picture, (3, h, w) in [-1, 1].
        params: The recipe's step.
    """
    chroma = _chroma_of(_projection(guide, picture, params)(small))
    return painted(picture, guide, chroma, params)


def _projection(guide: Floats, picture: Picture, params: Colorize) -> Project:
    """Puts in what is known: the luminance everywhere, the colours where hints are painted."""
    luminance_plane = to_device(guide * 2 - 1)
    propagation = hint_propagation(picture, params, guide)

    def project(x0: Tensor) -> Tensor:
        if propagation is None:
            return x0 - _luminance_of(x0) + luminance_plane
        return luminance_plane + _colour_of(propagation.apply(_chroma_of(x0)))

    return project


def _chroma_of(x0: Tensor) -> Floats:
    """(R - Y, B - Y) of a picture (3, H, W) in [-1, 1], as `chroma` has it: float32 (H, W, 2)."""
    both = ((x0 - _luminance_of(x0)) / 2)[::2]
    chroma: Floats = np.asarray(to_host(both.permute(1, 2, 0)), np.float32)
    return chroma


def _luminance_of(x0: Tensor) -> Tensor:
    """Luminance of a picture (3, H, W), (H, W)."""
    return combine(*zip(_LUMINANCE, x0.unbind(0), strict=True))


def _colour_of(chroma: Floats) -> Tensor:
    """The inverse of `_chroma_of`, for a picture of luminance 0."""
    red, blue = to_device(2 * chroma).unbind(2)
    return torch.stack((red, (RED * red + BLUE * blue) / -GREEN, blue))
