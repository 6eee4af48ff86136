"""Restyle: a photograph or a painting, taken part of the way to noise and back.

Comes in: one picture, with a mask or without. Goes out: the picture restyled where the mask is
white and untouched where it is black; or one labelled sheet of several strengths.

Source: SDEdit, arXiv:2108.01073, algorithms 1 (whole) and 3 (with a mask).
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from daemon.checkpoints.traits import PRIOR_TRAITS, Traits
from daemon.config.steps import Restyle
from daemon.diffusion.angles import even_angles
from daemon.diffusion.concurrent import gather_bounded
from daemon.diffusion.noise import Noise
from daemon.diffusion.pixels import to_grey, to_tensor
from daemon.diffusion.process import add_noise
from daemon.diffusion.sampling import Draw, sample
from daemon.diffusion.tiling import denoise_tiles
from daemon.diffusion.windows import Window, by_windows
from daemon.models.calls import ModelCalls
from daemon.photo import Picture
from daemon.restorers.registry import Restoration
from daemon.restorers.spaces import WorkingSpace, space_of
from daemon.restorers.sweep_sheet import labelled_sheet

STEPS = 16
"""Evaluations of a sampling run unless the recipe says otherwise."""

ETA = 1.0
"""Share of fresh noise."""

S_NOISE = 1.02
"""Times that the prior's fresh noise is stronger than a step's own: see docs/design.md."""


def restyle(
    pictures: tuple[Picture, ...], params: Restyle, noise: Noise, traits: Traits = PRIOR_TRAITS
) -> ModelCalls[Restoration]:
    """Restyle one picture, or try several strengths on it.

    Args:
        pictures: One picture, uint8 or uint16.
        params: The recipe's step; with a `sweep` the result is a sheet, the original first.
        noise: The step's noise; all strengths of a sweep share it.
        traits: Of the step's model.

    Returns:
        The picture, with measure "sigma" (levels of 0 to 255), or the sheet in uint8.
    """
    (picture,) = pictures
    space = yield from space_of(params, traits)
    mask = fitted_mask(picture) if params.mask else None
    work = _Work(picture, mask, space, params.steps or STEPS, noise)
    return (yield from presented(picture, params, partial(_restyled, work)))


def presented(
    picture: Picture, params: Restyle, at: Callable[[float], ModelCalls[NDArray[np.generic]]]
) -> ModelCalls[Restoration]:
    """The picture at the step's strength, or the sheet of its sweep.

    Args:
        picture: The original.
        params: The recipe's step.
        at: Restyles it at a strength.
    """
    if not params.sweep:
        pixels = yield from at(params.strength)
        result = replace(picture, pixels=pixels, mask=None)
        return Restoration((result,), (("sigma", sigma_levels(params.strength)),))
    trials = yield from gather_bounded(
        [partial(at, strength) for strength in params.sweep], picture.pixels.size // 3
    )
    sheet = labelled_sheet([picture.pixels, *trials], sweep_labels(params))
    return Restoration((replace(picture, pixels=sheet, alpha=None, mask=None, hints=None),))


def sigma_levels(strength: float) -> float:
    """The noise level that a strength means, in levels of 0 to 255; at 1 it has no bound: 1e6."""
    return min(1e6, 127.5 * math.tan(strength * math.pi / 2))


def sweep_labels(params: Restyle) -> list[str]:
    """What stands over the panels of a sweep's sheet, the original first."""
    return ["original", *(f"strength {s:g}, sigma {sigma_levels(s):.0f}" for s in params.sweep)]


def fitted_mask(picture: Picture) -> NDArray[np.float32] | None:
    """The mask at the picture's size, (H, W), 0 keeps and 1 restyles; None without one."""
    if picture.mask is None:
        return None
    height, width = picture.pixels.shape[:2]
    mask = Image.fromarray(picture.mask)
    if mask.size != (width, height):
        mask = mask.resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(mask, np.float32) / np.float32(255)


@dataclass(frozen=True, eq=False)
class _Work:
    """What all strengths have in common; of the mask, (H, W), 0 keeps and 1 restyles."""

    picture: Picture
    mask: NDArray[np.float32] | None
    space: WorkingSpace
    steps: int
    noise: Noise


def _restyled(work: _Work, strength: float) -> ModelCalls[NDArray[np.generic]]:
    """The picture's pixels at one strength."""
    if strength == 0:
        return work.picture.pixels
    return (
        yield from by_windows(work.picture.pixels, lambda window: _window(work, window, strength))
    )


def _window(work: _Work, window: Window, strength: float) -> ModelCalls[Tensor]:
    """Forward to the strength, back again."""
    space, picture = work.space, work.picture
    edit = Edit.of(picture, work.mask, window)
    draw = space.draws(window, picture.pixels.shape[:2], work.noise)
    angles = even_angles(strength * math.pi / 2, work.steps)
    s_noise = S_NOISE if space.traits.family == "prior" else 1.0
    return (yield from sdedit(space, edit, angles, draw, s_noise))


@dataclass(frozen=True, eq=False)
class Edit:
    """What is taken to noise and back.

    Attributes:
        original: (3, H, W) in [-1, 1].
        mask: (H, W), 0 keeps and 1 changes; None changes all.
        grey: The result must be grey.
    """

    original: Tensor
    mask: Tensor | None
    grey: bool

    @classmethod
    def of(cls, picture: Picture, mask: NDArray[np.float32] | None, window: Window) -> "Edit":
        """A window of a picture and of its mask."""
        part = None if mask is None else torch.from_numpy(window.crop(mask).copy())
        return cls(to_tensor(window.crop(picture.pixels)), part, picture.grey)


def sdedit(
    space: WorkingSpace, edit: Edit, angles: Sequence[float], draw: Draw, s_noise: float = 1.0
) -> ModelCalls[Tensor]:
    """Forward to the first angle, back again; what the mask keeps is put back at every step.

    The kept part of x0 is the photograph, and so the kept part of x_t is the photograph with noise
    of just the level that the rest has: the network sees the seam as it will be. In the end
    it is the photograph to the level.

    Args:
        space: Where the model works.
        edit: What is edited.
        angles: Descending, in radians, the last 0.
        draw: Noise in the space; draw 0 takes it forward.
        excess: Times that fresh noise is stronger than a step's own.

    Returns:
        (3, H, W).
    """
    original, mask = edit.original, edit.mask
    latent = yield from space.encode(original)
    free = None if mask is None else space.free(mask)

    def predict(x_t: Tensor, t: float) -> ModelCalls[Tensor]:
        x0 = yield from denoise_tiles(space.denoiser, x_t, t)
        if edit.grey and not space.latent:
            x0 = to_grey(x0)
        return x0 if free is None else latent.lerp(x0, free)

    x_t = add_noise(latent, angles[0], draw(0))
    edited = yield from sample(x_t, angles, predict, draw, ETA, s_noise)
    if not space.latent:
        return edited
    decoded = yield from space.decode(edited, *original.shape[1:])
    decoded = to_grey(decoded) if edit.grey else decoded
    return decoded if mask is None else original.lerp(decoded, mask)
