"""The shipped network, asked through its calls."""

import math
from itertools import pairwise

import pytest
import torch
from skimage import data
from torch import Tensor

from daemon.checkpoints.library import Library
from daemon.diffusion.pixels import to_tensor
from daemon.diffusion.process import add_noise, ddim_step
from daemon.diffusion.tiling import Denoiser, denoise_tiles
from daemon.models.calls import Degradation, DenoiseCall
from daemon.models.prior import Prior
from daemon.models.registry import Placement, load_model
from daemon.system.errors import ModelError
from tests.support.answering import StockDdim, answer, prior, real, seeded

EXACT, BF16 = 1e-4, 0.06
"""Largest differences between single and batched in [-1, 1]; bf16 rounds to 2**-8 of its values."""


def photograph(size: int = 96) -> Tensor:
    return to_tensor(data.astronaut()[40 : 40 + size, 170 : 170 + size])


def calls(*, exact: bool) -> list[DenoiseCall]:
    x0, eps = photograph(), seeded(3, 96, 96)
    return [
        DenoiseCall("prior", add_noise(x0, 0.2, eps), 0.2, exact=exact),
        DenoiseCall("prior", add_noise(x0, 1.1, eps), 1.1, exact=exact),
        DenoiseCall("prior", eps, math.pi / 2, x0, Degradation(blind=True), exact=exact),
        DenoiseCall(
            "prior", add_noise(x0, 0.5, eps), 0.5, x0, Degradation(scale=4, sigma=0.1), exact=exact
        ),
        DenoiseCall(
            "prior",
            eps,
            1.45,
            x0.mean(0, keepdim=True).expand(3, -1, -1),
            Degradation(grey=True),
            exact,
        ),
    ]


@pytest.mark.parametrize(("exact", "tolerance"), [(True, EXACT), (False, BF16)])
def test_a_batch_is_answered_as_each_call_alone(exact: bool, tolerance: float) -> None:
    asked = calls(exact=exact)
    batched = prior().predict(asked)
    for call, together in zip(asked, batched, strict=True):
        (alone,) = prior().predict([call])
        assert together.shape == (3, 96, 96)
        assert together.dtype == torch.float32
        assert float((alone - together).abs().max()) < tolerance


def test_weights_of_zeros_are_a_fault_of_the_model_and_not_noise_to_publish() -> None:
    prior = load_model(Placement(Library().checkpoint("prior"), "cpu"))
    assert isinstance(prior, Prior)
    for weight in prior._network.parameters():
        weight.data.zero_()
    with pytest.raises(ModelError, match="prior: its answer is the same number everywhere"):
        prior.predict([DenoiseCall("prior", torch.randn(3, 32, 32), 0.5)])


def test_bf16_stays_near_the_exact_answer() -> None:
    pairs = zip(
        prior().predict(calls(exact=True)), prior().predict(calls(exact=False)), strict=True
    )
    assert all(float((a - b).square().mean().sqrt()) < 0.01 for a, b in pairs)


def test_at_pi_over_two_the_noise_does_not_matter() -> None:
    x0, degradation = photograph(), Degradation(blind=True)
    asked = [
        DenoiseCall("prior", seeded(3, 96, 96, seed=k), math.pi / 2, x0, degradation, exact=True)
        for k in (0, 1)
    ]
    first, second = prior().predict(asked)
    assert float((first - second).abs().max()) < EXACT


def test_predict_leaves_its_inputs_as_they_are() -> None:
    x_t = seeded(3, 32, 32)
    kept = x_t.clone()
    prior().predict([DenoiseCall("prior", x_t, math.pi / 2)])
    assert torch.equal(x_t, kept)


def test_the_network_removes_known_noise_from_a_real_photograph() -> None:
    x0 = photograph(192)
    y = x0 + 25 / 127.5 * seeded(3, 192, 192)
    t = math.atan(25 / 127.5)
    (mean,) = prior().predict([DenoiseCall("prior", math.cos(t) * y, t)])
    gain_db = 10 * math.log10(float((y - x0).square().mean() / (mean - x0).square().mean()))
    assert gain_db > 9


@pytest.mark.parametrize(("exact", "tolerance"), [(True, 2e-3), (False, 1e-2)])
def test_one_evaluation_in_tiles_equals_one_of_the_untiled_picture(
    exact: bool, tolerance: float
) -> None:
    x0 = to_tensor(data.coffee()).tile(1, 1, 2)[:, :128, 128:]
    x_t = add_noise(x0, 0.7, seeded(3, 128, 1072))
    asked: list[list[DenoiseCall]] = []
    tiled = answer(denoise_tiles(Denoiser("prior"), x_t, 0.7, exact=exact), real, asked)
    (untiled,) = prior().predict([DenoiseCall("prior", x_t, 0.7, exact=exact)])
    assert len(asked[0]) == 2
    assert float((tiled - untiled).abs().max()) / 2 < tolerance


def test_unconditional_sampling_equals_the_stock_ddim_scheduler() -> None:
    stock = StockDdim(5)
    ours = theirs = seeded(3, 64, 64)
    for step, (t, s) in enumerate(pairwise(stock.angles)):
        (x0,) = prior().predict([DenoiseCall("prior", ours, t, exact=True)])
        ours = ddim_step(ours, x0, t, s)
        (x0,) = prior().predict([DenoiseCall("prior", theirs, t, exact=True)])
        theirs = stock.step(step, theirs, x0, 0.0, theirs)
    assert float((ours - theirs).abs().max()) < 1e-2
    assert float(ours.std()) > 0.05
