"""The damage network on a device, answering damage calls."""

from collections.abc import Sequence

import torch
from torch import Tensor

from daemon.models.calls import DamageCall
from daemon.models.damage_network import DamageNetwork
from daemon.models.memory import run_precision
from daemon.models.registry import Placement
from daemon.models.shipped_weights import place_shipped
from daemon.models.transfers import move


class Damage:
    """The shipped damage network on one device.

    Args:
        placement: The checkpoint, its device and options.

    Raises:
        ConfigError: Its weights are missing or damaged.
    """

    def __init__(self, placement: Placement) -> None:
        self._device = torch.device(placement.device)
        self._network = DamageNetwork()
        place_shipped(self._network, placement)
        self._placement = placement

    def predict(self, calls: Sequence[DamageCall]) -> list[Tensor]:
        """Probabilities of a batch of calls that share a key, in one forward pass.

        Args:
            calls: Tiles of equal size, sides multiples of 16.

        Returns:
            Each (1, H, W) in [0, 1], float32, on the CPU, in the order of the calls.
        """
        tiles = move(torch.stack([call.picture for call in calls]), self._device)
        tiles = tiles.contiguous(memory_format=torch.channels_last)
        with torch.inference_mode(), run_precision(self._placement, exact=False):
            log_odds = self._network(tiles)
        probability = log_odds.float().sigmoid().contiguous()
        return list(move(probability, calls[0].picture.device).unbind(0))
