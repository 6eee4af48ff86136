"""Angles of the diffusion process."""

import math

import pytest

from daemon.diffusion.angles import angle_of, even_angles


def test_even_angles_lead_from_the_start_to_exactly_zero() -> None:
    assert even_angles(0.8, 4) == pytest.approx([0.8, 0.6, 0.4, 0.2, 0.0])
    assert even_angles(0.3, 7)[-1] == 0.0


def test_the_tangent_of_an_angle_is_its_noise_level() -> None:
    assert math.tan(angle_of(0.2)) == pytest.approx(0.2)
    assert angle_of(1.0) == pytest.approx(math.pi / 4)
