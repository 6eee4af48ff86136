import math

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data

from daemon.models.prior_network import PhotoPrior
from training.damage import camera_noise, jpeg, old_print
from training.photos import (
    Pixels,
    Pyramid,
    complete_picture,
    to_grey_pixels,
    to_pixels,
    to_tensor,
)
from training.tasks import (
    KINDS,
    colour,
    colour_batch,
    crop_batch,
    enlarged,
    make_batch,
    repair,
    unconditional,
)
from training.validation import colourfulness, measure_all, psnr


def photograph(name: str) -> Pixels:
    pixels: Pixels = getattr(data, name)()
    return pixels


FACE = photograph("astronaut")[64:128, 160:224]


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_nothing_is_told_of_an_unconditional_picture() -> None:
    example = unconditional(FACE, rng())
    assert example.task.tolist() == [0, 0, 0, 0]
    assert example.condition.abs().max() == 0


def test_colour_is_asked_with_the_grey_picture_three_times() -> None:
    example = colour(FACE, rng())
    grey = FACE @ np.array([0.299, 0.587, 0.114]) / 127.5 - 1
    assert example.task.tolist() == [1, 0, 0, 0]
    for plane in example.condition:
        assert np.abs(plane.numpy() - grey).max() < 1e-5


@pytest.mark.parametrize(("scale", "told"), [(2, 0.5), (4, 1.0)])
def test_enlargement_is_asked_with_the_bicubic_enlargement_and_half_the_scales_logarithm(
    scale: int, told: float
) -> None:
    example = enlarged(FACE, scale, Image.Resampling.BICUBIC, 0.0, rng())
    small = Image.fromarray(FACE).resize((64 // scale, 64 // scale), Image.Resampling.BICUBIC)
    expected = np.asarray(small.resize((64, 64), Image.Resampling.BICUBIC))
    assert example.task.tolist() == [0, told, 0, 0]
    assert np.array_equal(to_pixels(example.condition), expected)


def test_enlargement_tells_the_noise_of_the_small_picture() -> None:
    flat = np.full((64, 64, 3), 128, np.uint8)
    example = enlarged(flat, 2, Image.Resampling.BICUBIC, 0.1, rng())
    assert example.task[2].item() == pytest.approx(0.1)
    assert 0.04 < example.condition.std().item() < 0.1


def test_repair_is_blind() -> None:
    assert repair(FACE, rng()).task.tolist() == [0, 0, 0, 1]


def test_noisy_pictures_are_zero_at_half_pi_and_there_alone() -> None:
    batch = make_batch([FACE] * 40, [KINDS.index("repair")] * 40, rng())
    regress = batch.t == torch.tensor(math.pi / 2)
    assert 8 < int(regress.sum()) < 32
    assert batch.x_t[regress].abs().max() == 0
    assert torch.equal(batch.v[regress], -batch.x0[regress])
    assert batch.x_t[~regress].abs().amax(dim=(1, 2, 3)).min() > 0


def test_v_and_the_noisy_picture_give_the_clean_one_back() -> None:
    batch = make_batch([FACE] * 20, [0] * 20, rng())
    cos, sin = (side[:, None, None, None] for side in (batch.t.cos(), batch.t.sin()))
    torch.testing.assert_close(cos * batch.x_t - sin * batch.v, batch.x0, rtol=0, atol=1e-5)


def test_the_same_step_draws_the_same_batch_and_the_next_another() -> None:
    pyramids = [Pyramid("astronaut", (photograph("astronaut"),))]
    one, same, other = (crop_batch(pyramids, rng(seed)) for seed in (1, 1, 2))
    assert torch.equal(one.x_t, same.x_t)
    assert torch.equal(one.condition, same.condition)
    assert not torch.equal(one.x_t, other.x_t)


def test_colour_is_learned_from_whole_pictures() -> None:
    pyramids = [Pyramid("coffee", (photograph("coffee"),))]
    batch = colour_batch(pyramids, rng())
    assert set(batch.kinds.tolist()) == {KINDS.index("colour")}
    assert batch.x0.shape[2] % 16 == batch.x0.shape[3] % 16 == 0
    small = complete_picture(pyramids[0], 64, 96, rng(3))
    expected = np.asarray(
        Image.fromarray(photograph("coffee")).resize((96, 64), Image.Resampling.BICUBIC)
    )
    assert np.array_equal(small, expected) or np.array_equal(small[:, ::-1], expected)


def test_a_crop_box_never_leaves_the_picture() -> None:
    generator = rng()
    for height in range(72, 140, 3):
        picture = Pyramid("odd", (np.zeros((height, 177, 3), np.uint8),))
        for size in ((112, 160), (160, 112), (64, 96), (144, 96)):
            assert complete_picture(picture, *size, generator).shape == (*size, 3)


def test_camera_noise_grows_with_the_light() -> None:
    deviations = []
    for seed in range(12):
        ramp = np.zeros((64, 64, 3), np.uint8)
        ramp[:, :32], ramp[:, 32:] = 100, 200
        light = (camera_noise(ramp, rng(seed)) / 255.0) ** 2.2
        deviations.append((light[:, :32].std(), light[:, 32:].std()))
    dark, bright = np.mean(deviations, axis=0)
    assert bright > 1.2 * dark


def test_scratches_change_little_of_the_picture_but_change_that_much() -> None:
    changed = []
    for seed in range(20):
        difference = np.abs(old_print(FACE, rng(seed)).astype(int) - FACE).max(axis=2)
        changed.append(difference > 40)
    share = np.mean(changed)
    assert 0.005 < share < 0.3


def test_measures_agree_with_their_definitions() -> None:
    grey = np.full((32, 32, 3), 100, np.uint8)
    assert psnr(grey, grey + 10) == pytest.approx(20 * math.log10(25.5))
    assert colourfulness(grey) == 0
    red = grey.copy()
    red[..., 0] = 200
    # One flat colour: rg = 100, yb = (200 + 100) / 2 - 100 = 50, no deviation.
    assert colourfulness(red) == pytest.approx(0.3 * math.hypot(100, 50))
    assert psnr(jpeg(FACE, 90), FACE) > psnr(jpeg(FACE, 20), FACE)


def test_pixels_survive_the_way_to_tensors_and_back() -> None:
    assert np.array_equal(to_pixels(to_tensor(FACE)), FACE)


def test_some_crops_are_grey_and_so_may_be_what_they_are_repaired_from() -> None:
    pyramids = [Pyramid("a", (photograph("astronaut"),))]
    batches = [crop_batch(pyramids, rng(seed)) for seed in range(12)]
    grey = torch.cat([(batch.x0 == batch.x0[:, :1]).all(3).all(2).all(1) for batch in batches])
    assert 0.05 < grey.float().mean() < 0.3
    face = to_grey_pixels(FACE)
    conditions = [repair(face, rng(seed)).condition for seed in range(12)]
    assert {bool((one == one[:1]).all()) for one in conditions} == {True, False}


def test_every_damage_is_measured_the_same_each_time() -> None:
    torch.manual_seed(0)
    network: PhotoPrior = PhotoPrior(channels=(4, 8), blocks=(1, 1), patch=2, embedding=8)
    first, again = (measure_all(network, [FACE]) for _ in range(2))
    assert first == again
    assert {"camera_in", "camera", "print_in", "print"} <= set(first)
    assert 15 < first["camera_in"] < 45
