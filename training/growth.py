"""Growth: a larger network that computes at first exactly what a smaller one does.

Comes in: trained weights and a larger shape. Goes out: a network of that shape with the same
answers, so that training goes on from what was learned instead of beginning anew.

Old features must not hear new ones, so their weights from those are zero; new features hear
everything and begin at random, which gives the zeros their gradients. New blocks stand last at
their resolution and end in a convolution of zeros.

Source: the idea is that of Net2Net, arXiv:1511.05641; zeros in place of its copies.
"""

import torch
from torch import Tensor, nn

from daemon.models.network import ModulatedBlock, PhotoPrior


@torch.no_grad()
def grow(small: PhotoPrior, channels: tuple[int, ...], blocks: tuple[int, ...]) -> PhotoPrior:
    """A network of this shape that answers as `small` does.

    Args:
        small: The trained network; left as it is.
        channels: Features at each resolution, none fewer than in `small`.
        blocks: Blocks at each resolution, none fewer than in `small`.

    Returns:
        A new network in float32, its new features drawn from torch's global generator.

    Raises:
        ValueError: If the shape is smaller somewhere.
    """
    config = small.config
    old = (*config["channels"], *config["blocks"])
    if len(old) != len(channels) + len(blocks) or any(
        new < was for new, was in zip((*channels, *blocks), old, strict=True)
    ):
        raise ValueError(f"channels {channels} and blocks {blocks} do not hold {old}")
    large: PhotoPrior = PhotoPrior(channels, blocks, config["patch"], config["embedding"])
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
        known: Of the small network.
        weight: Of the large one, random; changed in place.
        halves: Whether the rows are two lists, scales and shifts, each with its own new rows.
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
