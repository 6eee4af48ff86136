"""Restyle: strength, mask and sweep."""

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from PIL import Image
from skimage import data

from daemon.config.steps import Restyle
from daemon.photo import Picture
from daemon.restorers.restyle import sigma_levels, sweep_labels
from daemon.restorers.sweep_sheet import sheet_size
from tests.support.answering import (
    Turns,
    echo,
    gaussian,
    picture,
    pixels_of,
    psnr,
    random_pixels,
    restored,
    run,
)
from tests.support.photographs import photograph


def masked(given: Picture, mask: np.ndarray) -> Picture:
    return replace(given, mask=mask)


def test_strength_zero_keeps_every_pixel_and_asks_nothing() -> None:
    given = picture(random_pixels(20, 30))
    turns: Turns = []
    result = run(Restyle(strength=0), given, model=echo, turns=turns)
    assert np.array_equal(result.pictures[0].pixels, given.pixels)
    assert turns == []


def test_the_run_goes_from_the_strengths_angle_down_in_its_steps() -> None:
    turns: Turns = []
    step = Restyle(strength=0.4, steps=5, spacing="even")
    result = run(step, picture(random_pixels(20, 30)), model=echo, turns=turns)
    angles = [call.t for turn in turns for call in turn]
    assert angles == pytest.approx([0.2 * math.pi * k / 5 for k in (5, 4, 3, 2, 1)])
    assert dict(result.measures)["sigma"] == pytest.approx(127.5 * math.tan(0.2 * math.pi))


def test_most_steps_lie_where_there_is_little_noise() -> None:
    turns: Turns = []
    run(Restyle(strength=0.4, steps=5), picture(random_pixels(20, 30)), model=echo, turns=turns)
    angles = [call.t for turn in turns for call in turn]
    assert angles == pytest.approx([0.2 * math.pi * (k / 5) ** 1.5 for k in (5, 4, 3, 2, 1)])


def test_full_strength_forgets_the_picture() -> None:
    step = Restyle(strength=1, steps=4)
    one, other = (
        restored(step, pixels, model=gaussian(0, 0.3))
        for pixels in (random_pixels(20, 30), np.zeros((20, 30, 3), np.uint8))
    )
    assert np.array_equal(one, other)


def test_a_stronger_restyle_moves_further_from_a_real_photograph() -> None:
    given = data.coffee()[100:228, 200:328]
    results = [restored(Restyle(strength=s, steps=8), given) for s in (0.1, 0.3, 0.5, 0.8)]
    assert all(less > more + 1 for less, more in pairwise(psnr(one, given) for one in results))


def test_strokes_lose_their_edges() -> None:
    whole = Image.fromarray(data.rocket()[230:390, 250:410])
    strokes = np.asarray(whole.resize((20, 20)).resize((160, 160), Image.Resampling.NEAREST))
    result = restored(Restyle(), strokes)

    def edge(pixels: np.ndarray) -> float:
        steps = np.abs(np.diff(pixels.astype(float), axis=1))
        return float(steps[:, 7::8].mean() / steps.mean())

    assert edge(strokes) == pytest.approx(8.0, abs=0.5)
    assert edge(result) < 3


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("size", [(40, 50), (10, 7), (200, 100)])
def test_outside_the_mask_nothing_changes_whatever_the_masks_size(
    size: tuple[int, int], dtype: str
) -> None:
    given = picture(random_pixels(40, 50, dtype))
    mask = np.zeros(size, np.uint8)
    mask[:, : size[1] // 2] = 255
    step = Restyle(strength=0.6, steps=3)
    result = run(step, masked(given, mask), model=gaussian(0, 0.1))
    pixels = result.pictures[0].pixels
    assert np.array_equal(pixels[:, 35:], given.pixels[:, 35:])
    moved = np.abs(pixels[:, :15].astype(float) - given.pixels[:, :15])
    assert moved.mean() > 0.1 * np.iinfo(dtype).max
    assert result.pictures[0].mask is None


def test_the_network_sees_the_kept_part_with_the_noise_of_the_rest() -> None:
    given = masked(picture(np.full((32, 32, 3), 255, np.uint8)), np.zeros((32, 32), np.uint8))
    turns: Turns = []
    run(Restyle(strength=0.5, steps=4), given, model=gaussian(-1, 0.1), turns=turns)
    for call in (call for turn in turns for call in turn):
        assert float(call.x_t.mean()) == pytest.approx(math.cos(call.t), abs=0.06)
        assert float(call.x_t.std()) == pytest.approx(math.sin(call.t), rel=0.06)


def test_a_recipe_may_leave_the_mask_unused() -> None:
    given = masked(picture(random_pixels(20, 20)), np.zeros((20, 20), np.uint8))
    step = Restyle(strength=0.6, steps=3, mask=False)
    result = run(step, given, model=gaussian(0, 0.1))
    assert not np.array_equal(result.pictures[0].pixels, given.pixels)


def test_a_sweep_is_one_sheet_with_the_original_and_every_strength() -> None:
    given = picture(random_pixels(120, 160))
    step = Restyle(sweep=(0.2, 0.5, 0.9), steps=2)
    turns: Turns = []
    (sheet,) = run(step, given, model=gaussian(0, 0.1), turns=turns).pictures
    width, height = sheet_size(160, 120, sweep_labels(step))
    assert sheet.pixels.shape == (height, width, 3)
    assert [len(turn) for turn in turns] == [3, 3]
    windows = np.lib.stride_tricks.sliding_window_view(sheet.pixels[:, :, 0], (120, 160))
    panels = np.argwhere((windows[:, :, :4, :4] == given.pixels[:4, :4, 0]).all((2, 3)))
    assert any(np.array_equal(windows[y, x], given.pixels[:, :, 0]) for y, x in panels)


def test_labels_name_strength_and_noise_level() -> None:
    labels = sweep_labels(Restyle(sweep=(0.25, 0.6)))
    assert labels == ["original", "strength 0.25, sigma 53", "strength 0.6, sigma 175"]
    assert sigma_levels(1.0) == 1e6


@pytest.mark.parametrize("size", [(1, 1), (3, 2)])
def test_the_smallest_pictures_pass(size: tuple[int, int]) -> None:
    step = Restyle(steps=2)
    result = run(step, picture(random_pixels(*size)))
    assert result.pictures[0].pixels.shape == (*size, 3)


def test_grey_stays_grey() -> None:
    given = picture(data.camera()[100:132, 100:132])
    result = run(Restyle(steps=3), given).pictures[0]
    assert np.ptp(result.pixels, axis=2).max() == 0


def test_restyle_keeps_more_the_less_strength_it_has() -> None:
    pixels = photograph(96)
    results = [restored(Restyle(strength=s), pixels) for s in (0, 0.1, 0.3, 0.7)]
    assert np.array_equal(results[0], pixels)
    kept = [psnr(result, pixels) for result in results[1:]]
    assert kept[0] > kept[1] > kept[2]


def test_a_mask_of_half_the_size_is_fitted_and_what_it_keeps_is_untouched() -> None:
    pixels = photograph(96)
    mask = np.zeros((48, 48), np.uint8)
    mask[:, 24:] = 255
    result = pixels_of(run(Restyle(strength=0.6), masked(picture(pixels), mask)))
    assert np.array_equal(result[:, :40], pixels[:, :40])
    assert psnr(result[:, 56:], pixels[:, 56:]) < 40


def test_a_sheet_is_larger_than_its_panels() -> None:
    sheet = restored(Restyle(sweep=(0.2, 0.5, 0.8)), photograph(96))
    assert sheet.shape[0] * sheet.shape[1] > 4 * 96 * 96
