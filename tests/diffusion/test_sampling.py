"""Samplers, against the known posterior of Gaussian pictures."""

import math
from collections.abc import Sequence
from functools import partial
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from daemon.diffusion.angles import even_angles
from daemon.diffusion.noise import Noise
from daemon.diffusion.process import ddim_step
from daemon.diffusion.sampling import Draw, Trajectory, sample, solve_ode
from daemon.models.calls import DenoiseCall, ModelCalls, ask
from tests.support.answering import answer, gaussian, seeded

MU, DEVIATION = 0.3, 0.2


def predict(x_t: Tensor, t: float) -> ModelCalls[Tensor]:
    (x0,) = yield from ask([DenoiseCall("toy", x_t, t)])
    return x0


def marginal(t: float) -> float:
    """Deviation of x_t under the Gaussian model."""
    return math.hypot(math.cos(t) * DEVIATION, math.sin(t))


def draw_of(seed: int, side: int) -> Draw:
    """Noise for a square picture."""
    return lambda number: Noise(seed).draw(number, side, side)


def test_ancestral_sampling_has_the_known_posterior_mean_and_deviation() -> None:
    start = 0.6
    x_t = torch.full((3, 128, 128), 0.5)
    run = sample(x_t, Trajectory(even_angles(start, 100)), predict, draw_of(5, 128))
    result = answer(run, gaussian(MU, DEVIATION))
    trust = math.cos(start) * DEVIATION**2 / marginal(start) ** 2
    mean = MU + trust * (0.5 - math.cos(start) * MU)
    deviation = DEVIATION * math.sin(start) / marginal(start)
    assert float(result.mean()) == pytest.approx(mean, abs=0.01)
    assert float(result.std()) == pytest.approx(deviation, rel=0.05)


def test_stronger_fresh_noise_gives_samples_a_larger_deviation_around_the_same_mean() -> None:
    x_t, draw = torch.full((3, 96, 96), 0.5), draw_of(5, 96)
    plain, rough = (
        answer(
            sample(x_t, Trajectory(even_angles(0.6, 20), s_noise=s_noise), predict, draw),
            gaussian(MU, DEVIATION),
        )
        for s_noise in (1.0, 1.05)
    )
    assert float(rough.std()) == pytest.approx(1.05 * float(plain.std()), rel=0.03)
    assert float(rough.mean()) == pytest.approx(float(plain.mean()), abs=0.01)


def test_sampling_from_pure_noise_gives_the_distribution_of_the_model() -> None:
    draw = draw_of(6, 96)
    run = sample(draw(0), Trajectory(even_angles(math.pi / 2, 400)), predict, draw)
    result = answer(run, gaussian(MU, DEVIATION))
    assert float(result.mean()) == pytest.approx(MU, abs=0.01)
    assert float(result.std()) == pytest.approx(DEVIATION, rel=0.04)


def test_inversion_scales_by_the_ratio_of_the_marginals() -> None:
    x0 = MU + DEVIATION * seeded(3, 16, 16)
    angles = [0.9 * (k / 24) ** 1.5 for k in range(1, 25)]
    x_t = math.cos(angles[0]) * MU + marginal(angles[0]) / DEVIATION * (x0 - MU)
    latent = answer(solve_ode(x_t, angles, predict), gaussian(MU, DEVIATION))
    known = math.cos(0.9) * MU + marginal(0.9) / DEVIATION * (x0 - MU)
    assert float((latent - known).abs().max()) < 0.05


def test_inversion_of_second_order_is_undone_better_than_that_of_plain_ddim() -> None:
    def plain(x_t: Tensor, angles: Sequence[float]) -> ModelCalls[Tensor]:
        for t, s in pairwise(angles):
            x_t = ddim_step(x_t, (yield from predict(x_t, t)), t, s)
        return x_t

    x = MU + DEVIATION * seeded(3, 16, 16)
    angles = [0.05 + 0.85 * k / 12 for k in range(13)]
    missed = []
    for path in (plain, partial(solve_ode, predict=predict)):
        latent = answer(path(x, angles), gaussian(MU, DEVIATION))
        back = answer(path(latent, angles[::-1]), gaussian(MU, DEVIATION))
        missed.append(float((back - x).abs().max()))
    assert missed[1] < missed[0] / 3
