"""Denoise against known posteriors and on real photographs."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter
from skimage import data

from daemon.config.steps import Denoise
from daemon.diffusion.pixels import to_tensor
from daemon.models.calls import Degradation, RestoreCall
from daemon.restorers.damage_measures import quiet_noise
from tests.support.answering import (
    Turns,
    echo,
    gaussian,
    picture,
    pixels_of,
    psnr,
    random_pixels,
    restored,
    run,
    seeded,
)
from tests.support.photographs import blurred, compressed, noisy, photograph


def denoised(pixels: NDArray[np.generic], **params: object) -> NDArray[np.generic]:
    return restored(Denoise.model_validate(params), pixels)


@pytest.mark.parametrize("mode", ["blind", "gaussian"])
def test_the_posterior_mean_takes_exactly_one_evaluation(mode: str) -> None:
    turns: Turns = []
    step = Denoise.model_validate({"mode": mode, "sigma": 10.0})
    run(step, picture(random_pixels(40, 50)), model=echo, turns=turns)
    assert [len(turn) for turn in turns] == [1]


def test_gaussian_mode_starts_at_the_angle_of_the_noise() -> None:
    pixels = random_pixels(40, 50)
    turns: Turns = []
    step = Denoise(mode="gaussian", sigma=25, realism=1)
    run(step, picture(pixels), model=echo, turns=turns)
    call = turns[1][0]
    assert math.tan(call.t) == pytest.approx(25 / 127.5)
    first = math.cos(call.t) * (float(pixels[0, 0, 0]) / 127.5 - 1)
    assert float(call.x_t[0, 0, 0]) == pytest.approx(first, abs=1e-5)


def test_the_restoration_network_is_asked_as_it_was_trained() -> None:
    pixels = random_pixels(21, 40)
    for mode, sigma, blind in (("gaussian", 25 / 127.5, False), ("blind", 0.0, True)):
        turns: Turns = []
        step = Denoise(mode=mode, sigma=25)
        run(step, picture(pixels), model=echo, turns=turns)
        ((call,),) = turns
        assert isinstance(call, RestoreCall)
        assert call.degradation == Degradation(sigma=sigma, blind=blind)
        assert torch.equal(call.picture[:, :21], to_tensor(pixels))
        assert call.picture.shape == (3, 22, 40), "sides are even"


@pytest.mark.parametrize(("sigma", "quality"), [(15, 0), (40, 0), (25, 75)])
def test_blind_repair_is_told_of_noise_that_it_would_take_for_texture(
    sigma: float, quality: int
) -> None:
    truth = photograph(192)
    given = noisy(truth, sigma)
    given = compressed(given, quality) if quality else given
    step = Denoise()
    result = run(step, picture(given))
    assert dict(result.measures)["sigma"] == pytest.approx(sigma, rel=0.25)
    told = restored(Denoise(mode="gaussian", sigma=sigma), given)
    assert psnr(pixels_of(result), truth) > psnr(told, truth) - 1


def test_blind_repair_is_told_of_blocks_and_not_of_texture_and_blotches() -> None:
    truth = photograph(192)
    rng = np.random.default_rng(3)
    blotches = np.kron(rng.normal(0, 12, (64, 64, 3)), np.ones((3, 3, 1)))
    blotchy = (truth + blotches).round().clip(0, 255).astype(np.uint8)
    small = np.asarray(Image.fromarray(data.coins()).convert("RGB").reduce(3))
    untouched, squeezed = (truth, blotchy, small), ((truth, 40, 125), (small, 75, 50))
    given = [(one, 0.0) for one in untouched]
    given += [(compressed(one, quality), coarse) for one, quality, coarse in squeezed]
    for pixels, coarseness in given:
        turns: Turns = []
        result = run(Denoise(), picture(pixels), turns=turns)
        assert result.measures == ()
        ((call,),) = turns
        assert isinstance(call, RestoreCall)
        told = call.degradation.sigma
        assert call.degradation == Degradation(blind=True, sigma=told)
        assert told == pytest.approx(0.7 * coarseness**0.5 / 127.5, rel=0.03)


@pytest.mark.parametrize(("blur_px", "told"), [(1.5, 1.5), ("auto", 1.32)])
def test_blur_is_told_to_the_network(blur_px: float | str, told: float) -> None:
    soft = blurred(photograph(192), 1.3)
    turns: Turns = []
    step = Denoise.model_validate({"mode": "deblur", "blur_px": blur_px})
    result = run(step, picture(soft), model=echo, turns=turns)
    ((call,),) = turns
    assert isinstance(call, RestoreCall)
    assert call.degradation == Degradation(blur_px=call.degradation.blur_px)
    assert call.degradation.blur_px == pytest.approx(told, abs=0.15)
    assert dict(result.measures) == {"blur": call.degradation.blur_px}


@pytest.mark.parametrize("blur_px", [1.3, "auto"])
def test_a_slight_blur_is_undone(blur_px: float | str) -> None:
    truth = photograph(128)
    soft = blurred(truth, 1.3)
    sharpened = restored(Denoise.model_validate({"mode": "deblur", "blur_px": blur_px}), soft)
    assert psnr(sharpened, truth) > psnr(soft, truth) + 2


def test_deblur_refuses_keys_that_it_would_pass_over_and_takes_their_defaults() -> None:
    shipped_recipe_with_its_mode_changed = Denoise(mode="deblur", realism=0.0)
    assert shipped_recipe_with_its_mode_changed.mode == "deblur"
    with pytest.raises(ValueError, match='mode = "deblur" knows no realism; leave realism out'):
        Denoise(mode="deblur", realism=0.5)


def test_what_is_sharp_is_not_sharpened_unasked() -> None:
    turns: Turns = []
    sharp = random_pixels(96, 128)
    result = run(Denoise(mode="deblur"), picture(sharp), model=echo, turns=turns)
    assert np.array_equal(result.pictures[0].pixels, sharp)
    assert turns == []
    assert [str(note) for note in result.notes] == ["no blur found"]


@pytest.mark.parametrize(
    ("sigma", "grey", "model"),
    [
        (75, False, "restoration"),
        (76, False, "prior"),
        (43, True, "restoration"),
        (44, True, "prior"),
    ],
)
def test_more_noise_than_the_restoration_network_knows_is_left_to_the_prior(
    sigma: float, grey: bool, model: str
) -> None:
    pixels = random_pixels(12, 9)
    turns: Turns = []
    step = Denoise(mode="gaussian", sigma=sigma)
    run(step, picture(pixels[..., 0] if grey else pixels), model=echo, turns=turns)
    assert [[call.model for call in turn] for turn in turns] == [[model]]


def test_the_mean_is_the_known_one() -> None:
    pixels = np.full((32, 32, 3), 200, np.uint8)
    step = Denoise(mode="gaussian", sigma=51)
    result = run(step, picture(pixels), model=gaussian(0.0, 0.3))
    trust = 0.3**2 / (0.3**2 + (51 / 127.5) ** 2)
    assert result.pictures[0].pixels[0, 0, 0] == round(127.5 + trust * 72.5)


def test_realism_mixes_mean_and_sample_of_the_known_posterior() -> None:
    pixels = np.full((128, 128, 3), 200, np.uint8)
    deviation = 0.3 * 0.4 / math.hypot(0.3, 0.4) * 127.5
    for realism in (0.5, 1.0):
        step = Denoise(mode="gaussian", sigma=51, realism=realism, steps=100, sampler="ancestral")
        result = run(step, picture(pixels), model=gaussian(0.0, 0.3))
        levels = result.pictures[0].pixels.astype(float)
        assert levels.mean() == pytest.approx(127.5 + 0.36 * 72.5, abs=1)
        assert levels.std() == pytest.approx(realism * deviation, rel=0.06)


def test_the_noise_level_of_a_photograph_is_estimated_and_reported() -> None:
    pixels = noisy(data.rocket()[100:400, 200:500], 20, seed=1)
    assert quiet_noise(pixels) == pytest.approx(20, abs=1.5)
    assert quiet_noise(pixels.astype(np.uint16) * 257) == pytest.approx(20, abs=1.5)
    result = run(Denoise(mode="gaussian"), picture(pixels), model=echo)
    assert dict(result.measures)["sigma"] == quiet_noise(pixels)


@pytest.mark.parametrize("pixels", [random_pixels(1, 1), np.full((64, 64, 3), 7, np.uint8)])
def test_pictures_without_details_have_no_noise_and_stay_as_they_are(
    pixels: NDArray[np.generic],
) -> None:
    assert quiet_noise(pixels) == 0
    result = run(Denoise(mode="gaussian"), picture(pixels), model=echo)
    assert np.array_equal(result.pictures[0].pixels, pixels)


@pytest.mark.parametrize("mode", ["blind", "gaussian"])
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_grey_stays_grey_and_keeps_its_depth(mode: str, dtype: str) -> None:
    grey = random_pixels(24, 31, dtype)[:, :, 0]
    step = Denoise.model_validate({"mode": mode, "sigma": 20.0, "realism": 0.5, "steps": 3})
    result = run(step, picture(grey)).pictures[0]
    assert result.grey
    assert result.pixels.dtype == dtype
    assert np.ptp(result.pixels, axis=2).max() == 0


@pytest.mark.parametrize("size", [(1, 1), (2, 5), (17, 1)])
@pytest.mark.parametrize("mode", ["blind", "gaussian"])
def test_the_smallest_pictures_pass(mode: str, size: tuple[int, int]) -> None:
    pixels = random_pixels(*size)
    assert denoised(pixels, mode=mode, sigma=5.0, realism=0.5, steps=2).shape == pixels.shape


def test_real_photographs_gain_much_over_their_noise() -> None:
    for clean in (data.astronaut()[20:180, 150:310], data.chelsea()[60:220, 130:290]):
        y = noisy(clean, 25, seed=1)
        for mode, gain_db in (("gaussian", 9.0), ("blind", 8.5)):
            assert psnr(denoised(y, mode=mode), clean) > psnr(y, clean) + gain_db


def test_grey_noise_is_removed_as_well_as_coloured_noise() -> None:
    clean = data.camera()[50:210, 150:310]
    result = denoised(noisy(clean, 25, seed=1), mode="gaussian", sigma=25.0)[:, :, 0]
    assert psnr(result, clean) > 29


@pytest.mark.parametrize("grey", [True, False])
def test_black_under_noise_that_the_file_clipped_is_dark_again(grey: bool) -> None:
    black = np.zeros((96, 96) if grey else (96, 96, 3), np.uint8)
    y = noisy(black, 25, seed=1)
    assert y.mean() > 9
    assert denoised(y, mode="gaussian", sigma=25.0).mean() < 4


@pytest.mark.parametrize("mode", ["blind", "gaussian"])
def test_more_realism_moves_further_from_the_mean_and_costs_psnr(mode: str) -> None:
    clean = data.astronaut()[20:148, 160:288]
    y = noisy(clean, 25, seed=1)
    results = [denoised(y, mode=mode, sigma=25.0, realism=r) for r in (0.0, 0.5, 1.0)]
    moved = [float(np.abs(r.astype(float) - results[0]).mean()) for r in results]
    assert all(more > less + 0.2 for less, more in pairwise(moved))
    assert psnr(results[2], clean) < psnr(results[0], clean)


def test_two_runs_of_a_seed_are_equal_and_another_seed_is_not() -> None:
    pixels = random_pixels(32, 32)
    step = Denoise(mode="gaussian", sigma=30, realism=1, steps=3, sampler="ancestral")
    first, again, other = (
        run(step, picture(pixels), model=gaussian(0, 0.3), seed=seed).pictures[0].pixels
        for seed in (0, 0, 1)
    )
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize(
    "step", [Denoise(), Denoise(mode="gaussian"), Denoise(mode="gaussian", sigma=25)]
)
def test_every_mode_gains_decibels_on_a_noisy_photograph(step: Denoise) -> None:
    clean = photograph()
    damaged = noisy(clean, 25)
    result = run(step, picture(damaged))
    assert psnr(pixels_of(result), clean) > psnr(damaged, clean) + 6
    if step.mode == "gaussian":
        ((name, sigma),) = result.measures
        assert name == "sigma"
        assert sigma == pytest.approx(25, abs=5)


def test_realism_trades_fidelity_for_detail_step_by_step() -> None:
    clean = photograph()
    damaged = noisy(clean, 40)
    keys = {"mode": "gaussian", "sigma": 40.0, "sampler": "ancestral"}
    results = [denoised(damaged, realism=r, **keys) for r in (0.0, 0.5, 1.0)]
    fidelity = [psnr(result, clean) for result in results]
    assert fidelity[0] > fidelity[1] > fidelity[2]


def test_the_flow_gives_detail_back_step_by_step_for_less_than_a_sample_costs() -> None:
    clean = photograph()
    damaged = noisy(clean, 40)
    mean, half, flow, drawn = (
        denoised(damaged, mode="gaussian", sigma=40.0, realism=realism, **sampler)
        for realism, sampler in (
            (0.0, {}),
            (0.5, {}),
            (1.0, {}),
            (1.0, {"sampler": "ancestral"}),
        )
    )
    detail = [np.square(np.diff(r.astype(float), axis=0)).mean() for r in (mean, half, flow)]
    assert detail[0] < detail[1] < detail[2]
    assert psnr(mean, clean) > psnr(flow, clean) > psnr(drawn, clean) + 0.5


def test_a_grey_photograph_of_sixteen_bits_stays_itself() -> None:
    grey = photograph().astype(np.float32).mean(-1)
    deep = (grey * 257).astype(np.uint16)[..., None].repeat(3, -1)
    for mode in ("blind", "gaussian"):
        result = pixels_of(run(Denoise(mode=mode, sigma=10), picture(deep, grey=True)))
        assert result.dtype == np.uint16
        assert np.array_equal(result[..., 0], result[..., 1])
        assert psnr(result.astype(np.float64) / 257, deep.astype(np.float64) / 257) > 25


@pytest.mark.parametrize(("mode", "gain_db"), [("gaussian", 0.05), ("blind", 0.1)])
def test_the_mean_of_eight_orientations_is_nearer_to_a_real_photograph(
    mode: str, gain_db: float
) -> None:
    truth = data.astronaut()[20:180, 150:310]
    noise = 25 * seeded(160, 160, 3).numpy()
    if mode == "blind":  # noise of each pixel alone would be told to the other network
        noise = 2 * gaussian_filter(noise, (0.6, 0.6, 0))
    given = (truth + noise).round().clip(0, 255).astype("uint8")
    plain, ensemble = (
        denoised(given, mode=mode, sigma=25.0, self_ensemble=count) for count in (1, 8)
    )
    assert psnr(ensemble, truth) > psnr(plain, truth) + gain_db
