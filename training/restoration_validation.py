"""PSNR of a restoration network on held-out photographs, damaged as `training.damage` has it."""

from collections.abc import Sequence
from statistics import mean

import numpy as np
import torch
from PIL import Image, ImageFilter
from torch import Tensor

from daemon.models.restoration_network import (
    BLUR_UNIT,
    RestorationBatch,
    RestorationNetwork,
    RestorationTask,
)
from training.damage import camera_noise, jpeg, old_print, reduce
from training.photos import Pixels, is_grey, to_tensor
from training.restoration_examples import jpeg_level
from training.validation import own_rng, psnr

_BICUBIC = Image.Resampling.BICUBIC

_SCALES: tuple[tuple[RestorationTask, int], ...] = (("x2", 2), ("x4", 4))
_SIGMAS = (15, 25, 50)
_BLURS_PX = (0.8, 1.3)
_JPEG = 75
_LEVEL_20 = float(jpeg_level(torch.tensor(20)))
_MULTIPLE_PX = 8


def measure_restoration(
    network: RestorationNetwork, pictures: Sequence[Pixels]
) -> dict[str, float]:
    """Mean PSNR in dB of each task that the network serves.

    Noise is clipped and rounded, as in files; the result of a grey photograph is made grey.

    Args:
        network: The network, on any device.
        pictures: Clean photographs.
    """
    found: dict[str, list[float]] = {}
    for whole in pictures:
        height, width = (side // _MULTIPLE_PX * _MULTIPLE_PX for side in whole.shape[:2])
        truth = np.ascontiguousarray(whole[:height, :width])
        for name, result in _results(network, truth):
            found.setdefault(name, []).append(psnr(result, truth))
    return {name: round(mean(values), 3) for name, values in found.items()}


def _results(network: RestorationNetwork, truth: Pixels) -> list[tuple[str, Pixels]]:
    results: list[tuple[str, Pixels]] = []
    for task, scale in _SCALES:
        if task in network.tasks:
            small = reduce(truth, scale, _BICUBIC)
            results.append((task, restored(network, task, small)))
            squeezed, level = jpeg(small, _JPEG), float(jpeg_level(torch.tensor(_JPEG)))
            results.append((f"{task} jpeg", restored(network, task, squeezed, level)))
    if "noise" in network.tasks:
        for sigma in _SIGMAS:
            noisy = truth + sigma * np.random.default_rng(0).standard_normal(truth.shape)
            given = np.clip(np.rint(noisy), 0, 255).astype(np.uint8)
            results.append((f"noise{sigma}", restored(network, "noise", given, sigma)))
    if "blind" in network.tasks:
        harmed = (
            ("jpeg20", jpeg(truth, 20), _LEVEL_20),
            ("jpeg20 untold", jpeg(truth, 20), 0.0),
            ("camera", camera_noise(truth, own_rng(truth)), 0.0),
            ("print", old_print(truth, own_rng(truth)), 0.0),
        )
        results += [(name, restored(network, "blind", given, told)) for name, given, told in harmed]
    if "deblur" in network.tasks:
        for blur_px in _BLURS_PX:
            given = np.asarray(Image.fromarray(truth).filter(ImageFilter.GaussianBlur(blur_px)))
            level = 127.5 * BLUR_UNIT * blur_px
            results.append((f"blur{blur_px:g}", restored(network, "deblur", given, level)))
            results.append((f"blur{blur_px:g} untold", restored(network, "deblur", given)))
    return results


@torch.no_grad()
def restored(
    network: RestorationNetwork, task: RestorationTask, given: Pixels, sigma: float = 0.0
) -> Pixels:
    """What the network makes of a picture in one evaluation in bf16.

    Args:
        network: The network.
        task: What is asked for.
        given: (H, W, 3), sides even.
        sigma: Noise of it in levels of 0 to 255, or its blur in units of `BLUR_UNIT` / 127.5.
    """
    device = next(network.parameters()).device
    level = torch.tensor([sigma / 127.5], device=device)
    batch = RestorationBatch(task, to_tensor(given)[None].to(device), level)
    with torch.autocast(device.type, torch.bfloat16):
        (answer,) = network([batch])
    picture: Tensor = answer[0].float().cpu()
    if is_grey(given):
        picture = picture.mean(0, keepdim=True).expand_as(picture)
    levels = (picture + 1).mul(127.5).round().clamp(0, 255)
    return levels.to(torch.uint8).permute(1, 2, 0).contiguous().numpy()
