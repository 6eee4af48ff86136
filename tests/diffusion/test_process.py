"""Single steps of the diffusion process, against known answers and diffusers' scheduler."""

import math
from itertools import pairwise

import pytest
import torch

from daemon.diffusion.noise import Noise
from daemon.diffusion.process import add_noise, ddim_step, eps_of, slerp
from daemon.models.calls import DenoiseCall
from tests.support.answering import StockDdim, gaussian, seeded


def test_noise_is_found_again_from_a_noisy_picture() -> None:
    x0, eps = seeded(3, 5, 4), seeded(3, 5, 4, seed=1)
    assert torch.allclose(eps_of(add_noise(x0, 0.7, eps), x0, 0.7), eps, atol=1e-5)
    assert eps_of(x0, x0, 0.0).abs().max() == 0


def test_a_deterministic_step_keeps_picture_and_noise() -> None:
    x0, eps = seeded(3, 5, 4), seeded(3, 5, 4, seed=1)
    stepped = ddim_step(add_noise(x0, 1.2, eps), x0, 1.2, 0.4)
    assert torch.allclose(stepped, add_noise(x0, 0.4, eps), atol=1e-5)


def test_an_ancestral_step_from_pure_noise_replaces_all_of_the_noise() -> None:
    x0, old, new = seeded(3, 5, 4), seeded(3, 5, 4, seed=1), seeded(3, 5, 4, seed=2)
    stepped = ddim_step(old, x0, math.pi / 2, 0.6, 1.0, new)
    assert torch.allclose(stepped, add_noise(x0, 0.6, new), atol=1e-5)


def test_a_step_with_fresh_noise_must_be_given_that_noise() -> None:
    with pytest.raises(ValueError, match="needs noise"):
        ddim_step(seeded(3, 2, 2), seeded(3, 2, 2), 1.0, 0.5, eta=0.5)


@pytest.mark.parametrize("eta", [0.0, 1.0])
def test_steps_equal_those_of_the_stock_ddim_scheduler(eta: float) -> None:
    stock, model, noise = StockDdim(8), gaussian(0.3, 0.2), Noise(3)
    ours = theirs = seeded(3, 8, 8)
    for step, (t, s) in enumerate(pairwise(stock.angles)):
        fresh = noise.draw(step, 8, 8)
        (x0,) = model([DenoiseCall("toy", ours, t)])
        ours = ddim_step(ours, x0, t, s, eta if s > 0 else 0.0, fresh)
        (x0,) = model([DenoiseCall("toy", theirs, t)])
        theirs = stock.step(step, theirs, x0, eta if s > 0 else 0.0, fresh)
        assert torch.allclose(ours, theirs, atol=1e-4)


def test_slerp_starts_and_ends_at_its_latents_and_keeps_their_norm() -> None:
    a, b = seeded(3, 32, 32), seeded(3, 32, 32, seed=1)
    assert torch.allclose(slerp(a, b, 0.0), a, atol=1e-5)
    assert torch.allclose(slerp(a, b, 1.0), b, atol=1e-5)
    assert float(slerp(a, b, 0.5).std()) == pytest.approx(1.0, abs=0.05)


@pytest.mark.parametrize("shape", [(3, 32, 32), (3, 5, 5)])
def test_slerp_between_opposite_latents_keeps_their_norm(shape: tuple[int, ...]) -> None:
    a = seeded(*shape)
    for share in (0.25, 0.5, 0.75):
        between = slerp(a, -2 * a, share)
        expected = float(a.norm()) * (1 + share)
        assert float(between.norm()) == pytest.approx(expected, rel=1e-4)
    assert torch.allclose(slerp(a, -a, 1.0), -a, atol=1e-5)


def test_slerp_of_parallel_or_empty_latents_is_linear() -> None:
    a = seeded(3, 4, 4)
    assert torch.allclose(slerp(a, 3 * a, 0.5), 2 * a)
    assert slerp(torch.zeros(3, 1, 1), torch.zeros(3, 1, 1), 0.5).abs().max() == 0
