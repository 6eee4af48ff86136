"""Orientations: each is undone exactly, and means over them cancel what hangs on the direction."""

from itertools import combinations

import pytest
import torch
from skimage import data
from torch import Tensor

from daemon.checkpoints.library import Library
from daemon.config.recipe import Recipe
from daemon.config.steps import BaseStep, Denoise, SuperResolve
from daemon.diffusion.noise import Noise
from daemon.diffusion.self_ensemble import TRANSFORMS, ensemble_mean
from daemon.models.calls import DenoiseCall, ModelCalls
from daemon.restorers.chain import footprint
from daemon.restorers.denoise import denoise
from daemon.restorers.registry import Restorer, check_models
from daemon.restorers.super_resolve import super_resolve
from daemon.system.errors import ConfigError
from tests.support.answering import answer, echo, picture, psnr, random_pixels, real, seeded
from tests.support.checkpoints import tiny_folder


def test_the_eight_ways_to_lie_differ_and_each_is_undone() -> None:
    square = seeded(3, 5, 5)
    laid = [transform.apply(square) for transform in TRANSFORMS]
    assert len(laid) == 8
    assert not any(torch.equal(one, other) for one, other in combinations(laid, 2))
    oblong = seeded(3, 4, 7)
    for transform in TRANSFORMS:
        there = transform.apply(oblong)
        assert there.shape[1:] == ((7, 4) if transform.quarter_turns % 2 else (4, 7))
        assert torch.equal(transform.undo(there), oblong)


def drifted(laid: Tensor) -> ModelCalls[Tensor]:
    """Makes a picture brighter towards its right: an error that hangs on the direction."""
    yield []
    return laid + torch.linspace(-1, 1, laid.shape[2])


@pytest.mark.parametrize(("count", "left"), [(1, 1.0), (4, 0.0), (8, 0.0)])
def test_an_error_in_one_direction_cancels(count: int, left: float) -> None:
    square = seeded(3, 9, 9)
    mean = answer(ensemble_mean(count, square, drifted), echo)
    assert float((mean - square).abs().max()) == pytest.approx(left, abs=1e-6)


@pytest.mark.parametrize(
    ("restorer", "step"),
    [
        (denoise, Denoise(self_ensemble=8)),
        (denoise, Denoise(mode="gaussian", sigma=10, self_ensemble=8)),
        (super_resolve, SuperResolve(realism=0, self_ensemble=8)),
    ],
)
def test_all_ways_are_asked_in_one_turn(restorer: Restorer, step: BaseStep) -> None:
    turns: list[list[DenoiseCall]] = []
    answer(restorer((picture(random_pixels(40, 60)),), step, Noise(0)), echo, turns)
    assert [len(turn) for turn in turns] == [8]


@pytest.mark.parametrize(("mode", "gain_db"), [("gaussian", 0.1), ("blind", 0.1)])
def test_the_mean_of_eight_ways_is_nearer_to_a_real_photograph(mode: str, gain_db: float) -> None:
    truth = data.astronaut()[20:180, 150:310]
    noise = 25 * seeded(160, 160, 3).numpy()
    given = picture((truth + noise).round().clip(0, 255).astype("uint8"))
    plain, ensemble = (
        answer(denoise((given,), step, Noise(0)), real).pictures[0].pixels
        for step in (
            Denoise.model_validate({"mode": mode, "sigma": 25.0, "self_ensemble": count})
            for count in (1, 8)
        )
    )
    assert psnr(ensemble, truth) > psnr(plain, truth) + gain_db


def test_an_enlargement_of_eight_ways_is_nearer_and_still_bound() -> None:
    truth = data.chelsea()[60:220, 130:290]
    given = picture(truth[::2, ::2])
    plain, ensemble = (
        answer(
            super_resolve((given,), SuperResolve(realism=0, self_ensemble=count), Noise(0)), real
        )
        for count in (1, 8)
    )
    assert psnr(ensemble.pictures[0].pixels, truth) > psnr(plain.pictures[0].pixels, truth)
    assert dict(ensemble.measures)["residual"] < 0.5


@pytest.mark.parametrize(
    ("several", "one", "times"),
    [
        ({"kind": "denoise", "self_ensemble": 8}, {"kind": "denoise"}, 8),
        ({"kind": "inpaint", "find": True}, {"kind": "inpaint"}, 4),
        ({"kind": "inpaint", "realism": 0.5}, {"kind": "inpaint"}, 4),
    ],
)
def test_the_memory_of_states_side_by_side_is_counted(
    several: dict[str, object], one: dict[str, object], times: int
) -> None:
    needed = [
        footprint(Recipe.model_validate({"name": "x", "steps": [step]}), ((1000, 1000),))
        for step in (one, several)
    ]
    assert needed[1] > 0.9 * times * needed[0]


@pytest.mark.parametrize(
    ("kind", "folder"),
    [("denoise", "stable-1"), ("super-resolve", "stable-1"), ("super-resolve", "pixel-v")],
)
def test_a_model_without_a_posterior_mean_in_one_evaluation_refuses_it(
    kind: str, folder: str
) -> None:
    step = {"kind": kind, "model": str(tiny_folder(folder)), "self_ensemble": 8}
    with pytest.raises(ConfigError, match="knows no self_ensemble"):
        check_models([Recipe.model_validate({"name": "odd", "steps": [step]})], Library())
