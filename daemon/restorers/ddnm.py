"""DDNM: restore with a model of pictures alone, projecting every estimate on a measurement.

The model needs no training for the task.

Source: DDNM, arXiv:2212.00490, algorithm 1: every estimate of x0 is projected on the measurement.
Sampling starts from a first estimate rather than from pure noise ("Come-Closer-Diffuse-Faster",
arXiv:2112.05146). Through an autoencoder the estimate is decoded, projected and encoded again
(ReSample, arXiv:2307.08123).
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from daemon.diffusion.concurrent import gather_bounded
from daemon.diffusion.process import add_noise
from daemon.diffusion.samplers import ddim_sampler
from daemon.diffusion.sampling import Draw, Trajectory, sample
from daemon.diffusion.tiling import denoise_tiles
from daemon.models.calls import ModelCalls
from daemon.restorers.working_space import WorkingSpace

MEAN_DRAWS = 4
"""Noisy versions of the first estimate whose posterior means are averaged for realism 0; a fourth
of their variance remains."""

DDNM_SAMPLER = ddim_sampler(eta=0.85)
"""DDIM with DDNM's own share of fresh noise: it repairs what projecting an estimate breaks."""

_MEAN_DRAW = 2**21
"""Number of the first draw for the mean, beyond those of any sampling run."""

Project = Callable[[Tensor], Tensor]
"""Puts what is known into an estimate of the clean picture, (3, H, W) in [-1, 1]: x0 -> A+ y +
(x0 - A+ A x0) in DDNM's terms."""


@dataclass(frozen=True)
class Measurement:
    """A measurement of a picture.

    Attributes:
        x0: A first estimate that agrees with it, (3, H, W) in [-1, 1].
        project: Puts it into any estimate.
        project_every: Through an autoencoder, estimates are projected at every so many steps; 0
            only at the end. In pixels every estimate is projected.
    """

    x0: Tensor
    project: Project
    project_every: int = 1


def ddnm_sample(
    space: WorkingSpace,
    measurement: Measurement,
    trajectory: Trajectory,
    draw: Draw,
    realism: float,
) -> ModelCalls[Tensor]:
    """A likely picture that agrees with a measurement.

    Args:
        space: Where the model works.
        measurement: What is known of the picture.
        trajectory: The way down from the noise that the first estimate is taken to.
        draw: Noise in the working space.
        realism: 0 gives the posterior mean given the first estimate, 1 a sample; between them both
            are mixed.

    Returns:
        (3, H, W), projected.
    """
    size = measurement.x0.shape[1:]
    x0 = yield from space.encode(measurement.x0)
    pictures: list[Tensor] = []
    if realism < 1:
        mean = yield from _mean(space, x0, trajectory.start, draw)
        pictures.append((yield from space.decode(mean, *size)))
    if realism > 0:
        every = measurement.project_every
        projected_at = frozenset(trajectory.angles[::every]) if every else frozenset()
        predict = partial(_projected_estimate, space, measurement, projected_at)
        x_t = add_noise(x0, trajectory.start, draw(0))
        sampled = yield from sample(x_t, trajectory, predict, draw)
        pictures.append((yield from space.decode(sampled, *size)))
    return measurement.project(pictures[0].lerp(pictures[-1], realism))


def _mean(space: WorkingSpace, x0: Tensor, t: float, draw: Draw) -> ModelCalls[Tensor]:
    """The mean, over several draws of noise, of the posterior mean at angle t."""

    def estimate(number: int) -> ModelCalls[Tensor]:
        return denoise_tiles(space.denoiser, add_noise(x0, t, draw(number)), t)

    numbers = (0, *range(_MEAN_DRAW + 1, _MEAN_DRAW + MEAN_DRAWS))
    estimates = yield from gather_bounded(
        [partial(estimate, number) for number in numbers], x0[0].numel()
    )
    return torch.stack(estimates).mean(0)


def _projected_estimate(
    space: WorkingSpace,
    measurement: Measurement,
    projected_at: frozenset[float],
    x_t: Tensor,
    t: float,
) -> ModelCalls[Tensor]:
    """The posterior mean at angle t, in the working space, projected on the measurement."""
    x0 = yield from denoise_tiles(space.denoiser, x_t, t)
    if not space.latent:
        return measurement.project(x0)
    if t in projected_at:
        picture = yield from space.decode(x0, *measurement.x0.shape[1:])
        x0 = yield from space.encode(measurement.project(picture))
    return x0
