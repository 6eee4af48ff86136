"""Recipes, applied: the order of steps, seeds, and side files."""

from dataclasses import replace

import numpy as np
from PIL import Image

from daemon.config.output import Output
from daemon.config.recipe import Recipe
from daemon.messages.reports import Measure
from daemon.restorers.chain import restore
from daemon.restorers.footprint import output_size
from tests.support.answering import (
    Turns,
    answer,
    echo,
    gaussian,
    picture,
    random_pixels,
    real,
    recipe_of,
)
from tests.support.photographs import photograph

ONE_STEP = {"kind": "restyle", "strength": 1, "steps": 1}
"""Starts from noise alone."""


def noises(chain: Recipe, seed: int, count: int = 1) -> list[np.ndarray]:
    """What the network saw first of each picture, one array a call."""
    turns: Turns = []
    pictures = tuple(picture(np.full((32, 32, 3), 128, np.uint8)) for _ in range(count))
    answer(restore(chain, pictures, seed), gaussian(0, 0.1), turns)
    return [call.x_t.numpy() for turn in turns for call in turn]


def test_steps_follow_each_other_and_their_measures_name_them() -> None:
    chain = recipe_of(
        {"kind": "denoise", "mode": "gaussian", "sigma": 3},
        {"kind": "super-resolve", "realism": 0},
    )
    result = answer(restore(chain, (picture(random_pixels(10, 12)),), 5), echo)
    assert result.pictures[0].pixels.shape == (20, 24, 3)
    assert result.measures[0] == Measure(0, "sigma", 3)
    assert (result.measures[1].step, result.measures[1].name) == (1, "residual")


def test_noise_depends_on_the_seed_and_the_step() -> None:
    chain = recipe_of(ONE_STEP, ONE_STEP)
    (first, second), again, other = noises(chain, 0), noises(chain, 0), noises(chain, 1)
    assert np.array_equal(first, again[0])
    assert abs(float((first * second).mean())) < 0.05
    assert abs(float((first * other[0]).mean())) < 0.05


def test_a_steps_own_seed_replaces_the_jobs_and_zero_is_a_seed() -> None:
    chain = recipe_of({**ONE_STEP, "seed": 0})
    assert np.array_equal(noises(chain, 1)[0], noises(chain, 2)[0])
    assert not np.array_equal(noises(chain, 1)[0], noises(recipe_of(ONE_STEP), 1)[0])


def test_a_step_for_one_photograph_is_applied_to_each_frame_at_once_with_noise_of_its_own() -> None:
    chain = recipe_of(ONE_STEP)
    first, second = noises(chain, 0, count=2)
    assert abs(float((first * second).mean())) < 0.05
    turns: Turns = []
    pair = (picture(random_pixels(8, 8)), picture(random_pixels(8, 8)))
    frames = recipe_of({"kind": "interpolate", "frames": 5, "steps": 2}, {"kind": "denoise"})
    result = answer(restore(frames, pair, 0), gaussian(0, 0.1), turns)
    assert len(result.pictures) == 5
    assert len(turns[-1]) == 5


def test_an_output_of_16_bits_is_worked_on_in_16_bits() -> None:
    pixels = random_pixels(12, 10)
    given = replace(picture(pixels), alpha=np.full((12, 10), 200, np.uint8))
    steps = {"kind": "unfade", "strength": 0.5}
    deep = recipe_of(steps).model_copy(update={"output": Output(depth=16)})
    (result,) = answer(restore(deep, (given,), 5), echo).pictures
    assert result.pixels.dtype == np.uint16
    assert (result.pixels % 257 != 0).any()
    assert result.alpha is not None
    assert (result.alpha == 200 * 257).all()


def test_a_mask_stays_with_its_photograph_until_a_step_uses_it() -> None:
    pixels = random_pixels(16, 16)
    given = replace(picture(pixels), mask=np.zeros((16, 16), np.uint8))
    chain = recipe_of(
        {"kind": "super-resolve", "realism": 0}, {"kind": "restyle", "strength": 0.9, "steps": 2}
    )
    result = answer(restore(chain, (given,), 0), echo).pictures[0]
    back = np.asarray(Image.fromarray(result.pixels).reduce(2)).astype(int)
    assert np.median(np.abs(back - pixels)) <= 1


def test_two_steps_on_a_real_photograph_give_the_predicted_size_and_measures() -> None:
    recipe = recipe_of(
        {"kind": "denoise", "mode": "gaussian"}, {"kind": "super-resolve", "scale": 3}
    )
    result = answer(restore(recipe, (picture(photograph(40)),), 7), real)
    assert result.pictures[0].pixels.shape == (120, 120, 3)
    assert output_size(recipe, 40, 40) == (120, 120)
    assert [(m.step, m.name) for m in result.measures] == [(0, "sigma"), (1, "residual")]


def test_a_step_that_is_not_needed_is_left_out_and_told() -> None:
    quiet = picture(photograph(64))
    chain = recipe_of(
        {"kind": "super-resolve", "when": {"grey": True}},
        {"kind": "denoise", "when": [{"noise_above": 40}, {"grey": True}]},
    )
    result = answer(restore(chain, (quiet,), 0), echo)
    assert result.pictures[0].pixels is quiet.pixels
    assert result.pictures[0].metadata.untouched_by == {0, 1}
    first, second = result.notes
    assert first.startswith("super-resolve was not needed: ")
    assert " levels of noise, not above 40 and " in second
    names = [(measure.step, measure.name) for measure in result.measures]
    assert names == [(0, "colour"), (1, "noise"), (1, "colour")]


def test_a_step_that_is_needed_runs_and_its_measures_stay() -> None:
    grey = picture(random_pixels(24, 24)[:, :, 0])
    chain = recipe_of({"kind": "super-resolve", "when": {"grey": True}}, {"kind": "denoise"})
    result = answer(restore(chain, (grey,), 0), echo)
    assert result.pictures[0].pixels.shape == (48, 48, 3)
    assert result.measures[0] == Measure(0, "colour", 0)
    assert 0 not in result.pictures[0].metadata.untouched_by


def test_each_page_has_its_own_conditions() -> None:
    grey, colour = picture(random_pixels(24, 24)[:, :, 0]), picture(random_pixels(24, 24))
    chain = recipe_of({"kind": "super-resolve", "when": {"grey": True}})
    result = answer(restore(chain, (grey, colour), 0), echo)
    assert [one.pixels.shape for one in result.pictures] == [(48, 48, 3), (24, 24, 3)]
