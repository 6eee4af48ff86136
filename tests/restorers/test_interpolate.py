"""Interpolate: the round trip, the ends and what lies between."""

import math
from dataclasses import replace

import numpy as np
import pytest
from skimage import data

from daemon.config.steps import Interpolate
from daemon.diffusion.pixels import to_pixels, to_tensor
from daemon.photo import Picture
from daemon.restorers.interpolate import STEPS, fitted, invert, reconstruct
from tests.support.answering import (
    PRIOR_SPACE,
    Turns,
    answer,
    gaussian,
    picture,
    psnr,
    random_pixels,
    real,
    run,
)
from tests.support.photographs import photograph


def small_pair() -> tuple[Picture, Picture]:
    return picture(random_pixels(20, 20)), picture(random_pixels(20, 20))


@pytest.mark.parametrize("start", [math.pi / 4, 1.1])
@pytest.mark.parametrize(
    "pixels", [data.astronaut()[20:148, 160:288], data.coffee()[100:228, 200:328]]
)
def test_a_photograph_inverted_and_reconstructed_is_itself_at_38_db(
    start: float, pixels: np.ndarray
) -> None:
    latent = answer(invert(to_tensor(pixels), start, STEPS, PRIOR_SPACE), real)
    back = to_pixels(answer(reconstruct(latent, start, STEPS, PRIOR_SPACE), real), "uint8")
    assert psnr(back, pixels) > 38
    noise = (latent - math.cos(start) * to_tensor(pixels)) / math.sin(start)
    assert float(noise.std()) == pytest.approx(1, abs=0.2)


def test_inversion_is_asked_in_exact_arithmetic() -> None:
    turns: Turns = []
    run(Interpolate(frames=3), *small_pair(), model=gaussian(0, 0.3), turns=turns)
    assert {call.exact for turn in turns for call in turn} == {True}


def test_both_photographs_and_then_all_frames_are_asked_concurrently() -> None:
    turns: Turns = []
    run(Interpolate(frames=9, steps=3), *small_pair(), model=gaussian(0, 0.3), turns=turns)
    assert [len(turn) for turn in turns] == [2] * 3 + [7] * 4


def test_the_ends_are_the_photographs_themselves() -> None:
    first, second = random_pixels(24, 20), random_pixels(24, 20) // 2
    step = Interpolate(frames=4, steps=2)
    result = run(step, picture(first), picture(second))
    assert len(result.pictures) == 4
    assert np.array_equal(result.pictures[0].pixels, first)
    assert np.array_equal(result.pictures[-1].pixels, second)
    assert result.notes == ()


def test_frames_between_a_photograph_and_itself_are_that_photograph() -> None:
    given = picture(data.astronaut()[20:116, 170:266])
    result = run(Interpolate(frames=3), given, given)
    assert psnr(result.pictures[1].pixels, given.pixels) > 38


def test_frames_lead_from_one_photograph_to_the_other() -> None:
    first, second = data.coffee()[100:196, 200:296], data.chelsea()[60:156, 130:226]
    result = run(Interpolate(frames=5), picture(first), picture(second))
    near = [psnr(frame.pixels, first) for frame in result.pictures[1:]]
    far = [psnr(frame.pixels, second) for frame in result.pictures[:-1]]
    assert near == sorted(near, reverse=True)
    assert far == sorted(far)


def test_the_middle_keeps_the_detail_that_a_cross_fade_loses_and_the_mean_colour() -> None:
    first, second = data.coffee()[100:228, 200:328], data.chelsea()[60:188, 130:258]
    pair = (picture(first), picture(second))
    middle = run(Interpolate(frames=3), *pair).pictures[1].pixels

    def detail(pixels: np.ndarray) -> float:
        return float(np.abs(np.diff(pixels.astype(float), axis=1)).mean())

    fade = (first.astype(float) + second) / 2
    assert detail(middle) > 1.1 * detail(fade)
    assert np.abs(middle.mean((0, 1)) - fade.mean((0, 1))).max() < 4


def test_a_second_photograph_of_another_size_is_fitted_and_a_note_says_how() -> None:
    pair = (picture(random_pixels(30, 20)), picture(random_pixels(50, 80)))
    result = run(Interpolate(frames=3, steps=2), *pair)
    assert {frame.pixels.shape for frame in result.pictures} == {(30, 20, 3)}
    assert result.notes == (
        "the second photograph was fitted from 80x50 to 20x30: "
        "enlarged or reduced to fill, then cut",
    )


def test_opacity_changes_linearly_from_one_to_the_other() -> None:
    clear = replace(picture(random_pixels(8, 8)), alpha=np.full((8, 8), 55, np.uint8))
    opaque = picture(random_pixels(8, 8))
    frames = run(Interpolate(frames=3, steps=2), clear, opaque)
    found = [frame.alpha for frame in frames.pictures]
    assert [None if a is None else (int(a.min()), int(a.max())) for a in found] == [
        (55, 55), (155, 155), (255, 255),
    ]  # fmt: skip


def test_sixteen_bits_are_morphed_as_such_and_a_shallow_end_is_widened() -> None:
    deep = picture(random_pixels(8, 8, "uint16"))
    shallow = replace(picture(random_pixels(8, 16)), alpha=np.full((8, 16), 100, np.uint8))
    frames = run(Interpolate(frames=3, steps=2), deep, shallow)
    assert [frame.pixels.dtype for frame in frames.pictures] == [np.uint16] * 3
    assert np.array_equal(frames.pictures[0].pixels, deep.pixels)
    assert np.array_equal(
        frames.pictures[2].pixels, 257 * shallow.pixels[:, 4:12].astype(np.uint16)
    )
    found = [frame.alpha for frame in frames.pictures]
    assert [None if a is None else int(a.min()) for a in found] == [65535, 45618, 25700]


def test_fitting_fills_the_size_from_the_middle() -> None:
    pixels = np.zeros((10, 30, 3), np.uint8)
    pixels[:, 10:20] = 200
    assert np.asarray(fitted(pixels, 4, 4), float)[:, 1:3].min() > 195
    assert np.all(fitted(pixels, 30, 2)[:, :8] == 0)
    assert np.array_equal(fitted(pixels, 30, 10), pixels)


@pytest.mark.parametrize("strength", [0.0, 0.5, 1.0])
def test_one_pixel_and_any_strength_pass(strength: float) -> None:
    pair = (picture(random_pixels(1, 1)), picture(random_pixels(3, 2)))
    step = Interpolate(frames=3, strength=strength, steps=2)
    result = run(step, *pair)
    assert [frame.pixels.shape for frame in result.pictures] == [(1, 1, 3)] * 3


def test_two_grey_photographs_give_grey_frames_and_one_of_colour_does_not() -> None:
    grey, colour = picture(data.camera()[:32, :32]), picture(data.coffee()[:32, :32])
    step = Interpolate(frames=3, steps=2)
    assert run(step, grey, grey).pictures[1].grey
    mixed = run(step, grey, colour).pictures[1]
    assert not mixed.grey
    assert np.ptp(mixed.pixels, axis=2).max() > 0


def test_an_interpolation_begins_and_ends_with_the_photographs_and_is_no_cross_fade() -> None:
    first, second = photograph(96), photograph(96, 300, 100)
    frames = run(Interpolate(frames=5), picture(first), picture(second)).pictures
    assert len(frames) == 5
    assert np.array_equal(frames[0].pixels, first)
    assert np.array_equal(frames[-1].pixels, second)
    fade = (first.astype(float) + second) / 2
    assert psnr(frames[2].pixels, fade) < 35


def test_the_latent_of_a_photograph_is_noisy_and_reconstructs_it_at_35_db() -> None:
    pixels = photograph()
    latent = answer(invert(to_tensor(pixels), math.pi / 4, 12, PRIOR_SPACE), real)
    back = answer(reconstruct(latent, math.pi / 4, 12, PRIOR_SPACE), real)
    assert psnr(to_pixels(back, np.uint8), pixels) > 35
    assert float(latent.std()) > 0.5


def test_a_larger_second_photograph_is_fitted_and_a_note_says_so() -> None:
    result = run(Interpolate(frames=3), picture(photograph(64)), picture(photograph(96)))
    assert all(frame.pixels.shape == (64, 64, 3) for frame in result.pictures)
    assert "96x96 to 64x64" in result.notes[0]
