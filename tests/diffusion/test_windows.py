"""Windows: large pictures part by part."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from daemon.diffusion.pixels import to_tensor
from daemon.diffusion.windows import WINDOW_PX, Window, by_windows, cut_windows
from daemon.models.calls import ModelCalls
from tests.support.answering import answer, gaussian, random_pixels


@given(length=st.integers(1, 40000))
def test_windows_are_never_longer_than_the_bound(length: int) -> None:
    assert cut_windows(length).size <= WINDOW_PX


def test_windows_of_a_large_picture_blend_to_that_picture_to_the_pixel() -> None:
    pixels = random_pixels(2700, 60)

    def restore_window(window: Window) -> ModelCalls[Tensor]:
        yield []
        return to_tensor(window.crop(pixels))

    assert np.array_equal(answer(by_windows(pixels, restore_window), gaussian(0, 1)), pixels)


def test_windows_blend_without_a_seam() -> None:
    pixels = np.zeros((4, 3000, 3), np.uint8)

    def restore_window(window: Window) -> ModelCalls[Tensor]:
        yield []
        return torch.full((3, window.height, window.width), -1.0 if window.left == 0 else 1.0)

    row = answer(by_windows(pixels, restore_window), gaussian(0, 1))[0, :, 0].astype(int)
    assert row[0] == 0
    assert row[-1] == 255
    assert np.diff(row).min() >= 0
    assert np.diff(row).max() <= 3
