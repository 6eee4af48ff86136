"""The pipelines of diffusers as they come: image to image, one by one and in batches."""

import time
from pathlib import Path
from typing import Any

import diffusers
import torch
from PIL import Image

from benchmarks.gpu.engine_runs import noise_pixels

STRENGTH = 0.5
GUIDANCE = 5.0
PROMPT = "an old photograph"


def load(name: str, folder: Path, device: torch.device) -> Any:  # noqa: ANN401  diffusers is untyped
    """A pipeline of diffusers, by the name of its class, on the device."""
    pipeline = getattr(diffusers, name).from_pretrained(folder)
    pipeline.set_progress_bar_config(disable=True)
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    return pipeline.to(device, dtype)


def run(pipeline: Any, side_px: int, count: int, steps: int) -> float:  # noqa: ANN401
    """Seconds that a batch takes.

    Args:
        pipeline: The pipeline.
        side_px: Side of the pictures.
        count: Pictures of the batch.
        steps: Evaluations of the denoiser for each.
    """
    pictures = [Image.fromarray(noise_pixels(side_px, seed)) for seed in range(count)]
    began = time.monotonic()
    pipeline(
        prompt=[PROMPT] * count,
        image=pictures,
        strength=STRENGTH,
        num_inference_steps=round(steps / STRENGTH),
        guidance_scale=GUIDANCE,
    )
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.monotonic() - began
