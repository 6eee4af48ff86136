"""The colour network on a device, answering colour calls."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from daemon.models.calls import ColourCall
from daemon.models.colour_network import ColourNetwork
from daemon.models.memory import run_precision
from daemon.models.registry import Placement
from daemon.models.shipped_weights import place_shipped
from daemon.models.transfers import move

TEMPERATURE = 0.7
"""Temperature of the odds whose mean `colorize` paints; docs/design.md has what others do."""

_SHORTEST = 1e-6
_ALIKE = 0.08
"""Distance of two chromas of the palette at which a random change of the odds still moves both."""

_BY_FEATURES, _BY_COLOUR = 0.8, 0.6
"""Shares of a random change that follow the features, and that are one for the whole picture."""


class Colour:
    """The shipped colour network on one device.

    Args:
        placement: The checkpoint, its device and options.

    Raises:
        ConfigError: Its weights are missing or damaged.
    """

    def __init__(self, placement: Placement) -> None:
        self._device = torch.device(placement.device)
        self._network = ColourNetwork()
        place_shipped(self._network, placement)
        self._placement = placement

    def predict(self, calls: Sequence[ColourCall]) -> list[Tensor]:
        """Colours of a batch of calls that share a key, in one forward pass.

        Args:
            calls: Grey pictures of equal size.

        Returns:
            Mean chroma and its deviation, each (3, H / 4, W / 4), in the order of the calls.
        """
        grey = move(torch.stack([call.grey for call in calls]), self._device)
        grey = grey.contiguous(memory_format=torch.channels_last)
        with torch.inference_mode(), run_precision(self._placement, exact=False):
            features = self._network.features(grey)
            log_odds = self._network.head(features)
        with torch.inference_mode():
            each = zip(calls, log_odds.float(), features.float(), strict=True)
            return [move(self._decoded(*one), calls[0].grey.device) for one in each]

    def _decoded(self, call: ColourCall, log_odds: Tensor, features: Tensor) -> Tensor:
        """The mean of the palette under the odds, and its deviation, (3, h, w)."""
        network = self._network
        plain = log_odds - (1 - call.vivid) * network.class_weights.log()[:, None, None]
        if call.variation:
            plain = plain + call.variation * random_change(features, network.palette, call.seed)
        return chroma_moments(plain, network.palette, TEMPERATURE)


def chroma_moments(log_odds: Tensor, palette: Tensor, temperature: float = 1.0) -> Tensor:
    """Mean and standard deviation of the chroma.

    Args:
        log_odds: Of each chroma at each position, (K, h, w).
        palette: The chromas, (K, 2).
        temperature: What the log-odds are divided by for the mean; below 1 it is nearer to the
            likeliest chroma.

    Returns:
        R - Y and B - Y of the mean, then the root of the mean squared distance from it, (3, h, w).
        The distance is that of the odds as they are, in proportion to their mean: sharpening must
        not make what is unsure look sure.
    """
    plain, sharpened = (_mean(one, palette) for one in (log_odds, log_odds / temperature))
    square = torch.einsum("khw,k->hw", log_odds.softmax(0), palette.square().sum(1))
    length = plain.square().sum(0)
    deviation = (square - length).clamp(min=0).sqrt()
    stretched = sharpened.square().sum(0).sqrt() / length.sqrt().clamp(min=_SHORTEST)
    if temperature == 1:
        stretched = torch.ones_like(stretched)
    return torch.cat((sharpened, (deviation * stretched)[None]))


def _mean(log_odds: Tensor, palette: Tensor) -> Tensor:
    mean: Tensor = torch.einsum("khw,kc->chw", log_odds.softmax(0), palette)
    return mean


def random_change(features: Tensor, palette: Tensor, seed: int) -> Tensor:
    """A random change of log-odds that makes another plausible colouring of them.

    It is a random linear function of the features, so that what looks alike to the network changes
    alike, and neighbours in the palette change together: the change follows objects.

    Args:
        features: What the head reads, (C, h, w).
        palette: The chromas, (K, 2).
        seed: [0, 2**63); the same on every device.

    Returns:
        (K, h, w), of deviation about 1.
    """
    generator = torch.Generator().manual_seed(seed)
    count, (channels, height, width) = len(palette), features.shape
    shared = torch.randn(count, channels, generator=generator).to(features.device)
    level = torch.randn(count, 1, generator=generator).to(features.device)
    alike = torch.exp(-torch.cdist(palette, palette).square() / (2 * _ALIKE**2))
    alike = functional.normalize(alike, dim=1)
    flat = features.flatten(1)
    spread = flat.std(1, keepdim=True, correction=0).clamp(min=1e-3)
    flat = (flat - flat.mean(1, keepdim=True)) / spread
    by_features = alike @ shared @ flat / channels**0.5
    change = _BY_FEATURES * by_features + _BY_COLOUR * (alike @ level)
    result: Tensor = change.view(count, height, width)
    return result
