"""Traces of JPEG in pixels: how coarsely they were rounded, if they were."""

import numpy as np
import pytest
import skimage.data
from numpy.typing import NDArray
from PIL import Image

from daemon.restorers.jpeg_traces import jpeg_coarseness
from tests.support.photographs import compressed

Levels = NDArray[np.uint8]
NAMES = ("astronaut", "chelsea", "coffee")


def small(name: str) -> Levels:
    """A photograph without the traces of its file: reduced by two."""
    return np.asarray(Image.fromarray(getattr(skimage.data, name)()).reduce(2))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("quality", "coarseness"), [(90, 20), (75, 50), (50, 100), (25, 200)])
def test_the_quality_is_read_from_the_pixels(name: str, quality: int, coarseness: int) -> None:
    assert jpeg_coarseness(compressed(small(name), quality)) == pytest.approx(coarseness, rel=0.08)


@pytest.mark.parametrize("name", NAMES)
def test_what_was_never_compressed_or_resized_since_shows_no_trace(name: str) -> None:
    assert jpeg_coarseness(small(name)) == 0
    resized = Image.fromarray(compressed(small(name), 50)).resize((201, 133))
    assert jpeg_coarseness(np.asarray(resized)) == 0


def test_a_grid_that_begins_elsewhere_is_found() -> None:
    cut = compressed(small("astronaut"), 60)[3:, 5:]
    assert jpeg_coarseness(cut) == pytest.approx(80, rel=0.08)


def test_grey_deep_and_large_photographs_say_the_same() -> None:
    levels = compressed(small("coffee"), 75)
    assert jpeg_coarseness(levels.astype(np.uint16) * 257) == jpeg_coarseness(levels)
    grey = np.asarray(Image.fromarray(small("coffee")).convert("L"))[..., None].repeat(3, 2)
    assert jpeg_coarseness(compressed(grey, 75)) == pytest.approx(50, rel=0.08)
    large = np.tile(levels[:192, :296], (5, 4, 1))
    assert min(large.shape[:2]) > 900
    assert jpeg_coarseness(large) == pytest.approx(50, rel=0.08)


@pytest.mark.parametrize("shape", [(1, 1), (8, 200), (7, 9), (40, 40)])
def test_what_is_small_or_plain_shows_no_trace(shape: tuple[int, int]) -> None:
    assert jpeg_coarseness(np.full((*shape, 3), 90, np.uint8)) == 0
