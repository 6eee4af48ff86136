"""The number of weights in a checkpoint, read from the headers of its safetensors files."""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, Field, TypeAdapter

from daemon.checkpoints.library import Checkpoint
from daemon.system.errors import ConfigError
from daemon.system.files import shown

_MAX_HEADER_BYTES = 100 << 20
_FLOATING = frozenset({"F64", "F32", "F16", "BF16", "F8_E4M3", "F8_E5M2"})


class TensorHeader(BaseModel):
    """What a safetensors file says of one tensor."""

    dtype: str
    shape: tuple[Annotated[int, Field(ge=0)], ...]


_HEADER: TypeAdapter[dict[str, TensorHeader]] = TypeAdapter(dict[str, TensorHeader])

_ORIGINAL_PREFIXES = {"model.diffusion_model.": "unet", "first_stage_model.": "vae"}
"""Prefixes of weights in a single file of the original layout; all others are text encoders."""


def parameter_counts(checkpoint: Checkpoint) -> dict[str, int]:
    """Weights of each component of a checkpoint, such as "unet"; "" is a network that lies alone.

    Raises:
        ConfigError: A file is no safetensors file, or damaged.
    """
    counts: dict[str, int] = {}
    for path in checkpoint.weight_files:
        for name, count in _tensor_sizes(path):
            if checkpoint.file:
                component = _original_component(name)
            else:
                component = "" if path.parent == checkpoint.folder else path.parent.name
            counts[component] = counts.get(component, 0) + count
    return counts


def _original_component(tensor: str) -> str:
    """The component of a weight in a single file of the original layout."""
    known = (name for prefix, name in _ORIGINAL_PREFIXES.items() if tensor.startswith(prefix))
    return next(known, "text_encoder")


def _tensor_sizes(path: Path) -> Iterator[tuple[str, int]]:
    """Names and element counts of the floating-point tensors of a file."""
    for name, tensor in read_header(path).items():
        if tensor.dtype in _FLOATING:
            yield name, math.prod(tensor.shape)


def read_header(path: Path) -> dict[str, TensorHeader]:
    """The JSON header of a safetensors file: a length of 8 bytes, then names, types and shapes.

    Raises:
        ConfigError: It is no safetensors file, or damaged.
    """
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if length > _MAX_HEADER_BYTES:
                raise ValueError(f"its header would have {length} bytes")
            header = json.loads(file.read(length))
        if isinstance(header, dict):
            header.pop("__metadata__", None)
        return _HEADER.validate_python(header)
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(f"{shown(path)}: not a readable safetensors file: {error}") from error
