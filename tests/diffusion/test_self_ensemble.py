"""The self-ensemble: transforms are undone exactly, and errors in one direction cancel."""

from itertools import combinations

import pytest
import torch
from torch import Tensor

from daemon.config.steps import Denoise, Step, SuperResolve
from daemon.diffusion.self_ensemble import TRANSFORMS, ensemble_mean
from daemon.models.calls import ModelCalls
from tests.support.answering import Turns, answer, echo, picture, random_pixels, run, seeded


def test_the_eight_transforms_differ_and_each_is_undone() -> None:
    square = seeded(3, 5, 5)
    transformed = [transform.apply(square) for transform in TRANSFORMS]
    assert len(transformed) == 8
    assert not any(torch.equal(one, other) for one, other in combinations(transformed, 2))
    oblong = seeded(3, 4, 7)
    for transform in TRANSFORMS:
        there = transform.apply(oblong)
        assert there.shape[1:] == ((7, 4) if transform.quarter_turns % 2 else (4, 7))
        assert torch.equal(transform.undo(there), oblong)


def brighter_to_the_right(picture: Tensor) -> ModelCalls[Tensor]:
    """An error that depends on the direction."""
    yield []
    return picture + torch.linspace(-1, 1, picture.shape[2])


@pytest.mark.parametrize(("count", "left"), [(1, 1.0), (4, 0.0), (8, 0.0)])
def test_an_error_in_one_direction_cancels(count: int, left: float) -> None:
    square = seeded(3, 9, 9)
    mean = answer(ensemble_mean(count, square, brighter_to_the_right), echo)
    assert float((mean - square).abs().max()) == pytest.approx(left, abs=1e-6)


@pytest.mark.parametrize(
    "step",
    [
        Denoise(self_ensemble=8),
        Denoise(mode="gaussian", sigma=10, self_ensemble=8),
        SuperResolve(realism=0, self_ensemble=8),
    ],
)
def test_all_orientations_are_asked_in_one_turn(step: Step) -> None:
    turns: Turns = []
    run(step, picture(random_pixels(40, 60)), model=echo, turns=turns)
    assert [len(turn) for turn in turns] == [8]
