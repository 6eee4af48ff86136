"""Samplers and spacings, each against diffusers' scheduler of that name, and what they keep."""

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, get_args

import diffusers
import pytest
import torch
from torch import Tensor

from daemon.checkpoints.traits import Betas
from daemon.config.steps import SamplerName, SpacingName
from daemon.diffusion.angles import (
    SPACINGS,
    even_angles,
    own_angles,
    spaced_angles,
    training_angles,
)
from daemon.diffusion.noise import Noise
from daemon.diffusion.process import eps_of
from daemon.diffusion.samplers import SAMPLERS, SamplerState
from daemon.diffusion.sampling import Trajectory, sample
from daemon.models.calls import DenoiseCall, ModelCalls, ask
from tests.support.answering import answer, gaussian, seeded

SHAPE = (1, 3, 8, 8)
STEPS = 8


def estimate(x_t: Tensor, t: float) -> Tensor:
    """Some posterior mean that depends on the state and the time in no simple way."""
    return torch.tanh(0.7 * math.cos(t) * x_t + 0.3 * torch.sin(3 * x_t) * math.sin(t))


class Stock:
    """A scheduler of diffusers, driven by `estimate`; `scaled` divides x_t by cos(t) as it does."""

    def __init__(self, name: str, *, scaled: bool, **options: object) -> None:
        schedulers: Any = diffusers
        betas = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}
        self._scheduler = getattr(schedulers, name)(prediction_type="epsilon", **betas, **options)
        self._scheduler.set_timesteps(STEPS)
        self._scaled = scaled

    @property
    def angles(self) -> list[float]:
        """The angles of its steps, 0 at the end."""
        if hasattr(self._scheduler, "sigmas"):
            return [math.atan(float(sigma)) for sigma in self._scheduler.sigmas]
        alphas = self._scheduler.alphas_cumprod[self._scheduler.timesteps]
        return [*(math.acos(math.sqrt(float(alpha))) for alpha in alphas), 0.0]

    def run(self, x_t: Tensor, **noise: Any) -> Tensor:  # noqa: ANN401  diffusers is untyped
        """Sample from x_t down to the clean picture."""
        for t, time in zip(self.angles[:-1], self._scheduler.timesteps, strict=True):
            state = x_t / math.cos(t) if self._scaled else x_t
            if self._scaled:  # Euler's schedulers want their input scaled before each step
                self._scheduler.scale_model_input(state, time)
            eps = eps_of(x_t, estimate(x_t, t), t)
            state = self._scheduler.step(eps, time, state, **noise).prev_sample
            following = self.angles[self.angles.index(t) + 1]
            x_t = state * math.cos(following) if self._scaled else state
        return x_t


def ours(name: SamplerName, x_t: Tensor, angles: Sequence[float], noise: Tensor) -> Tensor:
    before = None
    for t, s in pairwise(angles):
        x0 = estimate(x_t, t)
        fresh = noise if SAMPLERS[name].fresh and s > 0 else None
        x_t = SAMPLERS[name].step(SamplerState(x_t, x0, t, s, fresh, before))
        before = (t, x0)
    return x_t


STOCK: dict[SamplerName, Callable[[], Stock]] = {
    "ddim": lambda: Stock("DDIMScheduler", scaled=False, clip_sample=False, set_alpha_to_one=True),
    "euler": lambda: Stock("EulerDiscreteScheduler", scaled=True),
    "ancestral": lambda: Stock("EulerAncestralDiscreteScheduler", scaled=True),
    "dpmpp-2m": lambda: Stock(
        "DPMSolverMultistepScheduler", scaled=False, final_sigmas_type="zero"
    ),
    "dpmpp-2m-sde": lambda: Stock(
        "DPMSolverMultistepScheduler",
        scaled=False,
        algorithm_type="sde-dpmsolver++",
        final_sigmas_type="zero",
    ),
    "lcm": lambda: Stock("LCMScheduler", scaled=False, clip_sample=False, set_alpha_to_one=True),
}


def test_every_sampler_and_every_spacing_is_in_its_table() -> None:
    assert set(SAMPLERS) == set(STOCK) == set(get_args(SamplerName))
    assert set(SPACINGS) == set(get_args(SpacingName))


@pytest.mark.parametrize("name", get_args(SamplerName))
def test_a_sampler_steps_as_diffusers_scheduler_of_that_name(
    name: SamplerName, monkeypatch: pytest.MonkeyPatch
) -> None:
    noise, first = seeded(*SHAPE, seed=1), seeded(*SHAPE, seed=2)
    stock = STOCK[name]()
    options: dict[str, Tensor] = {}
    if name == "dpmpp-2m-sde":
        options["variance_noise"] = noise
    if name in ("ancestral", "lcm"):
        stem = "euler_ancestral_discrete" if name == "ancestral" else "lcm"
        module = f"diffusers.schedulers.scheduling_{stem}.randn_tensor"
        monkeypatch.setattr(module, lambda *_, **__: noise)
    theirs = stock.run(first, **options)
    result = ours(name, first, stock.angles, noise)
    assert float(theirs.std()) > 0.05
    assert float((result - theirs).abs().max()) < 2e-3


@pytest.mark.parametrize(
    ("scheduler", "betas"),
    [
        ({}, Betas("linear", 0.0001, 0.02, 1000)),
        (
            {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012},
            Betas("scaled_linear", 0.00085, 0.012, 1000),
        ),
        ({"beta_schedule": "squaredcos_cap_v2"}, Betas("squaredcos_cap_v2", 0.0001, 0.02, 1000)),
        ({"rescale_betas_zero_snr": True}, Betas("linear", 0.0001, 0.02, 1000, zero_snr=True)),
    ],
)
def test_training_angles_are_those_of_diffusers(scheduler: dict[str, Any], betas: Betas) -> None:
    schedulers: Any = diffusers
    alphas = schedulers.DDIMScheduler(**scheduler).alphas_cumprod.double()
    expected = torch.acos(alphas.clamp(0, 1).sqrt()).tolist()
    assert training_angles(betas) == pytest.approx(expected, abs=1e-4)


def test_a_run_of_own_angles_begins_at_the_nearest_and_skips_evenly() -> None:
    known = [1.5, 1.2, 0.9, 0.6, 0.3]
    assert own_angles(known, 1.6, 5) == [*known, 0.0]
    assert own_angles(known, 1.6, 2) == [1.5, 0.9, 0.0]
    assert own_angles(known, 0.7, 4) == [0.6, 0.3, 0.0]
    assert own_angles(known, 0.01, 4) == [0.3, 0.0]


def test_karras_angles_are_those_of_diffusers() -> None:
    stock = Stock("EulerDiscreteScheduler", scaled=True, use_karras_sigmas=True)
    found = spaced_angles(stock.angles[0], STEPS, "karras")
    assert found == pytest.approx(stock.angles, abs=2e-3)


def test_trailing_angles_are_those_of_diffusers() -> None:
    stock = Stock("DDIMScheduler", scaled=False, timestep_spacing="trailing")
    assert spaced_angles(stock.angles[0], STEPS, "trailing") == pytest.approx(
        stock.angles, abs=1e-5
    )


@pytest.mark.parametrize("spacing", [*get_args(SpacingName), (1.0, 0.5, 0.1)])
@pytest.mark.parametrize("start", [0.01, 0.4, math.pi / 2])
@pytest.mark.parametrize("steps", [1, 2, 3, 30])
def test_angles_fall_from_the_first_to_zero(
    spacing: SpacingName | tuple[float, ...], start: float, steps: int
) -> None:
    angles = spaced_angles(start, steps, spacing)
    assert len(angles) == (steps if isinstance(spacing, str) else 3) + 1
    assert angles[0] == pytest.approx(start)
    assert angles[-1] == 0
    assert all(late < early for early, late in pairwise(angles))


def test_late_angles_are_dense_where_there_is_little_noise() -> None:
    even, late = even_angles(1.0, 10), spaced_angles(1.0, 10, "late")
    assert late[-2] < even[-2] / 3
    assert late[1] < even[1]


TEXTURE = 0.04


def _texture_kept(name: SamplerName, spacing: SpacingName, start: float, steps: int) -> float:
    """Deviation of restyled texture of five levels, a perfect network asked, by its own."""
    picture = TEXTURE * seeded(3, 64, 64)

    def predict(x_t: Tensor, t: float) -> ModelCalls[Tensor]:
        (x0,) = yield from ask([DenoiseCall("toy", x_t, t)])
        return x0

    def draw(number: int) -> Tensor:
        return Noise(3).draw(number, 64, 64)

    x_t = math.cos(start) * picture + math.sin(start) * draw(0)
    trajectory = Trajectory(spaced_angles(start, steps, spacing), SAMPLERS[name])
    result = answer(sample(x_t, trajectory, predict, draw), gaussian(0.0, TEXTURE))
    return float(result.std()) / TEXTURE


def test_second_order_on_late_angles_keeps_texture_that_equal_angles_lose() -> None:
    plain = _texture_kept("ancestral", "even", 0.4 * math.pi / 2, 16)
    better = _texture_kept("dpmpp-2m", "late", 0.4 * math.pi / 2, 16)
    assert plain == pytest.approx(0.62, abs=0.05)
    assert better > 0.88


# Not `lcm`, whose networks answer with a sample rather than with the mean that stands in here.
@pytest.mark.parametrize("name", [n for n in get_args(SamplerName) if n != "lcm"])
def test_every_sampler_draws_from_the_known_posterior_in_many_steps(name: SamplerName) -> None:
    assert _texture_kept(name, "late", 0.6, 400) == pytest.approx(1, abs=0.04)
