"""The model of fading, and its estimate."""

import numpy as np
import pytest

from daemon.restorers.dye_fading import (
    Fading,
    Regression,
    densities,
    estimate_fading,
    faded,
    unfading_tables,
)
from tests.support.photographs import FADED


def test_fading_multiplies_the_density_of_each_dye_and_adds_a_stain() -> None:
    levels = np.array([[[255, 255, 255], [128, 128, 128]]], np.uint8)
    found = densities(faded(levels, FADED) / 255)
    assert found[0, 0] == pytest.approx(FADED.stain, abs=0.004)
    grey = densities(np.array(128 / 255))
    assert grey == pytest.approx(0.6659, abs=1e-4)
    assert found[0, 1] == pytest.approx(FADED.contrast * grey + FADED.stain, abs=0.004)


def test_tables_undo_a_known_fading_and_change_nothing_if_there_is_none() -> None:
    levels = np.arange(40, 256, dtype=np.uint8).repeat(3).reshape(1, -1, 3)
    given = faded(levels, FADED)
    tables = 255 * unfading_tables(FADED, 255)
    back = np.stack([tables[channel][given[..., channel]] for channel in range(3)], axis=2)
    assert np.abs(back - levels).max() < 2.5, "what 8 bits left"
    none = Fading(np.ones(3), np.zeros(3))
    for top in (255, 65535):
        assert np.array_equal(np.rint(top * unfading_tables(none, top))[0], np.arange(top + 1))


def test_an_unusual_histogram_counts_as_three_deviations_at_most() -> None:
    regression = Regression(np.zeros(69), np.full(69, 0.1), np.empty(0))
    strange = np.array((0, 0, 0, 0, 0, 2.6, 2.6, 2.6, 2.6, 2.6, 2.6)) * np.ones((1, 3, 1))
    terms = regression.terms(strange)
    assert terms.shape == (1, 139)
    assert np.abs(terms).max() == 9, "three deviations, squared"


def test_no_fading_is_estimated_without_contrast() -> None:
    assert estimate_fading(np.full((3, 11), 0.4)) is None
