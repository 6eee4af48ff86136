"""Restyle: a photograph or a painting, taken part of the way to noise and back.

Comes in: one picture, with a mask or without. Goes out: the picture restyled where the mask is
white and untouched where it is black; or one labelled sheet of several strengths.

Source: SDEdit, arXiv:2108.01073, algorithms 1 (whole) and 3 (with a mask).
"""

import math
from dataclasses import replace
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from daemon.call import Asking
from daemon.diffusion.noise import Noise
from daemon.diffusion.pixels import to_grey, to_tensor
from daemon.diffusion.reverse import sample
from daemon.diffusion.sampling import add_noise
from daemon.diffusion.schedule import timesteps
from daemon.diffusion.tiling import denoise_tiles
from daemon.diffusion.together import abreast
from daemon.diffusion.windows import Window, by_windows
from daemon.photo import Picture
from daemon.restorers import Restoration
from daemon.restorers.sheet import labelled_sheet
from daemon.steps import Restyle

STEPS = 16
"""Evaluations of a sampling run unless the recipe says otherwise."""

ETA = 1.0
"""Share of fresh noise."""

EXCESS = 1.02
"""Times that fresh noise is stronger than a step's own: see docs/quality.md, restyle's texture."""


def restyle(pictures: tuple[Picture, ...], params: Restyle, noise: Noise) -> Asking[Restoration]:
    """Restyle one picture, or try several strengths on it.

    Args:
        pictures: One picture, uint8 or uint16.
        params: The recipe's step; with a `sweep` the result is a sheet, the original first.
        noise: The step's noise; all strengths of a sweep share it.

    Returns:
        The picture, with measure "sigma" (levels of 0 to 255), or the sheet in uint8.
    """
    (picture,) = pictures
    mask = _fitted_mask(picture) if params.mask else None
    if not params.sweep:
        pixels = yield from _restyled(picture, mask, params.strength, params, noise)
        result = replace(picture, pixels=pixels, mask=None)
        return Restoration((result,), (("sigma", sigma_levels(params.strength)),))
    trials = yield from abreast(
        [partial(_restyled, picture, mask, strength, params, noise) for strength in params.sweep],
        picture.pixels.size // 3,
    )
    sheet = labelled_sheet([picture.pixels, *trials], sweep_labels(params))
    return Restoration((replace(picture, pixels=sheet, alpha=None, mask=None, hints=None),))


def sigma_levels(strength: float) -> float:
    """The noise level that a strength means, in levels of 0 to 255; at 1 it has no bound: 1e6."""
    return min(1e6, 127.5 * math.tan(strength * math.pi / 2))


def sweep_labels(params: Restyle) -> list[str]:
    """What stands over the panels of a sweep's sheet, the original first."""
    return ["original", *(f"strength {s:g}, sigma {sigma_levels(s):.0f}" for s in params.sweep)]


def _restyled(
    picture: Picture,
    mask: NDArray[np.float32] | None,
    strength: float,
    params: Restyle,
    noise: Noise,
) -> Asking[NDArray[np.generic]]:
    """The picture's pixels at one strength."""
    if strength == 0:
        return picture.pixels
    return (
        yield from by_windows(
            picture.pixels, lambda window: _window(picture, mask, window, strength, params, noise)
        )
    )


def _window(
    picture: Picture,
    mask: NDArray[np.float32] | None,
    window: Window,
    strength: float,
    params: Restyle,
    noise: Noise,
) -> Asking[Tensor]:
    """Forward to the strength, back again; what the mask keeps is put back at every step.

    The kept part of x0 is the photograph, and so the kept part of x_t is the photograph with noise
    of just the level that the rest has: the network sees the seam as it will be. In the end
    it is the photograph to the level.
    """
    original = to_tensor(window.of(picture.pixels))
    free = None if mask is None else torch.from_numpy(window.of(mask).copy())
    height, width = picture.pixels.shape[:2]

    def draw(number: int) -> Tensor:
        return window.draw(noise, number, height, width)

    def predict(x_t: Tensor, t: float) -> Asking[Tensor]:
        x0 = yield from denoise_tiles(params.model, x_t, t)
        if picture.grey:
            x0 = to_grey(x0)
        return x0 if free is None else original.lerp(x0, free)

    angles = timesteps(strength * math.pi / 2, params.steps or STEPS)
    x_t = add_noise(original, angles[0], draw(0))
    result = yield from sample(x_t, angles, predict, draw, ETA, EXCESS)
    return result


def _fitted_mask(picture: Picture) -> NDArray[np.float32] | None:
    """The mask at the picture's size, (H, W), 0 keeps and 1 restyles; None without one."""
    if picture.mask is None:
        return None
    height, width = picture.pixels.shape[:2]
    mask = Image.fromarray(picture.mask)
    if mask.size != (width, height):
        mask = mask.resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(mask, np.float32) / np.float32(255)
