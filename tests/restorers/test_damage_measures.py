"""Noise where a photograph is quietest, the edges of JPEG's blocks, and blur."""

import numpy as np
import pytest
import skimage.data
from numpy.typing import NDArray
from PIL import Image

from daemon.restorers.damage_measures import block_edges, blur_px, coarse_noise, quiet_noise
from tests.support.photographs import blurred, compressed

Levels = NDArray[np.uint8]
NAMES = ("astronaut", "chelsea", "coffee")


def small(name: str) -> Levels:
    """A photograph without the noise and blocks of its file: reduced by two."""
    return np.asarray(Image.fromarray(getattr(skimage.data, name)()).reduce(2))


def noisy(levels: Levels, sigma: float) -> Levels:
    noise = np.random.default_rng(1).normal(0, sigma, levels.shape)
    return (levels + noise).round().clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize("name", NAMES)
def test_fur_cloth_and_wood_do_not_count_as_noise(name: str) -> None:
    levels = small(name)
    assert quiet_noise(levels) < 3
    for sigma in (5, 15):
        assert quiet_noise(noisy(levels, sigma)) == pytest.approx(sigma, rel=0.2)


def test_grey_noise_and_sixteen_bits_are_measured_in_the_same_levels() -> None:
    grey = noisy(np.full((128, 128), 120, np.uint8), 10)[..., None].repeat(3, 2)
    assert quiet_noise(grey) == pytest.approx(10, abs=0.6)
    assert quiet_noise(grey.astype(np.uint16) * 257) == pytest.approx(quiet_noise(grey))


@pytest.mark.parametrize("name", NAMES)
def test_noise_of_each_pixel_is_as_strong_at_half_the_size(name: str) -> None:
    white = noisy(small(name), 15)
    assert coarse_noise(white) == pytest.approx(quiet_noise(white), rel=0.3)
    grain = noisy(np.full((128, 128, 3), 120, np.uint8), 15)
    for harmed in (compressed(grain, 40), blurred(grain, 0.7)):
        assert coarse_noise(harmed) > 1.5 * quiet_noise(harmed)
    assert coarse_noise(grain[:47]) == 0


@pytest.mark.parametrize("name", NAMES)
def test_blur_is_told_through_noise_and_blocks(name: str) -> None:
    levels = small(name)
    assert blur_px(levels) < 0.6
    for deviation in (1.3, 2.0):
        soft = blurred(levels, deviation)
        assert blur_px(soft) == pytest.approx(deviation, rel=0.25)
        assert blur_px(compressed(soft, 85)) == pytest.approx(blur_px(soft), rel=0.1)
        assert blur_px(noisy(soft, 3)) == pytest.approx(blur_px(soft), rel=0.1)


def test_a_soft_background_is_no_blur_where_something_is_sharp() -> None:
    levels = small("astronaut")
    soft = blurred(levels, 4).copy()
    soft[64:192, 64:192] = levels[64:192, 64:192]
    assert blur_px(soft) < 0.6
    assert blur_px(blurred(levels, 4)) > 2.2


def test_what_has_no_edges_has_no_blur() -> None:
    for height, width in ((1, 40), (40, 1), (64, 64)):
        assert blur_px(np.full((height, width, 3), 90, np.uint8)) == 0
    deep = blurred(small("coffee"), 1.3).astype(np.uint16) * 257
    assert blur_px(deep) == pytest.approx(blur_px(blurred(small("coffee"), 1.3)), abs=1e-3)


@pytest.mark.parametrize("name", NAMES)
def test_jpeg_blocks_are_seen_wherever_a_crop_begins(name: str) -> None:
    levels = small(name)
    assert block_edges(levels) < 0.3
    assert block_edges(compressed(levels, 90)) < 0.6
    strong = compressed(levels, 30)
    assert block_edges(strong) > 0.6
    assert block_edges(strong[3:, 5:]) == pytest.approx(block_edges(strong), rel=0.15)


def test_the_parts_of_a_large_photograph_keep_the_grid() -> None:
    large = np.tile(compressed(small("coffee"), 30)[:192, :288], (12, 8, 1))
    assert min(large.shape[:2]) > 2 * 1024
    assert block_edges(large) > 0.6


@pytest.mark.parametrize("side", [1, 15, 16, 31, 32])
def test_the_smallest_pictures_say_nothing_rather_than_fail(side: int) -> None:
    flat = np.full((side, side + 1, 3), 7, np.uint8)
    assert quiet_noise(flat) == 0
    assert block_edges(flat) == 0
