"""Checkpoints from this machine: a diffusers pipeline with its networks, not yet placed.

Comes in: a placement. Goes out: the pipeline. Opens safetensors only, runs no code that comes with
a checkpoint, and never reaches for the network.
"""

import json
from collections.abc import Sequence
from typing import Any

import diffusers
import torch
import transformers
from diffusers.loaders.single_file_utils import SingleFileComponentError
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from daemon.checkpoints.digests import PICKLES
from daemon.checkpoints.library import Checkpoint
from daemon.checkpoints.traits import component_folder
from daemon.models.noise_schedule import CheckpointSchedule, read_schedule
from daemon.system.errors import ConfigError
from daemon.system.files import shown


def load_schedule(checkpoint: Checkpoint) -> CheckpointSchedule:
    """The schedule that a checkpoint was trained on.

    Raises:
        ConfigError: It cannot be read, or is of a process that has no angle of ours.
    """
    return read_schedule(component_folder(checkpoint.folder, "scheduler") / "scheduler_config.json")


def load_pipeline(checkpoint: Checkpoint, dtype: torch.dtype, **without: None) -> Any:  # noqa: ANN401  diffusers is untyped
    """A checkpoint's own pipeline.

    Args:
        checkpoint: Which.
        dtype: Of its weights.
        without: Components that are not wanted, each None.

    Raises:
        ConfigError: The checkpoint is incomplete or damaged.
    """
    be_quiet()
    kind = _made(checkpoint.traits.pipeline)
    how: dict[str, Any] = {"local_files_only": True, **without}
    try:
        if checkpoint.file is None:
            encoders = {
                part: load_encoder(checkpoint, part, maker, dtype)
                for part, maker in _encoders(checkpoint).items()
                if part not in without
            }
            pipeline = kind.from_pretrained(
                checkpoint.folder, use_safetensors=True, dtype=dtype, **how, **encoders
            )
        else:
            _refuse_pickles(checkpoint)
            file, how["config"] = str(checkpoint.file), str(checkpoint.folder)
            networks = {
                part: _of_single_file(checkpoint, part, maker, dtype)
                for part, maker in _single_parts(checkpoint).items()
                if part not in without
            }
            pipeline = kind.from_single_file(file, torch_dtype=dtype, **how, **networks)
    except ImportError as error:
        said = " ".join(str(error).split(".")[0].split())
        raise ConfigError(
            f"model {checkpoint.reference}: {said}; install that package beside restored, in the "
            "version that suits its torch"
        ) from error
    except _DAMAGED as error:
        raise _incomplete(checkpoint, str(error)) from error
    for name, part in pipeline.components.items():
        if isinstance(part, nn.Module):
            _check_whole(name, part, checkpoint)
    return pipeline


def load_network(checkpoint: Checkpoint, name: str, kind: str) -> Any:  # noqa: ANN401  diffusers is untyped
    """One network of a checkpoint, with float32 weights.

    Args:
        checkpoint: Which.
        name: Of the component, such as "unet"; a lone network lies in the folder itself.
        kind: Its class in diffusers.

    Raises:
        ConfigError: The checkpoint is incomplete or damaged.
    """
    be_quiet()
    made = _made(kind)
    folder = component_folder(checkpoint.folder, name)
    try:
        if checkpoint.file is None:
            how = {"local_files_only": True, "torch_dtype": torch.float32}
            network = made.from_pretrained(folder, use_safetensors=True, **how)
        else:
            network = made.from_config(made.load_config(folder, local_files_only=True))
            network.load_state_dict(load_file(checkpoint.file))
    except _DAMAGED as error:
        raise _incomplete(checkpoint, str(error)) from error
    _check_whole(name, network, checkpoint)
    return network.eval()


def load_encoder(checkpoint: Checkpoint, name: str, kind: str, dtype: torch.dtype) -> nn.Module:
    """One network of transformers, which would fill in at random what its file lacks.

    Args:
        checkpoint: Which.
        name: Of the component, such as "text_encoder", or "" for a checkpoint that is one network.
        kind: Its class in transformers.
        dtype: Of its weights.

    Raises:
        ConfigError: The checkpoint is incomplete or damaged.
    """
    be_quiet()
    made: Any = getattr(transformers, kind)
    how = {"local_files_only": True, "use_safetensors": True, "output_loading_info": True}
    folder = checkpoint.folder / name
    try:
        network, report = made.from_pretrained(folder, dtype=dtype, **how)
    except _DAMAGED as error:
        where = f"{name}: " if name else ""
        raise _incomplete(checkpoint, f"{where}{error}") from error
    _refuse_missing(name, sorted(report["missing_keys"]), checkpoint)
    encoder: nn.Module = network
    return encoder


def be_quiet() -> None:
    """Keep progress bars and advice to programmers out of the daemon's log."""
    for library in (diffusers, transformers):
        library.utils.logging.disable_progress_bar()
        library.utils.logging.set_verbosity_error()


_NAMED = 3
"""So many missing weights are named."""

_DAMAGED = (
    OSError,
    ValueError,
    KeyError,
    RuntimeError,
    ImportError,
    SafetensorError,
    SingleFileComponentError,
)


def _encoders(checkpoint: Checkpoint) -> dict[str, str]:
    """The components of a pipeline that are networks of transformers, with their classes."""
    said = _components(checkpoint, "transformers")
    return {
        name: kind
        for name, kind in said.items()
        if issubclass(getattr(transformers, kind, object), transformers.PreTrainedModel)
    }


def _single_parts(checkpoint: Checkpoint) -> dict[str, str]:
    """The networks of diffusers that can be taken out of a single file, with their classes."""
    said = _components(checkpoint, "diffusers")
    return {n: kind for n, kind in said.items() if hasattr(_made(kind), "from_single_file")}


def _components(checkpoint: Checkpoint, library: str) -> dict[str, str]:
    index = json.loads((checkpoint.folder / "model_index.json").read_text("utf-8"))
    said = {name: tuple(what) for name, what in index.items() if isinstance(what, list)}
    return {name: kind for name, (whose, kind) in said.items() if whose == library}


def _of_single_file(checkpoint: Checkpoint, name: str, kind: str, dtype: torch.dtype) -> nn.Module:
    """A network out of a single file; diffusers itself does not say which of them is incomplete."""
    how = {"config": str(checkpoint.folder), "subfolder": name, "local_files_only": True}
    try:
        network: nn.Module = _made(kind).from_single_file(
            str(checkpoint.file), torch_dtype=dtype, **how
        )
    except _DAMAGED as error:
        why = "has none of them" if isinstance(error, SingleFileComponentError) else str(error)
        if "meta tensor" in why:
            why = "lacks some of them"
        raise _incomplete(checkpoint, f"its {name} weights: the file {why}") from error
    return network


def _refuse_pickles(checkpoint: Checkpoint) -> None:
    """Beside a single file diffusers would open them for what the file lacks."""
    found = sorted(p for p in checkpoint.folder.glob("*/*") if p.suffix in PICKLES)
    if found:
        raise _incomplete(
            checkpoint, f"{shown(found[0])} can run code and is never opened; remove it"
        )


def _made(kind: str) -> Any:  # noqa: ANN401  diffusers is untyped
    return getattr(diffusers, kind, None)


def _check_whole(name: str, network: nn.Module, checkpoint: Checkpoint) -> None:
    """See that the file had every weight: diffusers leaves those without data that it lacks."""
    missing = [key for key, weight in network.named_parameters() if weight.is_meta]
    _refuse_missing(name, missing, checkpoint)


def _refuse_missing(name: str, missing: Sequence[str], checkpoint: Checkpoint) -> None:
    if missing:
        named = ", ".join(missing[:_NAMED])
        more = f" and {len(missing) - _NAMED} more" if len(missing) > _NAMED else ""
        where = f"{name} " if name else ""
        raise _incomplete(checkpoint, f"its {where}weights lack {named}{more}")


def _incomplete(checkpoint: Checkpoint, why: str) -> ConfigError:
    return ConfigError(
        f"model {checkpoint.reference}: cannot be loaded: {why}; it needs a folder as "
        "save_pretrained writes it, with safetensors weights"
    )
