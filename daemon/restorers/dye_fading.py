"""Fading as colour prints and slides do it, and how far it went, told from the picture alone.

Comes in: pixels. Goes out: an estimate of what each dye has lost, tables that give it back, or
pixels faded on purpose. It knows no network and never holds more than a small copy in floats.

Model: D = -log10 of linear light is a dye's density. Dyes fade each at its own pace and paper
stains, so D becomes contrast * D + stain in each channel. To undo it is a gain and a power.

The estimate is a ridge regression on quantiles of the densities; `training.fading` fits it on
photographs that it fades itself, and writes the numbers in dye_fading.json.
"""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from daemon.restorers.chroma import BAND_ROWS

Floats = NDArray[np.float64]
Levels = TypeVar("Levels", bound=np.generic)

QUANTILES = (0.001, 0.005, 0.02, 0.1, 0.25, 0.5, 0.75, 0.9, 0.98, 0.995, 0.999)
"""Of each channel's densities, from white to black."""

COEFFICIENTS = Path(__file__).with_name("dye_fading.json")

DEEPEST = 2.6
"""Density of black: prints reach 2 to 2.6; below it 8 bits tell nothing."""

LOOK_PX = 256
"""Long side, about, of the copy that is looked at: in it noise and dust weigh little."""

_MARGIN = 0.06
"""Of each side that is not looked at, once an even border is off: edges of a scan are uneven."""

_BORDER = 0.15
"""Of each side, at most, that is taken for a border of the scan."""

_EVEN = 0.04
"""Levels of 0 to 1 within which nine tenths of each row or column of a border lie."""

_WHITE, _BLACK = 1, -2
_NARROWEST = 0.02
_FURTHEST = 3.0
_WEAKEST = 0.28
"""Contrast that is left of the most faded photographs; least of the simulated ones: 0.3."""


@dataclass(frozen=True, eq=False)
class Fading:
    """What became of the densities of red, green and blue.

    Attributes:
        contrast: float64 (3,), (0, 1]; 1 has not faded.
        stain: float64 (3,), 0 or more: density of what was white.
    """

    contrast: Floats
    stain: Floats

    def alike(self) -> "Fading":
        """The same in all channels: contrast that comes back without a change of colour."""
        return Fading(np.full(3, self.contrast.mean()), np.full(3, self.stain.mean()))

    def by(self, strength: float) -> "Fading":
        """So much of it, 0 nothing, 1 all."""
        return Fading(self.contrast**strength, self.stain * strength)


@dataclass(frozen=True, eq=False)
class Regression:
    """Contrast and stain as a sum of quadratic terms of standardised features.

    Attributes:
        mean, deviation: Of the features, (F,).
        weights: (2 F + 1, 6); the last row is the constant.
    """

    mean: Floats
    deviation: Floats
    weights: Floats

    def of(self, quantiles: Floats) -> Floats:
        """-log contrast (3) and stain (3) of each picture, (N, 6), from (N, 3, Q)."""
        found: Floats = self.terms(quantiles) @ self.weights
        return found

    def terms(self, quantiles: Floats) -> Floats:
        """What the weights multiply, (N, 2 F + 1), from (N, 3, Q)."""
        scaled = (features(quantiles) - self.mean) / self.deviation
        scaled = np.clip(scaled, -_FURTHEST, _FURTHEST)  # no picture is further out than known ones
        return np.concatenate((scaled, scaled**2, np.ones((len(scaled), 1))), axis=1)


def densities(levels: Floats) -> Floats:
    """-log10 of the linear light of sRGB levels in [0, 1], at most `DEEPEST`."""
    return -np.log10(np.maximum(_light(levels), 10**-DEEPEST))


def small_copy(pixels: NDArray[np.generic]) -> Floats:
    """Means of squares of pixels, about `LOOK_PX` long, in [0, 1]; (h, w) or (h, w, 3).

    Args:
        pixels: uint8 or uint16, (H, W) or (H, W, 3); read some rows at a time.
    """
    side = max(1, max(pixels.shape[:2]) // LOOK_PX)
    down, across = (max(1, length // side) for length in pixels.shape[:2])
    high, wide = (min(side, length) for length in pixels.shape[:2])
    copy = np.empty((down, across, *pixels.shape[2:]))
    for row in range(down):
        band = pixels[row * side : row * side + high, : across * wide]
        copy[row] = band.reshape(high, across, wide, *pixels.shape[2:]).mean(axis=(0, 2))
    return np.asarray(copy / np.iinfo(pixels.dtype.name).max, np.float64)


def quantiles(copy: Floats, shown: NDArray[np.bool_] | None = None) -> Floats | None:
    """Quantiles of the densities of a small copy without its border and margin, (3, Q).

    Args:
        copy: (h, w, 3) in [0, 1].
        shown: (h, w), false where a pixel does not count.

    Returns:
        None if no pixel counts.
    """
    inner = (_inside(copy), _inside(copy.swapaxes(0, 1)))
    seen = copy[inner].reshape(-1, 3) if shown is None else copy[inner][shown[inner]]
    return np.quantile(densities(seen), QUANTILES, axis=0).T if len(seen) else None


def features(quantiles: Floats) -> Floats:
    """What the regression sees of pictures, (N, F): levels, ranges and shapes of histograms."""
    white = quantiles[:, :, _WHITE, None]
    span = quantiles[:, :, _BLACK, None] - white + _NARROWEST
    shape = (quantiles - white) / span
    parts = (quantiles, np.log(span), shape)
    return np.concatenate([part.reshape(len(quantiles), -1) for part in parts], axis=1)


def fading_of(quantiles: Floats) -> Fading | None:
    """How far a picture has faded, from its quantiles, (3, Q).

    The stain is at most the density of the picture's near-white, so that giving it back makes at
    most one pixel in 200 of a channel white; contrast is never lowered.

    Returns:
        None of a picture that has no contrast to tell it by.
    """
    white = quantiles[:, _WHITE]
    if float((quantiles[:, _BLACK] - white).max()) < _NARROWEST:
        return None
    found = _regression().of(quantiles[None])[0]
    contrast = np.clip(np.exp(-found[:3]), _WEAKEST, 1.0)
    return Fading(contrast, np.clip(found[3:], 0.0, white))


def unfading_tables(fading: Fading, top: int) -> Floats:
    """What each level of each channel becomes, (3, top + 1), in [0, 1]; it never falls.

    Args:
        fading: What is undone.
        top: The highest level, 255 or 65535.
    """
    light = _light(np.arange(top + 1) / top)
    gain, power = 10 ** fading.stain[:, None], 1 / fading.contrast[:, None]
    return _level((light * gain) ** power)


def faded(pixels: NDArray[np.uint8], fading: Fading) -> NDArray[np.uint8]:
    """The picture as it would look so faded, (H, W, 3)."""
    density = densities(np.arange(256) / 255)
    light = 10 ** -(fading.contrast[:, None] * density + fading.stain[:, None])
    return through(pixels, _level(light))


def through(pixels: NDArray[Levels], tables: Floats) -> NDArray[Levels]:
    """Each channel of (H, W, 3) pixels through its table, some rows at a time.

    Args:
        pixels: uint8 or uint16.
        tables: What each level becomes, (3, levels), in [0, 1].
    """
    becomes = np.rint(np.iinfo(pixels.dtype.name).max * tables).astype(pixels.dtype)
    result = np.empty_like(pixels)
    for first in range(0, len(pixels), BAND_ROWS):
        rows = slice(first, first + BAND_ROWS)
        for channel, table in enumerate(becomes):
            result[rows, :, channel] = table[pixels[rows, :, channel]]
    return result


def _inside(copy: Floats) -> slice:
    """The rows between an even border above and below, without a margin."""
    low, high = np.quantile(copy, (0.05, 0.95), axis=1)
    uneven = ((high - low) >= _EVEN).any(axis=1)
    most = int(len(copy) * _BORDER)
    top, bottom = (
        int(np.argmax(rows)) if rows.any() else most
        for rows in (uneven[:most], uneven[::-1][:most])
    )
    margin = int((len(copy) - top - bottom) * _MARGIN)
    return slice(top + margin, len(copy) - bottom - margin)


def _light(levels: Floats) -> Floats:
    """Linear light of sRGB levels in [0, 1] (IEC 61966-2-1)."""
    return np.where(levels <= 0.04045, levels / 12.92, ((levels + 0.055) / 1.055) ** 2.4)


def _level(light: Floats) -> Floats:
    """The inverse of `_light`, clipped to [0, 1]."""
    light = np.clip(light, 0, 1)
    return np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)


@cache
def _regression() -> Regression:
    found = json.loads(COEFFICIENTS.read_text(encoding="utf-8"))
    parts = (np.array(found[name]) for name in ("mean", "deviation", "weights"))
    return Regression(*parts)
