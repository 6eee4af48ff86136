"""How much memory a checkpoint takes, told from its files without loading them.

Comes in: a checkpoint. Goes out: bytes. Reads the headers of safetensors and no weights; imports no
torch.
"""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from daemon.checkpoints.library import Checkpoint
from daemon.system.errors import ConfigError
from daemon.system.files import shown

_LONGEST_HEADER = 100 << 20
_FLOATING = frozenset({"F64", "F32", "F16", "BF16", "F8_E4M3", "F8_E5M2"})


_ORIGINAL = {"model.diffusion_model.": "unet", "first_stage_model.": "vae"}


def parameter_counts(checkpoint: Checkpoint) -> dict[str, int]:
    """Weights of a checkpoint by component, such as "unet"; "" is a network that lies alone.

    Raises:
        ConfigError: A file is no safetensors, or damaged.
    """
    found: dict[str, int] = {}
    for path in checkpoint.weight_files:
        for name, count in _counts(path):
            part = _part_of(name) if checkpoint.file else _folder_of(path, checkpoint.folder)
            found[part] = found.get(part, 0) + count
    return found


def _folder_of(path: Path, folder: Path) -> str:
    return "" if path.parent == folder else path.parent.name


def _part_of(name: str) -> str:
    """The component of a weight in a single file of the original layout."""
    known = (part for prefix, part in _ORIGINAL.items() if name.startswith(prefix))
    return next(known, "text_encoder")


def _counts(path: Path) -> Iterator[tuple[str, int]]:
    for name, tensor in _header(path).items():
        if name != "__metadata__" and tensor["dtype"] in _FLOATING:
            yield name, math.prod(tensor["shape"])


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
