"""Noise is a function of seed, draw and place."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.diffusion.noise import Noise
from daemon.diffusion.windows import Window


@settings(deadline=None, max_examples=30)
@given(top=st.integers(0, 199), rows=st.integers(1, 200))
def test_a_row_is_the_same_in_whatever_part_it_is_asked_for(top: int, rows: int) -> None:
    rows = min(rows, 200 - top)
    whole = Noise(7).draw(2, 200, 9)
    assert torch.equal(Noise(7).draw(2, 200, 9, top, rows), whole[:, top : top + rows])


def test_a_window_sees_its_part_of_the_whole_noise() -> None:
    part = Window(48, 96, 70, 30).draw(Noise(7), 1, 200, 150)
    assert torch.equal(part, Noise(7).draw(1, 200, 150)[:, 48:118, 96:126])


def test_a_taller_picture_has_the_same_noise_at_its_top() -> None:
    assert torch.equal(Noise(1).draw(0, 300, 5)[:, :100], Noise(1).draw(0, 100, 5))


def test_two_runs_of_a_seed_have_the_same_noise() -> None:
    assert torch.equal(Noise(9).draw(0, 70, 8), Noise(9).draw(0, 70, 8))


@pytest.mark.parametrize(
    "other", [Noise(1), Noise(0).child(0), Noise(0).child(1), Noise(2**63 - 1)]
)
def test_other_seeds_and_children_have_independent_noise(other: Noise) -> None:
    a, b = Noise(0).draw(0, 64, 64), other.draw(0, 64, 64)
    assert abs(float((a * b).mean())) < 0.05


def test_draws_bands_and_channels_are_independent() -> None:
    whole = Noise(0).draw(0, 128, 64)
    pairs = [(whole[:, :64], whole[:, 64:]), (whole, Noise(0).draw(1, 128, 64))]
    pairs += [(whole[0], whole[1]), (whole[1], whole[2])]
    assert all(abs(float((a * b).mean())) < 0.05 for a, b in pairs)


def test_noise_is_standard_normal() -> None:
    drawn = Noise(3).draw(5, 300, 300)
    assert drawn.dtype == torch.float32
    assert float(drawn.mean()) == pytest.approx(0, abs=0.01)
    assert float(drawn.std()) == pytest.approx(1, abs=0.01)
    assert float((drawn.abs() < 1).float().mean()) == pytest.approx(0.6827, abs=0.005)


def test_latents_of_any_number_of_channels_have_noise_and_windows_agree() -> None:
    whole = Noise(4).draw(1, 100, 30, channels=16)
    assert whole.shape == (16, 100, 30)
    assert float(whole.std()) == pytest.approx(1, abs=0.02)
    assert torch.equal(Noise(4).draw(1, 100, 30, 60, 20, channels=16), whole[:, 60:80])
    assert torch.equal(Window(60, 5, 20, 9).draw(Noise(4), 1, 100, 30, 16), whole[:, 60:80, 5:14])
