"""Unconditional checkpoints in pixel space: a UNet2DModel with the schedule it was trained on."""

from collections.abc import Sequence

import torch
from torch import Tensor

from daemon.models.calls import DenoiseCall
from daemon.models.constant_output import refuse_constant_output
from daemon.models.loading import load_network, load_noise_schedule
from daemon.models.memory import mixed_precision
from daemon.models.placing import place
from daemon.models.registry import Placement
from daemon.models.transfers import move, scalars


class Pixel:
    """A UNet2DModel on one device.

    Its weights are float32; calls that are not exact run in the device's fast precision.

    Args:
        placement: The checkpoint, its device and options.

    Raises:
        ConfigError: The checkpoint is incomplete.
    """

    def __init__(self, placement: Placement) -> None:
        checkpoint = placement.checkpoint
        self._schedule = load_noise_schedule(checkpoint)
        self._device = torch.device(placement.device)
        self._network = load_network(checkpoint, "unet", "UNet2DModel")
        place([self._network], placement)
        refuse_constant_output(self._network, placement.checkpoint.reference)
        self._placement = placement

    def predict(self, calls: Sequence[DenoiseCall]) -> list[Tensor]:
        """Posterior means of a batch of calls that share a key, in one forward pass.

        Args:
            calls: Tiles of equal size; times may differ.

        Returns:
            Each (3, H, W), float32, where the calls' tensors lie, in the order of the calls.
        """
        x_t = move(torch.stack([call.x_t for call in calls]), self._device)
        angles = [call.t for call in calls]
        timesteps = scalars([self._schedule.timestep(t) for t in angles], self._device)
        exact = calls[0].exact
        with torch.inference_mode(), mixed_precision(self._placement, exact=exact):
            output = self._network(
                self._schedule.network_input(x_t, angles),
                self._as_looked_up(timesteps),
                return_dict=False,
            )[0]
        # A network with a learned variance outputs it after the three channels of the mean.
        output = output[:, : x_t.shape[1]].float()
        x0 = self._schedule.posterior_mean(output, x_t, angles, clip=not exact)
        return list(move(x0, calls[0].x_t.device).unbind(0))

    def _as_looked_up(self, timesteps: Tensor) -> Tensor:
        """Timesteps as the network takes them: integers where it looks them up in a table."""
        learned = self._network.config.get("time_embedding_type") == "learned"
        return timesteps.round().long() if learned else timesteps
