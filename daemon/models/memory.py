"""In which precision a model lies on a device, and how much of the device's memory it takes."""

from contextlib import AbstractContextManager, nullcontext

import torch

from daemon.checkpoints.memory import parameter_counts
from daemon.models.registry import Placement

_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}


_LAYERS = 10
"""Offloaded by layers, about one in so many of the largest network's is on the device at a time."""


UNASKED = frozenset({"safety_checker", "image_encoder"})
"""Components that no step asks where Stable Diffusion is driven step by step."""


def weights_dtype(placement: Placement) -> torch.dtype:
    """Precision in which a checkpoint's weights lie on the device.

    "auto" is bf16 where the device multiplies in it, else fp16 on CUDA and fp32 elsewhere.
    """
    if placement.options.dtype != "auto":
        return _DTYPES[placement.options.dtype]
    device = torch.device(placement.device)
    if bf16_pays(device):
        return torch.bfloat16
    return torch.float16 if device.type == "cuda" else torch.float32


def precision(placement: Placement, *, exact: bool) -> AbstractContextManager[object]:
    """The context in which a network with fp32 weights runs: mixed precision unless exact."""
    dtype = weights_dtype(placement)
    if exact or dtype == torch.float32:
        return nullcontext()
    return torch.autocast(torch.device(placement.device).type, dtype)


def bf16_pays(device: torch.device) -> bool:
    """Whether bf16 is faster there: on GPUs and processors that multiply in it."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return device.type == "cpu" and bool(torch.cpu._is_avx512_bf16_supported())


def bytes_on_device(placement: Placement, *, as_pipeline: bool) -> int:
    """What a model's weights will take on the device, told before it is loaded.

    Where Stable Diffusion is driven step by step its UNet counts in float32, which it is while an
    inversion asks. What a run needs besides its weights is not in it.

    Args:
        placement: Which, where and how.
        as_pipeline: As a diffusers pipeline; those lie in `weights_dtype`, and what is driven
            step by step on a processor or in pixels lies in float32.
    """
    checkpoint, offload = placement.checkpoint, placement.options.offload
    stepwise = checkpoint.traits.family == "latent" and not as_pipeline
    on_cpu = torch.device(placement.device).type == "cpu"
    halved = as_pipeline or checkpoint.traits.family == "pipeline" or (stepwise and not on_cpu)
    width = weights_dtype(placement).itemsize if halved else 4
    taken = {
        part: count * (4 if stepwise and part == "unet" and offload != "group" else width)
        for part, count in parameter_counts(checkpoint).items()
        if not (stepwise and part in UNASKED)
    }
    if offload == "none" or on_cpu or checkpoint.traits.family in {"prior", "clip"}:
        return sum(taken.values())
    largest = max(taken.values(), default=0)
    return largest if offload == "model" else largest // _LAYERS
