"""Working spaces."""

import pytest
import torch

from daemon.checkpoints.traits import Traits
from daemon.diffusion.noise import Noise
from daemon.diffusion.tiling import Denoiser, TileSpec
from daemon.diffusion.windows import Window
from daemon.restorers.working_space import WorkingSpace


@pytest.mark.parametrize("size", [(1, 1), (5, 90), (200, 300)])
def test_a_latents_noise_is_that_of_its_place_in_the_whole(size: tuple[int, int]) -> None:
    traits = Traits("latent", ("latent",), "a toy", channels=4, reduction=8)
    space = WorkingSpace(Denoiser("m", TileSpec((8,), 1, 2, 1), None, 8), traits)
    height, width = size
    whole = space.noise_draws(Window(0, 0, height, width), size, Noise(3))(1)
    assert whole.shape == (4, max(8, -(-height // 8)), max(8, -(-width // 8)))
    if height > 96:
        part = space.noise_draws(Window(48, 96, height - 48, width - 96), size, Noise(3))(1)
        assert torch.equal(part, whole[:, 6:, 12:])
