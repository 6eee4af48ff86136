"""Chroma: luminance exact, colours along edges."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from skimage import data

from daemon.restorers import chroma
from tests.support.photographs import pillow_luminance


@given(
    grey=hnp.arrays(np.uint8, (5, 7)),
    tint=hnp.arrays(np.float32, (5, 7, 2), elements=st.floats(-8, 8, width=32)),
)
@settings(deadline=None)
def test_any_chroma_on_any_grey_keeps_pillows_luminance(
    grey: NDArray[np.uint8], tint: NDArray[np.float32]
) -> None:
    assert np.array_equal(pillow_luminance(chroma.with_chroma(grey, tint)), grey)


@given(
    grey=hnp.arrays(np.uint16, (5, 7)),
    tint=hnp.arrays(np.float32, (5, 7, 2), elements=st.floats(-8, 8, width=32)),
)
@settings(deadline=None)
def test_any_chroma_on_any_deep_grey_keeps_its_luminance(
    grey: NDArray[np.uint16], tint: NDArray[np.float32]
) -> None:
    painted = chroma.with_chroma(grey, tint)
    assert painted.dtype == np.uint16
    assert np.array_equal(chroma.whole_luminance(painted), grey)


def test_every_level_with_every_strength_of_chroma_keeps_pillows_luminance() -> None:
    steps = np.linspace(-1.2, 1.2, 97, dtype=np.float32)
    tint = np.stack(np.meshgrid(steps, steps), axis=2)
    for level in range(256):
        grey = np.full(tint.shape[:2], level, np.uint8)
        painted = chroma.with_chroma(grey, tint)
        assert np.array_equal(pillow_luminance(painted), grey)
        assert (painted == level).all() == (level in (0, 255))


def test_a_colour_that_would_clip_fades_and_keeps_its_hue() -> None:
    grey = np.full((1, 1), 200, np.uint8)
    red, green, blue = chroma.with_chroma(grey, np.array([[[1.0, -0.5]]], np.float32))[0, 0] / 1.0
    assert red == 255
    assert (200 - blue) / (red - 200) == pytest.approx(0.5, abs=0.02)
    assert green < 200


def test_no_colour_bleeds_across_a_hard_edge_of_luminance() -> None:
    grey = np.full((240, 400), 60, np.uint8)
    grey[:, 203:] = 190
    guide = chroma.resized(grey, 60, 100)
    tint = np.empty((60, 100, 2), np.float32)
    tint[:, :51], tint[:, 51:] = (0.2, -0.1), (-0.1, 0.15)
    painted = chroma.coloured(grey, chroma.local_colours(guide, tint)).astype(int)
    dark, light = painted[..., 0] - painted[..., 1], painted[..., 2] - painted[..., 0]
    assert (dark[:, :203] > 50).all()
    assert (light[:, 203:] > 45).all()


@pytest.mark.parametrize("rows", [1, 7, 64])
def test_bands_of_any_height_give_the_picture_painted_at_once(rows: int) -> None:
    grey = np.ascontiguousarray(data.camera()[:301, :207])
    random = np.random.default_rng(3).normal(0, 0.2, (31, 20, 2)).astype(np.float32)
    colours = chroma.local_colours(chroma.resized(grey, 31, 20), random)
    whole = chroma.coloured(grey, colours, band_rows=len(grey))
    assert np.array_equal(chroma.coloured(grey, colours, band_rows=rows), whole)


def test_luminance_of_random_colours_is_pillows() -> None:
    pixels = np.random.default_rng(2).integers(0, 256, (130, 90, 3), np.uint8)
    assert np.array_equal(chroma.luminance(pixels), pillow_luminance(pixels))


def test_colourfulness_follows_its_definition() -> None:
    pixels = data.coffee()
    red, green, blue = np.moveaxis(pixels.astype(float), 2, 0)
    a, b = red - green, (red + green) / 2 - blue
    expected = np.hypot(a.std(), b.std()) + 0.3 * np.hypot(a.mean(), b.mean())
    assert chroma.colourfulness(pixels) == pytest.approx(expected, rel=1e-5)
