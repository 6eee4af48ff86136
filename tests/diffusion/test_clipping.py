"""What clipping does to noise, and undoing it."""

import pytest
import torch

from daemon.diffusion.clipping import clipped_mean, unclip
from tests.support.answering import seeded


@pytest.mark.parametrize("sigma", [0.05, 0.2, 1.0])
@pytest.mark.parametrize("level", [-1.0, -0.9, 0.0, 0.7, 1.0])
def test_the_mean_of_clipped_noise_is_that_of_many_draws(level: float, sigma: float) -> None:
    draws = (level + sigma * seeded(400_000)).clamp(-1, 1)
    expected = float(clipped_mean(torch.tensor(level), sigma))
    assert float(draws.mean()) == pytest.approx(expected, abs=5e-3)


def test_black_and_white_come_back_from_under_clipped_noise() -> None:
    x0 = torch.linspace(-1, 1, 64).expand(3, 64, 64)
    y = (x0 + 0.2 * seeded(3, 64, 64)).clamp(-1, 1)
    mean = clipped_mean(x0, 0.2)
    assert float((mean - x0).abs().max()) > 0.07
    assert float((unclip(mean, y, 0.2) - x0).abs().max()) < 0.01


def test_shadows_with_less_noise_than_the_rest_stay() -> None:
    x0 = torch.full((3, 32, 32), -0.9)
    y = x0 + 0.01 * seeded(3, 32, 32)
    assert torch.equal(unclip(x0, y, 0.2), x0)


def test_small_noise_far_from_the_ends_leaves_finite_pictures_as_they_are() -> None:
    x0 = torch.linspace(-0.8, 0.8, 64).expand(3, 64, 64)
    result = unclip(x0, x0 + 0.001 * seeded(3, 64, 64), 0.001)
    assert float((result - x0).abs().max()) < 1e-3
