"""How much memory a checkpoint takes, told from its files without loading them.

Comes in: a checkpoint. Goes out: bytes. Reads the headers of safetensors and no weights; imports no
torch.
"""

import json
import math
from pathlib import Path
from typing import Any

from daemon.errors import ConfigError
from daemon.files import shown
from daemon.models.library import Checkpoint

_LONGEST_HEADER = 100 << 20
_FLOATING = frozenset({"F64", "F32", "F16", "BF16", "F8_E4M3", "F8_E5M2"})


def elements(checkpoint: Checkpoint) -> int:
    """Weights of a checkpoint, all networks together.

    Raises:
        ConfigError: A file is no safetensors, or damaged.
    """
    return sum(_elements(path) for path in checkpoint.weight_files)


def largest_elements(checkpoint: Checkpoint) -> int:
    """Weights of its largest network: what is on a device at a time when networks take turns.

    Raises:
        ConfigError: A file is no safetensors, or damaged.
    """
    folders: dict[Path, int] = {}
    for path in checkpoint.weight_files:
        folders[path.parent] = folders.get(path.parent, 0) + _elements(path)
    return max(folders.values(), default=0)


def _elements(path: Path) -> int:
    total = 0
    for name, tensor in _header(path).items():
        if name != "__metadata__":
            width = 1 if tensor["dtype"] in _FLOATING else 0
            total += width * math.prod(tensor["shape"])
    return total


def _header(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if length > _LONGEST_HEADER:
                raise ValueError(f"its header would have {length} bytes")
            header: dict[str, Any] = json.loads(file.read(length))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{shown(path)}: no readable safetensors file: {error}") from error
    return header
