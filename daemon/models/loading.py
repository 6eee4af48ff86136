"""Loading a checkpoint's networks and pipelines from this machine, not yet placed on a device.

Opens safetensors only, runs no code that comes with a checkpoint, and never reaches for the
network. A checkpoint that lacks weights is refused: the libraries would leave them empty or fill
them in at random.
"""

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
from daemon.checkpoints.traits import component_folder, read_config
from daemon.models.noise_schedule import NoiseSchedule, read_noise_schedule
from daemon.system.errors import ConfigError
from daemon.system.files import shown

_NAMED_WEIGHTS = 3
"""Missing weights that a message names."""

_DAMAGED = (
    OSError,
    ValueError,
    KeyError,
    RuntimeError,
    ImportError,
    SafetensorError,
    SingleFileComponentError,
)
"""Exceptions of the libraries for an incomplete or damaged checkpoint."""


def load_noise_schedule(checkpoint: Checkpoint) -> NoiseSchedule:
    """The noise schedule that a checkpoint was trained on.

    Raises:
        ConfigError: It cannot be read, or its process has no angle of ours.
    """
    folder = component_folder(checkpoint.folder, "scheduler")
    return read_noise_schedule(folder / "scheduler_config.json")


def load_pipeline(checkpoint: Checkpoint, dtype: torch.dtype, **without: None) -> Any:  # noqa: ANN401  diffusers is untyped
    """Load a checkpoint as the diffusers pipeline that it is.

    Args:
        checkpoint: The checkpoint.
        dtype: Precision of its weights.
        without: Components to leave out, each None.

    Raises:
        ConfigError: The checkpoint is incomplete or damaged.
    """
    silence_libraries()
    try:
        if checkpoint.file is None:
            pipeline = _pipeline_from_folder(checkpoint, dtype, without)
        else:
            pipeline = _pipeline_from_file(checkpoint, dtype, without)
    except ImportError as error:
        problem = " ".join(str(error).split(".")[0].split())
        raise ConfigError(
            f"model {checkpoint.reference}: {problem}; install that package beside restored, in "
            "the version that suits its torch"
        ) from error
    except _DAMAGED as error:
        raise _incomplete(checkpoint, str(error)) from error
    for name, component in pipeline.components.items():
        if isinstance(component, nn.Module):
            _check_complete(name, component, checkpoint)
    return pipeline


def load_network(checkpoint: Checkpoint, name: str, class_name: str) -> Any:  # noqa: ANN401  diffusers is untyped
    """Load one diffusers network of a checkpoint, with float32 weights.

    Args:
        checkpoint: The checkpoint.
        name: The component, such as "unet"; a lone network lies in the folder itself.
        class_name: Its class in diffusers.

    Raises:
        ConfigError: The checkpoint is incomplete or damaged.
    """
    silence_libraries()
    network_class = _diffusers_class(class_name)
    folder = component_folder(checkpoint.folder, name)
    try:
        if checkpoint.file is None:
            options = {"local_files_only": True, "torch_dtype": torch.float32}
            network = network_class.from_pretrained(folder, use_safetensors=True, **options)
        else:
            config = network_class.load_config(folder, local_files_only=True)
            network = network_class.from_config(config)
            network.load_state_dict(load_file(checkpoint.file))
    except _DAMAGED as error:
        raise _incomplete(checkpoint, str(error)) from error
    _check_complete(name, network, checkpoint)
    return network.eval()


def load_transformers_network(
    checkpoint: Checkpoint, name: str, class_name: str, dtype: torch.dtype
) -> nn.Module:
    """Load one transformers network of a checkpoint.

    Args:
        checkpoint: The checkpoint.
        name: The component, such as "text_encoder"; "" where the checkpoint is one network.
        class_name: Its class in transformers.
        dtype: Precision of its weights.

    Raises:
        ConfigError: The checkpoint is incomplete or damaged.
    """
    silence_libraries()
    network_class: Any = getattr(transformers, class_name)
    options = {"local_files_only": True, "use_safetensors": True, "output_loading_info": True}
    folder = checkpoint.folder / name
    try:
        loaded, info = network_class.from_pretrained(folder, dtype=dtype, **options)
    except _DAMAGED as error:
        where = f"{name}: " if name else ""
        raise _incomplete(checkpoint, f"{where}{error}") from error
    # transformers fills in at random what the file lacks.
    _refuse_missing(name, sorted(info["missing_keys"]), checkpoint)
    network: nn.Module = loaded
    return network


def silence_libraries() -> None:
    """Keep progress bars and advice to programmers out of the daemon's log."""
    for library in (diffusers, transformers):
        library.utils.logging.disable_progress_bar()
        library.utils.logging.set_verbosity_error()


def _pipeline_from_folder(
    checkpoint: Checkpoint, dtype: torch.dtype, without: dict[str, None]
) -> Any:  # noqa: ANN401  diffusers is untyped
    encoders = {
        name: load_transformers_network(checkpoint, name, class_name, dtype)
        for name, class_name in _transformers_networks(checkpoint).items()
        if name not in without
    }
    return _diffusers_class(checkpoint.traits.pipeline).from_pretrained(
        checkpoint.folder,
        use_safetensors=True,
        local_files_only=True,
        dtype=dtype,
        **without,
        **encoders,
    )


def _pipeline_from_file(
    checkpoint: Checkpoint, dtype: torch.dtype, without: dict[str, None]
) -> Any:  # noqa: ANN401  diffusers is untyped
    _refuse_pickles(checkpoint)
    networks = {
        name: _network_from_file(checkpoint, name, class_name, dtype)
        for name, class_name in _single_file_networks(checkpoint).items()
        if name not in without
    }
    return _diffusers_class(checkpoint.traits.pipeline).from_single_file(
        str(checkpoint.file),
        config=str(checkpoint.folder),
        local_files_only=True,
        torch_dtype=dtype,
        **without,
        **networks,
    )


def _transformers_networks(checkpoint: Checkpoint) -> dict[str, str]:
    """The components of a pipeline that are networks of transformers, with their classes."""
    return {
        name: class_name
        for name, class_name in _components(checkpoint, "transformers").items()
        if issubclass(getattr(transformers, class_name, object), transformers.PreTrainedModel)
    }


def _single_file_networks(checkpoint: Checkpoint) -> dict[str, str]:
    """The diffusers networks that can be taken out of a single file, with their classes."""
    return {
        name: class_name
        for name, class_name in _components(checkpoint, "diffusers").items()
        if hasattr(_diffusers_class(class_name), "from_single_file")
    }


def _components(checkpoint: Checkpoint, library: str) -> dict[str, str]:
    """The components that model_index.json takes from a library, with their classes."""
    index = read_config(checkpoint.folder / "model_index.json")
    entries = {name: entry for name, entry in index.items() if isinstance(entry, list)}
    return {
        name: str(entry[1])
        for name, entry in entries.items()
        if len(entry) == 2 and entry[0] == library  # library and class
    }


def _network_from_file(
    checkpoint: Checkpoint, name: str, class_name: str, dtype: torch.dtype
) -> nn.Module:
    """One network of a single file; diffusers itself does not say which one is incomplete."""
    options = {"config": str(checkpoint.folder), "subfolder": name, "local_files_only": True}
    try:
        network: nn.Module = _diffusers_class(class_name).from_single_file(
            str(checkpoint.file), torch_dtype=dtype, **options
        )
    except _DAMAGED as error:
        why = "has none of them" if isinstance(error, SingleFileComponentError) else str(error)
        if "meta tensor" in why:
            why = "lacks some of them"
        raise _incomplete(checkpoint, f"its {name} weights: the file {why}") from error
    return network


def _refuse_pickles(checkpoint: Checkpoint) -> None:
    """Refuse pickles beside a single file: diffusers would open them for what the file lacks."""
    found = sorted(p for p in checkpoint.folder.glob("*/*") if p.suffix in PICKLES)
    if found:
        raise _incomplete(
            checkpoint, f"{shown(found[0])} can run code and is never opened; remove it"
        )


def _diffusers_class(name: str) -> Any:  # noqa: ANN401  diffusers is untyped
    return getattr(diffusers, name, None)


def _check_complete(name: str, network: nn.Module, checkpoint: Checkpoint) -> None:
    """See that the file had every weight: diffusers leaves those that it lacks without data."""
    missing = [key for key, weight in network.named_parameters() if weight.is_meta]
    _refuse_missing(name, missing, checkpoint)


def _refuse_missing(name: str, missing: Sequence[str], checkpoint: Checkpoint) -> None:
    if missing:
        named = ", ".join(missing[:_NAMED_WEIGHTS])
        rest = len(missing) - _NAMED_WEIGHTS
        more = f" and {rest} more" if rest > 0 else ""
        where = f"{name} " if name else ""
        raise _incomplete(checkpoint, f"its {where}weights lack {named}{more}")


def _incomplete(checkpoint: Checkpoint, why: str) -> ConfigError:
    return ConfigError(
        f"model {checkpoint.reference}: cannot be loaded: {why}; it needs a folder as "
        "save_pretrained writes it, with safetensors weights"
    )
