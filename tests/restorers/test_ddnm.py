"""What restorers make of a checkpoint that knows the truth: pictures of independent Gaussian
elements, behind the real model classes, schedules and predictions included."""

import math
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from daemon.checkpoints.traits import Traits
from daemon.config.steps import BaseStep, Colorize, Denoise, Restyle, SuperResolve
from daemon.diffusion.angles import even_angles
from daemon.diffusion.noise import Noise
from daemon.diffusion.operators import box_mean, low_frequencies
from daemon.diffusion.pixels import to_tensor
from daemon.diffusion.tiling import Denoiser, TileSpec
from daemon.diffusion.windows import Window
from daemon.models.calls import ModelCall, ModelCalls
from daemon.models.registry import Model, Placement
from daemon.photo import Picture
from daemon.restorers.chroma import luminance
from daemon.restorers.ddnm import MEAN_DRAWS, Known, ddnm_sample
from daemon.restorers.registry import Restoration, restorer_for
from daemon.restorers.spaces import WorkingSpace
from tests.support.answering import answer, picture, seeded
from tests.support.checkpoints import (
    BlockVae,
    GaussianUnet,
    drive,
    level_of,
    loaded,
    tiny_folder,
    trust_at,
)
from tests.support.tiny_pipelines import made

MU, DEVIATION = 0.1, 0.3
PREDICTIONS = {"epsilon": "pixel-epsilon", "v_prediction": "pixel-v", "sample": "pixel-sample"}


@pytest.fixture(params=PREDICTIONS)
def pixel(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Model:
    """A pixel checkpoint that knows the posterior, for each kind of prediction."""
    scheduler = made("DDPMScheduler", prediction_type=request.param)
    unet = GaussianUnet(MU, DEVIATION, scheduler)
    monkeypatch.setattr("daemon.models.pixel.load_network", lambda *_: unet)
    return loaded(tiny_folder(PREDICTIONS[request.param]))


@pytest.fixture
def latent(monkeypatch: pytest.MonkeyPatch) -> Model:
    """A Stable Diffusion whose latents are half the means of blocks, N(MU / 2, ...) each."""
    scheduler = made(
        "DDIMScheduler", beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012
    )
    unet = GaussianUnet(MU / 2, DEVIATION / 2, scheduler, channels=4)
    pipe = SimpleNamespace(
        unet=unet,
        vae=BlockVae(),
        config={},
        components={},
        encode_prompt=lambda **_: (torch.zeros(1, 77, 32), None),
    )
    monkeypatch.setattr("daemon.models.latent.load_pipeline", lambda *_, **__: pipe)
    return loaded(tiny_folder("stable-1"))


def traits_of(model: Model) -> Traits:
    placement: Placement = model._placement  # type: ignore[attr-defined]
    return placement.checkpoint.traits


def run(model: Model, step: BaseStep, *pictures: Picture, seed: int = 0) -> Restoration:
    restorer = restorer_for(step.kind, traits_of(model))  # type: ignore[attr-defined]
    return drive(restorer(pictures, step, Noise(seed)), model)


def flat(level: float, side: int = 64) -> Picture:
    return picture(np.full((side, side, 3), round(level), np.uint8))


def test_denoising_takes_the_known_mean_at_the_noises_own_angle(pixel: Model) -> None:
    result = (
        run(pixel, Denoise(mode="gaussian", sigma=51), flat(200)).pictures[0].pixels.astype(float)
    )
    trust = DEVIATION**2 / (DEVIATION**2 + (51 / 127.5) ** 2)
    expected = level_of(MU) + trust * (200 - level_of(MU))
    assert np.abs(result - expected).max() <= 1


def test_denoising_samples_the_known_posterior(pixel: Model) -> None:
    step = Denoise(mode="gaussian", sigma=51, realism=1, steps=60)
    levels = run(pixel, step, flat(200, 96)).pictures[0].pixels.astype(float)
    deviation = DEVIATION * 0.4 / math.hypot(DEVIATION, 0.4) * 127.5
    assert levels.mean() == pytest.approx(level_of(MU) + 0.36 * (200 - level_of(MU)), abs=1)
    assert levels.std() == pytest.approx(deviation, rel=0.06)


def test_enlarging_samples_what_the_measurement_leaves_open(pixel: Model) -> None:
    """Means of blocks are given; inside a block the prior's deviation is left, less their share."""
    step = SuperResolve(scale=2, realism=1, steps=60)
    made = run(pixel, step, flat(level_of(MU), 48))
    levels = made.pictures[0].pixels.astype(float)
    blocks = levels.reshape(48, 2, 48, 2, 3)
    inside = levels - blocks.mean((1, 3), keepdims=True).repeat(2, 1).repeat(2, 3).reshape(
        levels.shape
    )
    assert np.abs(blocks.mean((1, 3)) - round(level_of(MU))).max() < 0.6
    assert inside.std() == pytest.approx(DEVIATION * math.sqrt(3 / 4) * 127.5, rel=0.06)


def test_the_mean_of_an_enlargement_is_the_known_one(pixel: Model) -> None:
    step = SuperResolve(scale=2, realism=0)
    made = run(pixel, step, flat(level_of(MU), 32))
    levels = made.pictures[0].pixels.astype(float)
    # What is left is the noise of the few draws: a fraction of the posterior's deviation.
    t = 1.1
    left = math.sqrt(trust_at(t, DEVIATION) * (1 - trust_at(t, DEVIATION)) / MEAN_DRAWS)
    assert levels.mean() == pytest.approx(level_of(MU), abs=0.6)
    assert levels.std() < 1.5 * DEVIATION * 127.5 * left


def test_colours_have_the_priors_mean_and_deviation(pixel: Model) -> None:
    """With the luminance given, chroma keeps what the prior says of differences of channels."""
    step = Colorize(realism=1, steps=60)
    weights = np.array((0.299, 0.587, 0.114))
    direction = np.array((1.0, 0, 0)) - weights
    # Given the luminance, colours are N(0, d^2) in the plane of weight 0; R - Y of a point there.
    plane = np.eye(3) - np.outer(weights, weights) / (weights @ weights)
    expected = DEVIATION * math.sqrt(direction @ plane @ direction) / 2
    space = WorkingSpace(Denoiser("m", TileSpec((32,), 4, 8, 4)), traits_of(pixel))
    lit = torch.zeros(32, 32)
    column = torch.tensor(weights, dtype=torch.float32).view(3, 1, 1)

    def bind(x0: torch.Tensor) -> torch.Tensor:
        # The orthogonal way to put a luminance into a picture: exact for independent channels.
        return x0 - column / (column**2).sum() * ((column * x0).sum(0) - lit)

    known = Known(torch.zeros(3, 32, 32), bind)
    draws = partial(_draw, 32, 32)
    small = drive(ddnm_sample(space, known, even_angles(1.35, 60), draws, 1.0), pixel)
    red = (small - (column * small).sum(0))[0] / 2
    assert float(red.std()) == pytest.approx(expected, rel=0.08)
    grey = np.full((40, 40, 3), 120, np.uint8)
    coloured = run(pixel, step, picture(grey[..., 0])).pictures[0].pixels
    assert np.array_equal(luminance(coloured), grey[..., 0])
    assert np.ptp(coloured.astype(int), axis=2).mean() > 5


def test_restyling_wholly_draws_from_the_prior(pixel: Model) -> None:
    levels = run(pixel, Restyle(strength=1, steps=60), flat(250, 96)).pictures[0].pixels
    assert levels.mean() == pytest.approx(level_of(MU), abs=1.5)


def test_latents_are_denoised_towards_their_mean_and_the_tone_stays(latent: Model) -> None:
    rough = np.kron(np.where(seeded(16, 16) > 0, 30, -30), np.ones((8, 8)))[..., None]
    given = picture((120 + rough).round().astype(np.uint8).repeat(3, 2))
    step = Denoise(mode="gaussian", sigma=60, realism=0)
    levels = run(latent, step, given).pictures[0].pixels.astype(float)
    y = to_tensor(given.pixels)[:1]
    start = 0.7  # the most that a latent is taken up to: twice the level is more
    trust = trust_at(start, DEVIATION / 2)
    x0 = MU + trust * (y - MU)
    expected = x0 - low_frequencies(x0, 8.0) + low_frequencies(y, 8.0)
    got = torch.from_numpy(levels[..., 0] / 127.5 - 1)[None].float()
    left = math.sqrt(trust * (1 - trust) / MEAN_DRAWS) * DEVIATION
    assert float((got - expected).std()) < 1.3 * left
    assert float(low_frequencies(got - y, 24.0).abs().max()) < 0.05


def test_an_enlargement_through_latents_obeys_the_measurement(latent: Model) -> None:
    small = np.random.default_rng(0).integers(60, 190, (24, 24, 3), np.uint8)
    step = SuperResolve(scale=4, realism=1, steps=8)
    made = run(latent, step, picture(small))
    large = torch.from_numpy(made.pictures[0].pixels.astype(np.float32)).permute(2, 0, 1)
    means = box_mean(large, 4).permute(1, 2, 0).numpy()
    assert np.abs(means - small).max() < 1
    assert dict(made.measures)["residual"] < 0.5


def test_colours_through_latents_keep_the_luminance_and_vary(latent: Model) -> None:
    grey = np.full((64, 64), 140, np.uint8)
    coloured = run(latent, Colorize(realism=1, steps=30), picture(grey)).pictures[0].pixels
    assert np.array_equal(luminance(coloured), grey)
    spread = coloured.astype(float).reshape(-1, 3).std(0)
    assert spread.min() > 3


def test_restyling_latents_wholly_draws_from_the_prior(latent: Model) -> None:
    levels = run(latent, Restyle(strength=1, steps=60), flat(250, 256)).pictures[0].pixels
    blocks = levels[::8, ::8].astype(float)
    assert blocks.mean() == pytest.approx(level_of(MU), abs=2)
    assert blocks.std() == pytest.approx(DEVIATION * 127.5, rel=0.15)


def _draw(height: int, width: int, number: int) -> torch.Tensor:
    return Noise(5).draw(number, height, width)


def _latent_draw(height: int, width: int, number: int) -> torch.Tensor:
    return Noise(5).draw(number, height, width, channels=4)


def _space() -> WorkingSpace:
    return WorkingSpace(
        Denoiser("m", TileSpec((16,), 2, 4, 2)), Traits("pixel", ("pixel",), "a toy")
    )


def test_the_mean_averages_several_draws_in_one_turn() -> None:
    known = Known(torch.zeros(3, 16, 16), lambda x0: x0)
    asked: list[list[ModelCall]] = []
    asking: ModelCalls[torch.Tensor] = ddnm_sample(
        _space(), known, even_angles(1.0, 4), partial(_draw, 16, 16), 0.0
    )
    result = drive(asking, lambda calls: [call.x_t for call in calls], asked)
    assert [len(turn) for turn in asked] == [MEAN_DRAWS]
    assert float(result.std()) == pytest.approx(math.sin(1.0) / math.sqrt(MEAN_DRAWS), rel=0.1)


def test_realism_mixes_and_every_estimate_is_bound() -> None:
    bound: list[float] = []

    def bind(x0: torch.Tensor) -> torch.Tensor:
        bound.append(float(x0.mean()))
        return x0.clamp(0.25, 0.25)

    known = Known(torch.zeros(3, 16, 16), bind)
    asking = ddnm_sample(_space(), known, even_angles(1.0, 4), partial(_draw, 16, 16), 0.5)
    result = answer(asking, lambda calls: [torch.ones(3, 16, 16) for _ in calls])
    assert float(result.std()) == 0
    assert float(result.mean()) == pytest.approx(0.25)
    assert len(bound) == 5


@pytest.mark.parametrize(("every", "bindings"), [(0, 0), (1, 4), (3, 2)])
def test_estimates_in_latents_are_decoded_bound_and_encoded_again(
    latent: Model, every: int, bindings: int
) -> None:
    seen: list[float] = []

    def bind(x0: torch.Tensor) -> torch.Tensor:
        seen.append(float(x0.mean()))
        return torch.full_like(x0, 0.75)

    space = WorkingSpace(Denoiser("m", TileSpec((8,), 1, 2, 1), None, 8), traits_of(latent))
    known, draw = Known(torch.zeros(3, 64, 64), bind, every), partial(_latent_draw, 8, 8)
    drive(ddnm_sample(space, known, even_angles(1.0, 4), draw, 1.0), latent)
    assert len(seen) == bindings + 1
    if every == 1:
        assert seen[-1] == pytest.approx(0.75)  # the last estimate was bound before the end


@pytest.mark.parametrize("size", [(1, 1), (5, 90), (200, 300)])
def test_a_latents_noise_is_that_of_its_place_in_the_whole(size: tuple[int, int]) -> None:
    traits = Traits("latent", ("latent",), "a toy", channels=4, reduction=8)
    space = WorkingSpace(Denoiser("m", TileSpec((8,), 1, 2, 1), None, 8), traits)
    height, width = size
    whole = space.draws(Window(0, 0, height, width), size, Noise(3))(1)
    assert whole.shape == (4, max(8, -(-height // 8)), max(8, -(-width // 8)))
    if height > 96:
        part = space.draws(Window(48, 96, height - 48, width - 96), size, Noise(3))(1)
        assert torch.equal(part, whole[:, 6:, 12:])


def test_coarse_and_fine_add_up_and_a_flat_picture_is_all_coarse() -> None:
    flat_picture: NDArray[np.float32] = np.full((3, 9, 5), 0.3, np.float32)
    assert low_frequencies(torch.from_numpy(flat_picture), 4.0).numpy() == pytest.approx(0.3)
    noise = seeded(1, 200, 200)
    left = float(low_frequencies(noise, 4.0)[:, 20:-20, 20:-20].std())
    assert left == pytest.approx(1 / (2 * math.sqrt(math.pi) * 4), rel=0.15)
