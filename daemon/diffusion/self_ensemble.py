"""The ways a photograph may lie, and what is made of each.

Comes in: a picture and what restores it. Goes out: the results, each laid back as the picture lay,
or their mean. A network has learned no symmetry exactly; what it gets wrong in one way of lying is
partly undone by the others.

Source: geometric self-ensemble, EDSR, arXiv:1707.02921, section 3.4.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from daemon.diffusion.concurrent import abreast
from daemon.models.calls import ModelCalls


@dataclass(frozen=True)
class Orientation:
    """One of eight ways to lie.

    Attributes:
        mirrored: Left and right are exchanged, before it is turned.
        turns: Quarter turns, 0 to 3.
    """

    mirrored: bool
    turns: int

    def laid(self, picture: Tensor) -> Tensor:
        """A picture (C, H, W) laid so; after an odd number of turns (C, W, H)."""
        mirrored = picture.flip(2) if self.mirrored else picture
        return torch.rot90(mirrored, self.turns, (1, 2)).contiguous()

    def upright(self, picture: Tensor) -> Tensor:
        """The inverse of `laid`."""
        turned = torch.rot90(picture, -self.turns, (1, 2))
        return turned.flip(2) if self.mirrored else turned


ORIENTATIONS = tuple(
    Orientation(mirrored, turns) for mirrored in (False, True) for turns in range(4)
)
"""As it is first, then the other quarter turns, then their mirror images."""


def over_orientations(
    count: int, picture: Tensor, restored: Callable[[Tensor], ModelCalls[Tensor]]
) -> ModelCalls[list[Tensor]]:
    """What becomes of a picture that lies in several ways, each result laid back.

    Args:
        count: Of `ORIENTATIONS`, 1 to 8.
        picture: (C, H, W).
        restored: Gives a picture of the same shape as its argument.

    Returns:
        (C, H, W), one for each way.
    """
    chosen = ORIENTATIONS[:count]
    results = yield from abreast(
        [partial(restored, orientation.laid(picture)) for orientation in chosen],
        picture[0].numel(),
    )
    return [one.upright(result) for one, result in zip(chosen, results, strict=True)]


def mean_over_orientations(
    count: int, picture: Tensor, restored: Callable[[Tensor], ModelCalls[Tensor]]
) -> ModelCalls[Tensor]:
    """The mean of `over_orientations`; for a count of 1 `restored(picture)` itself."""
    return torch.stack((yield from over_orientations(count, picture, restored))).mean(0)
