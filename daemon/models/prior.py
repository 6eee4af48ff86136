"""The photo prior at work: groups of calls go in, posterior means come out.

Imported in the worker only: diffusers' ModelMixin takes seconds to import.
"""

import math
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor

from daemon.models.calls import DenoiseCall
from daemon.models.memory import bf16_pays
from daemon.models.network import PhotoPrior
from daemon.models.registry import Placement

_NO_PICTURE = math.pi / 2 - 1e-6
"""From here on x_t holds nothing of the picture; the network was trained to see zeros then."""


class Prior:
    """The shipped network on one device.

    Args:
        placement: Where it runs, and how.
    """

    def __init__(self, placement: Placement) -> None:
        self._device = torch.device(placement.device)
        network = PhotoPrior.from_pretrained(placement.checkpoint.folder, torch_dtype=torch.float32)
        self._network = network.eval().to(self._device, memory_format=torch.channels_last)
        self._half = _half_pays(placement, self._device)

    def predict(self, calls: Sequence[DenoiseCall]) -> list[Tensor]:
        """Posterior means of a group of calls that share a key, in one forward pass.

        Args:
            calls: Tiles of equal size, sides multiples of 16; times and conditions may differ.

        Returns:
            Each (3, H, W), float32, on the CPU, in the calls' order.
        """
        x_t = self._stack([call.x_t for call in calls])
        condition = self._stack([call.condition for call in calls], like=calls[0].x_t)
        t = torch.tensor([call.t for call in calls], device=self._device)
        degradation = torch.tensor([_task_numbers(call) for call in calls], device=self._device)
        x_t[t >= _NO_PICTURE] = 0
        with torch.inference_mode(), self._precision(exact=calls[0].exact):
            x0 = self._network.posterior_mean(x_t, t, condition, degradation)
        return list(x0.float().cpu().contiguous().unbind(0))

    def _stack(self, pictures: Sequence[Tensor | None], like: Tensor | None = None) -> Tensor:
        zeros = None if like is None else torch.zeros_like(like)
        whole = torch.stack([zeros if p is None else p for p in pictures])  # type: ignore[misc]
        return whole.to(self._device).contiguous(memory_format=torch.channels_last)

    def _precision(self, *, exact: bool) -> AbstractContextManager[object]:
        if exact or not self._half:
            return nullcontext()
        return torch.autocast(self._device.type, torch.bfloat16)


def _task_numbers(call: DenoiseCall) -> tuple[float, float, float, float]:
    """(grey, log2(scale) / 2, sigma, blind), as the network was trained."""
    degradation = call.degradation
    return (
        float(degradation.grey),
        math.log2(degradation.scale) / 2,
        degradation.sigma,
        float(degradation.blind),
    )


def _half_pays(placement: Placement, device: torch.device) -> bool:
    """Whether to run in bf16: as the setting says, or where that is faster."""
    dtype = placement.options.dtype
    return bf16_pays(device) if dtype == "auto" else dtype == "bf16"
