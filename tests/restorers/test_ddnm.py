"""DDNM: means, samples, and where estimates are projected."""

import math

import pytest
import torch
from torch import Tensor

from daemon.checkpoints.traits import Traits
from daemon.diffusion.angles import even_angles
from daemon.diffusion.sampling import Trajectory
from daemon.diffusion.tiling import Denoiser, TileSpec
from daemon.restorers.ddnm import DDNM_SAMPLER, MEAN_DRAWS, Measurement, ddnm_sample
from daemon.restorers.working_space import WorkingSpace
from tests.support.answering import Turns, answer
from tests.support.checkpoints import drive
from tests.support.known_model import KnownModel, square_draw

DOWN = Trajectory(even_angles(1.0, 4), DDNM_SAMPLER)

SPACE = WorkingSpace(Denoiser("m", TileSpec((16,), 2, 4, 2)), Traits("pixel", ("pixel",), "a toy"))


def test_the_mean_averages_several_draws_in_one_turn() -> None:
    measurement = Measurement(torch.zeros(3, 16, 16), lambda x0: x0)
    turns: Turns = []
    mean = ddnm_sample(SPACE, measurement, DOWN, square_draw(16), 0.0)
    result = answer(mean, lambda calls: [call.x_t for call in calls], turns)
    assert [len(turn) for turn in turns] == [MEAN_DRAWS]
    assert float(result.std()) == pytest.approx(math.sin(1.0) / math.sqrt(MEAN_DRAWS), rel=0.1)


def test_realism_mixes_mean_and_sample_and_every_estimate_is_projected() -> None:
    projected: list[float] = []

    def project(x0: Tensor) -> Tensor:
        projected.append(float(x0.mean()))
        return x0.clamp(0.25, 0.25)

    measurement = Measurement(torch.zeros(3, 16, 16), project)
    mixture = ddnm_sample(SPACE, measurement, DOWN, square_draw(16), 0.5)
    result = answer(mixture, lambda calls: [torch.ones(3, 16, 16) for _ in calls])
    assert float(result.std()) == 0
    assert float(result.mean()) == pytest.approx(0.25)
    assert len(projected) == 5


@pytest.mark.parametrize(("every", "projections"), [(0, 0), (1, 4), (3, 2)])
def test_estimates_in_latents_are_decoded_projected_and_encoded_again(
    latent: KnownModel, every: int, projections: int
) -> None:
    projected: list[float] = []

    def project(x0: Tensor) -> Tensor:
        projected.append(float(x0.mean()))
        return torch.full_like(x0, 0.75)

    space = WorkingSpace(Denoiser("m", TileSpec((8,), 1, 2, 1), None, 8), latent.traits)
    measurement = Measurement(torch.zeros(3, 64, 64), project, every)
    draw = square_draw(8, channels=4)
    drive(
        ddnm_sample(space, measurement, DOWN, draw, 1.0),
        latent.model,
    )
    assert len(projected) == projections + 1
    if every == 1:
        assert projected[-1] == pytest.approx(0.75), "the last estimate was projected already"
