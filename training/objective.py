"""The loss: squared error of v, weighted by a learned variance and by the rarity of colours."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from daemon.models.prior_network import PhotoPrior
from training.photos import Pyramid
from training.tasks import KINDS, Batch

_NODES = 17
_BINS = 24
_BIN_WIDTH = 2 / _BINS


class LogVariance(nn.Module):
    """A learned log-variance u for each kind and time; the loss is exp(-u) * error + u.

    Without it the errors of low-noise denoising (about 0.4) hide those of the conditional tasks
    (about 0.01), and enlargement stays below bicubic.
    """

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.full((len(KINDS), _NODES + 1), math.log(0.05)))

    def forward(self, t: Tensor, kinds: Tensor) -> Tensor:
        """Log-variances (B,) of times t and kinds, both (B,); pi/2 has a node of its own."""
        place = t.clamp(0, math.pi / 2) / (math.pi / 2) * (_NODES - 1)
        low = place.floor().clamp(max=_NODES - 2)
        share = place - low
        rows = self.table[kinds]
        left = rows.gather(1, low.long()[:, None])[:, 0]
        right = rows.gather(1, low.long()[:, None] + 1)[:, 0]
        return torch.where(t >= math.pi / 2, rows[:, -1], torch.lerp(left, right, share))


def predict_error(network: PhotoPrior, batch: Batch, rarity: Tensor | None) -> Tensor:
    """Squared error of v for each picture, (B,).

    Args:
        network: The network in training.
        batch: What it is given and must predict.
        rarity: Weights of colours (see `colour_rarity`), or None to weight all pixels equally.
    """
    with torch.autocast("cpu", torch.bfloat16):
        output = network(
            batch.x_t.to(memory_format=torch.channels_last),
            batch.t,
            batch.condition.to(memory_format=torch.channels_last),
            batch.task,
        )
    sin = batch.t.sin()[:, None, None, None]
    error: Tensor = (output.float() - sin * batch.condition - batch.v).square()
    if rarity is not None:
        error = error * weigh_colours(batch.x0, rarity)[:, None]
    means: Tensor = error.mean(dim=(1, 2, 3))
    return means


def colour_rarity(pyramids: Sequence[Pyramid], strength: float) -> Tensor:
    """Weights of colours by their rarity in the thumbnails, (bins, bins), with mean 1 over them.

    weight ~ (half the frequency + half a uniform one) ** -strength. It keeps the many grey pixels
    from teaching the network that grey is always a good guess.

    Source: Colorful Image Colorization, arXiv:1603.08511, section 2.2, in opponent colours.
    """
    counts = torch.zeros(_BINS * _BINS)
    for pyramid in pyramids:
        pixels = torch.from_numpy(pyramid.levels[-1].astype(np.float32) / 127.5 - 1)
        bins = _colour_bins(pixels.permute(2, 0, 1)[None]).flatten()
        share = torch.bincount(bins, minlength=_BINS * _BINS) / bins.numel()
        counts += share / len(pyramids)
    mixed = 0.5 * counts + 0.5 * (counts > 0) / (counts > 0).sum()
    weights = mixed.clamp(min=1e-6) ** -strength
    return (weights / (weights * counts).sum()).reshape(_BINS, _BINS)


def weigh_colours(x0: Tensor, rarity: Tensor) -> Tensor:
    """Weight of each pixel, (B, H, W), at most 4, for pictures (B, 3, H, W)."""
    return rarity.flatten()[_colour_bins(x0)].clamp(max=4)


def _colour_bins(x0: Tensor) -> Tensor:
    red, green, blue = x0.unbind(1)
    across = (red - green) / 2
    down = ((red + green) / 2 - blue) / 2
    columns = ((across + 1) / _BIN_WIDTH).long().clamp(0, _BINS - 1)
    rows = ((down + 1) / _BIN_WIDTH).long().clamp(0, _BINS - 1)
    return rows * _BINS + columns
