"""Unconditional checkpoints that work on pixels: a UNet2DModel with the schedule it was trained on.

Comes in: groups of denoiser calls. Goes out: posterior means. Imported in the worker only.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from daemon.models.calls import DenoiseCall
from daemon.models.loading import load_network, load_schedule
from daemon.models.memory import precision
from daemon.models.placing import place
from daemon.models.registry import Placement


class Pixel:
    """A UNet2DModel on one device.

    Its weights are float32; what is not asked exactly is computed in the device's fast type.

    Args:
        placement: Which checkpoint, where it runs, and how.

    Raises:
        ConfigError: The checkpoint is incomplete.
    """

    def __init__(self, placement: Placement) -> None:
        checkpoint = placement.checkpoint
        self._schedule = load_schedule(checkpoint)
        self._device = torch.device(placement.device)
        self._network = load_network(checkpoint, "unet", "UNet2DModel")
        place([self._network], placement)
        self._placement = placement

    def predict(self, calls: Sequence[DenoiseCall]) -> list[Tensor]:
        """Posterior means of a group of calls that share a key, in one forward pass.

        Args:
            calls: Tiles of equal size; times may differ.

        Returns:
            Each (3, H, W), float32, on the CPU, in the calls' order.
        """
        x_t = torch.stack([call.x_t for call in calls]).to(self._device)
        angles = [call.t for call in calls]
        times = torch.tensor([self._schedule.time(t) for t in angles], dtype=torch.float32)
        exact = calls[0].exact
        with torch.inference_mode(), precision(self._placement, exact=exact):
            output = self._network(
                self._schedule.seen(x_t, angles), self._told(times), return_dict=False
            )[0]
        # What a checkpoint with a learned variance says of it comes after the three channels.
        output = output[:, : x_t.shape[1]].float()
        x0 = self._schedule.clean(output, x_t, angles, bounded=not exact)
        return list(x0.cpu().unbind(0))

    def _told(self, times: Tensor) -> Tensor:
        """Times as the network takes them: a table of them has whole ones only."""
        table = self._network.config.get("time_embedding_type") == "learned"
        return (times.round().long() if table else times).to(self._device)
