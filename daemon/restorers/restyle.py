"""Restyle: a photograph or a painting, taken part of the way to noise and back.

The photograph stays to the level where its mask is black. A sweep of strengths gives one labelled
sheet.

Source: SDEdit, arXiv:2108.01073, algorithms 1 (whole) and 3 (with a mask).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from daemon.checkpoints.traits import PRIOR_TRAITS, Traits
from daemon.config.steps import Restyle
from daemon.diffusion.concurrent import gather_bounded
from daemon.diffusion.noise import Noise
from daemon.diffusion.pixels import to_device, to_grey, to_tensor
from daemon.diffusion.process import add_noise
from daemon.diffusion.samplers import SAMPLERS
from daemon.diffusion.sampling import Draw, Trajectory, sample
from daemon.diffusion.tiling import denoise_tiles
from daemon.diffusion.windows import Window, by_windows
from daemon.models.calls import ModelCalls
from daemon.photo import Picture
from daemon.restorers.interface import Restoration
from daemon.restorers.sampling_plan import SamplingPlan
from daemon.restorers.sweep_sheet import labelled_sheet
from daemon.restorers.working_size import at_working_size, working_size
from daemon.restorers.working_space import WorkingSpace, working_space

STEPS = 16
"""Evaluations of a sampling run if the recipe sets no `steps`."""

PLAN = SamplingPlan(SAMPLERS["dpmpp-2m"], "late", STEPS)
"""How a sample is made; see docs/design.md, which has the measurements."""

S_NOISE = 1.02
"""Factor on the fresh noise of the prior's sampling, if the step names a sampler with any."""


def restyle(
    pictures: tuple[Picture, ...], params: Restyle, noise: Noise, traits: Traits = PRIOR_TRAITS
) -> ModelCalls[Restoration]:
    """Restyle one photograph, or try several strengths on it.

    Args:
        pictures: One picture, uint8 or uint16.
        params: The recipe's step; with a `sweep` the result is a sheet, the original first.
        noise: The step's noise; all strengths of a sweep share it.
        traits: Traits of the step's model.

    Returns:
        The picture, with measure "sigma" (levels of 0 to 255), or the sheet in uint8.
    """
    (picture,) = pictures
    space = yield from working_space(params, traits)
    mask = fitted_mask(picture) if params.mask else None
    height, width = picture.pixels.shape[:2]
    work_at = working_size((height, width), params, traits)
    restyling = _Restyling(picture, mask, space, PLAN.of(params, traits), noise, work_at)
    return (yield from picture_or_sheet(picture, params, restyling.at_strength))


def picture_or_sheet(
    picture: Picture,
    params: Restyle,
    at_strength: Callable[[float], ModelCalls[NDArray[np.generic]]],
) -> ModelCalls[Restoration]:
    """The picture at the step's strength, or the sheet of its sweep.

    Args:
        picture: The original.
        params: The recipe's step.
        at_strength: Restyles the original at a strength and gives its pixels.
    """
    if not params.sweep:
        pixels = yield from at_strength(params.strength)
        result = replace(picture, pixels=pixels, mask=None)
        return Restoration((result,), (("sigma", sigma_levels(params.strength)),))
    panels = yield from gather_bounded(
        [partial(at_strength, strength) for strength in params.sweep], picture.pixels.size // 3
    )
    sheet = labelled_sheet([picture.pixels, *panels], sweep_labels(params))
    return Restoration((_sheet_of(picture, sheet),))


def _sheet_of(picture: Picture, sheet: NDArray[np.uint8]) -> Picture:
    return replace(picture, pixels=sheet, alpha=None, mask=None, hints=None, original=None)


def sigma_levels(strength: float) -> float:
    """Noise level of a strength, in levels of 0 to 255; 1e6 at strength 1, where it is infinite."""
    return min(1e6, 127.5 * math.tan(strength * math.pi / 2))


def sweep_labels(params: Restyle) -> list[str]:
    """Labels of the panels of a sweep's sheet, the original first."""
    return ["original", *(f"strength {s:g}, sigma {sigma_levels(s):.0f}" for s in params.sweep)]


def fitted_mask(picture: Picture) -> NDArray[np.uint8] | None:
    """The picture's mask at its size, (H, W), 0 keeps and 255 changes; None without a mask."""
    if picture.mask is None:
        return None
    height, width = picture.pixels.shape[:2]
    mask = Image.fromarray(picture.mask)
    if mask.size != (width, height):
        mask = mask.resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(mask)


def mask_window(mask: NDArray[np.uint8], window: Window) -> Tensor:
    """A window of a mask, (h, w), 0 keeps and 1 changes."""
    return to_device(window.crop(mask).astype(np.float32) / np.float32(255))


@dataclass(frozen=True, eq=False)
class _Restyling:
    """One photograph that is restyled, at several strengths perhaps, window by window.

    Attributes:
        picture: The photograph.
        mask: (H, W), 0 keeps, 255 restyles; None restyles all.
        space: Where the model works.
        plan: How it samples.
        noise: The step's noise.
        work_at: Height and width at which the model sees it; None for its own.
    """

    picture: Picture
    mask: NDArray[np.uint8] | None
    space: WorkingSpace
    plan: SamplingPlan
    noise: Noise
    work_at: tuple[int, int] | None = None

    def at_strength(self, strength: float) -> ModelCalls[NDArray[np.generic]]:
        """Pixels of the photograph restyled at a strength."""
        if strength == 0:
            return self.picture.pixels
        if self.work_at is not None:
            return (
                yield from at_working_size(
                    self.picture, self.work_at, self.mask, partial(self._small, strength)
                )
            )
        restore_window = partial(self._restore_window, strength)
        return (yield from by_windows(self.picture.pixels, restore_window))

    def _small(self, strength: float, small: Picture) -> ModelCalls[NDArray[np.generic]]:
        """Pixels of the photograph at the size of the model's training, restyled."""
        restyling = replace(self, picture=small, mask=small.mask, work_at=None)
        return restyling.at_strength(strength)

    def _restore_window(self, strength: float, window: Window) -> ModelCalls[Tensor]:
        space, picture = self.space, self.picture
        source = SdeditInput.from_window(picture, self.mask, window)
        draw = space.noise_draws(window, picture.pixels.shape[:2], self.noise)
        s_noise = S_NOISE if space.traits.family == "prior" else 1.0
        trajectory = self.plan.trajectory(strength * math.pi / 2, s_noise)
        return (yield from sdedit(space, source, trajectory, draw))


@dataclass(frozen=True, eq=False)
class SdeditInput:
    """The picture that SDEdit takes to noise and back.

    Attributes:
        original: (3, H, W) in [-1, 1].
        mask: (H, W), 0 keeps and 1 changes; None changes all.
        grey: Whether the result must be grey.
    """

    original: Tensor
    mask: Tensor | None
    grey: bool

    @classmethod
    def from_window(
        cls, picture: Picture, mask: NDArray[np.uint8] | None, window: Window
    ) -> "SdeditInput":
        """A window of a picture and of its mask, (H, W)."""
        part = None if mask is None else mask_window(mask, window)
        return cls(to_tensor(window.crop(picture.pixels)), part, picture.grey)


def sdedit(
    space: WorkingSpace, source: SdeditInput, trajectory: Trajectory, draw: Draw
) -> ModelCalls[Tensor]:
    """Noise a picture to the first angle and sample; what the mask keeps is put back at every step.

    The kept part of x0 is the photograph, so the kept part of x_t is the photograph with noise of
    just the level that the rest has: the network sees the seam as it will be. In the end the kept
    part is the photograph to the level.

    Args:
        space: Where the model works.
        source: The picture and its mask.
        trajectory: The way down from the angle that the picture is noised to.
        draw: Noise in the working space; draw 0 takes the picture forward.

    Returns:
        (3, H, W).
    """
    original, mask = source.original, source.mask
    latent = yield from space.encode(original)
    told = yield from space.told(original, mask)
    changeable = None if mask is None else space.changeable(mask)

    def predict(x_t: Tensor, t: float) -> ModelCalls[Tensor]:
        x0 = yield from denoise_tiles(space.denoiser, x_t, t, condition=told)
        if source.grey and not space.latent:
            x0 = to_grey(x0)
        return x0 if changeable is None else latent.lerp(x0, changeable)

    x_t = add_noise(latent, trajectory.start, draw(0))
    edited = yield from sample(x_t, trajectory, predict, draw)
    if not space.latent:
        return edited
    decoded = yield from space.decode(edited, *original.shape[1:])
    decoded = to_grey(decoded) if source.grey else decoded
    return decoded if mask is None else original.lerp(decoded, mask)
