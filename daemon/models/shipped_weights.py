"""Read the weights of networks inside the package."""

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from daemon.models.registry import Placement
from daemon.system.errors import ConfigError


def place_shipped(network: nn.Module, placement: Placement) -> None:
    """Load a network's float16 weights as float32, ready to answer, on its device.

    Args:
        network: The network, with weights as they come.
        placement: A checkpoint of one weights file, its device and options.

    Raises:
        ConfigError: The file is missing, damaged or of another network.
    """
    try:
        (file,) = placement.checkpoint.weight_files
        weights = {name: weight.float() for name, weight in load_file(file).items()}
        network.load_state_dict(weights)
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise ConfigError(
            f"model {placement.checkpoint.reference}: cannot be loaded: {error}; install the "
            "package again"
        ) from error
    network.eval().to(torch.device(placement.device), memory_format=torch.channels_last)  # type: ignore[call-overload]
