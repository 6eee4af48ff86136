"""Colorize: plausible colours for a grey photograph, whose luminance stays as it is.

Comes in: one picture. Goes out: the same picture in colour. Colours are found at a small working
size, where the network sees whole scenes, and brought up along the edges of the full photograph.

Source: the sampler is DDIM with the known part put back into every x0 (DDNM, arXiv:2212.00490,
algorithm 1): A takes the luminance, so A+ A x0 is replaced by the grey photograph.
"""

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from daemon.checkpoints.traits import PRIOR_TRAITS, Traits
from daemon.config.steps import Colorize
from daemon.diffusion.angles import even_angles
from daemon.diffusion.noise import Noise
from daemon.diffusion.process import add_noise, ddim_step
from daemon.diffusion.tiling import Denoiser, denoise_tiles, regress
from daemon.diffusion.windows import Window
from daemon.models.calls import Degradation, ModelCalls
from daemon.photo import Picture
from daemon.restorers.chroma import (
    BLUE,
    GREEN,
    RED,
    Floats,
    coloured,
    colourfulness,
    eight_bits,
    local_colours,
    luminance,
    resized,
)
from daemon.restorers.colour_hints import HintSpread, hints_on
from daemon.restorers.ddnm import Known, ddnm_sample
from daemon.restorers.registry import Restoration
from daemon.restorers.spaces import space_of

WORKING_PX = 160
"""Long side of the prior's working size; a checkpoint's is that of its training. Over eight
photographs the mean gained 1.63, 1.56, 1.52 and 1.42 dB on grey at 128, 160, 192 and 256: larger
loses the scene, smaller has no small things."""

STEPS = 12
"""Evaluations of a sampling run unless the recipe says otherwise."""

START = 1.35
"""Where sampling starts from the mean, in radians. From 1.45 on colours are stronger but come in
patches that follow no object: 0.2 dB less at realism 0.7, over eight photographs."""

_GREY = Degradation(grey=True)
_WEIGHTS = torch.tensor((RED, GREEN, BLUE)).view(3, 1, 1) / 65536

Bind = Callable[[Tensor], Tensor]
"""Puts what is known (luminance, dabs) back into an estimate of the clean picture, (3, H, W)."""


def colorize(
    pictures: tuple[Picture, ...], params: Colorize, noise: Noise, traits: Traits = PRIOR_TRAITS
) -> ModelCalls[Restoration]:
    """Colour one picture; one that has colours already is treated by its luminance.

    Args:
        pictures: One picture, uint8 or uint16.
        params: The recipe's step.
        noise: The job's noise.
        traits: Of the step's model; only the prior has learned to colour.

    Returns:
        The picture in uint8, `convert("L")` of which is that of the input rounded to 8 bits.
    """
    (picture,) = pictures
    space = yield from space_of(params, traits)
    guide = small_guide(picture, WORKING_PX if traits.family == "prior" else traits.side_px)
    bind = _binding(guide, picture, params)
    if traits.family == "prior":
        small = yield from _regressed(guide, bind, params, noise)
    else:
        known = Known(bind(torch.zeros(3, *guide.shape)), bind)
        angles = even_angles(START, params.steps or STEPS)
        draw = space.draws(Window(0, 0, *guide.shape), guide.shape, noise)
        small = yield from ddnm_sample(space, known, angles, draw, params.realism)
    return _finished(picture, guide, _chroma_of(small), params)


def small_guide(picture: Picture, longest: int) -> Floats:
    """The picture's luminance at the size a network works at, float32 (h, w) in [0, 1].

    Args:
        picture: Any.
        longest: Its long side at most, in pixels; small photographs stay as they are.
    """
    grey = luminance(picture.pixels)
    scale = min(1, longest / max(grey.shape))
    height, width = (max(1, round(side * scale)) for side in grey.shape)
    return resized(grey, height, width)


def painted(picture: Picture, guide: Floats, small: Tensor, params: Colorize) -> Restoration:
    """Give a picture the colours of a small coloured one; its luminance and its dabs win.

    Args:
        picture: The picture.
        guide: Its luminance at the small size, as of `small_guide`.
        small: The coloured one, (3, h, w) in [-1, 1].
        params: The recipe's step.
    """
    chroma = _chroma_of(_binding(guide, picture, params)(small))
    return _finished(picture, guide, chroma, params)


def _finished(picture: Picture, guide: Floats, chroma: Floats, params: Colorize) -> Restoration:
    """The picture in the colours that were found at the small size."""
    grey = luminance(picture.pixels)
    pixels = coloured(grey, local_colours(guide, chroma), params.saturation)
    alpha = None if picture.alpha is None else eight_bits(picture.alpha)
    result = replace(picture, pixels=pixels, alpha=alpha, grey=False, hints=None)
    notes = ("16 bits per channel were rounded to 8",) if picture.pixels.dtype != np.uint8 else ()
    return Restoration((result,), (("colourfulness", colourfulness(pixels)),), notes)


def _regressed(guide: Floats, bind: Bind, params: Colorize, noise: Noise) -> ModelCalls[Tensor]:
    """The picture at the working size: from the mean (realism 0) to one sample (realism 1)."""
    condition = torch.from_numpy(guide * 2 - 1).expand(3, -1, -1)
    prior = Denoiser(params.model)
    mean = bind((yield from regress(prior, condition, _GREY)))
    if params.realism == 0:
        return mean
    x_t = add_noise(mean, START, noise.draw(0, *guide.shape))
    steps = pairwise(even_angles(START, params.steps or STEPS))
    for t, s in steps:
        x0 = bind((yield from denoise_tiles(prior, x_t, t, condition=condition, degradation=_GREY)))
        x_t = ddim_step(x_t, x0, t, s)
    return torch.lerp(mean, x_t, params.realism)


def _binding(guide: Floats, picture: Picture, params: Colorize) -> Bind:
    """What is known of the picture: its luminance everywhere, its colour where it is painted."""
    lit = torch.from_numpy(guide * 2 - 1)
    hints = picture.hints if params.hints else None
    dabs = None if hints is None else hints_on(hints, *guide.shape)
    spread = None if dabs is None else HintSpread(guide, dabs)

    def bind(x0: Tensor) -> Tensor:
        if spread is None:
            return x0 - (_WEIGHTS * x0).sum(0) + lit
        return lit + _colour_of(spread.applied(_chroma_of(x0)))

    return bind


def _chroma_of(x0: Tensor) -> Floats:
    """(R - Y, B - Y) of a picture in [-1, 1], (3, H, W): float32 (H, W, 2) in units of 0 to 1."""
    chroma: Floats = ((x0 - (_WEIGHTS * x0).sum(0)) / 2)[[0, 2]].permute(1, 2, 0).numpy()
    return chroma


def _colour_of(chroma: Floats) -> Tensor:
    """The inverse of `_chroma_of` for a picture of luminance 0."""
    red, blue = torch.from_numpy(2 * chroma).unbind(2)
    return torch.stack((red, (RED * red + BLUE * blue) / -GREEN, blue))
