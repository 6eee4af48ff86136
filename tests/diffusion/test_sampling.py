"""Diffusion steps and whole runs against answers that are known."""

import math
from collections.abc import Sequence
from functools import partial
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from daemon.diffusion.angles import angle_of, sigma_of, timesteps
from daemon.diffusion.noise import Noise
from daemon.diffusion.process import add_noise, ddim_step, eps_of, slerp
from daemon.diffusion.sampling import follow, sample
from daemon.models.calls import DenoiseCall, ModelCalls, ask
from tests.support.answering import StockDdim, answer, gaussian, seeded

MU, DEVIATION = 0.3, 0.2


def predict(x_t: Tensor, t: float) -> ModelCalls[Tensor]:
    (x0,) = yield from ask([DenoiseCall("toy", x_t, t)])
    return x0


def marginal(t: float) -> float:
    """Deviation of x_t under the Gaussian model."""
    return math.hypot(math.cos(t) * DEVIATION, math.sin(t))


def test_timesteps_lead_from_the_start_to_exactly_zero() -> None:
    assert timesteps(0.8, 4) == pytest.approx([0.8, 0.6, 0.4, 0.2, 0.0])
    assert timesteps(0.3, 7)[-1] == 0.0


def test_angle_and_noise_level_are_inverses() -> None:
    assert sigma_of(angle_of(0.2)) == pytest.approx(0.2)
    assert angle_of(1.0) == pytest.approx(math.pi / 4)


def test_noise_is_found_again_from_a_noisy_picture() -> None:
    x0, eps = seeded(3, 5, 4), seeded(3, 5, 4, seed=1)
    assert torch.allclose(eps_of(add_noise(x0, 0.7, eps), x0, 0.7), eps, atol=1e-5)
    assert eps_of(x0, x0, 0.0).abs().max() == 0


def test_a_deterministic_step_keeps_picture_and_noise() -> None:
    x0, eps = seeded(3, 5, 4), seeded(3, 5, 4, seed=1)
    stepped = ddim_step(add_noise(x0, 1.2, eps), x0, 1.2, 0.4)
    assert torch.allclose(stepped, add_noise(x0, 0.4, eps), atol=1e-5)


def test_an_ancestral_step_from_pure_noise_takes_all_noise_anew() -> None:
    x0, old, new = seeded(3, 5, 4), seeded(3, 5, 4, seed=1), seeded(3, 5, 4, seed=2)
    stepped = ddim_step(old, x0, math.pi / 2, 0.6, 1.0, new)
    assert torch.allclose(stepped, add_noise(x0, 0.6, new), atol=1e-5)


def test_fresh_noise_must_be_given() -> None:
    with pytest.raises(ValueError, match="needs noise"):
        ddim_step(seeded(3, 2, 2), seeded(3, 2, 2), 1.0, 0.5, eta=0.5)


@pytest.mark.parametrize("eta", [0.0, 1.0])
def test_steps_equal_those_of_the_stock_ddim_scheduler(eta: float) -> None:
    stock, model, noise = StockDdim(8), gaussian(MU, DEVIATION), Noise(3)
    ours = theirs = seeded(3, 8, 8)
    for step, (t, s) in enumerate(pairwise(stock.angles)):
        fresh = noise.draw(step, 8, 8)
        (x0,) = model([DenoiseCall("toy", ours, t)])
        ours = ddim_step(ours, x0, t, s, eta if s > 0 else 0.0, fresh)
        (x0,) = model([DenoiseCall("toy", theirs, t)])
        theirs = stock.step(step, theirs, x0, eta if s > 0 else 0.0, fresh)
        assert torch.allclose(ours, theirs, atol=1e-4)


def test_ancestral_sampling_has_the_known_posterior_mean_and_deviation() -> None:
    start, noise = 0.6, Noise(5)
    x_t = torch.full((3, 128, 128), 0.5)
    run = sample(x_t, timesteps(start, 100), predict, lambda k: noise.draw(k, 128, 128))
    result = answer(run, gaussian(MU, DEVIATION))
    trust = math.cos(start) * DEVIATION**2 / marginal(start) ** 2
    mean = MU + trust * (0.5 - math.cos(start) * MU)
    deviation = DEVIATION * math.sin(start) / marginal(start)
    assert float(result.mean()) == pytest.approx(mean, abs=0.01)
    assert float(result.std()) == pytest.approx(deviation, rel=0.05)


def test_an_excess_of_fresh_noise_gives_samples_a_larger_deviation_around_the_same_mean() -> None:
    noise, x_t = Noise(5), torch.full((3, 96, 96), 0.5)
    plain, rough = (
        answer(
            sample(
                x_t, timesteps(0.6, 20), predict, lambda k: noise.draw(k, 96, 96), excess=excess
            ),
            gaussian(MU, DEVIATION),
        )
        for excess in (1.0, 1.05)
    )
    assert float(rough.std()) == pytest.approx(1.05 * float(plain.std()), rel=0.03)
    assert float(rough.mean()) == pytest.approx(float(plain.mean()), abs=0.01)


def test_sampling_from_pure_noise_gives_the_model_itself() -> None:
    noise = Noise(6)
    run = sample(
        noise.draw(0, 96, 96), timesteps(math.pi / 2, 400), predict, lambda k: noise.draw(k, 96, 96)
    )
    result = answer(run, gaussian(MU, DEVIATION))
    assert float(result.mean()) == pytest.approx(MU, abs=0.01)
    assert float(result.std()) == pytest.approx(DEVIATION, rel=0.04)


def test_the_deterministic_path_scales_by_the_ratio_of_the_marginals() -> None:
    x0 = MU + DEVIATION * seeded(3, 16, 16)
    angles = [0.9 * (k / 24) ** 1.5 for k in range(1, 25)]
    x_t = math.cos(angles[0]) * MU + marginal(angles[0]) / DEVIATION * (x0 - MU)
    latent = answer(follow(x_t, angles, predict), gaussian(MU, DEVIATION))
    known = math.cos(0.9) * MU + marginal(0.9) / DEVIATION * (x0 - MU)
    assert float((latent - known).abs().max()) < 0.05


def test_the_second_order_path_meets_itself_better_than_plain_ddim() -> None:
    def plain(x_t: Tensor, angles: Sequence[float]) -> ModelCalls[Tensor]:
        for t, s in pairwise(angles):
            x_t = ddim_step(x_t, (yield from predict(x_t, t)), t, s)
        return x_t

    x = MU + DEVIATION * seeded(3, 16, 16)
    angles = [0.05 + 0.85 * k / 12 for k in range(13)]
    missed = []
    for path in (plain, partial(follow, predict=predict)):
        latent = answer(path(x, angles), gaussian(MU, DEVIATION))
        back = answer(path(latent, angles[::-1]), gaussian(MU, DEVIATION))
        missed.append(float((back - x).abs().max()))
    assert missed[1] < missed[0] / 3


def test_slerp_starts_and_ends_at_its_latents_and_keeps_their_norm() -> None:
    a, b = seeded(3, 32, 32), seeded(3, 32, 32, seed=1)
    assert torch.allclose(slerp(a, b, 0.0), a, atol=1e-5)
    assert torch.allclose(slerp(a, b, 1.0), b, atol=1e-5)
    assert float(slerp(a, b, 0.5).std()) == pytest.approx(1.0, abs=0.05)


def test_slerp_of_parallel_or_empty_latents_is_linear() -> None:
    a = seeded(3, 4, 4)
    assert torch.allclose(slerp(a, 3 * a, 0.5), 2 * a)
    assert slerp(torch.zeros(3, 1, 1), torch.zeros(3, 1, 1), 0.5).abs().max() == 0
