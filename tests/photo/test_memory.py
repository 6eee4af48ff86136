"""How much memory large photographs take on their way."""

import tracemalloc
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from daemon.photo import Metadata, Picture
from daemon.photo.bit_depth import to_depth
from daemon.photo.provenance import DigitalSource, Provenance, with_provenance
from daemon.restorers.chroma import box_means

LARGE = np.zeros((8000, 1000, 3), np.uint16)


def peak_bytes(action: Callable[[], object]) -> int:
    """Most bytes that were taken while something was done, its result included."""
    tracemalloc.start()
    try:
        action()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_depth_is_changed_some_megapixels_at_a_time(dtype: type[np.generic]) -> None:
    result = LARGE.size * np.dtype(dtype).itemsize
    assert peak_bytes(lambda: to_depth(LARGE, dtype)) < result + 0.8 * LARGE.size * 4


def test_how_a_result_was_made_is_told_without_a_copy_of_it() -> None:
    picture = Picture(LARGE, True, Metadata("PNG", "L"))
    made = Provenance("restored", ("denoise",), "r", "d", DigitalSource.ENHANCED)
    assert peak_bytes(lambda: with_provenance(picture, made)) < LARGE.nbytes / 4


@pytest.mark.parametrize("factor", [1, 2, 7])
def test_a_reduced_copy_is_made_some_megapixels_at_a_time(factor: int) -> None:
    result = -(-8000 // factor) * -(-1000 // factor) * 3
    assert peak_bytes(lambda: box_means(LARGE, factor)) < result + 0.8 * LARGE.size * 4


def test_a_reduced_copy_has_the_means_of_whole_boxes() -> None:
    """Bands end at the edges of boxes, wherever they are cut."""
    levels = np.random.default_rng(0).integers(0, 256, (4099, 1021, 3), np.uint8)
    wanted = np.asarray(Image.fromarray(levels).reduce(7))
    assert np.array_equal(box_means(levels, 7), wanted)
