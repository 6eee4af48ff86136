"""Models: what answers denoiser calls.

Comes in: groups of calls with equal keys. Goes out: posterior means. This package's front imports
no torch, so that the parent process can ask for digests.
"""

import hashlib
from collections.abc import Sequence
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from daemon.call import Call
from daemon.errors import ConfigError

if TYPE_CHECKING:
    from torch import Tensor

WEIGHTS = Path(__file__).parent / "weights"


class Model(Protocol):
    """Answers calls that share a key, in one forward pass."""

    def predict(self, calls: Sequence[Call]) -> list["Tensor"]:
        """Posterior means of the calls' clean tiles, each (3, H, W), float32, on the CPU."""


MODELS = {"prior": "daemon.models.prior:Prior"}


def load_model(reference: str, device: str) -> Model:
    """Load a model onto a device ("cpu", "cuda:0", "mps"), importing its module only now."""
    check_reference(reference)
    module, name = MODELS[reference].split(":")
    model: Model = getattr(import_module(module), name)(device)
    return model


@cache
def model_digest(reference: str) -> str:
    """sha256 (hex) over a model's weights and configuration, read once per process.

    Raises:
        ConfigError: The model does not exist.
    """
    check_reference(reference)
    whole = hashlib.sha256()
    for path in sorted((WEIGHTS / reference).iterdir()):
        if path.suffix in {".json", ".safetensors"}:
            content = path.read_bytes()
            whole.update(f"{path.name}/{len(content)}/".encode() + content)
    return whole.hexdigest()


def check_reference(reference: str) -> None:
    """See that a recipe's model exists.

    Raises:
        ConfigError: It does not.
    """
    if reference not in MODELS:
        raise ConfigError(f"model {reference!r} is not known; there is {', '.join(MODELS)}")
