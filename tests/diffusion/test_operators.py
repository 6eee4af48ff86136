"""Box means, their right inverse, and the Gaussian low-pass."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from skimage import data

from daemon.diffusion.operators import (
    box_mean,
    enlarge,
    low_frequencies,
    project_box_means,
    right_inverse,
)
from tests.support.answering import seeded


@settings(deadline=None, max_examples=30)
@given(height=st.integers(1, 21), width=st.integers(1, 21), scale=st.sampled_from([2, 3, 4]))
def test_box_means_of_the_inverse_give_the_measurement_back(
    height: int, width: int, scale: int
) -> None:
    y = seeded(3, height, width)
    assert float((box_mean(right_inverse(y, scale), scale) - y).abs().max()) < 1e-5


@settings(deadline=None, max_examples=30)
@given(height=st.integers(1, 21), width=st.integers(1, 21), scale=st.sampled_from([2, 3, 4]))
def test_a_projected_estimate_obeys_the_measurement(height: int, width: int, scale: int) -> None:
    y, x0 = seeded(3, height, width), seeded(3, height * scale, width * scale, seed=1)
    projected = project_box_means(x0, y, scale)
    assert float((box_mean(projected, scale) - y).abs().max()) < 1e-5
    assert float((project_box_means(projected, y, scale) - projected).abs().max()) < 1e-5


def test_half_a_projection_goes_half_the_way() -> None:
    y, x0 = seeded(3, 6, 5), seeded(3, 18, 15, seed=1)
    missed = box_mean(project_box_means(x0, y, 3, 0.5), 3) - y
    assert torch.allclose(missed, (box_mean(x0, 3) - y) / 2, atol=1e-5)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_enlargement_is_pillows_bicubic(scale: int) -> None:
    plane = data.camera()[100:140, 200:250].astype(np.float32)
    size = (50 * scale, 40 * scale)
    pillow = np.array(Image.fromarray(plane).resize(size, Image.Resampling.BICUBIC))
    ours = enlarge(torch.from_numpy(plane).expand(3, -1, -1), scale)[0].numpy()
    assert float(np.abs(ours - pillow).max()) < 0.01


def test_the_inverse_is_smoother_than_copied_pixels() -> None:
    y = torch.from_numpy(data.camera()[100:140, 200:250].astype(np.float32)).expand(3, -1, -1)
    copied = y.repeat_interleave(4, 1).repeat_interleave(4, 2)
    steps = [float(x.diff(dim=2).square().mean()) for x in (right_inverse(y, 4), copied)]
    assert steps[0] < steps[1] / 2


def test_a_flat_picture_keeps_its_level_and_noise_is_blurred_as_a_gaussian_says() -> None:
    assert low_frequencies(torch.full((3, 9, 5), 0.3), 4.0).numpy() == pytest.approx(0.3)
    noise = seeded(1, 200, 200)
    left = float(low_frequencies(noise, 4.0)[:, 20:-20, 20:-20].std())
    assert left == pytest.approx(1 / (2 * math.sqrt(math.pi) * 4), rel=0.15)
