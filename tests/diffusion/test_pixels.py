"""Pixels as tensors and back."""

import numpy as np
import pytest
import torch

from daemon.diffusion.pixels import to_grey, to_pixels, to_tensor
from tests.support.answering import random_pixels


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_pixels_come_back_from_a_tensor_unchanged(dtype: str) -> None:
    pixels = random_pixels(40, 50, dtype)
    assert np.array_equal(to_pixels(to_tensor(pixels), dtype), pixels)
    assert to_pixels(torch.tensor([[[-1.3]], [[0.0]], [[1.3]]]), "uint8").tolist() == [
        [[0, 128, 255]]
    ]


def test_grey_is_the_mean_of_the_channels() -> None:
    grey = to_grey(torch.tensor([0.0, 0.3, 0.9]).view(3, 1, 1))
    assert grey.flatten().tolist() == pytest.approx([0.4, 0.4, 0.4])
