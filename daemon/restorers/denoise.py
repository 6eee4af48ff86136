"""Denoise: the posterior mean of a damaged or blurred photograph, or a sample of its posterior.

The result has the size and type of the photograph; a grey one stays grey.

The mean is one evaluation of a restoration network. Samples are the prior's: for blind repair it
is told the damaged picture. Gaussian noise is the diffusion process itself: y = x0 + sigma n is x_t
at t* = atan(sigma), scaled by cos(t*); what the file clipped of the noise is undone at the end.
`realism` mixes mean and sample, which is the optimal trade of distortion for perception
(arXiv:2107.02555).
"""

import math
from dataclasses import dataclass, replace
from functools import partial

from torch import Tensor

from daemon.checkpoints.traits import PRIOR_TRAITS, Traits
from daemon.config.steps import Denoise
from daemon.diffusion.angles import angle_of
from daemon.diffusion.clipping import unclip
from daemon.diffusion.noise import Noise
from daemon.diffusion.operators import low_frequencies
from daemon.diffusion.pixels import to_grey, to_tensor
from daemon.diffusion.process import add_noise
from daemon.diffusion.samplers import SAMPLERS
from daemon.diffusion.sampling import Draw, sample
from daemon.diffusion.self_ensemble import ensemble_mean
from daemon.diffusion.tiling import Denoiser, denoise_tiles, regress, restore_tiles
from daemon.diffusion.windows import Window, by_windows
from daemon.models.calls import Degradation, ModelCalls
from daemon.models.restoration_network import JPEG_LEVEL
from daemon.photo import Picture
from daemon.photo.notes import Note, NoteKind
from daemon.restorers.damage_measures import blur_px, coarse_noise, quiet_noise
from daemon.restorers.ddnm import DDNM_SAMPLER, Measurement, ddnm_sample
from daemon.restorers.interface import Restoration
from daemon.restorers.jpeg_traces import jpeg_coarseness
from daemon.restorers.sampling_plan import SamplingPlan
from daemon.restorers.working_space import WorkingSpace, working_space

STEPS = 12
"""Evaluations of a sampling run if the recipe sets no `steps`."""

PLAN = SamplingPlan(SAMPLERS["dpmpp-2m"], "late", STEPS)
"""How a sample is made of noise of a known level; see docs/design.md."""

BLIND_PLAN = SamplingPlan(SAMPLERS["ancestral"], "even", STEPS)
"""How a sample of a blind repair is made: fresh noise mends what the mean got wrong."""

_DDNM_PLAN = SamplingPlan(DDNM_SAMPLER, "even", STEPS)

BLIND_START = 0.6
"""Angle, in radians, to which the mean of a blind repair is noised again before sampling."""

LATENT_STARTS = (0.15, 0.7)
"""Smallest and largest angle, in radians, to which a latent is noised: a checkpoint is to repair
rather than invent. Chosen, not measured, for want of real weights."""

ANCHOR_PX = 8.0
"""Standard deviation of the Gaussian blur that is kept of the photograph when a checkpoint with
latents denoises it: about one cell of most latents."""

MOST_NOISE = 75.0
"""Noise, in levels of 0 to 255, up to which the restoration networks were trained; with more the
prior gives the mean."""

BLURS_PX = (0.3, 2.2)
"""Least and most blur that the restoration network was trained to undo, as the deviation of a
Gaussian in pixels."""

LEAST_NOISE = 2.0
"""Noise, in levels of 0 to 255, below which blind repair is told of none."""

WHITE = 1.3
"""Coarse noise by fine noise below which noise counts as independent in each pixel."""

LEFT_UNDER_JPEG, LEFT = 1.5, 3.0
"""Noise in the result of a blind repair, in levels of 0 to 255, from which it has taken noise for
texture: in a JPEG, and elsewhere."""

TEXTURED = 2.2
"""Coarse noise by fine noise from which it is texture: small sharp pictures have 3 and more."""

JPEG_NOISE = 1.5
"""Noise under JPEG that is told, by what is measured at half the size: half of the chroma's is gone
there, and what is left hangs together."""

_BLIND = Degradation(blind=True)
_LEVELS_PER_UNIT = 127.5
_CHROMA_DRAW = 2**20
"""Number of the draw of coloured noise for grey photographs, beyond those of any sampling run."""


def denoise(
    pictures: tuple[Picture, ...], params: Denoise, noise: Noise, traits: Traits = PRIOR_TRAITS
) -> ModelCalls[Restoration]:
    """Repair one photograph.

    Args:
        pictures: One picture, uint8 or uint16.
        params: The recipe's step.
        noise: The step's noise.
        traits: Traits of the step's model; only the prior was trained for blind repair.

    Returns:
        The picture, with measure "sigma" (levels of 0 to 255) where noise of a level is removed,
        or "blur" (pixels) where blur is undone.
    """
    (picture,) = pictures
    if params.mode == "deblur":
        return (yield from _sharpened(picture, params))
    space = yield from working_space(params, traits)
    blind = params.mode == "blind"
    if blind and traits.family == "prior":
        repaired = yield from _repaired(picture, params, noise)
        if isinstance(repaired, Restoration):
            return repaired
        sigma = repaired
    elif blind or params.sigma == "auto":
        sigma = quiet_noise(picture.pixels)
    else:
        sigma = params.sigma
    removal = _NoiseRemoval(picture, space, sigma / _LEVELS_PER_UNIT, params, noise)
    restore_window = removal.through_latents if space.latent else removal.in_pixels
    pixels = picture.pixels
    if sigma > 0:
        pixels = yield from by_windows(picture.pixels, restore_window)
    said = f"{traits.description} knows no blind repair: noise was estimated"
    estimated = blind and traits.family != "prior"
    notes = (Note(NoteKind.MODEL, said),) if estimated else ()
    return Restoration((replace(picture, pixels=pixels),), (("sigma", sigma),), notes)


@dataclass(frozen=True, eq=False)
class _NoiseRemoval:
    """Removal of Gaussian noise of one level from a photograph, window by window.

    Attributes:
        picture: The photograph.
        space: Where the model works.
        sigma: Noise level, in units of [-1, 1].
        params: The recipe's step.
        noise: The step's noise.
    """

    picture: Picture
    space: WorkingSpace
    sigma: float
    params: Denoise
    noise: Noise

    def in_pixels(self, window: Window) -> ModelCalls[Tensor]:
        """The mean; for realism a sample, made from the photograph's own place in the process."""
        picture, params, sigma = self.picture, self.params, self.sigma
        y = to_tensor(window.crop(picture.pixels))
        draw = _draw_for(picture, window, self.noise)
        noisy = y
        if picture.grey:
            noisy, sigma = _with_coloured_noise(y, sigma, draw(_CHROMA_DRAW))
        mean = yield from self._mean(noisy, sigma, y)
        if params.realism == 0:
            return mean
        start = angle_of(sigma)
        trajectory = PLAN.of(params, self.space.traits).trajectory(start)
        sampled = yield from sample(math.cos(start) * noisy, trajectory, self._predict, draw)
        return mean.lerp(self._unclipped(sampled, y), params.realism)

    def _mean(self, noisy: Tensor, sigma: float, y: Tensor) -> ModelCalls[Tensor]:
        """The posterior mean by the restoration network, or by the model's own denoiser.

        Args:
            noisy: The window with noise of the level in each channel, (3, H, W).
            sigma: That level, in units of [-1, 1].
            y: The window as photographed.
        """
        count = self.params.self_ensemble
        known = sigma * _LEVELS_PER_UNIT <= MOST_NOISE
        if known and self.space.traits.family == "prior":
            restore = partial(restore_tiles, degradation=Degradation(sigma=sigma))
            mean = yield from ensemble_mean(count, noisy, restore)
            # It has learned what files clip, so nothing is to be undone.
            return to_grey(mean) if self.picture.grey else mean
        start = angle_of(sigma)
        x_t = math.cos(start) * noisy
        mean = yield from ensemble_mean(count, x_t, partial(self._predict, t=start))
        return self._unclipped(mean, y)

    def _predict(self, x_t: Tensor, t: float) -> ModelCalls[Tensor]:
        return denoise_tiles(self.space.denoiser, x_t, t)

    def _unclipped(self, denoised: Tensor, y: Tensor) -> Tensor:
        return unclip(to_grey(denoised) if self.picture.grey else denoised, y, self.sigma)

    def through_latents(self, window: Window) -> ModelCalls[Tensor]:
        """Noise the latent a little and denoise it; what is coarse stays as it was photographed.

        The autoencoder makes no Gaussian noise of the photograph's, so the latent is noised to
        twice the level, within bounds, rather than taken for a noisy one.
        """
        picture, params = self.picture, self.params
        y = to_tensor(window.crop(picture.pixels))
        coarse = low_frequencies(y, ANCHOR_PX)

        def project(x0: Tensor) -> Tensor:
            return x0 - low_frequencies(x0, ANCHOR_PX) + coarse

        start = min(LATENT_STARTS[1], max(LATENT_STARTS[0], angle_of(2 * self.sigma)))
        draw = self.space.noise_draws(window, picture.pixels.shape[:2], self.noise)
        trajectory = _DDNM_PLAN.of(params, self.space.traits).trajectory(start)
        measurement = Measurement(y, project, project_every=0)
        repaired = yield from ddnm_sample(self.space, measurement, trajectory, draw, params.realism)
        return to_grey(repaired) if picture.grey else repaired


def _repaired(picture: Picture, params: Denoise, noise: Noise) -> ModelCalls[Restoration | float]:
    """The blind repair; or the level of the noise, in levels of 0 to 255, if it is better told.

    Of noise alone, and of noise under JPEG, the network makes more when it is told the level, and
    of JPEG alone when it is told how coarse it is; see docs/design.md.
    """
    fine, coarse = quiet_noise(picture.pixels), coarse_noise(picture.pixels)
    coarseness = jpeg_coarseness(picture.pixels)
    compressed = coarseness > 0
    if fine >= LEAST_NOISE and 0 < coarse < WHITE * fine and not compressed:
        return fine
    told = replace(_BLIND, sigma=JPEG_LEVEL * math.sqrt(coarseness) / _LEVELS_PER_UNIT)
    pixels = yield from by_windows(
        picture.pixels, lambda window: _repair_blindly(picture, window, params, noise, told)
    )
    left = quiet_noise(pixels)
    taken = left > (LEFT_UNDER_JPEG if compressed else LEFT)  # for texture
    if taken and coarse < TEXTURED * fine:
        return JPEG_NOISE * coarse if compressed else coarse
    return Restoration((replace(picture, pixels=pixels),))


def _sharpened(picture: Picture, params: Denoise) -> ModelCalls[Restoration]:
    """Undo the blur that the step says, or that the picture shows where it is sharpest."""
    blur = blur_px(picture.pixels) if params.blur_px == "auto" else params.blur_px
    measures = (("blur", blur),)
    if blur < BLURS_PX[0]:
        return Restoration((picture,), measures, (Note(NoteKind.NOTHING_FOUND, "no blur found"),))
    restore = partial(restore_tiles, degradation=Degradation(blur_px=min(blur, BLURS_PX[1])))

    def restore_window(window: Window) -> ModelCalls[Tensor]:
        y = to_tensor(window.crop(picture.pixels))
        mean = yield from ensemble_mean(params.self_ensemble, y, restore)
        return to_grey(mean) if picture.grey else mean

    pixels = yield from by_windows(picture.pixels, restore_window)
    return Restoration((replace(picture, pixels=pixels),), measures)


def _repair_blindly(
    picture: Picture, window: Window, params: Denoise, noise: Noise, told: Degradation
) -> ModelCalls[Tensor]:
    """One regression, told of JPEG if there is any; for realism it is noised again and sampled.

    The sampler's condition is the damaged picture. Given the repaired one instead, as if that were
    damaged, it smooths it once more: gradients fall from 86 to 81 % of the truth's where they
    should rise, and what it adds to the mean correlates with the damage (-0.23 at sigma 15, now
    0.03), which a sample of the posterior must not. That the sample misses by up to twice the
    mean's squared error is no fault: it is what realism costs.
    """
    y = to_tensor(window.crop(picture.pixels))
    draw = _draw_for(picture, window, noise)
    mean = yield from ensemble_mean(
        params.self_ensemble, y, partial(restore_tiles, degradation=told)
    )

    def predict(x_t: Tensor, t: float) -> ModelCalls[Tensor]:
        return denoise_tiles(Denoiser(params.model), x_t, t, condition=y, degradation=_BLIND)

    if params.realism > 0:
        trajectory = BLIND_PLAN.of(params).trajectory(BLIND_START)
        x_t = add_noise(mean, BLIND_START, draw(0))
        sampled = yield from sample(x_t, trajectory, predict, draw)
        mean = mean.lerp(sampled, params.realism)
    return to_grey(mean) if picture.grey else mean


def blind_mean(damaged: Tensor, model: str) -> ModelCalls[Tensor]:
    """The posterior mean of a picture that is damaged in an unknown way.

    Args:
        damaged: (3, H, W) in [-1, 1].
        model: Reference of a network that was trained for blind repair.

    Returns:
        Same shape.
    """
    return regress(Denoiser(model), damaged, _BLIND)


def _with_coloured_noise(y: Tensor, sigma: float, eps: Tensor) -> tuple[Tensor, float]:
    """Make a grey picture's noise as independent between channels as the network expects it.

    Grey noise of deviation sigma is the mean of three channels of sqrt(3) sigma; what the channels
    lack of that is added. Measured on grey pictures at sigma 25: 30 dB, without it 24 dB.

    Returns:
        The picture, and the deviation of the noise that it now has.
    """
    sigma *= math.sqrt(3)
    return y + sigma * (eps - to_grey(eps)), sigma


def _draw_for(picture: Picture, window: Window, noise: Noise) -> Draw:
    """Noise for a window of a picture."""
    height, width = picture.pixels.shape[:2]
    return lambda number: window.draw(noise, number, height, width)
