import math
from dataclasses import replace

import numpy as np
import pytest
import skimage.data
from numpy.typing import NDArray
from PIL import Image

from daemon.config.recipe import Recipe
from daemon.config.steps import BaseStep, Denoise, Interpolate, Restyle, SuperResolve
from daemon.diffusion.noise import Noise
from daemon.diffusion.pixels import to_pixels, to_tensor
from daemon.photo import Picture
from daemon.restorers.chain import footprint, output_size, restore
from daemon.restorers.interpolate import decode, encode
from daemon.restorers.registry import RESTORERS, Restoration, restorer_for
from tests.support.answering import PRIOR_SPACE, answer, picture, psnr, real


def photograph(size: int = 128, top: int = 0, left: int = 160) -> NDArray[np.uint8]:
    """A part of a real photograph, (size, size, 3)."""
    whole: NDArray[np.uint8] = skimage.data.astronaut()
    return whole[top : top + size, left : left + size]


def run(step: BaseStep, *pictures: Picture, seed: int = 1) -> Restoration:
    restorer = restorer_for(step.kind)  # type: ignore[attr-defined]
    return answer(restorer(pictures, step, Noise(seed)), real)


def pixels_of(restoration: Restoration) -> NDArray[np.generic]:
    return restoration.pictures[0].pixels


def noisy(pixels: NDArray[np.uint8], sigma: float) -> NDArray[np.uint8]:
    drawn = np.random.default_rng(0).normal(0, sigma, pixels.shape)
    return np.clip(pixels + drawn, 0, 255).round().astype(np.uint8)


@pytest.mark.parametrize(
    "step", [Denoise(), Denoise(mode="gaussian"), Denoise(mode="gaussian", sigma=25)]
)
def test_denoise_gains_decibels_on_a_noisy_photograph(step: Denoise) -> None:
    clean = photograph()
    damaged = noisy(clean, 25)
    restored = run(step, picture(damaged))
    assert psnr(pixels_of(restored), clean) > psnr(damaged, clean) + 6
    if step.mode == "gaussian":
        ((name, sigma),) = restored.measures
        assert name == "sigma"
        assert sigma == pytest.approx(25, abs=5)


def test_realism_trades_fidelity_for_detail_step_by_step() -> None:
    clean = photograph()
    damaged = picture(noisy(clean, 40))
    results = [
        pixels_of(run(Denoise(mode="gaussian", sigma=40, realism=r), damaged)) for r in (0, 0.5, 1)
    ]
    fidelity = [psnr(result, clean) for result in results]
    detail = [np.square(np.diff(r.astype(float), axis=0)).mean() for r in results]
    assert fidelity[0] > fidelity[1] > fidelity[2]
    assert detail[0] < detail[2]


def test_grey_stays_grey_and_sixteen_bits_stay_sixteen() -> None:
    grey = photograph().astype(np.float32).mean(-1)
    deep = (grey * 257).astype(np.uint16)[..., None].repeat(3, -1)
    for mode in ("blind", "gaussian"):
        restored = run(Denoise(mode=mode, sigma=10), picture(deep, grey=True))
        result = pixels_of(restored)
        assert result.dtype == np.uint16
        assert np.array_equal(result[..., 0], result[..., 1])
        assert psnr(result.astype(np.float64) / 257, deep.astype(np.float64) / 257) > 25


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("realism", [0.0, 1.0])
def test_reducing_an_enlarged_photograph_gives_it_back_within_one_level(
    scale: int, realism: float
) -> None:
    small = photograph(41) // 2 + 64  # nothing clips
    restored = run(SuperResolve(scale=scale, realism=realism), picture(small))
    large = Image.fromarray(pixels_of(restored))
    assert large.size == (41 * scale, 41 * scale)
    back = np.asarray(large.reduce(scale)).astype(int)
    assert np.abs(back - small).max() <= 1
    ((name, residual),) = restored.measures
    assert (name, residual < 0.5) == ("residual", True)


def test_super_resolution_beats_bicubic() -> None:
    clean = photograph(160)
    small = Image.fromarray(clean).reduce(2)
    bicubic = np.asarray(small.resize((160, 160), Image.Resampling.BICUBIC))
    restored = run(SuperResolve(realism=0), picture(np.asarray(small)))
    assert psnr(pixels_of(restored), clean) > psnr(bicubic, clean)


def test_a_noisy_measurement_binds_softly() -> None:
    small = noisy(photograph(48), 15)
    hard, soft = (run(SuperResolve(sigma=s), picture(small)) for s in (0, 15))
    assert hard.measures[0][1] < 1 < soft.measures[0][1]


def test_restyle_keeps_more_the_less_strength_it_has() -> None:
    pixels = photograph(96)
    results = [pixels_of(run(Restyle(strength=s), picture(pixels))) for s in (0, 0.1, 0.3, 0.7)]
    assert np.array_equal(results[0], pixels)
    kept = [psnr(result, pixels) for result in results[1:]]
    assert kept[0] > kept[1] > kept[2]


def test_restyle_leaves_what_the_mask_keeps_untouched() -> None:
    pixels = photograph(96)
    mask = np.zeros((48, 48), np.uint8)
    mask[:, 24:] = 255  # half the size: it is fitted
    result = pixels_of(run(Restyle(strength=0.6), replace(picture(pixels), mask=mask)))
    assert np.array_equal(result[:, :40], pixels[:, :40])
    assert psnr(result[:, 56:], pixels[:, 56:]) < 40


def test_a_sweep_is_one_labelled_sheet() -> None:
    sheet = pixels_of(run(Restyle(sweep=(0.2, 0.5, 0.8)), picture(photograph(96))))
    assert sheet.shape[0] * sheet.shape[1] > 4 * 96 * 96


def test_an_interpolation_begins_and_ends_with_the_photographs_and_is_no_cross_fade() -> None:
    first, second = photograph(96), photograph(96, 300, 100)
    frames = run(Interpolate(frames=5), picture(first), picture(second)).pictures
    assert len(frames) == 5
    assert np.array_equal(frames[0].pixels, first)
    assert np.array_equal(frames[-1].pixels, second)
    fade = (first.astype(float) + second) / 2
    assert psnr(frames[2].pixels, fade) < 35


def test_inversion_and_back_reproduces_a_photograph_at_35_db() -> None:
    pixels = photograph()
    latent = answer(encode(to_tensor(pixels), math.pi / 4, 12, PRIOR_SPACE), real)
    back = answer(decode(latent, math.pi / 4, 12, PRIOR_SPACE), real)
    assert psnr(to_pixels(back, np.uint8), pixels) > 35
    assert float(latent.std()) > 0.5


def test_a_second_photograph_of_another_size_is_fitted_and_that_is_said() -> None:
    restored = run(Interpolate(frames=3), picture(photograph(64)), picture(photograph(96)))
    assert all(frame.pixels.shape == (64, 64, 3) for frame in restored.pictures)
    assert "96x96 to 64x64" in restored.notes[0]


@pytest.mark.parametrize("kind", [k for k, use in RESTORERS if use == "prior" and k != "inpaint"])
@pytest.mark.parametrize("size", [(1, 1), (5, 3)])
def test_every_restorer_takes_the_smallest_photographs(kind: str, size: tuple[int, int]) -> None:
    step = Recipe.model_validate({"name": "r", "steps": [{"kind": kind}]}).steps[0]
    pixels = np.full((*size, 3), 90, np.uint8)
    restored = run(step, *[picture(pixels)] * step.photos)
    factor = 2 if kind == "super-resolve" else 1
    assert pixels_of(restored).shape == (size[0] * factor, size[1] * factor, 3)


@pytest.mark.parametrize("kind", [kind for kind, use in RESTORERS if use == "prior"])
def test_two_runs_of_a_job_are_alike_and_another_seed_differs(kind: str) -> None:
    step = Recipe.model_validate({"name": "r", "steps": [{"kind": kind}]}).steps[0]
    if kind == "denoise":
        step = step.model_copy(update={"realism": 1.0})
    pictures = [
        picture(photograph(64, 20 * i), grey=kind == "colorize") for i in range(step.photos)
    ]
    if kind == "inpaint":
        half = np.array([[0, 255], [0, 255]], np.uint8)
        pictures = [replace(given, mask=half) for given in pictures]
    one, two, other = (run(step, *pictures, seed=s).pictures[-2:][0].pixels for s in (1, 1, 2))
    assert np.array_equal(one, two)
    if kind not in ("interpolate", "unfade"):  # the way through the latents is deterministic
        assert not np.array_equal(one, other)


def test_a_chain_restores_measures_and_predicts_its_size() -> None:
    steps = [{"kind": "denoise", "mode": "gaussian"}, {"kind": "super-resolve", "scale": 3}]
    recipe = Recipe.model_validate({"name": "r", "steps": steps})
    done = answer(restore(recipe, (picture(photograph(40)),), 7), real)
    assert done.pictures[0].pixels.shape == (120, 120, 3)
    assert output_size(recipe, 40, 40) == (120, 120)
    assert [(m.step, m.name) for m in done.measures] == [(0, "sigma"), (1, "residual")]
    assert footprint(recipe, [(40, 40)]) < footprint(recipe, [(4000, 4000)])


def test_unfading_needs_room_for_two_pictures_and_no_floats() -> None:
    recipe = Recipe.model_validate({"name": "r", "steps": [{"kind": "unfade"}]})
    assert footprint(recipe, [(10_000, 10_000)]) == 2 * 8 * 10_000**2


def test_a_hundred_megapixels_of_denoising_are_held_in_less_than_four_gigabytes() -> None:
    recipe = Recipe.model_validate({"name": "r", "steps": [{"kind": "denoise"}]})
    assert footprint(recipe, [(10_000, 10_000)]) < 4e9
