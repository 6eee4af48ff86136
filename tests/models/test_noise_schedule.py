"""Noise schedules of checkpoints, step by step against diffusers' own schedulers."""

import json
import math
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch
from torch import Tensor

from daemon.diffusion.process import add_noise, ddim_step
from daemon.models.noise_schedule import NoiseSchedule, noise_schedule_of, read_noise_schedule
from daemon.system.errors import ConfigError
from tests.support.answering import seeded

FLOW = "FlowMatchEulerDiscreteScheduler"
NOWHERE = Path("scheduler_config.json")
PREDICTIONS = ("epsilon", "v_prediction", "sample")
SCHEDULES: dict[str, dict[str, Any]] = {
    "linear": {},
    "scaled": {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012},
    "cosine": {"beta_schedule": "squaredcos_cap_v2"},
    "trained": {"trained_betas": [0.001 * (k + 1) for k in range(100)], "num_train_timesteps": 100},
}
ZERO_SNR = {**SCHEDULES["scaled"], "rescale_betas_zero_snr": True}

Network = Callable[[Tensor, float], Tensor]


def network(x: Tensor, time: float) -> Tensor:
    """Stands for a network: any smooth function of both, whose values can be compared."""
    return torch.tanh(x.roll(1, -1) + math.cos(time / 150)) * 0.8 + 0.1 * x


def stock(name: str, **config: object) -> Any:  # noqa: ANN401  diffusers is untyped
    return getattr(diffusers, name)(**config)


def answer(schedule: NoiseSchedule, x_t: Tensor, t: float, *, clip: bool = True) -> Tensor:
    output = network(schedule.network_input(x_t[None], [t]), schedule.timestep(t))
    return schedule.posterior_mean(output, x_t[None], [t], clip=clip)[0]


def angle(alpha_bar: Tensor) -> float:
    return math.atan2(math.sqrt(1 - float(alpha_bar)), math.sqrt(float(alpha_bar)))


def ddim_cases() -> list[Any]:
    cases = [(p, k, c, eta) for p in PREDICTIONS for k, c in SCHEDULES.items() for eta in (0, 0.7)]
    cases += [("v_prediction", "zero-snr", ZERO_SNR, 0.0), ("sample", "zero-snr", ZERO_SNR, 0.5)]
    return [pytest.param(p, c, eta, id=f"{p}-{k}-{eta}") for p, k, c, eta in cases]


@pytest.mark.parametrize(("prediction", "config", "eta"), ddim_cases())
@pytest.mark.parametrize("clip", [False, True])
def test_every_step_is_that_of_ddim(
    prediction: str, config: dict[str, Any], eta: float, clip: bool
) -> None:
    scheduler = stock(
        "DDIMScheduler",
        prediction_type=prediction,
        clip_sample=clip,
        timestep_spacing="trailing",
        **config,
    )
    scheduler.set_timesteps(10)
    schedule = noise_schedule_of(scheduler, NOWHERE)
    alphas = scheduler.alphas_cumprod
    angles = [*(angle(alphas[time]) for time in scheduler.timesteps), 0.0]
    x_t = seeded(3, 8, 8)
    theirs = x_t.clone()
    for step, (time, (t, s)) in enumerate(zip(scheduler.timesteps, pairwise(angles), strict=True)):
        assert schedule.timestep(t) == pytest.approx(float(time), abs=1e-3)
        noise = seeded(3, 8, 8, seed=step)
        output = network(theirs, float(time))
        stepped = scheduler.step(
            output, time, theirs, eta=eta, use_clipped_model_output=True,
            variance_noise=noise if eta else None,
        )  # fmt: skip
        ours = ddim_step(theirs, answer(schedule, theirs, t), t, s, eta, noise)
        theirs = stepped.prev_sample
        torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("prediction", PREDICTIONS)
@pytest.mark.parametrize("config", SCHEDULES.values(), ids=SCHEDULES)
def test_every_inversion_step_is_that_of_inverse_ddim(
    prediction: str, config: dict[str, Any]
) -> None:
    scheduler = stock(
        "DDIMInverseScheduler", prediction_type=prediction, clip_sample=False, **config
    )
    scheduler.set_timesteps(10)
    schedule = noise_schedule_of(scheduler, NOWHERE)
    alphas, stride = scheduler.alphas_cumprod, scheduler.config.num_train_timesteps // 10
    theirs = x_t = seeded(3, 8, 8) * 0.5
    for time in scheduler.timesteps[1:]:
        t, s = angle(alphas[time - stride]), angle(alphas[time])
        # Its network is asked at the time it goes to; ours at the time the picture is at.
        output = network(theirs, float(time - stride))
        theirs = scheduler.step(output, time, theirs).prev_sample
        x_t = ddim_step(x_t, answer(schedule, x_t, t, clip=False), t, s)
        torch.testing.assert_close(x_t, theirs, atol=1e-4, rtol=1e-4)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning:diffusers")
@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
@pytest.mark.parametrize("karras", [False, True])
@pytest.mark.parametrize("config", [*SCHEDULES.values(), ZERO_SNR], ids=[*SCHEDULES, "zero-snr"])
def test_every_step_is_that_of_euler(prediction: str, karras: bool, config: dict[str, Any]) -> None:
    scheduler = stock(
        "EulerDiscreteScheduler", prediction_type=prediction, use_karras_sigmas=karras, **config
    )
    scheduler.set_timesteps(10)
    schedule = noise_schedule_of(scheduler, NOWHERE)
    theirs = seeded(3, 8, 8) * scheduler.init_noise_sigma
    for time, (sigma, after) in zip(scheduler.timesteps, pairwise(scheduler.sigmas), strict=True):
        t, s = math.atan(float(sigma)), math.atan(float(after))
        assert schedule.timestep(t) == pytest.approx(float(time), abs=2e-3)
        output = network(scheduler.scale_model_input(theirs, time), float(time))
        x_t = math.cos(t) * theirs
        ours = ddim_step(x_t, answer(schedule, x_t, t), t, s) / math.cos(s)
        theirs = scheduler.step(output, time, theirs).prev_sample
        scale = max(1.0, float(after))
        rounding = 2e-7 * float(sigma)  # their float32 picture is as large as the noise
        torch.testing.assert_close(ours / scale, theirs / scale, atol=1e-4 + rounding, rtol=1e-4)


@pytest.mark.parametrize("shift", [1.0, 3.0])
def test_every_step_is_that_of_flow_matching(shift: float) -> None:
    scheduler = stock(FLOW, shift=shift)
    scheduler.set_timesteps(10)
    schedule = noise_schedule_of(scheduler, NOWHERE)
    theirs = seeded(3, 8, 8)
    for time, (share, after) in zip(scheduler.timesteps, pairwise(scheduler.sigmas), strict=True):
        t, s = (math.atan2(float(x), 1 - float(x)) for x in (share, after))
        assert schedule.timestep(t) == pytest.approx(float(time), abs=1e-3)
        x_t = theirs * (math.cos(t) + math.sin(t))
        ours = ddim_step(x_t, answer(schedule, x_t, t), t, s) / (math.cos(s) + math.sin(s))
        theirs = scheduler.step(network(theirs, float(time)), time, theirs).prev_sample
        torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)


def test_dynamic_thresholding_is_that_of_ddim() -> None:
    scheduler = stock("DDIMScheduler", thresholding=True, sample_max_value=1.5)
    scheduler.set_timesteps(10)
    schedule = noise_schedule_of(scheduler, NOWHERE)
    time = scheduler.timesteps[2]
    x_t = 2 * seeded(3, 8, 8)
    theirs = scheduler.step(network(x_t, float(time))[None], time, x_t[None]).pred_original_sample
    t = angle(scheduler.alphas_cumprod[time])
    assert float(theirs.abs().max()) <= 1
    torch.testing.assert_close(answer(schedule, x_t, t), theirs[0], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("prediction", [*PREDICTIONS, "flow_prediction"])
def test_the_output_of_a_perfect_network_gives_back_x0_at_every_angle(prediction: str) -> None:
    name = FLOW if prediction == "flow_prediction" else "DDPMScheduler"
    config = {} if prediction == "flow_prediction" else {"prediction_type": prediction}
    schedule = noise_schedule_of(stock(name, **config), NOWHERE)
    x0, eps = seeded(2, 3, 4, 4).clamp(-1, 1), seeded(2, 3, 4, 4, seed=1)
    for t in (0.0, 0.003, 0.4, 1.2, 1.55):
        outputs = {
            "epsilon": eps,
            "v_prediction": math.cos(t) * eps - math.sin(t) * x0,
            "sample": x0,
            "flow_prediction": eps - x0,
        }
        estimate = schedule.posterior_mean(
            outputs[prediction], add_noise(x0, t, eps), [t, t], clip=False
        )
        torch.testing.assert_close(estimate, x0, atol=1e-4, rtol=1e-4)


def test_timesteps_rise_with_the_angle_and_hold_at_both_ends() -> None:
    schedule = noise_schedule_of(stock("DDPMScheduler"), NOWHERE)
    assert schedule.timestep(0) == 0
    assert schedule.timestep(math.pi / 2) == 999
    steps = [schedule.timestep(0.01 * k) for k in range(158)]
    assert all(earlier <= later for earlier, later in pairwise(steps))
    between = schedule.timestep(0.5)
    assert between != round(between)


def test_beyond_the_last_training_timestep_eps_is_not_amplified() -> None:
    schedule = noise_schedule_of(stock("DDIMScheduler", clip_sample=False), NOWHERE)
    x_t = seeded(1, 3, 8, 8)
    x0 = schedule.posterior_mean(0.99 * x_t, x_t, [math.pi / 2], clip=False)
    assert float(x0.abs().max()) < 10


def written(folder: Path, values: object) -> Path:
    path = folder / "scheduler_config.json"
    path.write_text(json.dumps(values))
    return path


def test_a_saved_configuration_gives_the_schedule_of_its_class(tmp_path: Path) -> None:
    stock("PNDMScheduler", beta_schedule="scaled_linear", beta_end=0.012).save_pretrained(tmp_path)
    schedule = read_noise_schedule(tmp_path / "scheduler_config.json")
    assert schedule.clipping.limit is None
    stock("DDPMScheduler", clip_sample_range=1.5).save_pretrained(tmp_path)
    schedule = read_noise_schedule(tmp_path / "scheduler_config.json")
    assert schedule.clipping.limit == 1.5
    assert math.exp(schedule.log_noise_levels[0]) == pytest.approx(0.01, rel=1e-3)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"_class_name": "KarrasVeScheduler"}, "KarrasVeScheduler"),
        ({"_class_name": "EDMEulerScheduler"}, "cannot be driven"),
        ({"_class_name": "UNet2DModel"}, "not a scheduler"),
        ({"_class_name": "DDIMScheduler", "prediction_type": "score"}, "'score'"),
        ({"_class_name": "DDIMScheduler", "beta_schedule": "odd"}, "odd"),
        ({"_class_name": FLOW, "invert_sigmas": True}, "invert_sigmas"),
        ([], "readable"),
    ],
)  # fmt: skip
def test_a_schedule_that_cannot_be_driven_is_a_config_error_that_names_the_file(
    tmp_path: Path, values: object, words: str
) -> None:
    path = written(tmp_path, values)
    with pytest.raises(ConfigError, match=words) as error:
        read_noise_schedule(path)
    assert str(path) in str(error.value)


def test_a_schedule_nested_too_deeply_is_a_config_error(tmp_path: Path) -> None:
    path = tmp_path / "scheduler_config.json"
    path.write_text("[" * 100_000)
    with pytest.raises(ConfigError, match="readable"):
        read_noise_schedule(path)


def test_a_network_without_a_scheduler_is_told_what_to_add(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as error:
        read_noise_schedule(tmp_path / "scheduler_config.json")
    told = str(error.value)
    assert told.startswith(f"{tmp_path} has no scheduler_config.json, which says how its network")
    assert f'DDPMScheduler(...).save_pretrained("{tmp_path}")' in told
