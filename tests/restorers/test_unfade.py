"""Unfade: what dyes and paper have lost comes back, and nothing is ruined on the way."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from skimage import data

from daemon.config.steps import Unfade
from daemon.photo import Picture
from daemon.restorers.dye_fading import faded
from daemon.restorers.interface import Restoration
from tests.support.answering import Turns, picture, pixels_of, psnr, run
from tests.support.photographs import FADED


def half_size(name: str) -> NDArray[np.uint8]:
    whole: NDArray[np.uint8] = getattr(data, name)()
    return whole[::2, ::2]


def unfaded(given: Picture | NDArray[np.generic], step: Unfade | None = None) -> Restoration:
    """What becomes of a picture; no network is asked."""
    turns: Turns = []
    given = given if isinstance(given, Picture) else picture(given)
    result = run(step or Unfade(), given, model=lambda calls: [], turns=turns)
    assert turns == []
    return result


def tint(pixels: NDArray[np.generic]) -> float:
    """How far the means of the channels lie apart, in levels of 8 bits."""
    means = pixels.reshape(-1, 3).mean(0) * (255 / np.iinfo(pixels.dtype.name).max)
    return float(np.ptp(means))


@pytest.mark.parametrize(
    ("name", "gain"), [("astronaut", 12), ("coffee", 12), ("chelsea", 1), ("rocket", 8)]
)
def test_a_faded_photograph_comes_nearer_to_the_truth(name: str, gain: float) -> None:
    """Least the cat, in whose picture nothing is white: much of it is taken for stain."""
    truth = half_size(name)
    given = faded(truth, FADED)
    assert psnr(pixels_of(unfaded(given)), truth) > psnr(given, truth) + gain


@pytest.mark.parametrize(
    ("name", "least"), [("astronaut", 45), ("coffee", 36), ("chelsea", 23), ("rocket", 32)]
)
def test_a_photograph_that_has_not_faded_is_hardly_changed(name: str, least: float) -> None:
    truth = half_size(name)
    assert psnr(pixels_of(unfaded(truth)), truth) > least


def test_strength_goes_from_nothing_to_all() -> None:
    truth = half_size("coffee")
    given = faded(truth, FADED)
    results = [pixels_of(unfaded(given, Unfade(strength=s))) for s in (0, 0.3, 0.6, 1)]
    assert np.array_equal(results[0], given)
    near = [psnr(result, truth) for result in results]
    assert near == sorted(near)
    assert near[3] > near[1] + 3


def test_the_measures_say_what_was_undone() -> None:
    found = dict(unfaded(faded(half_size("astronaut"), FADED)).measures)
    assert list(found) == [
        f"{what}_{channel}"
        for what in ("contrast_left", "stain")
        for channel in ("red", "green", "blue")
    ]
    for channel, left, stain in zip(
        ("red", "green", "blue"), FADED.contrast, FADED.stain, strict=True
    ):
        assert found[f"contrast_left_{channel}"] == pytest.approx(left, abs=0.12)
        assert found[f"stain_{channel}"] == pytest.approx(stain, abs=0.05)


def test_sixteen_bits_stay_sixteen_and_agree_with_eight() -> None:
    given = faded(half_size("coffee"), FADED)
    deep = given.astype(np.uint16) * 257
    result = pixels_of(unfaded(deep))
    assert result.dtype == np.uint16
    assert (
        np.abs(result.astype(float) / 257 - pixels_of(unfaded(given)).astype(float)).max()
        <= 0.5 + 1e-6
    )


def test_grey_gets_contrast_and_stays_grey() -> None:
    truth = half_size("astronaut")[..., 1].repeat(3).reshape(256, 256, 3)
    given = faded(truth, FADED.without_cast())
    result = unfaded(picture(given, grey=True))
    pixels = pixels_of(result)
    assert result.pictures[0].grey
    assert np.array_equal(pixels[..., 0], pixels[..., 1])
    assert np.array_equal(pixels[..., 0], pixels[..., 2])
    assert psnr(pixels, truth) > psnr(given, truth) + 8


def test_without_cast_the_tint_of_a_sepia_print_stays() -> None:
    grey = half_size("astronaut")[..., 1].astype(float)
    sepia = np.stack((60 + 0.65 * grey, 50 + 0.6 * grey, 40 + 0.5 * grey), 2).astype(np.uint8)
    with_tint, without = (pixels_of(unfaded(sepia, Unfade(cast=cast))) for cast in (False, True))
    assert tint(sepia) == pytest.approx(34, abs=3)
    assert tint(with_tint) > tint(sepia)
    assert tint(without) < 0.6 * tint(with_tint)
    assert with_tint.std() > 1.2 * sepia.std()


@pytest.mark.parametrize("level", [0, 5, 250])
def test_the_border_of_a_scan_does_not_count(level: int) -> None:
    given = faded(half_size("coffee"), FADED)
    framed = np.pad(given, ((20, 30), (25, 15), (0, 0)), constant_values=level)
    inner = pixels_of(unfaded(framed))[20:-30, 25:-15]
    assert np.abs(inner.astype(int) - pixels_of(unfaded(given))).mean() < 1


def test_what_is_transparent_does_not_count_and_alpha_stays() -> None:
    given = faded(half_size("coffee"), FADED)
    alpha = np.full(given.shape[:2], 255, np.uint8)
    alpha[:, :80] = 0
    results = []
    for hidden in ((0, 255, 0), (255, 0, 255)):
        given[:, :80] = hidden
        result = unfaded(replace(picture(given), alpha=alpha))
        assert result.pictures[0].alpha is alpha
        results.append(pixels_of(result)[:, 80:])
    assert np.array_equal(results[0], results[1])
    nothing = replace(picture(given), alpha=np.zeros_like(alpha))
    assert np.array_equal(pixels_of(unfaded(nothing)), given)


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (700, 2), (30, 30)])
@pytest.mark.parametrize("level", [0, 90, 255])
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_a_picture_without_contrast_stays_and_a_note_says_so(
    size: tuple[int, int], level: int, dtype: str
) -> None:
    given = np.full((*size, 3), level, dtype)
    result = unfaded(given)
    assert np.array_equal(pixels_of(result), given)
    assert result.measures == ()
    assert "no contrast" in result.notes[0]


@pytest.mark.parametrize("seed", range(8))
def test_tones_keep_their_order_and_few_pixels_become_white(seed: int) -> None:
    rng = np.random.default_rng(seed)
    low, high = sorted(rng.uniform(0, 255, 2))
    given = rng.uniform(low, high, (60, 60, 3)) ** rng.uniform(0.7, 1, 3)
    pixels = np.rint(given).astype(np.uint8)
    result = pixels_of(unfaded(pixels))
    for channel in range(3):
        order = np.argsort(pixels[..., channel], axis=None)
        rising = result[..., channel].ravel()[order].astype(int)
        assert (np.diff(rising) >= 0).all()
        turned = (result[..., channel] == 255) & (pixels[..., channel] < 255)
        assert turned.mean() < 0.02


def test_strong_colours_that_are_real_stay() -> None:
    """An evening: red sky, black below, a little white; autocontrast would make it grey-blue."""
    sky = np.linspace(0, 1, 160)[:, None, None] ** np.array((0.5, 1.2, 2.5))
    evening = np.rint(255 * sky * np.ones((160, 240, 3))).astype(np.uint8)
    evening[120:] //= 12
    evening[60:64, 100:104] = 255
    result = pixels_of(unfaded(evening))
    assert tint(result) > 0.7 * tint(evening)


def test_a_large_photograph_is_measured_as_a_small_copy_of_it_is() -> None:
    given = faded(half_size("coffee"), FADED)
    large = given.repeat(6, 0).repeat(6, 1)
    small, big = (unfaded(one) for one in (given, large))
    for (name, value), (_, other) in zip(small.measures, big.measures, strict=True):
        assert value == pytest.approx(other, abs=0.04), name
