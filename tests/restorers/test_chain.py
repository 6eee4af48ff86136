"""Chains: order, seeds, side files, and sizes known before any work."""

from dataclasses import replace
from typing import Any, get_args

import numpy as np
import pytest
from PIL import Image

from daemon.config.recipe import Recipe
from daemon.config.steps import Step
from daemon.messages.reports import Measure
from daemon.models.calls import DenoiseCall
from daemon.restorers.chain import footprint, output_size, restore
from daemon.restorers.registry import RESTORERS, restorer_for
from tests.support.answering import answer, echo, gaussian, picture, random_pixels


def recipe(*steps: dict[str, Any]) -> Recipe:
    return Recipe.model_validate({"name": "toy", "steps": steps})


def test_steps_follow_each_other_and_their_measures_name_them() -> None:
    chain = recipe(
        {"kind": "denoise", "mode": "gaussian", "sigma": 3},
        {"kind": "super-resolve", "realism": 0},
    )
    result = answer(restore(chain, (picture(random_pixels(10, 12)),), 5), echo)
    assert result.pictures[0].pixels.shape == (20, 24, 3)
    assert result.measures[0] == Measure(0, "sigma", 3)
    assert (result.measures[1].step, result.measures[1].name) == (1, "residual")


def test_every_kind_of_step_has_its_restorer() -> None:
    kinds = {kind for kind, use in RESTORERS}
    known = {step.model_fields["kind"].default for step in get_args(get_args(Step)[0])}
    assert kinds == known
    assert all(callable(restorer_for(kind)) for kind in kinds - {"generate"})


def noises(chain: Recipe, seed: int, count: int = 1) -> list[np.ndarray]:
    """What the network saw first of each picture, one array a call."""
    turns: list[list[DenoiseCall]] = []
    pictures = tuple(picture(np.full((32, 32, 3), 128, np.uint8)) for _ in range(count))
    answer(restore(chain, pictures, seed), gaussian(0, 0.1), turns)
    return [call.x_t.numpy() for turn in turns for call in turn]


def test_noise_depends_on_the_seed_and_the_step() -> None:
    chain = recipe(*[{"kind": "restyle", "strength": 1, "steps": 1}] * 2)
    (first, second), again, other = noises(chain, 0), noises(chain, 0), noises(chain, 1)
    assert np.array_equal(first, again[0])
    assert abs(float((first * second).mean())) < 0.05
    assert abs(float((first * other[0]).mean())) < 0.05


def test_a_steps_own_seed_replaces_the_jobs_and_zero_is_a_seed() -> None:
    chain = recipe({"kind": "restyle", "strength": 1, "steps": 1, "seed": 0})
    assert np.array_equal(noises(chain, 1)[0], noises(chain, 2)[0])
    assert not np.array_equal(
        noises(chain, 1)[0], noises(recipe({"kind": "restyle", "strength": 1, "steps": 1}), 1)[0]
    )


def test_a_step_for_one_is_applied_to_each_frame_side_by_side_with_noise_of_its_own() -> None:
    chain = recipe({"kind": "restyle", "strength": 1, "steps": 1})
    first, second = noises(chain, 0, count=2)
    assert abs(float((first * second).mean())) < 0.05
    turns: list[list[DenoiseCall]] = []
    pair = (picture(random_pixels(8, 8)), picture(random_pixels(8, 8)))
    frames = recipe({"kind": "interpolate", "frames": 5, "steps": 2}, {"kind": "denoise"})
    result = answer(restore(frames, pair, 0), gaussian(0, 0.1), turns)
    assert len(result.pictures) == 5
    assert len(turns[-1]) == 5


def test_a_mask_waits_through_other_steps_until_it_is_used() -> None:
    pixels = random_pixels(16, 16)
    given = replace(picture(pixels), mask=np.zeros((16, 16), np.uint8))
    chain = recipe(
        {"kind": "super-resolve", "realism": 0}, {"kind": "restyle", "strength": 0.9, "steps": 2}
    )
    result = answer(restore(chain, (given,), 0), echo).pictures[0]
    back = np.asarray(Image.fromarray(result.pixels).reduce(2)).astype(int)
    assert np.median(np.abs(back - pixels)) <= 1


@pytest.mark.parametrize(
    ("steps", "size"),
    [
        ([{"kind": "denoise"}], (30, 20)),
        ([{"kind": "super-resolve", "scale": 3}], (90, 60)),
        ([{"kind": "super-resolve"}, {"kind": "super-resolve", "scale": 4}], (240, 160)),
        ([{"kind": "colorize"}, {"kind": "restyle", "strength": 0.1}], (30, 20)),
    ],
)
def test_the_size_of_the_result_is_known_beforehand(
    steps: list[dict[str, Any]], size: tuple[int, int]
) -> None:
    chain = recipe(*steps)
    result = answer(restore(chain, (picture(random_pixels(20, 30)),), 0), echo)
    assert result.pictures[0].pixels.shape[1::-1] == size
    assert output_size(chain, 30, 20) == size


@pytest.mark.parametrize("size", [(2000, 30), (1, 1), (100, 700)])
@pytest.mark.parametrize("sweep", [[0.5], [0.1, 0.2, 0.3, 0.4, 0.5]])
def test_the_size_of_a_sheet_is_known_beforehand(size: tuple[int, int], sweep: list[float]) -> None:
    chain = recipe({"kind": "restyle", "sweep": sweep, "steps": 1})
    pixels = random_pixels(size[1], size[0])
    result = answer(restore(chain, (picture(pixels),), 0), echo)
    assert result.pictures[0].pixels.shape[1::-1] == output_size(chain, *size)


def test_the_footprint_of_a_hundred_megapixels_stays_under_four_gigabytes() -> None:
    hundred = ((10000, 10000),)
    assert 10**9 < footprint(recipe({"kind": "denoise"}), hundred) < 4 * 10**9
    assert footprint(recipe({"kind": "denoise"}), ((100, 100),)) < 10**7
    assert footprint(recipe({"kind": "super-resolve"}), ((1000, 1000),)) > footprint(
        recipe({"kind": "denoise"}), ((1000, 1000),)
    )
