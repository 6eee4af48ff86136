"""A picture of any size through a whole pipeline, which knows one size and makes one sample.

Comes in: a picture and what is asked. Goes out: the pipeline's answer at the picture's size, times
what it enlarges. Large pictures are cut into tiles of the size it was trained on; all are asked for
together and blended.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from daemon.checkpoints.traits import PipelineUse, Traits
from daemon.diffusion.noise import Noise
from daemon.diffusion.tiling import Cut
from daemon.models.calls import ModelCalls, PipelineCall, PipelineSettings, ask

_LEAST_MULTIPLE = 16
"""Pipelines round sides down to multiples of this without a word."""

_LEAST_SIDE, _LONGEST_TO_SHORTEST = 64, 8
"""What FLUX.2 refuses below and beyond."""


@dataclass(frozen=True)
class PipelineRequest:
    """What is asked of a pipeline for every tile; None leaves a choice to it.

    Attributes:
        model: Reference of the model.
        use: What is made of what.
        prompt: What it shall show, or the instruction.
        negative: What it shall not show.
        steps: Evaluations.
        strength: Where it begins: the angle strength pi/2.
        guidance: Scale of classifier-free guidance.
    """

    model: str
    use: PipelineUse
    prompt: str = ""
    negative: str = ""
    steps: int | None = None
    strength: float | None = None
    guidance: float | None = None


def run_tiled(
    request: PipelineRequest, image: Tensor, noise: Noise, traits: Traits
) -> ModelCalls[Tensor]:
    """Put a picture through a pipeline.

    Args:
        request: What is asked.
        image: (3, H, W) in [-1, 1], any H and W from 1.
        noise: Of this picture; each tile's seed is drawn from it.
        traits: Of the model.

    Returns:
        (3, H scale, W scale) in [-1, 1], scale being what the model enlarges, else 1.
    """
    scale = enlargement(traits) if request.use == "upscale" else 1
    multiple = whole_multiple(traits) // scale
    side = max(multiple, traits.side_px // scale // multiple * multiple)
    _, height, width = image.shape
    longest = min(side, max(height, width))
    least = max(_LEAST_SIDE // scale, -(-longest // _LONGEST_TO_SHORTEST))
    down = cut(max(height, least), side, multiple)
    across = cut(max(width, least), side, multiple)
    places = [(i, j) for i in range(len(down.starts)) for j in range(len(across.starts))]
    settings = PipelineSettings(
        request.use,
        across.size * scale,
        down.size * scale,
        request.steps,
        request.strength,
        request.guidance,
    )
    calls = []
    for number, (i, j) in enumerate(places):
        tile = image[:, down.starts[i] : down.stop(i), across.starts[j] : across.stop(j)]
        missing = (0, across.size - tile.shape[2], 0, down.size - tile.shape[1])
        padded = functional.pad(tile[None], missing, mode="replicate")[0].contiguous()
        seed = noise.child(number).seed
        calls.append(
            PipelineCall(request.model, settings, seed, request.prompt, request.negative, padded)
        )
    answers = yield from ask(calls)
    whole = _blended(answers, _times(down, scale), _times(across, scale))
    return whole[:, : height * scale, : width * scale].contiguous()


def whole_multiple(traits: Traits) -> int:
    """What the sides of a pipeline's pictures are multiples of, in pixels."""
    return max(_LEAST_MULTIPLE, traits.multiple_px)


def enlargement(traits: Traits) -> int:
    """How many times an upscaling pipeline enlarges: as its decoder does."""
    return traits.reduction


def cut(length: int, side: int, multiple: int) -> Cut:
    """Tiles along a side of a picture.

    Args:
        length: Of the picture, in pixels.
        side: Longest tile, a multiple of `multiple`.
        multiple: Tiles are multiples of this.

    Returns:
        One tile if that is enough, else as few as overlap by a quarter, evenly spaced.
    """
    if length <= side:
        return Cut(length, -(-length // multiple) * multiple, (0,), 1)
    overlap = side // 4
    count = -(-(length - overlap) // (side - overlap))
    starts = tuple(round(k * (length - side) / (count - 1)) for k in range(count))
    return Cut(length, side, starts, max(1, overlap // 2))


def _times(side: Cut, scale: int) -> Cut:
    starts = tuple(start * scale for start in side.starts)
    return Cut(side.length * scale, side.size * scale, starts, side.feather * scale)


def _blended(answers: list[Tensor], down: Cut, across: Cut) -> Tensor:
    whole = torch.zeros(3, down.length, across.length)
    remaining = iter(answers)
    for i, top in enumerate(down.starts):
        for j, left in enumerate(across.starts):
            rows, columns = down.stop(i) - top, across.stop(j) - left
            shares = down.weights(i)[:, None] * across.weights(j)
            whole[:, top : top + rows, left : left + columns] += (
                shares * next(remaining)[:, :rows, :columns]
            )
    return whole
