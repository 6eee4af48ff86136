"""The precision in which a model runs on a device, and how much of the device's memory it takes."""

from contextlib import AbstractContextManager, nullcontext

import torch

from daemon.checkpoints.parameter_count import parameter_counts
from daemon.models.registry import Placement

UNUSED_COMPONENTS = frozenset({"safety_checker", "image_encoder"})
"""Components that no call needs where Stable Diffusion is driven step by step."""

_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}

_NEVER_OFFLOADED = frozenset({"prior", "restoration", "colour", "damage", "clip"})
"""Families of small networks, which stay on the device whole."""

_LAYERS = 10
"""Layers of a network that is offloaded by layers; about one is on the device at a time."""


def weights_dtype(placement: Placement) -> torch.dtype:
    """Precision in which a checkpoint's weights lie on the device.

    "auto" is bf16 where the device multiplies in it, else fp16 on CUDA and fp32 elsewhere.
    """
    if placement.options.dtype != "auto":
        return _DTYPES[placement.options.dtype]
    device = torch.device(placement.device)
    if has_fast_bf16(device):
        return torch.bfloat16
    return torch.float16 if device.type == "cuda" else torch.float32


def mixed_precision(placement: Placement, *, exact: bool) -> AbstractContextManager[object]:
    """The context in which a network with fp32 weights runs: autocast unless `exact`."""
    dtype = weights_dtype(placement)
    if exact or dtype == torch.float32:
        return nullcontext()
    return torch.autocast(torch.device(placement.device).type, dtype)


def run_precision(placement: Placement, *, exact: bool) -> AbstractContextManager[object]:
    """The context in which a network of the package runs: bf16 where that is faster, else float32.

    Its weights lie in float32. `exact` asks for float32 in any case.
    """
    device, dtype = torch.device(placement.device), placement.options.dtype
    bf16 = has_fast_bf16(device) if dtype == "auto" else dtype == "bf16"
    if exact or not bf16:
        return nullcontext()
    return torch.autocast(device.type, torch.bfloat16)


def has_fast_bf16(device: torch.device) -> bool:
    """Whether a device multiplies in bf16, and so is faster in it."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return device.type == "cpu" and bool(torch.cpu._is_avx512_bf16_supported())


def bytes_on_device(placement: Placement, *, as_pipeline: bool) -> int:
    """Bytes that a model's weights will take on the device, known before it is loaded.

    Where Stable Diffusion is driven step by step its UNet counts in float32, which it is during
    inversion. Activations are not counted.

    Args:
        placement: The checkpoint, its device and options.
        as_pipeline: As a diffusers pipeline, whose weights lie in `weights_dtype`. Driven step by
            step, a model's weights lie in float32 on a processor and in pixel space.
    """
    checkpoint, offload = placement.checkpoint, placement.options.offload
    stepwise = checkpoint.traits.family == "latent" and not as_pipeline
    on_cpu = torch.device(placement.device).type == "cpu"
    halved = as_pipeline or checkpoint.traits.family == "pipeline" or (stepwise and not on_cpu)
    width = weights_dtype(placement).itemsize if halved else 4
    # The autoencoder decodes in float32 where half precision would show.
    wide = {"vae"} | ({"unet"} if offload != "group" else set())
    sizes = {
        component: count * (4 if stepwise and component in wide else width)
        for component, count in parameter_counts(checkpoint).items()
        if not (stepwise and component in UNUSED_COMPONENTS)
    }
    if offload == "none" or on_cpu or checkpoint.traits.family in _NEVER_OFFLOADED:
        return sum(sizes.values())
    largest = max(sizes.values(), default=0)
    return largest if offload == "model" else largest // _LAYERS
