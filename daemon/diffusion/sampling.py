"""Whole runs along the diffusion process: down from a noisy picture, or up to its latent.

Each is a generator of denoiser calls around a `Predict`, which gives the posterior mean of a
picture at an angle: the network by itself, or the network bound to a measurement.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise

from torch import Tensor

from daemon.diffusion.process import ddim_step
from daemon.models.calls import ModelCalls

Predict = Callable[[Tensor, float], ModelCalls[Tensor]]
"""(x_t, t) -> posterior mean of the clean picture; both pictures (3, H, W)."""

Draw = Callable[[int], Tensor]
"""Number of a draw -> standard normal noise of the picture's shape."""


def sample(
    x_t: Tensor,
    angles: Sequence[float],
    predict: Predict,
    draw: Draw,
    eta: float = 1.0,
    excess: float = 1.0,
) -> ModelCalls[Tensor]:
    """Go down a list of angles with fresh noise at each step.

    Args:
        x_t: Picture at the first angle, (3, H, W).
        angles: Descending, in radians, the last 0; the network is asked at all but the last.
        predict: The posterior mean.
        draw: Noise; step k from 0 takes draw k + 1, so that draw 0 is left for making x_t.
        eta: 1 samples the posterior of x0 given x_t; 0 follows one deterministic path.
        excess: Times that the fresh noise is stronger than the step's own. A little over 1 gives
            back the texture that a network which takes away too much costs at every step.

    Returns:
        The picture at the last angle.

    Source: DDIM, arXiv:2010.02502, eq. 12; with eta = 1 it is ancestral sampling. `excess` is
    S_noise of arXiv:2206.00364, algorithm 2.
    """
    for step, (t, s) in enumerate(pairwise(angles), start=1):
        x0 = yield from predict(x_t, t)
        noise = excess * draw(step) if eta > 0 and s > 0 else None
        x_t = ddim_step(x_t, x0, t, s, eta if noise is not None else 0.0, noise)
    return x_t


def follow(x_t: Tensor, angles: Sequence[float], predict: Predict) -> ModelCalls[Tensor]:
    """Follow the deterministic path through x_t, up or down, to second order.

    The posterior mean is carried on from the last two (Adams-Bashforth in the angle), so that a
    way up and the same way back meet: 12 steps each miss the photograph by less than 24 steps of
    plain DDIM do.

    Args:
        x_t: Picture at the first angle, (3, H, W).
        angles: Ascending or descending, in radians, all but the last above 0.
        predict: The posterior mean.

    Returns:
        The picture at the last angle.

    Source: DDIM inversion, arXiv:2010.02502, section 5.4, with the multistep rule of
    DPM-Solver++(2M), arXiv:2211.01095, taken in the angle.
    """
    before: tuple[float, Tensor] | None = None
    for t, s in pairwise(angles):
        x0 = yield from predict(x_t, t)
        ahead = x0
        if before is not None and s > 0:
            ahead = x0 + (s - t) / (2 * (t - before[0])) * (x0 - before[1])
        before = (t, x0)
        x_t = ddim_step(x_t, ahead, t, s)
    return x_t
