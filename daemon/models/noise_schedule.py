"""A checkpoint's own schedule as our diffusion angle: what its network is told, what it answers.

Comes in: a scheduler_config.json, then noisy pictures in the variance-preserving scale with their
angles, and the network's outputs. Goes out: the network's inputs and times, and estimates of the
clean picture. Its schedule's numbers come from the diffusers class that the configuration names;
how that class would space its steps does not matter here. Asks no network itself.

With x = alpha x0 + sigma eps of the checkpoint's process, tan(t) = sigma / alpha.
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

from daemon.system.errors import ConfigError

Prediction = Literal["epsilon", "v_prediction", "sample", "flow_prediction"]
"""What a network puts out: eps; cos(t) eps - sin(t) x0; x0; or eps - x0 of flow matching."""

_NEARLY_NOTHING = 2.0**-24
"""Share of the picture's power taken for a last training step with none of it (zero terminal SNR),
as in EulerDiscreteScheduler, so that the logarithm of its noise level is finite."""

_TANGENTS = (1e-12, 1e12)


@dataclass(frozen=True)
class Bounds:
    """How far an estimate of the clean picture may go.

    Attributes:
        limit: Values are clipped to [-limit, limit]; None leaves them.
        quantile: Of the absolute values, dynamic thresholding's ratio; None without it.
        most: Largest threshold of dynamic thresholding.
    """

    limit: float | None = None
    quantile: float | None = None
    most: float = 1.0

    def of(self, x0: Tensor) -> Tensor:
        """Estimates (B, C, H, W) within the bounds.

        Source: dynamic thresholding is Imagen, arXiv:2205.11487, section 2.3.
        """
        if self.quantile is not None:
            reach = torch.quantile(x0.flatten(1).abs(), self.quantile, dim=1)
            reach = reach.clamp(1, self.most)[:, None, None, None]
            return x0.clamp(-reach, reach) / reach
        return x0 if self.limit is None else x0.clamp(-self.limit, self.limit)


@dataclass(frozen=True, eq=False)
class CheckpointSchedule:
    """The training times of a checkpoint.

    Attributes:
        prediction: What the network puts out.
        log_tangents: log(tan(t)) of the training times, ascending, float64 (N,).
        times: What the network is told at each of them, float64 (N,).
        bounds: How far an estimate may go.
    """

    prediction: Prediction
    log_tangents: NDArray[np.float64]
    times: NDArray[np.float64]
    bounds: Bounds = Bounds()

    @property
    def last(self) -> float:
        """The noisiest angle the network was trained for, in radians."""
        return math.atan(math.exp(self.log_tangents[-1]))

    def time(self, t: float) -> float:
        """What the network is told at angle t.

        Between training times the logarithm of the noise level is interpolated, as
        EulerDiscreteScheduler does; beyond them the outermost one holds. Flow matching tells the
        share of noise itself, so that no shift of a sampling schedule matters.

        Args:
            t: Radians, [0, pi/2].
        """
        if self.prediction == "flow_prediction":
            return float(self.times[-1]) * math.sin(t) / (math.cos(t) + math.sin(t))
        tangent = min(max(math.tan(t), _TANGENTS[0]), _TANGENTS[1])
        return float(np.interp(math.log(tangent), self.log_tangents, self.times))

    def seen(self, x_t: Tensor, t: Sequence[float]) -> Tensor:
        """Noisy pictures as the network wants them.

        Args:
            x_t: (B, C, H, W), in the variance-preserving scale.
            t: Their B angles in radians, [0, pi/2].
        """
        if self.prediction != "flow_prediction":
            return x_t
        return x_t / _column([math.cos(angle) + math.sin(angle) for angle in t], x_t)

    def clean(self, output: Tensor, x_t: Tensor, t: Sequence[float], *, bounded: bool) -> Tensor:
        """Estimates of the clean pictures, from what the network put out.

        Beyond the last training time x_t is taken for a picture at that time: eps of the network
        divided by a vanishing cos(t) would say nothing.

        Args:
            output: Of the network, (B, C, H, W).
            x_t: Noisy pictures in the variance-preserving scale, same shape.
            t: Their B angles in radians, [0, pi/2].
            bounded: Keep to the configuration's bounds; a way up and back again must not.
        """
        angles = [min(angle, self.last) for angle in t]
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
        return self.bounds.of(x0) if bounded else x0


def read_schedule(path: Path) -> CheckpointSchedule:
    """The schedule of a scheduler_config.json.

    Raises:
        ConfigError: It cannot be read, or is of a process that has no angle of ours.
    """
    try:
        config = json.loads(path.read_text("utf-8"))
        name = config["_class_name"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{path}: no readable scheduler configuration: {error}") from error
    return schedule_of(_scheduler(path, str(name), config), path)


def schedule_of(scheduler: Any, path: Path) -> CheckpointSchedule:  # noqa: ANN401  diffusers is untyped
    """The schedule of a scheduler of diffusers.

    Args:
        scheduler: An instance with its configuration.
        path: Where the configuration is, for messages.

    Raises:
        ConfigError: It is of a process that has no angle of ours.
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
        return _flow(config, path)
    if not hasattr(scheduler, "alphas_cumprod"):
        raise ConfigError(
            f"{path}: {type(scheduler).__name__} is not variance-preserving and cannot be driven "
            "step by step; DDPM, DDIM, PNDM, Euler, DPM-Solver and FlowMatch schedulers can"
        )
    alphas = scheduler.alphas_cumprod.double().numpy()
    alphas = np.where(alphas > 0, alphas, _NEARLY_NOTHING)
    tangents = np.sqrt((1 - alphas) / alphas)
    times = np.arange(len(alphas), dtype=np.float64)
    return CheckpointSchedule(prediction, np.log(tangents), times, _bounds(config))


def _scheduler(path: Path, name: str, config: dict[str, Any]) -> Any:  # noqa: ANN401  diffusers is untyped
    import diffusers

    kind = getattr(diffusers, name, None) if name.endswith("Scheduler") else None
    if kind is None or not hasattr(kind, "from_config"):
        raise ConfigError(f"{path}: _class_name is {name!r}, which is no scheduler of diffusers")
    try:
        return kind.from_config(config)
    except (NotImplementedError, TypeError, ValueError, ImportError) as error:
        raise ConfigError(f"{path}: {error}") from error


def _flow(config: Any, path: Path) -> CheckpointSchedule:  # noqa: ANN401  diffusers is untyped
    """Of x = (1 - s) x0 + s eps, where the network is told s in training steps."""
    if config.get("invert_sigmas"):
        raise ConfigError(f"{path}: invert_sigmas is true, which cannot be driven step by step")
    ends = np.log(np.array(_TANGENTS))
    times = np.array((0.0, float(config["num_train_timesteps"])))
    return CheckpointSchedule("flow_prediction", ends, times)


def _bounds(config: Any) -> Bounds:  # noqa: ANN401  diffusers is untyped
    if config.get("thresholding"):
        return Bounds(
            quantile=float(config["dynamic_thresholding_ratio"]),
            most=float(config["sample_max_value"]),
        )
    if config.get("clip_sample"):
        return Bounds(limit=float(config.get("clip_sample_range", 1.0)))
    return Bounds()


def _column(values: Sequence[float], like: Tensor) -> Tensor:
    """One number for each picture, (B, 1, 1, 1)."""
    column = torch.tensor(values, dtype=torch.float64).to(like.dtype)
    return column.to(like.device)[:, None, None, None]
