"""The restoration network: the mean of all clean photographs behind a damaged one, in one pass.

One trunk of convolutions serves several tasks. It works on a grid whose cells are the small pixels
for enlargement and 2x2 blocks of pixels, folded into channels, for noise and blind repair, so that
a cell costs the same everywhere. There is no normalisation and no pooling over space: any tiling
of a picture gets the same answer where it sees `reach` cells around.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional

from daemon.models.prior_network import ModulatedBlock

RestorationTask = Literal["x2", "x3", "x4", "noise", "blind", "deblur"]
"""Tasks of a network: enlargement, removal of noise of a known level, blind repair, sharpening."""

TASKS: tuple[RestorationTask, ...] = get_args(RestorationTask)

_EMBEDDED = TASKS[:5]
"""Tasks that are told apart by the embedding; `deblur`, which came later, is none of them. Its stem
and its head are its own, and weights from before it still fit."""

BLUR_UNIT = 0.1
"""What a blur of 1 px counts in `RestorationBatch.sigma`, which noise shares."""

JPEG_LEVEL = 0.7
"""Noise, in levels of 0 to 255, that JPEG counts as where a network is told of it: this times the
root of its coarseness in per cent of the example table. That is about the root mean square of what
compression changes: 2 at quality 95, 5 at 75, 7 at 50."""

_CELL: dict[RestorationTask, int] = {
    "x2": 2,
    "x3": 3,
    "x4": 4,
    "noise": 2,
    "blind": 2,
    "deblur": 2,
}
"""Pixels of the result along one cell of the grid."""

_GAIN = 0.1
"""Deviation of what is missing from the bicubic enlargement or from a damaged picture, about.

With it the network's own output is about 1 whatever the damage. Worth 1.1 dB at x2 after four
minutes of training.
"""

_PHOTO_VARIANCE = 0.25
"""Variance of photographs in [-1, 1], for the scalings of noise."""

_LEVEL_NUMBERS = 3


@dataclass(frozen=True)
class RestorationBatch:
    """Pictures of one size with one task.

    Attributes:
        task: What is asked for.
        given: The small or damaged pictures, (B, 3, H, W) in [-1, 1]; H and W even but for
            enlargement.
        sigma: Deviation of their noise in units of [-1, 1], of their blur in pixels times
            `BLUR_UNIT`, or what JPEG counts as (`JPEG_LEVEL`), (B,); 0 where it is not known.
    """

    task: RestorationTask
    given: Tensor
    sigma: Tensor


class RestorationNetwork(nn.Module):
    """A trunk with a stem and a head for each task.

    Args:
        tasks: The tasks it serves.
        channels: Features of the trunk.
        blocks: Residual blocks of two 3x3 convolutions.
        embedding: Width of the embedding of task and noise level.
    """

    def __init__(
        self,
        tasks: Sequence[RestorationTask],
        channels: int = 64,
        blocks: int = 5,
        embedding: int = 48,
    ) -> None:
        super().__init__()
        self.tasks = tuple(tasks)
        self.reach = 2 * blocks + 2
        """Cells around a pixel that its answer depends on."""
        self.embedding = nn.Sequential(
            nn.Linear(len(_EMBEDDED) + _LEVEL_NUMBERS, embedding),
            nn.SiLU(),
            nn.Linear(embedding, embedding),
            nn.SiLU(),
        )
        self.stems = nn.ModuleDict(
            {task: nn.Conv2d(_input_channels(task), channels, 3, padding=1) for task in tasks}
        )
        self.blocks = nn.ModuleList(ModulatedBlock(channels, embedding) for _ in range(blocks))
        self.heads = nn.ModuleDict(
            {task: nn.Conv2d(channels, 3 * _CELL[task] ** 2, 3, padding=1) for task in tasks}
        )

    def forward(self, batches: Sequence[RestorationBatch]) -> list[Tensor]:
        """Posterior means; all batches go through the trunk together.

        Args:
            batches: Of one grid: x3 of 64 px is 64 cells, noise of 128 px as well.

        Returns:
            The means of each batch, (B, 3, H, W), float32; enlarged for x2, x3 and x4.
        """
        frames = [_frame(batch) for batch in batches]
        stems = zip(batches, frames, strict=True)
        features = torch.cat([self._stem(batch, frame) for batch, frame in stems])
        embedding = self.embedding(torch.cat([_task_numbers(batch) for batch in batches]))
        deep = features
        for block in self.blocks:
            deep = block(deep, embedding)
        parts = torch.split(features + deep, [len(batch.given) for batch in batches])
        return [
            self._mean(batch.task, part, frame)
            for batch, part, frame in zip(batches, parts, frames, strict=True)
        ]

    def _stem(self, batch: RestorationBatch, frame: "_Frame") -> Tensor:
        folded, level = batch.given * frame.shrink, 4 * batch.sigma
        if _folds(batch.task):
            folded = functional.pixel_unshuffle(folded, _CELL[batch.task])
        if batch.task != "blind":
            plane = level[:, None, None, None].expand(-1, 1, *folded.shape[2:])
            folded = torch.cat((folded, plane), 1)
        features: Tensor = self.stems[batch.task](
            folded.contiguous(memory_format=torch.channels_last)
        )
        return features

    def _mean(self, task: RestorationTask, features: Tensor, frame: "_Frame") -> Tensor:
        missing = functional.pixel_shuffle(self.heads[task](features), _CELL[task]).float()
        return torch.addcmul(frame.base, frame.gain, missing)


@dataclass(frozen=True)
class _Frame:
    """The frame of the answer: mean = base + gain network(shrink given).

    Attributes:
        base: First guess of the mean, (B, 3, H, W) of the result.
        gain: Deviation of what is missing from it; () or (B, 1, 1, 1).
        shrink: Factor that brings what is given to deviation 1; () or (B, 1, 1, 1).
    """

    base: Tensor
    gain: Tensor
    shrink: Tensor


def _frame(batch: RestorationBatch) -> _Frame:
    """The frame of a batch.

    Source: for noise the scalings of EDM, arXiv:2206.00364, table 1.
    """
    given, one = batch.given, torch.ones((), device=batch.given.device)
    match batch.task:
        case "noise":
            sigma = batch.sigma[:, None, None, None]
            power = sigma.square() + _PHOTO_VARIANCE
            base = given * (_PHOTO_VARIANCE / power)
            return _Frame(base, _PHOTO_VARIANCE**0.5 * sigma * power.rsqrt(), power.rsqrt())
        case "blind" | "deblur":
            return _Frame(given, _GAIN * one, one)
        case _:
            scale = _CELL[batch.task]
            enlarged = functional.interpolate(
                given, scale_factor=scale, mode="bicubic", align_corners=False
            )
            return _Frame(enlarged, _GAIN * one, one)


def _task_numbers(batch: RestorationBatch) -> Tensor:
    """Inputs of the embedding, (B, 8): the task as one of five, and the noise level."""
    sigma = batch.sigma
    numbers = sigma.new_zeros(len(sigma), len(_EMBEDDED) + _LEVEL_NUMBERS)
    if batch.task in _EMBEDDED:
        numbers[:, _EMBEDDED.index(batch.task)] = 1
    numbers[:, -3], numbers[:, -2] = 2 * sigma, sigma.sqrt()
    numbers[:, -1] = (sigma + 0.01).log() / 3
    return numbers


def _folds(task: RestorationTask) -> bool:
    """Whether blocks of pixels of what is given are folded into channels."""
    return task in ("noise", "blind", "deblur")


def _input_channels(task: RestorationTask) -> int:
    pixels = _CELL[task] ** 2 if _folds(task) else 1
    return 3 * pixels + (task != "blind")
