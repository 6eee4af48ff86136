"""The restoration networks that ship with the package, answering restore calls."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from daemon.models.calls import Degradation, RestoreCall
from daemon.models.memory import run_precision
from daemon.models.registry import Placement
from daemon.models.restoration_network import (
    BLUR_UNIT,
    RestorationBatch,
    RestorationNetwork,
    RestorationTask,
)
from daemon.models.transfers import move, scalars
from daemon.system.errors import ConfigError

CONFIG = "config.json"
"""File that names the networks of the folder, with their tasks and sizes."""


@dataclass(frozen=True)
class NetworkShape:
    """The architecture that a network's weights must fit.

    Attributes:
        tasks: The tasks it serves.
        channels: Features of its trunk.
        blocks: Residual blocks of its trunk.
        embedding: Width of the embedding of task and noise level.
    """

    tasks: tuple[RestorationTask, ...]
    channels: int = 64
    blocks: int = 5
    embedding: int = 48

    def build(self) -> RestorationNetwork:
        """A network of this shape, with weights as they come."""
        return RestorationNetwork(self.tasks, self.channels, self.blocks, self.embedding)


class RestorationModel:
    """The networks of a folder on one device; each answers its own tasks.

    Args:
        placement: The checkpoint, its device and options.

    Raises:
        ConfigError: A file is missing or damaged.
    """

    def __init__(self, placement: Placement) -> None:
        self._placement = placement
        self._device = torch.device(placement.device)
        networks: Any = nn.ModuleList(_read_networks(placement))  # torch types no memory_format
        self._networks = networks.eval().to(self._device, memory_format=torch.channels_last)

    def predict(self, calls: Sequence[RestoreCall]) -> list[Tensor]:
        """Posterior means of a batch of calls that share a key, in one forward pass.

        Args:
            calls: Tiles of one size and task, sides even; noise levels and blurs may differ.

        Returns:
            Each (3, H scale, W scale), float32, on the CPU, in the order of the calls.

        Raises:
            ConfigError: The weights know no such task.
        """
        task = task_of(calls[0].degradation)
        given = move(torch.stack([call.picture for call in calls]), self._device)
        sigma = scalars([_level(call.degradation) for call in calls], self._device)
        with torch.inference_mode(), run_precision(self._placement, exact=False):
            (means,) = self._network_for(task)([RestorationBatch(task, given, sigma)])
        return list(move(means.contiguous(), calls[0].picture.device).unbind(0))

    def _network_for(self, task: RestorationTask) -> RestorationNetwork:
        found: RestorationNetwork | None = next(
            (one for one in self._networks if task in one.tasks), None
        )
        if found is None:
            reference = self._placement.checkpoint.reference
            raise ConfigError(f"model {reference}: its weights know no {task}")
        return found


_DAMAGED = (
    *(OSError, ValueError, LookupError, TypeError, AttributeError, RuntimeError, SafetensorError),
    RecursionError,
)
"""Exceptions of reading a network's files where they are damaged."""


def task_of(degradation: Degradation) -> RestorationTask:
    """The task that undoes a degradation."""
    if degradation.blind:
        return "blind"
    if degradation.blur_px is not None:
        return "deblur"
    return "noise" if degradation.scale == 1 else cast(RestorationTask, f"x{degradation.scale}")


def _level(degradation: Degradation) -> float:
    """What the network is told of noise or blur, as `RestorationBatch.sigma`."""
    if degradation.blur_px is not None:
        return BLUR_UNIT * degradation.blur_px
    return degradation.sigma


def read_network(folder: Path, name: str) -> RestorationNetwork:
    """Read one network of a folder.

    Raises:
        ValueError, KeyError, TypeError, OSError, RuntimeError, SafetensorError: Its files are
            missing, damaged or do not fit each other.
    """
    shapes = json.loads((folder / CONFIG).read_text("utf-8"))["networks"]
    shape = NetworkShape(**{**shapes[name], "tasks": tuple(shapes[name]["tasks"])})
    network = shape.build()
    read_weights(network, folder / f"{name}.safetensors")
    return network


def read_weights(network: RestorationNetwork, path: Path) -> None:
    """Read a network's weights from a file that `write_network` wrote.

    Raises:
        OSError, RuntimeError, SafetensorError: It is missing, damaged or of another shape.
    """
    network.load_state_dict(load_file(path))


def write_network(network: RestorationNetwork, path: Path) -> None:
    """Write a network's weights as they ship: safetensors in float16."""
    weights = {
        name: weight.detach().to("cpu", torch.float16).contiguous()
        for name, weight in network.state_dict().items()
    }
    save_file(weights, path)


def _read_networks(placement: Placement) -> list[RestorationNetwork]:
    folder, reference = placement.checkpoint.folder, placement.checkpoint.reference
    try:
        names = json.loads((folder / CONFIG).read_text("utf-8"))["networks"]
        return [read_network(folder, name) for name in names]
    except _DAMAGED as error:
        raise ConfigError(
            f"model {reference}: cannot be loaded: {error}; install the package again"
        ) from error
