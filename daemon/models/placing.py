"""Placing loaded networks on a device: offload, attention backend, compilation.

Nothing is fetched: attention kernels from the Hub are refused.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import torch
from accelerate.hooks import ModelHook, add_hook_to_module  # type: ignore[import-untyped]
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from daemon.models.registry import Placement
from daemon.system.errors import ConfigError

_BATCH_SIZES = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256)
"""Batch sizes that a compiled network sees; each is compiled once, and at most half is padding."""

_NOT_PADDED = 0
"""Stands for the batch size where the inputs have no batch dimension."""


class _Pipeline(Protocol):
    """The part of diffusers' DiffusionPipeline, which is untyped, that is used here."""

    components: Mapping[str, object]

    def to(self, device: torch.device) -> object: ...

    def enable_model_cpu_offload(self, *, device: torch.device) -> None: ...


def place(networks: Sequence[nn.Module], placement: Placement) -> None:
    """Put networks that are driven one at a time onto the device.

    Args:
        networks: The denoiser first, then encoders and decoders.
        placement: The device and options.

    Raises:
        ConfigError: The attention backend is unknown or not installed.
    """
    device = torch.device(placement.device)
    _prepare_denoiser(networks[0], placement)
    match placement.options.offload:
        case "model" if device.type != "cpu":
            offload_models(networks, device)
        case "group" if device.type != "cpu":
            for network in networks:
                offload_layers(network, device)
        case _:
            for network in networks:
                network.to(device)


def place_pipeline(pipeline: _Pipeline, placement: Placement) -> None:
    """Put a diffusers pipeline onto the device.

    Raises:
        ConfigError: The attention backend is unknown or not installed.
    """
    device = torch.device(placement.device)
    for name in ("unet", "transformer"):
        network = pipeline.components.get(name)
        if isinstance(network, nn.Module):
            _prepare_denoiser(network, placement)
    match placement.options.offload:
        case "model" if device.type != "cpu":
            pipeline.enable_model_cpu_offload(device=device)
        case "group" if device.type != "cpu":
            for network in pipeline.components.values():
                if isinstance(network, nn.Module):
                    offload_layers(network, device)
        case _:
            pipeline.to(device)


def offload_models(networks: Sequence[nn.Module], device: torch.device) -> None:
    """Keep at most one of the networks on the device: the one that ran last."""
    on_device: list[nn.Module] = []
    for network in networks:
        network.to("cpu")
        add_hook_to_module(network, _OffloadHook(on_device, device))


def offload_layers(network: nn.Module, device: torch.device) -> None:
    """Keep a network's layers in the machine's memory; each is on the device while it runs."""
    from diffusers.hooks.group_offloading import apply_group_offloading

    apply_group_offloading(
        network,
        onload_device=device,
        offload_device=torch.device("cpu"),
        offload_type="leaf_level",
        use_stream=device.type == "cuda",
    )


def compile_blocks(network: nn.Module, backend: str = "inductor") -> None:
    """Compile a network's blocks, and pad the batches it sees to a few sizes.

    Heights and widths need no padding: tiles and recipes have few. Blocks are compiled rather than
    the network, so that equal ones are compiled once.

    Args:
        network: A diffusers network.
        backend: Backend of torch.compile.
    """
    names = getattr(network, "_repeated_blocks", None) or []
    blocks = [module for module in network.modules() if type(module).__name__ in names]
    if not blocks:
        lists = [child for child in network.children() if isinstance(child, nn.ModuleList)]
        blocks = [block for module_list in lists for block in module_list]
    for block in blocks or [network]:
        block.compile(backend=backend, dynamic=False)
    sizes: list[int] = []
    network.register_forward_pre_hook(_pad_batch(sizes), with_kwargs=True)
    network.register_forward_hook(_crop_batch(sizes))


def _prepare_denoiser(network: nn.Module, placement: Placement) -> None:
    backend = placement.options.attention
    if backend is not None and isinstance(network, ModelMixin):
        _set_attention(network, backend)
    if placement.options.compile:
        compile_blocks(network)


def _set_attention(network: ModelMixin, backend: str) -> None:
    if backend.endswith("_hub"):
        raise ConfigError(
            f"attention is {backend!r}: kernels from the Hub are code from elsewhere and never "
            "fetched; install a backend as a package and name it, or leave the setting out"
        )
    try:
        network.set_attention_backend(backend)
    except (ValueError, ImportError, RuntimeError) as error:
        raise ConfigError(f"attention is {backend!r}: {error}") from error


class _OffloadHook(ModelHook):  # type: ignore[misc]  # accelerate is untyped
    """Moves its network onto the device before it runs, and the network that was there off it."""

    def __init__(self, on_device: list[nn.Module], device: torch.device) -> None:
        self._on_device = on_device
        self._device = device

    def pre_forward(
        self, module: nn.Module, *args: object, **kwargs: object
    ) -> tuple[tuple[object, ...], dict[str, object]]:
        if self._on_device != [module]:
            for other in self._on_device:
                other.to("cpu")
            self._on_device[:] = [module]
            module.to(self._device)
        return args, kwargs


_Inputs = tuple[tuple[object, ...], dict[str, object]]


def _pad_batch(
    sizes: list[int],
) -> Callable[[nn.Module, tuple[object, ...], dict[str, object]], _Inputs]:
    """Before a network runs: repeat the last of the batch until its size is one of `_BATCH_SIZES`.

    Args:
        sizes: Gets the size before padding, for `_crop_batch`.
    """

    def pad(module: nn.Module, args: tuple[object, ...], kwargs: dict[str, object]) -> _Inputs:
        tensors = [v for v in (*args, *kwargs.values()) if isinstance(v, Tensor) and v.ndim > 1]
        if not tensors:  # Z-Image takes lists of pictures, which have no batch to pad
            sizes.append(_NOT_PADDED)
            return args, kwargs
        size = tensors[0].shape[0]
        wanted = next((batch for batch in _BATCH_SIZES if batch >= size), size)
        sizes.append(size)

        def padded(value: object) -> object:
            if not isinstance(value, Tensor) or value.ndim == 0 or value.shape[0] != size:
                return value
            return torch.cat([value, value[-1:].expand(wanted - size, *value.shape[1:])])

        if wanted == size:
            return args, kwargs
        inputs: _Inputs = pytree.tree_map(padded, (args, kwargs))
        return inputs

    return pad


def _crop_batch(sizes: list[int]) -> Callable[[nn.Module, tuple[object, ...], object], object]:
    """After a network ran: drop the rows that `_pad_batch` repeated."""

    def crop(module: nn.Module, args: tuple[object, ...], output: object) -> object:
        size = sizes.pop()
        if size == _NOT_PADDED:
            return output

        def cropped(value: object) -> object:
            return value[:size] if isinstance(value, Tensor) and value.ndim else value

        kept: object = pytree.tree_map(cropped, output)
        return kept

    return crop
