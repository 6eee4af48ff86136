"""What a model that knows only pictures makes of a photograph of which something is known.

Comes in: a first guess and what is known. Goes out: a picture that the model finds likely and that
obeys what is known. The model needs no training for it.

Source: DDNM, arXiv:2212.00490, algorithm 1: every estimate of x0 is bound to what is known. It
starts from the guess rather than from pure noise ("Come-Closer-Diffuse-Faster", arXiv:2112.05146).
Through an autoencoder the estimate is decoded, bound and encoded again (ReSample,
arXiv:2307.08123).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from daemon.diffusion.concurrent import gather_bounded
from daemon.diffusion.process import add_noise
from daemon.diffusion.sampling import Draw, sample
from daemon.diffusion.tiling import denoise_tiles
from daemon.models.calls import ModelCalls
from daemon.restorers.spaces import WorkingSpace

MEAN_DRAWS = 4
"""Noisy versions of the guess whose estimates are averaged. A fourth of their variance remains."""

ETA = 0.85
"""Share of fresh noise, DDNM's: it mends what binding an estimate breaks."""

_MEAN_DRAW = 2**21


@dataclass(frozen=True)
class Known:
    """What is known of a picture.

    Attributes:
        guess: A picture that obeys it, (3, H, W) in [-1, 1].
        bind: Puts it into an estimate of the picture.
        every: Through an autoencoder, estimates are bound at every so many steps; 0: at the end.
    """

    guess: Tensor
    bind: Callable[[Tensor], Tensor]
    every: int = 1


def ddnm_sample(
    space: WorkingSpace, known: Known, angles: Sequence[float], draw: Draw, realism: float
) -> ModelCalls[Tensor]:
    """A likely picture that obeys what is known.

    Args:
        space: Where the model works.
        known: What is known.
        angles: Descending, in radians, the last 0.
        draw: Noise in the space.
        realism: 0 gives the mean of what is likely given the guess, 1 a sample; between them both
            are mixed.

    Returns:
        (3, H, W), bound.
    """
    guess = yield from space.encode(known.guess)
    pictures: list[Tensor] = []
    if realism < 1:
        mean = yield from _mean(space, guess, angles[0], draw)
        pictures.append((yield from space.decode(mean, *known.guess.shape[1:])))
    if realism > 0:
        where = frozenset(angles[:: known.every]) if known.every else frozenset()
        predict = partial(_bound, space, known, where)
        x_t = add_noise(guess, angles[0], draw(0))
        sampled = yield from sample(x_t, angles, predict, draw, ETA)
        pictures.append((yield from space.decode(sampled, *known.guess.shape[1:])))
    return known.bind(pictures[0].lerp(pictures[-1], realism))


def _mean(space: WorkingSpace, guess: Tensor, t: float, draw: Draw) -> ModelCalls[Tensor]:
    """The mean of estimates of one step each, for several draws of noise."""

    def estimate(number: int) -> ModelCalls[Tensor]:
        return denoise_tiles(space.denoiser, add_noise(guess, t, draw(number)), t)

    numbers = (0, *range(_MEAN_DRAW + 1, _MEAN_DRAW + MEAN_DRAWS))
    estimates = yield from gather_bounded(
        [partial(estimate, number) for number in numbers], guess[0].numel()
    )
    return torch.stack(estimates).mean(0)


def _bound(
    space: WorkingSpace, known: Known, where: frozenset[float], x_t: Tensor, t: float
) -> ModelCalls[Tensor]:
    """The estimate of what the space holds at angle t, bound to what is known."""
    x0 = yield from denoise_tiles(space.denoiser, x_t, t)
    if not space.latent:
        return known.bind(x0)
    if t in where:
        picture = yield from space.decode(x0, *known.guess.shape[1:])
        x0 = yield from space.encode(known.bind(picture))
    return x0
