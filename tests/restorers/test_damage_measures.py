"""Noise where a photograph is quietest, and the edges of JPEG's blocks."""

import io

import numpy as np
import pytest
import skimage.data
from numpy.typing import NDArray
from PIL import Image

from daemon.restorers.damage_measures import block_edges, quiet_noise

Levels = NDArray[np.uint8]
NAMES = ("astronaut", "chelsea", "coffee")


def small(name: str) -> Levels:
    """A photograph without the noise and blocks of its file: reduced by two."""
    return np.asarray(Image.fromarray(getattr(skimage.data, name)()).reduce(2))


def noisy(levels: Levels, sigma: float) -> Levels:
    noise = np.random.default_rng(1).normal(0, sigma, levels.shape)
    return (levels + noise).round().clip(0, 255).astype(np.uint8)


def compressed(levels: Levels, quality: int) -> Levels:
    file = io.BytesIO()
    Image.fromarray(levels).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file))


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
