"""Kinds of damage that programs are measured on, each with the programs that repair it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from PIL import Image

from benchmarks.contenders import (
    Contender,
    cleaners,
    colorizers,
    compressed_enlargers,
    denoisers,
    enlargers,
    fillers,
    finders,
    noisy_cleaners,
    refreshers,
)
from benchmarks.restoring import Pixels
from benchmarks.scratches import scratched, worn
from daemon.restorers.dye_fading import faded
from training.damage import jpeg
from training.fading import random_fading, scanned
from training.validation import colourfulness

_THUMBNAIL_PX = 256
"""Longest side of a photograph that is coloured."""

_GREY = 5.0
"""Colourfulness below which a photograph has no colours to judge by."""

_JPEG = 75
"""Quality of the pictures that come compressed, Pillow's default."""

Damage = Callable[[Pixels, np.random.Generator], Pixels]
"""Makes the damaged picture from the true one."""


@dataclass(frozen=True)
class Trial:
    """One kind of damage and the programs that repair it.

    Attributes:
        name: Heading of its table.
        damage: Makes the damaged picture from the true one and a random generator.
        contenders: Programs by name; "restored..." are ours, with their realism as "r.".
        prepare: Makes the true picture from a photograph; None leaves the photograph out.
        colour: Whether the table has columns for colourfulness and the difference of colours.
    """

    name: str
    damage: Damage
    contenders: Mapping[str, Contender]
    prepare: Callable[[Pixels], Pixels | None] = lambda pixels: pixels
    colour: bool = False


def trials() -> list[Trial]:
    """All kinds of damage, each with its contenders."""
    noise = [
        Trial(f"Gaussian noise, sigma {sigma}", _noise(sigma), denoisers(sigma))
        for sigma in (15, 25, 50)
    ]
    noise.append(
        Trial("Gaussian noise, sigma 25, then JPEG 75", _compressed(_noise(25)), noisy_cleaners(25))
    )
    scale = []
    for times in (2, 4):
        small = _reduced(times)
        name = f"Enlargement x{times}"
        scale.append(Trial(name, small, enlargers(times)))
        scale.append(Trial(f"{name} of a JPEG 75", _compressed(small), compressed_enlargers(times)))
    return [
        *noise,
        *scale,
        Trial("JPEG quality 20", _jpeg, cleaners()),
        Trial("Scratches, dust and a tear, with their mask", scratched, fillers()),
        Trial("Scratches and dust, to be found", worn, finders()),
        Trial("Faded colours and a cast", _faded, refreshers(), _coloured, colour=True),
        Trial("Colour from grey, 256 px", _grey, colorizers(), _coloured_thumbnail, colour=True),
    ]


def _noise(sigma: float) -> Damage:
    def damage(truth: Pixels, rng: np.random.Generator) -> Pixels:
        noisy = truth + sigma * rng.standard_normal(truth.shape)
        return np.clip(np.rint(noisy), 0, 255).astype(np.uint8)

    return damage


def _reduced(scale: int) -> Damage:
    def damage(truth: Pixels, rng: np.random.Generator) -> Pixels:
        height, width = truth.shape[:2]
        size = (width // scale, height // scale)
        return np.asarray(Image.fromarray(truth).resize(size, Image.Resampling.BICUBIC))

    return damage


def _compressed(damage: Damage) -> Damage:
    def compressed(truth: Pixels, rng: np.random.Generator) -> Pixels:
        return jpeg(damage(truth, rng), _JPEG)

    return compressed


def _jpeg(truth: Pixels, rng: np.random.Generator) -> Pixels:
    return jpeg(truth, 20)


def _grey(truth: Pixels, rng: np.random.Generator) -> Pixels:
    grey = np.asarray(Image.fromarray(truth).convert("L"))
    return np.repeat(grey[..., None], 3, axis=2)


def _faded(truth: Pixels, rng: np.random.Generator) -> Pixels:
    return scanned(faded(truth, random_fading(rng)), rng)


def _coloured(pixels: Pixels) -> Pixels | None:
    return pixels if colourfulness(pixels) > _GREY else None


def _coloured_thumbnail(pixels: Pixels) -> Pixels | None:
    picture = Image.fromarray(pixels)
    picture.thumbnail((_THUMBNAIL_PX, _THUMBNAIL_PX), Image.Resampling.BICUBIC, reducing_gap=None)
    return _coloured(np.asarray(picture))
