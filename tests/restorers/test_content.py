"""What is measured of a photograph's content: levels of colour and of noise."""

import io

import numpy as np
import pytest
import skimage.data
from numpy.typing import NDArray
from PIL import Image

from daemon.config.content_features import COLOUR, GREY_BELOW, NOISE, Feature, likeness_probability
from daemon.restorers.content import colour_level, footprint, measure_features
from tests.support.answering import answer, picture

Levels = NDArray[np.uint8]

PHOTOGRAPHS = ("astronaut", "chelsea", "coffee", "rocket")
"""In colour; rocket() is mostly black sky."""


def photograph(name: str) -> Levels:
    whole: Levels = getattr(skimage.data, name)()
    return whole


def scanned(levels: NDArray[np.float64]) -> Levels:
    """As a scanner gives it: noise in every channel, then JPEG with reduced colour."""
    noisy = levels + np.random.default_rng(0).normal(0, 6, levels.shape)
    file = io.BytesIO()
    Image.fromarray(noisy.round().clip(0, 255).astype(np.uint8)).save(file, "JPEG", quality=60)
    return np.asarray(Image.open(file))


def grey_of(name: str) -> NDArray[np.float64]:
    return np.asarray(Image.fromarray(photograph(name)).convert("L")) / 255.0


@pytest.mark.parametrize("name", PHOTOGRAPHS)
def test_a_photograph_in_colour_is_not_grey(name: str) -> None:
    assert colour_level(photograph(name)) > GREY_BELOW


@pytest.mark.parametrize("name", PHOTOGRAPHS)
def test_a_grey_sepia_or_cast_scan_is_grey(name: str) -> None:
    grey = grey_of(name)[..., None]
    sepia = 255 * np.concatenate([grey**0.75, grey**0.9, grey**1.25], 2)
    cast = 255 * grey * (1, 0.93, 0.8) + (5, 8, 0)
    assert colour_level(scanned(255 * grey.repeat(3, 2))) < 1
    assert colour_level(scanned(sepia)) < GREY_BELOW
    assert colour_level(scanned(cast)) < GREY_BELOW


def test_a_red_stamp_on_a_twentieth_of_a_scan_leaves_it_grey() -> None:
    scan = 255 * grey_of("astronaut")[..., None].repeat(3, 2)
    scan[400:460, 320:500] = (180, 30, 30)
    assert colour_level(scanned(scan)) < GREY_BELOW


def test_features_are_measured_in_the_order_in_which_they_are_asked_for() -> None:
    levels = np.full((256, 256, 3), 128.0) + np.random.default_rng(1).normal(0, 10, (256, 256, 3))
    noisy = picture(levels.round().clip(0, 255).astype(np.uint8))
    noise, colour = answer(measure_features(noisy, (NOISE, COLOUR), ""), lambda calls: [])
    assert noise == pytest.approx(10, abs=0.6)
    assert colour < GREY_BELOW
    assert answer(measure_features(noisy, (COLOUR, NOISE), ""), lambda calls: []) == (colour, noise)


def test_sixteen_bit_grey_has_no_colour_and_its_noise_is_measured_in_levels_of_255() -> None:
    levels = 32768 + np.random.default_rng(2).normal(0, 10 * 257, (256, 256))
    grey = picture(levels.round().clip(0, 65535).astype(np.uint16))
    colour, noise = answer(measure_features(grey, (COLOUR, NOISE), ""), lambda calls: [])
    assert colour == 0
    assert noise == pytest.approx(10, abs=0.6)


def test_likeness_is_the_probability_among_the_phrases() -> None:
    answers = {Feature("likeness", p): x for p, x in (("a", 21.0), ("b", 20.0), ("c", 1000.0))}
    assert likeness_probability(answers, "a", ("b",)) == pytest.approx(1 / (1 + np.exp(-1)))
    assert likeness_probability(answers, "a", ("c",)) == 0


def test_measuring_a_large_photograph_needs_more_memory_than_its_pixels() -> None:
    assert footprint(8000, 6000) > 2 * 3 * 8000 * 6000
