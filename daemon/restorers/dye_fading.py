"""Model of how colour prints and slides fade, and an estimate of it from the picture alone.

D = -log10 of linear light is a dye's density. Dyes fade each at its own pace and paper stains, so D
becomes contrast * D + stain in each channel; undoing that is a gain and a power of linear light.

The estimate is a ridge regression on quantiles of the densities; `training.fading` fits it on
photographs that it fades itself, and writes the coefficients to dye_fading.json. No network is
needed, and never more than a small copy is held in floats.
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
"""Which quantiles of each channel's densities are used, from white to black."""

COEFFICIENTS = Path(__file__).with_name("dye_fading.json")

DEEPEST = 2.6
"""Largest density, that of black: prints reach 2 to 2.6, beyond which 8 bits tell nothing."""

COPY_PX = 256
"""Approximate long side of the small copy that is analysed: noise and dust weigh little in it."""

_MARGIN = 0.06
"""Share of each side that is ignored once an even border is off: edges of a scan are uneven."""

_BORDER = 0.15
"""Largest share of each side that is taken for a border of the scan."""

_EVEN = 0.04
"""Range of levels, of 0 to 1, that holds nine tenths of each row or column of a border."""

_WHITE, _BLACK = 1, -2
"""Indices of the quantiles that stand for white and black."""

_LEAST_SPAN = 0.02
"""Smallest range of densities, white to black, by which fading can be told."""

_FURTHEST = 3.0
"""Standard deviations at which features are clipped: no picture counts for more unusual."""

_LEAST_CONTRAST = 0.28
"""Smallest contrast that an estimate says is left; the smallest of the simulated ones is 0.3."""


@dataclass(frozen=True, eq=False)
class Fading:
    """The fading of the densities of red, green and blue.

    Attributes:
        contrast: What is left of each density, float64 (3,), (0, 1]; 1 has not faded.
        stain: Density of what was white, float64 (3,), 0 or more.
    """

    contrast: Floats
    stain: Floats

    def without_cast(self) -> "Fading":
        """The mean of the channels for all of them: undoing it changes no colour."""
        return Fading(np.full(3, self.contrast.mean()), np.full(3, self.stain.mean()))

    def scaled(self, strength: float) -> "Fading":
        """A share of this fading: strength 0 is none, 1 all of it."""
        return Fading(self.contrast**strength, self.stain * strength)


@dataclass(frozen=True, eq=False)
class Regression:
    """Contrast and stain as a weighted sum of standardised features and their squares.

    Attributes:
        mean, deviation: Mean and standard deviation of the features, (F,).
        weights: (2 F + 1, 6); the last row is the constant.
    """

    mean: Floats
    deviation: Floats
    weights: Floats

    def predict(self, quantiles: Floats) -> Floats:
        """Predict -log contrast (3) and stain (3) of each picture: (N, 3, Q) -> (N, 6)."""
        predicted: Floats = self.terms(quantiles) @ self.weights
        return predicted

    def terms(self, quantiles: Floats) -> Floats:
        """The features that the weights multiply: (N, 3, Q) -> (N, 2 F + 1)."""
        standard = (features(quantiles) - self.mean) / self.deviation
        standard = np.clip(standard, -_FURTHEST, _FURTHEST)
        return np.concatenate((standard, standard**2, np.ones((len(standard), 1))), axis=1)


def densities(levels: Floats) -> Floats:
    """-log10 of the linear light of sRGB levels in [0, 1], any shape, at most `DEEPEST`."""
    return -np.log10(np.maximum(_light(levels), 10**-DEEPEST))


def small_copy(pixels: NDArray[np.generic]) -> Floats:
    """Reduce a picture by box means to a long side of about `COPY_PX`.

    Args:
        pixels: uint8 or uint16, (H, W) or (H, W, 3); read some rows at a time.

    Returns:
        (h, w) or (h, w, 3), in [0, 1].
    """
    side = max(1, max(pixels.shape[:2]) // COPY_PX)
    down, across = (max(1, length // side) for length in pixels.shape[:2])
    high, wide = (min(side, length) for length in pixels.shape[:2])
    copy = np.empty((down, across, *pixels.shape[2:]))
    for row in range(down):
        band = pixels[row * side : row * side + high, : across * wide]
        copy[row] = band.reshape(high, across, wide, *pixels.shape[2:]).mean(axis=(0, 2))
    return np.asarray(copy / np.iinfo(pixels.dtype.name).max, np.float64)


def quantiles(copy: Floats, counted: NDArray[np.bool_] | None = None) -> Floats | None:
    """Quantiles of the densities of a small copy, without its border and margin.

    Args:
        copy: (h, w, 3) in [0, 1].
        counted: (h, w), false where a pixel does not count.

    Returns:
        (3, Q), or None if no pixel counts.
    """
    inner = (_inside(copy), _inside(copy.swapaxes(0, 1)))
    colours = copy[inner].reshape(-1, 3) if counted is None else copy[inner][counted[inner]]
    return np.quantile(densities(colours), QUANTILES, axis=0).T if len(colours) else None


def features(quantiles: Floats) -> Floats:
    """Levels, ranges and shapes of histograms, which the regression uses: (N, 3, Q) -> (N, F)."""
    white = quantiles[:, :, _WHITE, None]
    span = quantiles[:, :, _BLACK, None] - white + _LEAST_SPAN
    shape = (quantiles - white) / span
    parts = (quantiles, np.log(span), shape)
    return np.concatenate([part.reshape(len(quantiles), -1) for part in parts], axis=1)


def estimate_fading(quantiles: Floats) -> Fading | None:
    """Estimate how far a picture has faded.

    The stain is at most the density of the picture's near-white, so that removing it makes at most
    one pixel in 200 of a channel white; contrast is never lowered.

    Args:
        quantiles: Quantiles of the picture's densities, (3, Q).

    Returns:
        None for a picture without the contrast to tell it by.
    """
    white = quantiles[:, _WHITE]
    if float((quantiles[:, _BLACK] - white).max()) < _LEAST_SPAN:
        return None
    predicted = _regression().predict(quantiles[None])[0]
    contrast = np.clip(np.exp(-predicted[:3]), _LEAST_CONTRAST, 1.0)
    return Fading(contrast, np.clip(predicted[3:], 0.0, white))


def unfading_tables(fading: Fading, top: int) -> Floats:
    """Tables that undo a fading: what each level of each channel becomes.

    Args:
        fading: The fading to undo.
        top: Highest level, 255 or 65535.

    Returns:
        (3, top + 1), in [0, 1], never falling.
    """
    light = _light(np.arange(top + 1) / top)
    gain, power = 10 ** fading.stain[:, None], 1 / fading.contrast[:, None]
    return _level((light * gain) ** power)


def faded(pixels: NDArray[np.uint8], fading: Fading) -> NDArray[np.uint8]:
    """Fade an sRGB picture: its densities shrink by `contrast` and rise by `stain`.

    Args:
        pixels: (H, W, 3), uint8.
        fading: How the dyes have faded.

    Returns:
        The same shape and type, rounded.
    """
    density = densities(np.arange(256) / 255)
    light = 10 ** -(fading.contrast[:, None] * density + fading.stain[:, None])
    return apply_tables(pixels, _level(light))


def apply_tables(pixels: NDArray[Levels], tables: Floats) -> NDArray[Levels]:
    """Map each channel of a picture through its table, some rows at a time.

    Args:
        pixels: uint8 or uint16, (H, W, 3).
        tables: What each level of each channel becomes, (3, levels), in [0, 1].

    Returns:
        Same shape and type as the pixels.
    """
    mapped = np.rint(np.iinfo(pixels.dtype.name).max * tables).astype(pixels.dtype)
    result = np.empty_like(pixels)
    for first in range(0, len(pixels), BAND_ROWS):
        rows = slice(first, first + BAND_ROWS)
        for channel, table in enumerate(mapped):
            result[rows, :, channel] = table[pixels[rows, :, channel]]
    return result


def _inside(copy: Floats) -> slice:
    """The rows between the even borders at the top and bottom, less a margin."""
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
