"""Grows a network: a larger one that at first computes exactly what a smaller one does.

So training continues from what was learned. The weights from new features to old ones are zero; the
weights to new features are random, which gives those zeros their gradients. New blocks are the last
at their resolution and end in a convolution of zeros.

Source: the idea is that of Net2Net, arXiv:1511.05641; zeros in place of its copies.
"""

import torch
from torch import Tensor, nn

from daemon.models.prior_network import ModulatedBlock, PhotoPrior


@torch.no_grad()
def grow(small: PhotoPrior, channels: tuple[int, ...], blocks: tuple[int, ...]) -> PhotoPrior:
    """A network of this shape that answers as `small` does.

    Args:
        small: The trained network; it is not changed.
        channels: Features at each resolution, none fewer than in `small`.
        blocks: Blocks at each resolution, none fewer than in `small`.

    Returns:
        A new network in float32, its new features drawn from torch's global generator.

    Raises:
        ValueError: The shape is smaller somewhere.
    """
    shape = small.shape
    old = (*shape.channels, *shape.blocks)
    if len(old) != len(channels) + len(blocks) or any(
        new < was for new, was in zip((*channels, *blocks), old, strict=True)
    ):
        raise ValueError(f"channels {channels} and blocks {blocks} do not hold {old}")
    large = PhotoPrior(channels, blocks, shape.patch, shape.embedding)
    known = small.state_dict()
    for name, weight in large.state_dict().items():
        if name in known:
            _place(known[name].to(weight.dtype), weight, halves=".film." in name)
    for name, module in large.named_modules():
        if isinstance(module, ModulatedBlock) and f"{name}.conv2.weight" not in known:
            for weight in module.conv2.parameters():
                nn.init.zeros_(weight)
    return large


def _place(known: Tensor, weight: Tensor, *, halves: bool) -> None:
    """Write known weights into the first rows and columns, zeros into what is new beside them.

    Args:
        known: Weight of the small network.
        weight: Weight of the large one, random; changed in place.
        halves: The rows are scales and then shifts, each of them with new rows.
    """
    if halves:
        for part, target in zip(known.chunk(2), weight.chunk(2), strict=True):
            _place(part, target, halves=False)
        return
    rows = weight[: len(known)]
    if known.ndim > 1:
        rows.zero_()
        rows[:, : known.shape[1]] = known
    else:
        rows.copy_(known)
