"""The photo prior: the network that ships with the package, answering denoise calls."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor

from daemon.models.calls import Degradation, DenoiseCall
from daemon.models.constant_output import refuse_constant_output
from daemon.models.memory import run_precision
from daemon.models.prior_network import read_prior
from daemon.models.registry import Placement
from daemon.models.transfers import move, scalars
from daemon.system.errors import ConfigError

_ALL_NOISE = math.pi / 2 - 1e-6
"""Angle in radians from which on x_t holds nothing of the picture; the network was trained to see
zeros then."""


class Prior:
    """The shipped network on one device.

    Args:
        placement: The checkpoint, its device and options.

    Raises:
        ConfigError: A file is missing or damaged.
    """

    def __init__(self, placement: Placement) -> None:
        self._device = torch.device(placement.device)
        try:
            network: Any = read_prior(placement.checkpoint.folder)  # torch types no memory_format
        except (OSError, ValueError, TypeError, RuntimeError, SafetensorError) as error:
            raise ConfigError(
                f"model {placement.checkpoint.reference}: cannot be loaded: {error}; install the "
                "package again"
            ) from error
        self._network = network.eval().to(self._device, memory_format=torch.channels_last)
        refuse_constant_output(self._network, placement.checkpoint.reference)
        self._placement = placement

    def predict(self, calls: Sequence[DenoiseCall]) -> list[Tensor]:
        """Posterior means of a batch of calls that share a key, in one forward pass.

        Args:
            calls: Tiles of equal size, sides multiples of 16; times and conditions may differ.

        Returns:
            Each (3, H, W), float32, where the calls' tensors lie, in the order of the calls.
        """
        nothing = torch.zeros_like(calls[0].x_t)
        x_t = self._stack([nothing if call.t >= _ALL_NOISE else call.x_t for call in calls])
        conditions = (call.condition for call in calls)
        condition = self._stack([nothing if one is None else one for one in conditions])
        t = scalars([call.t for call in calls], self._device)
        degradation = scalars(
            [number for call in calls for number in _degradation_vector(call.degradation)],
            self._device,
        ).view(len(calls), -1)
        with torch.inference_mode(), run_precision(self._placement, exact=calls[0].exact):
            x0 = self._network.posterior_mean(x_t, t, condition, degradation)
        answers = x0.float().contiguous()
        return list(move(answers, calls[0].x_t.device).unbind(0))

    def _stack(self, pictures: Sequence[Tensor]) -> Tensor:
        batch = move(torch.stack(list(pictures)), self._device)
        return batch.contiguous(memory_format=torch.channels_last)


def _degradation_vector(degradation: Degradation) -> tuple[float, float, float, float]:
    """(grey, log2(scale) / 2, sigma, blind), as the network was trained."""
    return (
        float(degradation.grey),
        math.log2(degradation.scale) / 2,
        degradation.sigma,
        float(degradation.blind),
    )
