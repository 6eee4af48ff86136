"""Damages photographs: reduction, JPEG, camera noise, grain, scratches, dust.

Damaged pixels have 8 bits, so that the network learns from what files can hold.
"""

import io
from collections.abc import Callable

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from training.photos import Pixels

_KERNELS = (
    Image.Resampling.BICUBIC,
    Image.Resampling.BILINEAR,
    Image.Resampling.LANCZOS,
    Image.Resampling.BOX,
)
_KERNEL_ODDS = (0.7, 0.1, 0.1, 0.1)
"""Most pictures were reduced bicubically."""


def reduce(pixels: Pixels, scale: float, kernel: Image.Resampling) -> Pixels:
    """The picture at 1/scale of its size (rounded to whole pixels), antialiased."""
    size = (round(pixels.shape[1] / scale), round(pixels.shape[0] / scale))
    return np.asarray(Image.fromarray(pixels).resize(size, kernel))


def enlarge(pixels: Pixels, height: int, width: int) -> Pixels:
    """Bicubic enlargement to a given size."""
    picture = Image.fromarray(pixels).resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(picture)


def random_kernel(rng: Generator) -> Image.Resampling:
    """A random reduction kernel, mostly bicubic."""
    return _KERNELS[rng.choice(len(_KERNELS), p=_KERNEL_ODDS)]


def jpeg(pixels: Pixels, quality: int, *, subsampling: int = 2) -> Pixels:
    """Compress and decode; subsampling as Pillow counts it (0: 4:4:4, 2: 4:2:0)."""
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=quality, subsampling=subsampling)
    stream.seek(0)
    with Image.open(stream) as opened:
        return np.asarray(opened.convert("RGB"))


def random_jpeg(pixels: Pixels, rng: Generator) -> Pixels:
    """JPEG of quality 10 to 95, log-uniform, mostly 4:2:0."""
    quality = int(np.exp(rng.uniform(np.log(10), np.log(96))))
    return jpeg(pixels, min(quality, 95), subsampling=0 if rng.random() < 0.25 else 2)


def gaussian_noise(pixels: Pixels, rng: Generator) -> Pixels:
    """White noise, sigma 2 to 60 of 255, log-uniform; the network is not told it."""
    sigma = np.exp(rng.uniform(np.log(2), np.log(60)))
    return _round(pixels + sigma * rng.standard_normal(pixels.shape))


def camera_noise(pixels: Pixels, rng: Generator) -> Pixels:
    """Signal-dependent noise in linear light, sometimes with chroma blotches or film grain.

    The usual camera model: variance = shot * light + read**2, with linear light in [0, 1].
    """
    light = (pixels / 255.0) ** 2.2
    shot = np.exp(rng.uniform(np.log(1e-4), np.log(1e-2)))
    read = np.exp(rng.uniform(np.log(1e-3), np.log(2e-2)))
    noisy = light + np.sqrt(shot * light + read**2) * rng.standard_normal(pixels.shape)
    result = 255.0 * np.clip(noisy, 0, 1) ** (1 / 2.2)
    if rng.random() < 0.5:
        result += rng.uniform(2, 14) * _blotches(pixels.shape, rng.uniform(1.5, 4), rng)
    if rng.random() < 0.4:
        grain = _blotches((*pixels.shape[:2], 1), rng.uniform(1, 2), rng)
        result += rng.uniform(2, 14) * grain
    return _round(result)


def old_print(pixels: Pixels, rng: Generator) -> Pixels:
    """Scratches and dust, bright or dark, with soft edges; half of the time with camera noise."""
    height, width = pixels.shape[:2]
    layer = Image.new("L", (2 * width, 2 * height))
    pen = ImageDraw.Draw(layer)
    for _ in range(rng.integers(0, 4)):
        _scratch(pen, 2 * width, 2 * height, rng)
    for _ in range(rng.integers(0, 8)):
        _speck(pen, 2 * width, 2 * height, rng)
    opacity = np.asarray(layer.resize((width, height), Image.Resampling.BOX)) / 255.0
    colour = rng.uniform(170, 255) if rng.random() < 0.65 else rng.uniform(0, 60)
    tint = colour + rng.normal(0, 6, 3)
    cover = (opacity * rng.uniform(0.5, 1))[..., None]
    damaged = _round((1 - cover) * pixels + cover * tint)
    return camera_noise(damaged, rng) if rng.random() < 0.5 else damaged


def random_repair(pixels: Pixels, rng: Generator) -> Pixels:
    """One draw of the damage that the `blind` flag covers: mostly JPEG, also after the others."""
    kinds: tuple[Callable[[Pixels, Generator], Pixels], ...] = (
        random_jpeg,
        gaussian_noise,
        camera_noise,
        old_print,
    )
    damaged = kinds[rng.choice(len(kinds), p=(0.6, 0.1, 0.16, 0.14))](pixels, rng)
    if rng.random() < 0.15:
        damaged = random_jpeg(damaged, rng)
    return damaged


def _blotches(shape: tuple[int, ...], coarse: float, rng: Generator) -> NDArray[np.float64]:
    """Noise of unit deviation, `coarse` pixels wide."""
    small = (max(1, round(shape[0] / coarse)), max(1, round(shape[1] / coarse)))
    planes = [
        np.asarray(
            Image.fromarray(rng.standard_normal(small).astype(np.float32)).resize(
                (shape[1], shape[0]), Image.Resampling.BICUBIC
            )
        )
        for _ in range(shape[2])
    ]
    noise = np.stack(planes, axis=-1).astype(np.float64)
    return noise / max(float(noise.std()), 1e-3)


def _scratch(pen: ImageDraw.ImageDraw, width: int, height: int, rng: Generator) -> None:
    start = rng.uniform((0, 0), (width, height))
    angle = rng.normal(np.pi / 2, 0.25) if rng.random() < 0.6 else rng.uniform(0, np.pi)
    reach = rng.uniform(0.3, 2) * height
    bend = rng.normal(0, 0.03 * height, (4, 2))
    along = np.linspace(-0.5, 0.5, 4)[:, None] * reach * np.array([np.cos(angle), np.sin(angle)])
    points = [(float(x), float(y)) for x, y in start + along + bend]
    pen.line(points, fill=int(rng.integers(140, 256)), width=int(rng.integers(1, 5)))


def _speck(pen: ImageDraw.ImageDraw, width: int, height: int, rng: Generator) -> None:
    x, y = rng.uniform((0, 0), (width, height))
    across, down = rng.uniform(0.5, 4, 2)
    pen.ellipse((x - across, y - down, x + across, y + down), fill=int(rng.integers(140, 256)))


def _round(pixels: NDArray[np.float64]) -> Pixels:
    return np.clip(np.rint(pixels), 0, 255).astype(np.uint8)
