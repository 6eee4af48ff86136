"""Colour hints on the working grid, and how their colour spreads."""

import numpy as np
import pytest

from daemon.restorers.colour_hints import HintPropagation, hints_on_grid


def test_two_hints_in_two_regions_keep_to_their_own() -> None:
    guide = np.full((40, 60), 0.3, np.float32)
    guide[:, 30:] = 0.7
    layer = np.zeros((40, 60, 4), np.uint8)
    layer[20, 5], layer[20, 50] = (200, 60, 60, 255), (60, 60, 200, 255)
    hints = hints_on_grid(layer, 40, 60)
    assert hints is not None
    spread = HintPropagation(guide, hints).apply(np.zeros((40, 60, 2), np.float32))
    for half, colour in (
        (np.s_[:, :30], hints.chroma[20, 5]),
        (np.s_[:, 30:], hints.chroma[20, 50]),
    ):
        assert np.abs(spread[half] - colour).max() < 0.1 * np.abs(colour).max()


def test_a_pixel_of_a_coarser_layer_fills_its_whole_place() -> None:
    layer = np.zeros((4, 5, 4), np.uint8)
    layer[1, 2] = (90, 90, 250, 128)
    hints = hints_on_grid(layer, 16, 25)
    assert hints is not None
    expected = np.zeros((16, 25), bool)
    expected[4:8, 10:15] = True
    assert np.array_equal(hints.painted, expected)
    blue_less_luma = (250 - 90) * (1 - 7471 / 65536) / 255
    assert hints.chroma[expected][:, 1] == pytest.approx(blue_less_luma, abs=1e-6)
