"""Answers for generators of denoiser calls, without an engine: a known model and the real prior."""

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, TypeVar

import numpy as np
import torch
from diffusers import DDIMScheduler
from numpy.typing import NDArray
from torch import Tensor

from daemon.checkpoints.library import Library
from daemon.checkpoints.traits import PRIOR_TRAITS
from daemon.diffusion.tiling import Denoiser
from daemon.models.calls import BatchKey, DenoiseCall, ModelCalls
from daemon.models.prior import Prior
from daemon.models.registry import Placement
from daemon.photo import Metadata, Picture
from daemon.restorers.spaces import WorkingSpace

T = TypeVar("T")
Answers = Callable[[Sequence[DenoiseCall]], list[Tensor]]

PRIOR_SPACE = WorkingSpace(Denoiser("prior"), PRIOR_TRAITS)


def answer(
    asking: ModelCalls[T], model: Answers, turns: list[list[DenoiseCall]] | None = None
) -> T:
    """Drive a generator to its end; `turns` collects what it asked for."""
    try:
        questions = next(asking)
        while True:
            calls = [question for question in questions if isinstance(question, DenoiseCall)]
            if turns is not None:
                turns.append(calls)
            questions = asking.send(model(calls))
    except StopIteration as end:
        result: T = end.value
        return result


def gaussian(mu: float, deviation: float) -> Answers:
    """The exact posterior mean where every pixel is x0 ~ N(mu, deviation**2)."""

    def mean(call: DenoiseCall) -> Tensor:
        cos, sin = math.cos(call.t), math.sin(call.t)
        trust = cos * deviation**2 / (cos**2 * deviation**2 + sin**2)
        return mu + trust * (call.x_t - cos * mu)

    return lambda calls: [mean(call) for call in calls]


def echo(calls: Sequence[DenoiseCall]) -> list[Tensor]:
    """Takes the condition, or what is visible of the picture, for the clean picture."""
    return [
        math.cos(call.t) * call.x_t if call.condition is None else call.condition.clone()
        for call in calls
    ]


def real(calls: Sequence[DenoiseCall]) -> list[Tensor]:
    """The shipped network, calls of equal key together."""
    groups: dict[BatchKey, list[int]] = defaultdict(list)
    for index, call in enumerate(calls):
        groups[call.key].append(index)
    answers: dict[int, Tensor] = {}
    for indices in groups.values():
        answers.update(zip(indices, prior().predict([calls[i] for i in indices]), strict=True))
    return [answers[index] for index in range(len(calls))]


@cache
def prior() -> Prior:
    """The shipped network, loaded once."""
    return Prior(Placement(Library().checkpoint("prior"), "cpu"))


def picture(pixels: NDArray[np.generic], *, grey: bool = False) -> Picture:
    """A decoded picture of (H, W, 3) or grey (H, W) pixels."""
    if pixels.ndim == 2:
        pixels, grey = np.repeat(pixels[:, :, None], 3, axis=2), True
    return Picture(np.ascontiguousarray(pixels), grey, Metadata("PNG", "L" if grey else "RGB"))


def random_pixels(height: int, width: int, dtype: str = "uint8") -> NDArray[np.generic]:
    """Pixels (H, W, 3) of every level."""
    top = np.iinfo(dtype).max
    return np.random.default_rng(height * width).integers(0, top, (height, width, 3), dtype)


def psnr(result: NDArray[np.generic], truth: NDArray[np.generic]) -> float:
    """Peak signal-to-noise ratio in dB of uint8 pixels."""
    return float(-10 * np.log10(np.mean((result.astype(float) - truth) ** 2) / 255**2))


def seeded(*shape: int, seed: int = 0) -> Tensor:
    """Standard normal numbers."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


class StockDdim:
    """diffusers' DDIM scheduler, its discrete times as angles: cos(t)**2 = alpha-bar."""

    def __init__(self, steps: int) -> None:
        scheduler: Any = DDIMScheduler  # diffusers is untyped
        self._scheduler = scheduler(prediction_type="sample", clip_sample=False)
        self._scheduler.set_timesteps(steps)
        alphas = self._scheduler.alphas_cumprod[self._scheduler.timesteps]
        self.angles = [*(math.acos(math.sqrt(float(alpha))) for alpha in alphas), 0.0]

    def step(self, number: int, x_t: Tensor, x0: Tensor, eta: float, noise: Tensor) -> Tensor:
        """The scheduler's step `number` from 0; pictures (3, H, W)."""
        time = int(self._scheduler.timesteps[number])
        fresh = noise[None] if eta > 0 else None
        stepped = self._scheduler.step(x0[None], time, x_t[None], eta=eta, variance_noise=fresh)
        result: Tensor = stepped.prev_sample[0]
        return result
