"""Super-resolve: the small picture is kept, and real photographs gain over bicubic."""

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from skimage import data

from daemon.config.steps import SuperResolve
from daemon.diffusion.noise import Noise
from daemon.models.calls import DenoiseCall
from daemon.restorers.super_resolve import binding_weight, super_resolve
from tests.support.answering import answer, echo, picture, psnr, random_pixels, real


def reduced(pixels: NDArray[np.generic], scale: int) -> NDArray[np.uint8]:
    return np.asarray(Image.fromarray(pixels).reduce(scale))


def bicubic(pixels: NDArray[np.generic], scale: int) -> NDArray[np.uint8]:
    size = (pixels.shape[1] * scale, pixels.shape[0] * scale)
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC))


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("size", [(1, 1), (7, 5), (33, 50)])
@pytest.mark.parametrize("realism", [0.0, 1.0])
def test_reducing_the_result_gives_the_photograph_back_within_one_level(
    scale: int, size: tuple[int, int], realism: float
) -> None:
    photograph = data.astronaut()[60 : 60 + size[0], 180 : 180 + size[1]]
    step = SuperResolve(scale=scale, realism=realism, steps=2)
    result = answer(super_resolve((picture(photograph),), step, Noise(0)), real)
    large = result.pictures[0].pixels
    assert large.shape == (size[0] * scale, size[1] * scale, 3)
    back = reduced(large, scale).astype(int)
    assert np.abs(back - photograph).max() <= 1
    assert dict(result.measures)["residual"] < 0.5


def test_a_sampling_model_that_ignores_the_measurement_is_still_bound_to_it() -> None:
    photograph = data.coffee()[100:140, 200:250] // 2 + 60
    step = SuperResolve(scale=3, realism=1, steps=3)
    asking = super_resolve((picture(photograph),), step, Noise(0))
    large = answer(asking, lambda calls: [torch.zeros_like(c.x_t) for c in calls])
    back = reduced(large.pictures[0].pixels, 3).astype(int)
    assert np.abs(back - photograph).max() <= 1


def test_the_network_is_asked_as_it_was_trained() -> None:
    turns: list[list[DenoiseCall]] = []
    pixels = random_pixels(20, 20)
    step = SuperResolve(scale=4, realism=0, sigma=5)
    answer(super_resolve((picture(pixels),), step, Noise(0)), echo, turns)
    ((call,),) = turns
    assert call.t == pytest.approx(math.pi / 2)
    assert (call.degradation.scale, call.degradation.grey, call.degradation.blind) == (
        4,
        False,
        False,
    )
    assert call.degradation.sigma == pytest.approx(5 / 127.5)
    assert call.condition is not None
    assert float(call.condition.std()) > 0.1


@pytest.mark.parametrize("scale", [2, 4])
def test_real_photographs_gain_over_bicubic(scale: int) -> None:
    for whole in (data.astronaut()[20:180, 150:310], data.coffee()[100:260, 200:360]):
        small = reduced(whole, scale)
        step = SuperResolve(scale=scale, realism=0)
        large = answer(super_resolve((picture(small),), step, Noise(0)), real).pictures[0].pixels
        assert psnr(large, whole) > psnr(bicubic(small, scale), whole) + 0.5


def test_more_realism_moves_further_from_the_mean() -> None:
    small = reduced(data.astronaut()[20:180, 150:310], 4)
    results = [
        answer(
            super_resolve((picture(small),), SuperResolve(scale=4, realism=r), Noise(0)), real
        ).pictures[0].pixels.astype(float)
        for r in (0.0, 0.5, 1.0)
    ]  # fmt: skip
    moved = [float(np.abs(result - results[0]).mean()) for result in results]
    assert all(more > less + 0.5 for less, more in pairwise(moved))


def test_a_noisy_photograph_binds_softly_and_ends_nearer_to_the_truth() -> None:
    whole = data.astronaut()[20:180, 150:310]
    grain = np.random.default_rng(0).standard_normal((80, 80, 3)) * 15
    small = (reduced(whole, 2) + grain).round().clip(0, 255).astype(np.uint8)
    hard, soft = (
        answer(
            super_resolve((picture(small),), SuperResolve(realism=0, sigma=sigma), Noise(0)), real
        ).pictures[0].pixels
        for sigma in (0.0, 15.0)
    )  # fmt: skip
    assert psnr(soft, whole) > psnr(hard, whole) + 1


def test_the_binding_weight_is_the_share_of_the_miss_that_is_not_noise() -> None:
    missed = torch.tensor([0.5, -0.5])
    assert binding_weight(missed, 0.0) == 1
    assert binding_weight(missed, 0.25) == pytest.approx(0.75)
    assert binding_weight(missed, 0.6) == 0
    assert binding_weight(torch.zeros(2), 0.1) == 0


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_grey_depth_and_opacity_survive(dtype: str) -> None:
    grey = random_pixels(9, 7, dtype)[:, :, 0]
    given = replace(picture(grey), alpha=np.full((9, 7), 200, dtype))
    step = SuperResolve(scale=3, steps=2)
    result = answer(super_resolve((given,), step, Noise(0)), real).pictures[0]
    assert result.grey
    assert result.pixels.dtype == dtype
    assert np.ptp(result.pixels, axis=2).max() == 0
    assert result.alpha is not None
    assert result.alpha.dtype == dtype
    assert result.alpha.shape == (27, 21)
    assert np.all(result.alpha == 200)
