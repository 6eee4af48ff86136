"""Answer model calls of restorers without an engine: by known models or by those that ship."""

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
from daemon.config.recipe import Recipe
from daemon.config.steps import Step
from daemon.diffusion.noise import Noise
from daemon.diffusion.tiling import Cut, Denoiser
from daemon.models.calls import (
    BatchKey,
    ColourCall,
    DamageCall,
    DenoiseCall,
    ModelCalls,
    RestoreCall,
)
from daemon.models.prior import Prior
from daemon.models.registry import Model, Placement, load_model
from daemon.photo import Metadata, Picture
from daemon.restorers.interface import Restoration
from daemon.restorers.registry import restorer_for
from daemon.restorers.working_space import WorkingSpace

T = TypeVar("T")
PriorCall = DenoiseCall | RestoreCall | ColourCall | DamageCall
"""What the networks of the package are asked."""

# Sequence[Any]: many models here know one kind of call only.
Answers = Callable[[Sequence[Any]], list[Tensor]]
Turns = list[list[Any]]  # Any: a test knows which kind of call it waits for
"""What a generator asked for, one list for each turn."""

PRIOR_SPACE = WorkingSpace(Denoiser("prior"), PRIOR_TRAITS)


def answer(generator: ModelCalls[T], model: Answers, turns: Turns | None = None) -> T:
    """Drive a generator to its end; `turns` collects what it asked for."""
    try:
        asked = next(generator)
        while True:
            calls = [call for call in asked if isinstance(call, PriorCall)]
            if turns is not None:
                turns.append(calls)
            asked = generator.send(model(calls))
    except StopIteration as end:
        result: T = end.value
        return result


def gaussian(mu: float, deviation: float) -> Answers:
    """The exact posterior mean where every pixel is x0 ~ N(mu, deviation**2)."""

    def mean(call: DenoiseCall | RestoreCall) -> Tensor:
        if isinstance(call, RestoreCall):
            share = deviation**2 / (deviation**2 + call.degradation.sigma**2)
            return mu + share * (call.picture - mu)
        cos, sin = math.cos(call.t), math.sin(call.t)
        trust = cos * deviation**2 / (cos**2 * deviation**2 + sin**2)
        return mu + trust * (call.x_t - cos * mu)

    return lambda calls: [mean(call) for call in calls]


def echo(calls: Sequence[PriorCall]) -> list[Tensor]:
    """Takes the condition, or what is visible of the picture, for the clean picture."""
    return [_echo(call) for call in calls]


def _echo(call: PriorCall) -> Tensor:
    if isinstance(call, RestoreCall):
        scale = call.degradation.scale
        return call.picture.repeat_interleave(scale, 1).repeat_interleave(scale, 2)
    if isinstance(call, DamageCall):
        return torch.zeros(1, *call.picture.shape[1:])
    if isinstance(call, ColourCall):
        return torch.zeros(3, call.grey.shape[1] // 4, call.grey.shape[2] // 4)
    return math.cos(call.t) * call.x_t if call.condition is None else call.condition.clone()


def real(calls: Sequence[PriorCall]) -> list[Tensor]:
    """The shipped networks, calls of equal key as one batch."""
    batches: dict[BatchKey, list[int]] = defaultdict(list)
    for index, call in enumerate(calls):
        batches[call.key].append(index)
    answers: dict[int, Tensor] = {}
    for key, indices in batches.items():
        found = shipped(key.model).predict([calls[i] for i in indices])
        answers |= {
            i: one for i, one in zip(indices, found, strict=True) if isinstance(one, Tensor)
        }
    return [answers[index] for index in range(len(calls))]


@cache
def shipped(reference: str) -> Model:
    """A model of the package, loaded once."""
    return load_model(Placement(Library().checkpoint(reference), "cpu"))


def prior() -> Prior:
    """The shipped prior, loaded once."""
    model = shipped("prior")
    assert isinstance(model, Prior)
    return model


def run(
    step: Step,
    *pictures: Picture,
    model: Answers = real,
    seed: int = 0,
    turns: Turns | None = None,
) -> Restoration:
    """Put pictures through one step with the prior; `turns` collects what was asked."""
    return answer(restorer_for(step.kind)(pictures, step, Noise(seed)), model, turns)


def restored(
    step: Step, pixels: NDArray[np.generic], model: Answers = real, seed: int = 0
) -> NDArray[np.generic]:
    """The pixels that one step with the prior makes of pixels, (H, W, 3) or grey (H, W)."""
    return pixels_of(run(step, picture(pixels), model=model, seed=seed))


def pixels_of(restoration: Restoration) -> NDArray[np.generic]:
    """Pixels of the only picture."""
    (only,) = restoration.pictures
    return only.pixels


def recipe_of(*steps: dict[str, Any], name: str = "toy") -> Recipe:
    """A recipe of these steps."""
    return Recipe.model_validate({"name": name, "steps": steps})


def step_of(kind: str, **keys: object) -> Step:
    """A step of a recipe."""
    return recipe_of({"kind": kind, **keys}).steps[0]


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


def blend_weights(side: Cut) -> Tensor:
    """Sum, for each pixel of a side, of the weights of the pieces that cover it."""
    total = torch.zeros(side.length)
    for index, start in enumerate(side.starts):
        total[start : side.stop(index)] += side.weights(index)
    return total


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
