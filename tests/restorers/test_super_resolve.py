"""Super-resolve: real photographs gain over bicubic, and are kept if the step asks for it."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from skimage import data

from daemon.config.steps import SuperResolve
from daemon.diffusion.pixels import to_pixels, to_tensor
from daemon.diffusion.tiling import restore_tiles
from daemon.models.calls import Degradation, RestoreCall
from daemon.restorers.super_resolve import projection_weight
from tests.support.answering import (
    Turns,
    answer,
    echo,
    picture,
    pixels_of,
    psnr,
    random_pixels,
    real,
    restored,
    run,
)
from tests.support.photographs import bicubic, compressed, noisy, photograph, reduced


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("size", [(1, 1), (7, 5), (33, 50)])
@pytest.mark.parametrize("realism", [0.0, 1.0])
def test_reducing_the_result_gives_the_photograph_back_within_one_level(
    scale: int, size: tuple[int, int], realism: float
) -> None:
    given = data.astronaut()[60 : 60 + size[0], 180 : 180 + size[1]]
    step = SuperResolve(scale=scale, realism=realism, steps=2, consistent=True)
    result = run(step, picture(given))
    large = result.pictures[0].pixels
    assert large.shape == (size[0] * scale, size[1] * scale, 3)
    back = reduced(large, scale).astype(int)
    assert np.abs(back - given).max() <= 1
    assert dict(result.measures)["residual"] < 0.5


def test_samples_of_a_model_that_ignores_the_measurement_are_still_projected_on_it() -> None:
    given = data.coffee()[100:140, 200:250] // 2 + 60
    step = SuperResolve(scale=3, realism=1, steps=3)
    large = restored(
        step, given, model=lambda calls: [torch.zeros_like(one) for one in echo(calls)]
    )
    back = reduced(large, 3).astype(int)
    assert np.abs(back - given).max() <= 1


def test_the_network_is_asked_as_it_was_trained() -> None:
    turns: Turns = []
    pixels = random_pixels(20, 20)
    step = SuperResolve(scale=4, realism=0, sigma=5)
    run(step, picture(pixels), model=echo, turns=turns)
    ((call,),) = turns
    assert isinstance(call, RestoreCall)
    assert torch.equal(call.picture[:, :20, :20], to_tensor(pixels))
    assert (call.degradation.scale, call.degradation.grey, call.degradation.blind) == (
        4,
        False,
        False,
    )
    assert call.degradation.sigma == pytest.approx(5 / 127.5)


def test_the_network_is_told_of_jpeg_unless_the_step_says_what_to_keep() -> None:
    clean = reduced(data.coffee(), 2)
    squeezed = compressed(clean, 75)
    told = 0.7 * 50**0.5 / 127.5
    for pixels, keys, sigma in (
        (squeezed, {}, told),
        (clean, {}, 0.0),
        (squeezed, {"deblock": False}, 0.0),
        (squeezed, {"consistent": True}, 0.0),
        (squeezed, {"sigma": 2.55}, 0.02),
    ):
        turns: Turns = []
        result = run(SuperResolve.model_validate(keys), picture(pixels), model=echo, turns=turns)
        assert turns[0][0].degradation.sigma == pytest.approx(sigma, rel=0.03)
        assert dict(result.measures).get("jpeg") == (
            pytest.approx(50, 2) if sigma == told else None
        )


def test_blocks_are_not_enlarged() -> None:
    truth = photograph(256)
    given = compressed(reduced(truth, 2), 60)
    plain, mended = (restored(SuperResolve(deblock=on), given) for on in (False, True))
    assert psnr(mended, truth) > psnr(plain, truth) + 0.2


def test_the_mean_is_what_the_network_says_and_no_projection_of_it() -> None:
    pixels = data.astronaut()[100:132, 200:248]
    degradation = Degradation(scale=2)
    mean = answer(restore_tiles(to_tensor(pixels), degradation), real)
    result = run(SuperResolve(realism=0), picture(pixels))
    assert np.array_equal(pixels_of(result), to_pixels(mean, np.uint8))
    assert 0.5 < dict(result.measures)["residual"] < 4


def test_windows_of_a_large_photograph_are_enlarged_as_in_one_piece(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pixels = data.coffee()[:96, :240]
    step = SuperResolve(scale=3, realism=0)
    whole = restored(step, pixels)
    monkeypatch.setattr("daemon.diffusion.windows.WINDOW_PX", 480)
    parts = restored(step, pixels)
    assert np.abs(parts.astype(int) - whole).max() <= 1


@pytest.mark.parametrize("scale", [2, 4])
def test_real_photographs_gain_over_bicubic(scale: int) -> None:
    for whole in (data.astronaut()[20:180, 150:310], data.coffee()[100:260, 200:360]):
        small = reduced(whole, scale)
        step = SuperResolve(scale=scale, realism=0)
        large = restored(step, small)
        assert psnr(large, whole) > psnr(bicubic(small, scale), whole) + 0.5


def test_more_realism_moves_further_from_the_mean() -> None:
    small = reduced(data.astronaut()[20:180, 150:310], 4)
    results = [
        restored(SuperResolve(scale=4, realism=r), small).astype(float)
        for r in (0.0, 0.5, 1.0)
    ]  # fmt: skip
    moved = [float(np.abs(result - results[0]).mean()) for result in results]
    assert all(more > less + 0.5 for less, more in pairwise(moved))


def test_a_noisy_photograph_is_followed_less_and_the_result_is_nearer_to_the_truth() -> None:
    whole = data.astronaut()[20:180, 150:310]
    small = noisy(reduced(whole, 2), 15)
    hard, soft = (
        restored(SuperResolve(realism=0, sigma=sigma), small)
        for sigma in (0.0, 15.0)
    )  # fmt: skip
    assert psnr(soft, whole) > psnr(hard, whole) + 1


def test_more_noise_than_the_restoration_networks_know_is_left_to_the_prior() -> None:
    for sigma, model in ((30, "restoration"), (31, "prior")):
        turns: Turns = []
        step = SuperResolve(realism=0, sigma=sigma)
        run(step, picture(random_pixels(12, 9)), model=echo, turns=turns)
        assert [[call.model for call in turn] for turn in turns] == [[model]]


def test_the_projection_weight_is_the_share_of_the_residual_that_is_not_noise() -> None:
    residual = torch.tensor([0.5, -0.5])
    assert projection_weight(residual, 0.0) == 1
    assert projection_weight(residual, 0.25) == pytest.approx(0.75)
    assert projection_weight(residual, 0.6) == 0
    assert projection_weight(torch.zeros(2), 0.1) == 0


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_grey_depth_and_opacity_survive(dtype: str) -> None:
    grey = random_pixels(9, 7, dtype)[:, :, 0]
    given = replace(picture(grey), alpha=np.full((9, 7), 200, dtype))
    step = SuperResolve(scale=3, steps=2)
    result = run(step, given).pictures[0]
    assert result.grey
    assert result.pixels.dtype == dtype
    assert np.ptp(result.pixels, axis=2).max() == 0
    assert result.alpha is not None
    assert result.alpha.dtype == dtype
    assert result.alpha.shape == (27, 21)
    assert np.all(result.alpha == 200)


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("realism", [0.0, 1.0])
def test_nothing_is_lost_of_a_photograph_that_does_not_clip(scale: int, realism: float) -> None:
    small = photograph(41) // 2 + 64  # nothing clips
    step = SuperResolve(scale=scale, realism=realism, consistent=True)
    result = run(step, picture(small))
    large = pixels_of(result)
    assert large.shape == (41 * scale, 41 * scale, 3)
    back = reduced(large, scale).astype(int)
    assert np.abs(back - small).max() <= 1
    ((name, residual),) = result.measures
    assert (name, residual < 0.5) == ("residual", True)


def test_the_mean_beats_bicubic_at_its_own_size() -> None:
    clean = photograph(160)
    small = reduced(clean, 2)
    assert psnr(restored(SuperResolve(realism=0), small), clean) > psnr(bicubic(small, 2), clean)


def test_a_noisy_measurement_is_not_met_exactly() -> None:
    small = noisy(photograph(48), 15)
    hard, soft = (run(SuperResolve(sigma=s, consistent=True), picture(small)) for s in (0, 15))
    assert hard.measures[0][1] < 1 < soft.measures[0][1]


def test_an_enlargement_of_eight_orientations_is_nearer_and_still_projected() -> None:
    truth = data.chelsea()[60:220, 130:290]
    given = picture(truth[::2, ::2])
    plain, ensemble = (
        run(SuperResolve(realism=0, self_ensemble=count, consistent=True), given)
        for count in (1, 8)
    )
    assert psnr(ensemble.pictures[0].pixels, truth) > psnr(plain.pictures[0].pixels, truth)
    assert dict(ensemble.measures)["residual"] < 0.5
