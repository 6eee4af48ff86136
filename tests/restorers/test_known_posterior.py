"""What restorers make of checkpoints that know the truth, in pixels and in latents."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from daemon.config.steps import Colorize, Denoise, Restyle, SuperResolve
from daemon.diffusion.angles import even_angles
from daemon.diffusion.operators import box_mean, low_frequencies
from daemon.diffusion.pixels import to_tensor
from daemon.diffusion.sampling import Trajectory
from daemon.diffusion.tiling import Denoiser, TileSpec
from daemon.restorers.chroma import luminance
from daemon.restorers.ddnm import DDNM_SAMPLER, MEAN_DRAWS, Measurement, ddnm_sample
from daemon.restorers.working_space import WorkingSpace
from tests.support.answering import picture, pixels_of, seeded
from tests.support.checkpoints import drive, level_of, trust_at
from tests.support.known_model import DEVIATION, MU, KnownModel, flat, square_draw


def test_denoising_gives_the_known_mean_at_the_angle_of_the_noise(pixel: KnownModel) -> None:
    result = pixels_of(pixel.restore(Denoise(mode="gaussian", sigma=51), flat(200))).astype(float)
    trust = DEVIATION**2 / (DEVIATION**2 + (51 / 127.5) ** 2)
    expected = level_of(MU) + trust * (200 - level_of(MU))
    assert np.abs(result - expected).max() <= 1


def test_denoising_samples_the_known_posterior(pixel: KnownModel) -> None:
    step = Denoise(mode="gaussian", sigma=51, realism=1, steps=60, sampler="ancestral")
    levels = pixels_of(pixel.restore(step, flat(200, 96))).astype(float)
    deviation = DEVIATION * 0.4 / math.hypot(DEVIATION, 0.4) * 127.5
    assert levels.mean() == pytest.approx(level_of(MU) + 0.36 * (200 - level_of(MU)), abs=1)
    assert levels.std() == pytest.approx(deviation, rel=0.06)


def test_denoising_brings_a_noisy_picture_to_where_it_stands_among_clean_ones(
    pixel: KnownModel,
) -> None:
    """The flow keeps a picture's place: as many deviations from the mean after as before."""
    step = Denoise(mode="gaussian", sigma=51, realism=1, steps=60)
    levels = pixels_of(pixel.restore(step, flat(200, 32))).astype(float)
    noisy = math.hypot(DEVIATION, 0.4)
    expected = level_of(MU) + (200 - level_of(MU)) * DEVIATION / noisy
    assert levels.mean() == pytest.approx(expected, abs=1)
    assert levels.std() < 1


def test_enlarging_samples_what_the_measurement_leaves_open(pixel: KnownModel) -> None:
    """Means of blocks are given; inside a block the prior's deviation is left, less their share."""
    step = SuperResolve(scale=2, realism=1, steps=60)
    result = pixel.restore(step, flat(level_of(MU), 48))
    levels = result.pictures[0].pixels.astype(float)
    blocks = levels.reshape(48, 2, 48, 2, 3)
    inside = levels - blocks.mean((1, 3), keepdims=True).repeat(2, 1).repeat(2, 3).reshape(
        levels.shape
    )
    assert np.abs(blocks.mean((1, 3)) - round(level_of(MU))).max() < 0.6
    assert inside.std() == pytest.approx(DEVIATION * math.sqrt(3 / 4) * 127.5, rel=0.06)


def test_the_mean_of_an_enlargement_is_the_known_one(pixel: KnownModel) -> None:
    step = SuperResolve(scale=2, realism=0)
    result = pixel.restore(step, flat(level_of(MU), 32))
    levels = result.pictures[0].pixels.astype(float)
    # What is left is the noise of the few draws: a fraction of the posterior's deviation.
    t = 1.1
    left = math.sqrt(trust_at(t, DEVIATION) * (1 - trust_at(t, DEVIATION)) / MEAN_DRAWS)
    assert levels.mean() == pytest.approx(level_of(MU), abs=0.6)
    assert levels.std() < 1.5 * DEVIATION * 127.5 * left


def test_colours_have_the_mean_and_deviation_of_the_model(pixel: KnownModel) -> None:
    """With the luminance given, chroma keeps what the prior says of differences of channels."""
    step = Colorize(realism=1, steps=60)
    weights = np.array((0.299, 0.587, 0.114))
    direction = np.array((1.0, 0, 0)) - weights
    # Given the luminance, colours are N(0, d^2) in the plane of weight 0; R - Y of a point there.
    plane = np.eye(3) - np.outer(weights, weights) / (weights @ weights)
    expected = DEVIATION * math.sqrt(direction @ plane @ direction) / 2
    space = WorkingSpace(Denoiser("m", TileSpec((32,), 4, 8, 4)), pixel.traits)
    plane_of_zeros = torch.zeros(32, 32)
    column = torch.tensor(weights, dtype=torch.float32).view(3, 1, 1)

    def project(x0: Tensor) -> Tensor:
        # The orthogonal way to put a luminance into a picture: exact for independent channels.
        return x0 - column / (column**2).sum() * ((column * x0).sum(0) - plane_of_zeros)

    measurement = Measurement(torch.zeros(3, 32, 32), project)
    sample = ddnm_sample(
        space, measurement, Trajectory(even_angles(1.35, 60), DDNM_SAMPLER), square_draw(32), 1.0
    )
    small = drive(sample, pixel.model)
    red = (small - (column * small).sum(0))[0] / 2
    assert float(red.std()) == pytest.approx(expected, rel=0.08)
    grey = np.full((40, 40, 3), 120, np.uint8)
    coloured = pixels_of(pixel.restore(step, picture(grey[..., 0])))
    assert np.array_equal(luminance(coloured), grey[..., 0])
    assert np.ptp(coloured.astype(int), axis=2).mean() > 5


def test_restyling_at_full_strength_samples_the_prior(
    pixel: KnownModel,
) -> None:
    levels = pixels_of(pixel.restore(Restyle(strength=1, steps=60), flat(250, 96)))
    assert levels.mean() == pytest.approx(level_of(MU), abs=1.5)


def test_latents_are_denoised_towards_their_mean_and_the_tone_stays(latent: KnownModel) -> None:
    rough = np.kron(np.where(seeded(16, 16) > 0, 30, -30), np.ones((8, 8)))[..., None]
    given = picture((120 + rough).round().astype(np.uint8).repeat(3, 2))
    step = Denoise(mode="gaussian", sigma=60, realism=0)
    levels = pixels_of(latent.restore(step, given)).astype(float)
    y = to_tensor(given.pixels)[:1]
    start = 0.7  # the most that a latent is taken up to: twice the level is more
    trust = trust_at(start, DEVIATION / 2)
    x0 = MU + trust * (y - MU)
    expected = x0 - low_frequencies(x0, 8.0) + low_frequencies(y, 8.0)
    got = torch.from_numpy(levels[..., 0] / 127.5 - 1)[None].float()
    left = math.sqrt(trust * (1 - trust) / MEAN_DRAWS) * DEVIATION
    assert float((got - expected).std()) < 1.3 * left
    assert float(low_frequencies(got - y, 24.0).abs().max()) < 0.05


def test_an_enlargement_through_latents_obeys_the_measurement(latent: KnownModel) -> None:
    small = np.random.default_rng(0).integers(60, 190, (24, 24, 3), np.uint8)
    step = SuperResolve(scale=4, realism=1, steps=8)
    result = latent.restore(step, picture(small))
    large = torch.from_numpy(result.pictures[0].pixels.astype(np.float32)).permute(2, 0, 1)
    means = box_mean(large, 4).permute(1, 2, 0).numpy()
    assert np.abs(means - small).max() < 1
    assert dict(result.measures)["residual"] < 0.5


def test_colours_through_latents_keep_the_luminance_and_vary(latent: KnownModel) -> None:
    grey = np.full((64, 64), 140, np.uint8)
    coloured = pixels_of(latent.restore(Colorize(realism=1, steps=30), picture(grey)))
    assert np.array_equal(luminance(coloured), grey)
    spread = coloured.astype(float).reshape(-1, 3).std(0)
    assert spread.min() > 3


def test_restyling_latents_at_full_strength_samples_the_prior(
    latent: KnownModel,
) -> None:
    levels = pixels_of(latent.restore(Restyle(strength=1, steps=60), flat(250, 256)))
    blocks = levels[::8, ::8].astype(float)
    assert blocks.mean() == pytest.approx(level_of(MU), abs=2)
    assert blocks.std() == pytest.approx(DEVIATION * 127.5, rel=0.15)
