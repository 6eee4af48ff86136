"""Scratch search: scratches on even ground are found, texture and whole photographs are not."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from pydantic import ValidationError
from skimage import data

from daemon.config.steps import Inpaint
from daemon.restorers.scratch_search import (
    Candidates,
    candidates,
    change_contrast,
    find_scratches,
)
from tests.support.answering import (
    Turns,
    answer,
    echo,
    picture,
    pixels_of,
    psnr,
    random_pixels,
    real,
    recipe_of,
    run,
)
from tests.support.photographs import cracked_print

FIND = Inpaint(find=True)

DOUBTED = np.full((100, 100), 0.5, np.float32)
"""The damage network knows nothing either way."""

DARK = np.full((100, 100), 40, np.float32)
"""Ground on which every patch of a change is drawn brighter."""


def patches(field: NDArray[np.float32], probability: NDArray[np.float32] = DOUBTED) -> Candidates:
    """Candidates of a change that makes visible marks darker."""
    return candidates(field, probability, np.where(field > 0, 200, DARK))


def even(height: int, width: int) -> NDArray[np.uint8]:
    """Even ground, a little of a slope and of grain."""
    slope = np.linspace(90, 150, width)[None, :, None]
    grain = np.random.default_rng(0).normal(0, 1.5, (height, width, 3))
    return (slope + grain).round().astype(np.uint8)


def scratched(
    truth: NDArray[np.uint8], level: int, width: int = 2
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """A line across the picture, and where it is."""
    layer = Image.new("L", truth.shape[1::-1])
    ends = (0.1 * layer.width, 0.2 * layer.height, 0.9 * layer.width, 0.7 * layer.height)
    ImageDraw.Draw(layer).line(ends, fill=255, width=width)
    lost = np.asarray(layer) > 0
    return np.where(lost[..., None], np.uint8(level), truth), lost


@pytest.mark.parametrize(("level", "tone"), [(240, "bright"), (10, "dark")])
def test_a_scratch_on_even_ground_is_found_and_filled_in(level: int, tone: str) -> None:
    truth = even(160, 224)
    damaged, lost = scratched(truth, level)
    result = run(FIND, picture(damaged))
    assert psnr(result.pictures[0].pixels, truth) > psnr(damaged, truth) + 8
    assert lost.mean() <= dict(result.measures)["filled"] < 4 * lost.mean()
    other = "dark" if tone == "bright" else "bright"
    for asked, least, most in ((tone, 0.9, 1.0), (other, 0.0, 0.1)):
        step = Inpaint.model_validate({"find": True, "tone": asked})
        mask = answer(find_scratches(picture(damaged), step), real) > 0
        assert least <= mask[lost].mean() <= most


def test_a_wide_scratch_is_found_in_the_reduced_picture() -> None:
    truth = even(480, 960)
    damaged, lost = scratched(truth, 240, width=5)
    step = Inpaint(find=True, tone="bright")
    assert (answer(find_scratches(picture(damaged), step), real) > 0)[lost].mean() > 0.9


@pytest.mark.parametrize("name", ["astronaut", "chelsea", "coffee", "rocket"])
def test_a_whole_photograph_stays_as_it_is(name: str) -> None:
    pixels = np.asarray(Image.fromarray(getattr(data, name)()).reduce(2))
    result = run(FIND, picture(pixels))
    assert np.array_equal(result.pictures[0].pixels, pixels)


def test_an_even_picture_asks_only_for_the_search_and_a_note_says_that_nothing_was_found() -> None:
    turns: Turns = []
    pixels = even(40, 50)
    result = run(FIND, picture(pixels), model=echo, turns=turns)
    assert [len(turn) for turn in turns] == [1, 4, 4]
    assert np.array_equal(result.pictures[0].pixels, pixels)
    assert result.notes == ("no scratches were found",)
    assert dict(result.measures) == {"filled": 0}


def test_the_mask_alone_is_a_grey_picture_of_what_would_be_filled_in() -> None:
    damaged, lost = scratched(even(160, 224), 240)
    step = Inpaint(find=True, mask_only=True)
    mask = run(step, picture(damaged)).pictures[0]
    assert mask.grey and mask.mask is None and mask.pixels.dtype == np.uint8
    assert set(np.unique(mask.pixels)) == {0, 255}
    assert (np.asarray(mask.pixels[..., 0], np.uint8) > 0)[lost].mean() > 0.9


def test_a_mask_that_is_given_is_used_and_no_search_is_made() -> None:
    damaged, _ = scratched(even(64, 96), 240)
    given = np.zeros((64, 96), np.uint8)
    given[:8, :8] = 255
    turns: Turns = []
    step = Inpaint(find=True, steps=2)
    photograph = replace(picture(damaged), mask=given)
    result = run(step, photograph, turns=turns)
    assert np.array_equal(result.pictures[0].pixels[given == 0], damaged[given == 0])
    assert all(call.condition is None for turn in turns for call in turn)


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("size", [(1, 1), (2, 5), (17, 1)])
def test_the_smallest_pictures_pass(size: tuple[int, int], dtype: str) -> None:
    pixels = random_pixels(*size, dtype)
    result = run(FIND, picture(pixels)).pictures[0].pixels
    assert result.shape == pixels.shape and result.dtype == dtype


def contrast(*patches: tuple[slice, slice, float]) -> NDArray[np.float32]:
    field = np.zeros((100, 100), np.float32)
    for rows, columns, value in patches:
        field[rows, columns] = value
    return field


def test_a_large_even_patch_is_likelier_damage_than_a_small_or_peaked_one() -> None:
    line = (slice(10, 12), slice(5, 95), 8.0)
    dot = (slice(50, 51), slice(50, 52), 8.0)
    likely = patches(contrast(line, dot)).probability()
    assert likely[0] > 0.9 and likely[1] < 0.7
    peaked = patches(contrast(line, (slice(10, 11), slice(20, 21), 80.0))).probability()
    assert peaked[0] < likely[0] - 0.2


def test_a_patch_is_likelier_damage_if_the_damage_network_says_so() -> None:
    line = contrast((slice(10, 12), slice(5, 40), 4.5))
    doubted, said, denied = (
        patches(line, np.full_like(line, p)).probability()[0] for p in (0.5, 0.95, 0.02)
    )
    assert denied < doubted - 0.1 < said - 0.2


def test_what_is_as_thick_as_it_is_long_is_no_scratch() -> None:
    found = patches(contrast((slice(10, 60), slice(10, 60), 8.0)))
    assert found.probability().tolist() == [0]
    assert not found.damage(0.5).any()


def test_a_change_beside_a_scratch_of_the_other_tone_is_no_damage() -> None:
    """The rim of a dark scratch is as light as the ground, though lighter than the mean there."""
    light = np.full((100, 100), 120, np.float32)
    light[50:54] = 10
    rim = contrast((slice(54, 55), slice(5, 95), 8.0))
    assert candidates(rim, DOUBTED, light).probability().tolist() == [0]
    light[54, 5:95] = 160
    assert candidates(rim, DOUBTED, light).probability()[0] > 0.9


def test_a_crack_that_the_prior_would_not_change_is_found_on_a_print_of_one_tone_only() -> None:
    whole, damaged, where = cracked_print()
    cracks = answer(find_scratches(picture(damaged), FIND), real) > 0
    assert cracks[where].mean() > 0.5
    assert psnr(pixels_of(run(FIND, picture(damaged))), whole) > psnr(damaged, whole) + 3
    colours = np.array([(1, 0.3, 0.6), (0.4, 1, 0.8)])[np.arange(len(damaged)) // 8 % 2][:, None]
    coloured = picture(np.rint(damaged * colours).astype(np.uint8))
    assert (answer(find_scratches(coloured, FIND), real) > 0)[where].mean() < 0.1


@pytest.mark.parametrize("key", ["sensitivity", "tone", "mask_only"])
def test_keys_of_the_search_need_find(key: str) -> None:
    said = {"sensitivity": 0.5, "tone": "dark", "mask_only": True}[key]
    with pytest.raises(ValidationError, match=f"{key} needs find = true"):
        Inpaint.model_validate({key: said})
    Inpaint.model_validate({key: said, "find": True})


def test_a_photograph_waits_for_its_mask_only_if_nothing_is_searched() -> None:
    waits, searches = (recipe_of({"kind": "inpaint", "find": find}) for find in (False, True))
    assert (waits.needs_mask, searches.needs_mask) == (True, False)
    assert waits.side_files == searches.side_files == ("mask",)


def test_a_large_change_does_not_pass_for_usual() -> None:
    def most(level: float) -> float:
        seen = torch.zeros(3, 64, 64)
        seen[:, 30:32] = level
        found = answer(
            change_contrast(seen, "prior", grey=False),
            lambda calls: [torch.zeros_like(call.x_t) for call in calls],
        )
        return float(found.max())

    assert most(0.8) > 1.8 * most(0.4)
