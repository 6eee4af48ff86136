"""The noise schedule that a checkpoint was trained on, in terms of our diffusion angle.

A checkpoint's process is x = alpha x0 + sigma eps; with tan(t) = sigma / alpha, our angle t names
the same noise level for every checkpoint. A `NoiseSchedule` translates both ways: x_t and t into
the network's input and timestep, the network's output into an estimate of x0.

The numbers come from the diffusers scheduler that scheduler_config.json names; how that scheduler
would space its sampling steps does not matter here. No network is called.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, assert_never, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from daemon.models.transfers import scalars
from daemon.system.errors import ConfigError
from daemon.system.files import shown

Prediction = Literal["epsilon", "v_prediction", "sample", "flow_prediction"]
"""Output of a network: eps; v = cos(t) eps - sin(t) x0; x0; or eps - x0 of flow matching."""

_LEAST_SIGNAL = 2.0**-24
"""Share of the picture's power in a last training step that has none of it (zero terminal SNR), so
that the logarithm of its noise level is finite; the value of EulerDiscreteScheduler."""

_NOISE_LEVELS = (1e-12, 1e12)
"""Least and largest tan(t), so that its logarithm is finite at t = 0 and t = pi/2."""


@dataclass(frozen=True)
class Clipping:
    """How far an estimate of the clean picture may go.

    Attributes:
        limit: Values are clipped to [-limit, limit]; None leaves them.
        quantile: Ratio of dynamic thresholding, [0, 1]; None does without it.
        max_threshold: Largest threshold of dynamic thresholding, at least 1.
    """

    limit: float | None = None
    quantile: float | None = None
    max_threshold: float = 1.0

    def apply(self, x0: Tensor) -> Tensor:
        """Clip estimates (B, C, H, W), each by itself.

        Source: dynamic thresholding is Imagen, arXiv:2205.11487, section 2.3.
        """
        if self.quantile is not None:
            threshold = torch.quantile(x0.flatten(1).abs(), self.quantile, dim=1)
            threshold = threshold.clamp(1, self.max_threshold)[:, None, None, None]
            return x0.clamp(-threshold, threshold) / threshold
        return x0 if self.limit is None else x0.clamp(-self.limit, self.limit)


@dataclass(frozen=True, eq=False)
class NoiseSchedule:
    """The training timesteps of a checkpoint and their noise levels.

    Attributes:
        prediction: What the network outputs.
        log_noise_levels: log(tan(t)) of the training timesteps, ascending, float64 (N,).
        timesteps: What the network is given as the time at each of them, float64 (N,).
        clipping: How far an estimate of the clean picture may go.
    """

    prediction: Prediction
    log_noise_levels: NDArray[np.float64]
    timesteps: NDArray[np.float64]
    clipping: Clipping = Clipping()

    @property
    def last_angle(self) -> float:
        """The noisiest angle that the network was trained for, in radians."""
        return math.atan(math.exp(self.log_noise_levels[-1]))

    @property
    def ends_in_noise(self) -> bool:
        """Whether the last training timestep has nothing left of the picture (zero SNR)."""
        last = math.cos(self.last_angle) ** 2
        return self.prediction == "v_prediction" and last <= 2 * _LEAST_SIGNAL

    def timestep(self, t: float) -> float:
        """The network's time input at angle t.

        Between training timesteps the logarithm of the noise level is interpolated, as
        EulerDiscreteScheduler does; beyond them the outermost one holds. Flow matching gives the
        share of noise itself, so that the shift of a sampling schedule does not matter.

        Args:
            t: Diffusion angle in radians, [0, pi/2].
        """
        if self.prediction == "flow_prediction":
            return float(self.timesteps[-1]) * math.sin(t) / (math.cos(t) + math.sin(t))
        noise_level = min(max(math.tan(t), _NOISE_LEVELS[0]), _NOISE_LEVELS[1])
        return float(np.interp(math.log(noise_level), self.log_noise_levels, self.timesteps))

    def network_input(self, x_t: Tensor, t: Sequence[float]) -> Tensor:
        """Noisy pictures in the scale of the network.

        Args:
            x_t: (B, C, H, W), in the variance-preserving scale.
            t: Their B angles in radians, [0, pi/2].
        """
        if self.prediction != "flow_prediction":
            return x_t
        return x_t / _column([math.cos(angle) + math.sin(angle) for angle in t], x_t)

    def posterior_mean(
        self, output: Tensor, x_t: Tensor, t: Sequence[float], *, clip: bool
    ) -> Tensor:
        """Estimates of the clean pictures, from what the network put out.

        Beyond the last training timestep x_t is taken for a picture at that timestep: eps of the
        network divided by a vanishing cos(t) would say nothing.

        Args:
            output: Output of the network, (B, C, H, W).
            x_t: Noisy pictures in the variance-preserving scale, same shape.
            t: Their B angles in radians, [0, pi/2].
            clip: Apply `clipping`. Inversion must not: what is clipped does not come back.
        """
        angles = [min(angle, self.last_angle) for angle in t]
        cos = _column([math.cos(angle) for angle in angles], x_t)
        sin = _column([math.sin(angle) for angle in angles], x_t)
        match self.prediction:
            case "epsilon":
                x0 = (x_t - sin * output) / cos
            case "v_prediction":
                x0 = cos * x_t - sin * output
            case "flow_prediction":
                x0 = (x_t - sin * output) / (cos + sin)
            case "sample":
                x0 = output
            case _:
                assert_never(self.prediction)
        return self.clipping.apply(x0) if clip else x0


def read_noise_schedule(path: Path) -> NoiseSchedule:
    """Read the noise schedule of a scheduler_config.json.

    Raises:
        ConfigError: The file cannot be read, or its process has no angle of ours.
    """
    try:
        config = json.loads(path.read_text("utf-8"))
        name = config["_class_name"]
    except FileNotFoundError as error:
        raise ConfigError(
            f"{shown(path.parent)} has no {path.name}, which says how its network was trained; "
            f'write it with DDPMScheduler(...).save_pretrained("{shown(path.parent)}") of '
            "diffusers, with the values of the training"
        ) from error
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise ConfigError(f"{path}: not a readable scheduler configuration: {error}") from error
    return noise_schedule_of(_scheduler(path, str(name), config), path)


def noise_schedule_of(scheduler: Any, path: Path) -> NoiseSchedule:  # noqa: ANN401  diffusers is untyped
    """Take the noise schedule out of a scheduler of diffusers.

    Args:
        scheduler: The scheduler, with its configuration.
        path: Where the configuration lies, for messages.

    Raises:
        ConfigError: Its process has no angle of ours.
    """
    config = scheduler.config
    prediction: Any = config.get("prediction_type") or "epsilon"
    if type(scheduler).__name__.startswith("FlowMatch"):
        prediction = "flow_prediction"
    if prediction not in get_args(Prediction):
        raise ConfigError(
            f"{path}: prediction_type is {prediction!r}, allowed {', '.join(get_args(Prediction))}"
        )
    if prediction == "flow_prediction":
        return _flow_matching(config, path)
    if not hasattr(scheduler, "alphas_cumprod"):
        raise ConfigError(
            f"{path}: {type(scheduler).__name__} is not variance-preserving and cannot be driven "
            "step by step; DDPM, DDIM, PNDM, Euler, DPM-Solver and FlowMatch schedulers can"
        )
    alphas = scheduler.alphas_cumprod.double().numpy()
    alphas = np.where(alphas > 0, alphas, _LEAST_SIGNAL)
    noise_levels = np.sqrt((1 - alphas) / alphas)
    timesteps = np.arange(len(alphas), dtype=np.float64)
    return NoiseSchedule(prediction, np.log(noise_levels), timesteps, _clipping(config))


def _scheduler(path: Path, name: str, config: dict[str, Any]) -> Any:  # noqa: ANN401  diffusers is untyped
    import diffusers

    scheduler_class = getattr(diffusers, name, None) if name.endswith("Scheduler") else None
    if scheduler_class is None or not hasattr(scheduler_class, "from_config"):
        raise ConfigError(f"{path}: _class_name is {name!r}, which is not a scheduler of diffusers")
    try:
        return scheduler_class.from_config(config)
    except (NotImplementedError, TypeError, ValueError, ImportError) as error:
        raise ConfigError(f"{path}: {error}") from error


def _flow_matching(config: Any, path: Path) -> NoiseSchedule:  # noqa: ANN401  diffusers is untyped
    """The schedule of x = (1 - s) x0 + s eps, where the network is given s in training steps."""
    if config.get("invert_sigmas"):
        raise ConfigError(f"{path}: invert_sigmas is true, which cannot be driven step by step")
    ends = np.log(np.array(_NOISE_LEVELS))
    timesteps = np.array((0.0, float(config["num_train_timesteps"])))
    return NoiseSchedule("flow_prediction", ends, timesteps)


def _clipping(config: Any) -> Clipping:  # noqa: ANN401  diffusers is untyped
    if config.get("thresholding"):
        return Clipping(
            quantile=float(config["dynamic_thresholding_ratio"]),
            max_threshold=float(config["sample_max_value"]),
        )
    if config.get("clip_sample"):
        return Clipping(limit=float(config.get("clip_sample_range", 1.0)))
    return Clipping()


def _column(values: Sequence[float], like: Tensor) -> Tensor:
    """One number for each picture, (B, 1, 1, 1), in the type and on the device of `like`."""
    return scalars(values, like.device, like.dtype)[:, None, None, None]
