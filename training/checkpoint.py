"""Checkpoints of a run: weights, averages, optimisers and progress in one safetensors file.

Nothing is pickled. A file is replaced in one move, so that a checkpoint is complete or absent.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.optim import Optimizer

from daemon.models.prior_network import PhotoPrior

FILE = "checkpoint.safetensors"


@dataclass(frozen=True)
class Progress:
    """How far a run has come.

    Attributes:
        step: Steps done.
        trained_s: Seconds trained, all sessions together.
        seed: Seed of the run.
    """

    step: int = 0
    trained_s: float = 0.0
    seed: int = 0


def save_checkpoint(
    folder: Path,
    progress: Progress,
    modules: Mapping[str, nn.Module],
    optimisers: Mapping[str, Optimizer],
) -> None:
    """Write the complete state of a run.

    Args:
        folder: Folder of the run.
        progress: How far it has come.
        modules: Modules by name; the shape of "network" is kept too, if it is a prior.
        optimisers: Optimisers by name.
    """
    tensors: dict[str, Tensor] = {}
    for name, module in modules.items():
        for key, tensor in module.state_dict().items():
            tensors[f"module/{name}/{key}"] = tensor.contiguous()
    for name, optimiser in optimisers.items():
        for index, state in optimiser.state_dict()["state"].items():
            for key, tensor in state.items():
                tensors[f"optimiser/{name}/{index}/{key}"] = tensor.contiguous()
    network = modules["network"]
    shape = asdict(network.shape) if isinstance(network, PhotoPrior) else {}
    partial = folder / (FILE + ".part")
    save_file(
        tensors, partial, {"progress": json.dumps(asdict(progress)), "shape": json.dumps(shape)}
    )
    partial.replace(folder / FILE)


def load_checkpoint(
    folder: Path, modules: Mapping[str, nn.Module], optimisers: Mapping[str, Optimizer]
) -> Progress:
    """Load a saved state into modules and optimisers, whose learning rates stay as they are.

    Returns:
        How far the run had come.
    """
    by_module: dict[str, dict[str, Tensor]] = {name: {} for name in modules}
    by_optimiser: dict[str, dict[int, dict[str, Tensor]]] = {name: {} for name in optimisers}
    with safe_open(folder / FILE, "pt") as opened:
        progress = Progress(**json.loads(opened.metadata()["progress"]))
        for place in opened.keys():  # noqa: SIM118  # not a mapping
            kind, name, key = place.split("/", 2)
            if kind == "module":
                by_module[name][key] = opened.get_tensor(place)
            else:
                index, field = key.split("/")
                state = by_optimiser[name].setdefault(int(index), {})
                state[field] = opened.get_tensor(place)
    for name, module in modules.items():
        module.load_state_dict(by_module[name])
    for name, optimiser in optimisers.items():
        groups = optimiser.state_dict()["param_groups"]
        optimiser.load_state_dict({"state": by_optimiser[name], "param_groups": groups})
    return progress


def untrained(folder: Path) -> PhotoPrior:
    """An untrained network of the shape of a checkpoint's network."""
    with safe_open(folder / FILE, "pt") as opened:
        shape = json.loads(opened.metadata()["shape"])
    network: PhotoPrior = PhotoPrior(**shape)
    return network


@torch.no_grad()
def update_average(average: nn.Module, network: nn.Module, decay: float) -> None:
    """Move the exponential average of the weights one step towards the network's."""
    for mean, weight in zip(average.parameters(), network.parameters(), strict=True):
        mean.lerp_(weight, 1 - decay)
