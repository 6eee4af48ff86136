"""Geometric self-ensemble: restore a picture in up to eight orientations and undo each.

No network has learned the symmetries of pictures exactly: what it gets wrong in one orientation is
partly undone by the others.

Source: EDSR, arXiv:1707.02921, section 3.4.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from daemon.diffusion.concurrent import gather_bounded
from daemon.models.calls import ModelCalls


@dataclass(frozen=True)
class Transform:
    """One of the eight symmetries of a square: a flip, or none, followed by quarter turns.

    Attributes:
        flipped: Left and right are exchanged first.
        quarter_turns: 0 to 3.
    """

    flipped: bool
    quarter_turns: int

    def apply(self, picture: Tensor) -> Tensor:
        """Transform a picture (C, H, W); after an odd number of quarter turns it is (C, W, H)."""
        flipped = picture.flip(2) if self.flipped else picture
        return torch.rot90(flipped, self.quarter_turns, (1, 2)).contiguous()

    def undo(self, picture: Tensor) -> Tensor:
        """The inverse of `apply`."""
        turned = torch.rot90(picture, -self.quarter_turns, (1, 2))
        return turned.flip(2) if self.flipped else turned


TRANSFORMS = tuple(
    Transform(flipped, quarter_turns) for flipped in (False, True) for quarter_turns in range(4)
)
"""The identity first, then the other quarter turns, then their mirror images."""


def ensemble_outputs(
    count: int, picture: Tensor, restore: Callable[[Tensor], ModelCalls[Tensor]]
) -> ModelCalls[list[Tensor]]:
    """Restore a picture under each of the first transforms and undo them.

    Args:
        count: How many of `TRANSFORMS`, 1 to 8.
        picture: (C, H, W).
        restore: Gives a picture of the same shape as its argument.

    Returns:
        (C, H, W), one for each transform.
    """

    def restored(transform: Transform) -> ModelCalls[Tensor]:
        return transform.undo((yield from restore(transform.apply(picture))))

    return (
        yield from gather_bounded(
            [partial(restored, transform) for transform in TRANSFORMS[:count]], picture[0].numel()
        )
    )


def ensemble_mean(
    count: int, picture: Tensor, restore: Callable[[Tensor], ModelCalls[Tensor]]
) -> ModelCalls[Tensor]:
    """The mean of `ensemble_outputs`; with a count of 1 it is `restore(picture)` itself."""
    outputs = yield from ensemble_outputs(count, picture, restore)
    return outputs[0] if count == 1 else torch.stack(outputs).mean(0)
