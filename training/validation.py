"""Measures a network: PSNR of one evaluation by kind of damage, and colourfulness.

The conditions are fixed: the same noise for the same picture, antialiased bicubic reduction, JPEG
quality 20 in 4:2:0.
"""

import math
import zlib
from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from daemon.diffusion.pixels import to_grey
from daemon.models.prior_network import STRIDE, PhotoPrior
from training.damage import camera_noise, jpeg, old_print
from training.photos import Pixels, to_pixels, to_tensor
from training.tasks import Example, colour, enlarged, unconditional

_THUMBNAIL_PX = 160
_GREY = 5.0
"""Colourfulness below which a picture counts as grey, and not for the measures of colour."""

_BICUBIC = Image.Resampling.BICUBIC


def psnr(one: Pixels, other: Pixels) -> float:
    """Peak signal-to-noise ratio in dB, of 8-bit pixels."""
    error = np.square(one.astype(np.float64) - other.astype(np.float64)).mean()
    return float(10 * np.log10(255**2 / max(error, 1e-10)))


def colourfulness(pixels: Pixels) -> float:
    """Hasler and Suesstrunk's measure: 0 is grey, 60 is vivid."""
    red, green, blue = pixels.astype(np.float64).transpose(2, 0, 1)
    across, down = red - green, (red + green) / 2 - blue
    spread = math.hypot(float(across.std()), float(down.std()))
    return spread + 0.3 * math.hypot(float(across.mean()), float(down.mean()))


@torch.no_grad()
def regress(network: PhotoPrior, example: Example) -> Pixels:
    """The posterior mean given a condition alone.

    A grey picture stays grey, as in restored, so that a tint that users never see does not count.
    """
    mean = _mean(network, torch.zeros_like(example.condition), math.pi / 2, example)
    damaged = to_pixels(example.condition)
    if example.task[0] == 0 and (damaged == damaged[..., :1]).all():
        return to_pixels(to_grey(to_tensor(mean)))
    return mean


@torch.no_grad()
def denoise(network: PhotoPrior, pixels: Pixels, sigma_255: float) -> Pixels:
    """Add white Gaussian noise of known sigma (seed 0, not rounded), and remove it."""
    sigma = sigma_255 / 127.5
    generator = torch.Generator().manual_seed(0)
    clean = to_tensor(pixels)
    noisy = clean + sigma * torch.randn(clean.shape, generator=generator)
    t = math.atan(sigma)
    return _mean(network, math.cos(t) * noisy, t, unconditional(pixels, np.random.default_rng(0)))


def thumbnail(pixels: Pixels, longest_px: int = _THUMBNAIL_PX) -> Pixels:
    """The picture reduced to this many pixels on its longer side."""
    picture = Image.fromarray(pixels)
    picture.thumbnail((longest_px, longest_px), _BICUBIC, reducing_gap=None)
    return np.asarray(picture)


def measure_noise(network: PhotoPrior, pixels: Pixels, sigma_255: float) -> tuple[float, float]:
    """PSNR before and after, with noise of this sigma (of 255)."""
    return 20 * math.log10(255 / sigma_255), psnr(denoise(network, pixels, sigma_255), pixels)


def measure_scale(network: PhotoPrior, pixels: Pixels, scale: int) -> tuple[float, float]:
    """PSNR of the bicubic enlargement and of the network's."""
    height, width = (side // (scale * 4) * scale * 4 for side in pixels.shape[:2])
    truth = pixels[:height, :width]
    example = enlarged(truth, scale, _BICUBIC, 0.0, np.random.default_rng(0))
    return psnr(to_pixels(example.condition), truth), psnr(regress(network, example), truth)


def measure_jpeg(network: PhotoPrior, pixels: Pixels, quality: int) -> tuple[float, float]:
    """PSNR before and after, with JPEG of this quality."""
    return _measure_blind(network, pixels, jpeg(pixels, quality))


def measure_camera(network: PhotoPrior, pixels: Pixels) -> tuple[float, float]:
    """PSNR before and after, with a camera's noise, blotches or grain, drawn for each picture."""
    return _measure_blind(network, pixels, camera_noise(pixels, own_rng(pixels)))


def measure_print(network: PhotoPrior, pixels: Pixels) -> tuple[float, float]:
    """PSNR before and after, as an old print with scratches and dust, drawn for each picture."""
    return _measure_blind(network, pixels, old_print(pixels, own_rng(pixels)))


def measure_colour(network: PhotoPrior, pixels: Pixels) -> dict[str, float]:
    """PSNR of the grey and of the coloured thumbnail; colourfulness of result and truth."""
    truth = thumbnail(pixels)
    example = colour(truth, np.random.default_rng(0))
    result = regress(network, example)
    return {
        "colour_in": psnr(to_pixels(example.condition), truth),
        "colour": psnr(result, truth),
        "colourfulness": colourfulness(result),
        "colourfulness_truth": colourfulness(truth),
    }


def measure_all(network: PhotoPrior, pictures: Sequence[Pixels]) -> dict[str, float]:
    """Means of every measure over pictures; `_in` is the measure of what the network was given."""
    found: dict[str, list[float]] = {}
    for pixels in pictures:
        for name, value in _measure_one(network, pixels).items():
            found.setdefault(name, []).append(value)
    return {name: round(float(np.mean(values)), 3) for name, values in found.items()}


def _measure_one(network: PhotoPrior, pixels: Pixels) -> dict[str, float]:
    results: dict[str, float] = {}
    for sigma in (15, 25, 50):
        results[f"noise{sigma}"] = measure_noise(network, pixels, sigma)[1]
    for scale in (2, 4):
        results[f"x{scale}_in"], results[f"x{scale}"] = measure_scale(network, pixels, scale)
    results["jpeg20_in"], results["jpeg20"] = measure_jpeg(network, pixels, 20)
    results["camera_in"], results["camera"] = measure_camera(network, pixels)
    results["print_in"], results["print"] = measure_print(network, pixels)
    colours = measure_colour(network, pixels)
    return results | colours if colours["colourfulness_truth"] > _GREY else results


def _measure_blind(network: PhotoPrior, truth: Pixels, damaged: Pixels) -> tuple[float, float]:
    example = Example(to_tensor(damaged), torch.tensor([0.0, 0.0, 0.0, 1.0]))
    return psnr(damaged, truth), psnr(regress(network, example), truth)


def own_rng(pixels: Pixels) -> np.random.Generator:
    """A random generator that is the same whenever the picture is."""
    return np.random.default_rng(zlib.crc32(pixels.tobytes()))


def _mean(network: PhotoPrior, x_t: Tensor, t: float, example: Example) -> Pixels:
    """One evaluation in bf16, padded by reflection to a size that the network takes."""
    height, width = x_t.shape[1:]
    pad = (0, -width % STRIDE, 0, -height % STRIDE)
    padded = [
        torch.nn.functional.pad(one[None], pad, mode="reflect") for one in (x_t, example.condition)
    ]
    with torch.autocast("cpu", torch.bfloat16):
        mean = network.posterior_mean(
            padded[0], torch.tensor([t], dtype=torch.float32), padded[1], example.task[None]
        )
    return to_pixels(mean[0, :, :height, :width])
