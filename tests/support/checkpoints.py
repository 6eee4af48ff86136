"""Checkpoints for tests: tiny ones loaded from folders, and analytic networks.

An analytic network knows the posterior of Gaussian pictures and stands behind the same model
classes, so that what restorers make of its answers can be asserted.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from types import SimpleNamespace
from typing import Any, TypeVar

import diffusers
import numpy as np
import torch
from diffusers.configuration_utils import FrozenDict
from torch import Tensor, nn
from torch.nn import functional

from daemon.checkpoints.library import Library
from daemon.checkpoints.traits import Traits
from daemon.messages.tasks import Dtype, ModelOptions
from daemon.models.calls import Answer, BatchKey, ModelCall, ModelCalls, Reply, answer_of
from daemon.models.registry import Model, Placement, load_model
from tests.support.tiny_pipelines import save_pixel, save_stable, save_xl

T = TypeVar("T")

_frozen: Any = FrozenDict  # untyped

TINY: dict[str, Callable[[Path], Path]] = {
    "pixel-epsilon": save_pixel,
    "pixel-v": lambda folder: save_pixel(folder, "v_prediction", scheduler="DDIMScheduler"),
    "pixel-sample": lambda folder: save_pixel(folder, "sample"),
    "stable-1": save_stable,
    "stable-2": lambda folder: save_stable(folder, "v_prediction", rescale_betas_zero_snr=True),
    "stable-xl": save_xl,
}
"""Functions that write a checkpoint into a folder, by name."""

TEXTUAL = ("stable-1", "stable-2", "stable-xl")


@cache
def tiny_folder(name: str) -> Path:
    """The folder of a tiny checkpoint, written once in a run of the tests."""
    return TINY[name](Path(mkdtemp(prefix="restored-tiny-")) / name)


@cache
def tiny(name: str) -> Model:
    """A tiny checkpoint, loaded once, in single precision."""
    return loaded(tiny_folder(name))


def loaded(folder: Path, dtype: Dtype = "fp32", device: str = "cpu") -> Model:
    """Load the checkpoint in a folder."""
    checkpoint = Library().checkpoint(str(folder))
    return load_model(Placement(checkpoint, device, ModelOptions(dtype=dtype)))


def tiny_traits(name: str) -> Traits:
    return Library().checkpoint(str(tiny_folder(name))).traits


def stock(pipeline: str, folder: Path) -> Any:  # noqa: ANN401  diffusers is untyped
    """diffusers' own pipeline of a folder, without its progress bar."""
    pipe = getattr(diffusers, pipeline).from_pretrained(folder, use_safetensors=True)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def tensors(model: Model, calls: Sequence[ModelCall]) -> list[Tensor]:
    """A model's answers to calls of one key that are answered by tensors."""
    answers = model.predict(calls)
    return [answer for answer in answers if isinstance(answer, Tensor)]


def drive(
    computation: ModelCalls[T],
    model: Model | Callable[[Sequence[Any]], Sequence[Reply]],
    asked: list[list[ModelCall]] | None = None,
) -> T:
    """Run a generator of model calls to its end, as the engine does.

    Args:
        computation: The generator.
        model: Answers calls of equal key together.
        asked: Collects the calls of each turn.
    """
    predict = model if callable(model) else model.predict
    try:
        turn = list(next(computation))
        while True:
            if asked is not None:
                asked.append(turn)
            groups: dict[BatchKey, list[int]] = defaultdict(list)
            for index, call in enumerate(turn):
                groups[call.key].append(index)
            answers: dict[int, Answer] = {}
            for indices in groups.values():
                replies = predict([turn[i] for i in indices])
                answers.update(zip(indices, map(answer_of, replies), strict=True))
            turn = list(computation.send([answers[index] for index in range(len(turn))]))
    except StopIteration as end:
        result: T = end.value
        return result


class GaussianUnet(nn.Module):
    """The perfect network where every element of a picture is N(mu, deviation**2).

    Args:
        mu: Mean.
        deviation: Standard deviation.
        scheduler: Of diffusers; says the noise level of a time and what is predicted.
        channels: It takes and gives.
    """

    def __init__(self, mu: float, deviation: float, scheduler: Any, channels: int = 3) -> None:  # noqa: ANN401
        super().__init__()
        self.register_parameter("unused", nn.Parameter(torch.zeros(1)))
        alphas = scheduler.alphas_cumprod.double().numpy()
        self._sigmas = np.log(np.sqrt((1 - alphas) / alphas))
        self._prediction = scheduler.config.prediction_type
        self._mu, self._deviation = mu, deviation
        self.config = _frozen({"in_channels": channels})

    @property
    def dtype(self) -> torch.dtype:
        return torch.float32

    def forward(self, x_t: Tensor, times: Tensor, **_: object) -> tuple[Tensor]:
        steps = np.arange(len(self._sigmas))
        sigma = np.exp(np.interp(times.numpy(), steps, self._sigmas))
        t = torch.from_numpy(np.arctan(sigma)).float()[:, None, None, None]
        cos, sin = t.cos(), t.sin()
        trust = cos * self._deviation**2 / (cos**2 * self._deviation**2 + sin**2)
        x0 = self._mu + trust * (x_t - cos * self._mu)
        eps = (x_t - cos * x0) / sin
        outputs = {"epsilon": eps, "sample": x0, "v_prediction": cos * eps - sin * x0}
        return (outputs[self._prediction],)


class BlockVae(nn.Module):
    """An autoencoder that keeps means of blocks of 8 x 8 pixels, scaled, and an empty channel."""

    def __init__(self) -> None:
        super().__init__()
        self.register_parameter("unused", nn.Parameter(torch.zeros(1)))
        self.config = _frozen({"latent_channels": 4, "scaling_factor": 0.5})

    @property
    def dtype(self) -> torch.dtype:
        return torch.float32

    def encode(self, pixels: Tensor) -> SimpleNamespace:
        means = functional.avg_pool2d(pixels, 8)
        latent = torch.cat((means, torch.zeros_like(means[:, :1])), dim=1)
        return SimpleNamespace(latent_dist=SimpleNamespace(mode=lambda: latent))

    def decode(self, latent: Tensor, **_: object) -> tuple[Tensor]:
        return (functional.interpolate(latent[:, :3], scale_factor=8, mode="nearest"),)


def level_of(value: float) -> float:
    """A value in [-1, 1] as a level of 0 to 255."""
    return 127.5 * (value + 1)


def trust_at(t: float, deviation: float) -> float:
    """Share of x0's variance that a look at angle t explains, for N(mu, deviation**2)."""
    cos, sin = math.cos(t), math.sin(t)
    return cos**2 * deviation**2 / (cos**2 * deviation**2 + sin**2)
