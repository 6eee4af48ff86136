"""The tone of a print: the one colour that each lightness of a grey, sepia or yellowed print has.

A scan of a black-and-white print is seldom grey. Its tint is a function of lightness alone, which
tells it from the colours of things.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from daemon.config.content_features import GREY_BELOW
from daemon.restorers.chroma import Floats, box_means

TONES = 32
"""Steps of lightness that each have one usual chroma."""

_COPY_PX = 64
"""Longest side of the copy in which tones are measured: noise is averaged out there."""

_PERCENTILE = 90
"""Percentile of the chroma's distance from its tone that counts for the whole picture."""

_SMOOTH = 1.5
"""Standard deviation, in steps of lightness, of the smoothing of a tone curve."""

_LUMINANCE = np.array([0.299, 0.587, 0.114], np.float32)


@dataclass(frozen=True, eq=False)
class ToneCurve:
    """The usual chroma of each lightness of a picture.

    Attributes:
        lightness: Middles of the steps of lightness that the picture has, (N,) in [0, 1].
        chroma: (R - Y, B - Y) of each, (N, 2), white less black being 1.
        colour: How far the picture's colours stray from the curve, in levels of 0 to 255; what
            covers less than a tenth of the picture does not count.
    """

    lightness: Floats
    chroma: Floats
    colour: float

    @property
    def is_toned(self) -> bool:
        """Whether the curve says all: the picture has a tint at most, and no colours."""
        return self.colour <= GREY_BELOW

    def chroma_at(self, guide: Floats) -> Floats:
        """The tone of each pixel, by its luminance (h, w) in [0, 1]: float32 (h, w, 2)."""
        from scipy.ndimage import gaussian_filter1d  # loads all of scipy's array functions: 0.3 s

        smooth = gaussian_filter1d(self.chroma, _SMOOTH, axis=0, mode="nearest")
        planes = [np.interp(guide, self.lightness, smooth[:, channel]) for channel in (0, 1)]
        return np.stack(planes, axis=2).astype(np.float32)


def tone_curve(pixels: NDArray[np.generic]) -> ToneCurve:
    """Measure the tone curve of a picture.

    Args:
        pixels: (H, W, 3), uint8 or uint16.
    """
    factor = max(1, -(-max(pixels.shape[:2]) // _COPY_PX))
    small = box_means(pixels, factor).astype(np.float32)
    lightness = small @ _LUMINANCE
    chroma = np.stack([small[..., 0] - lightness, small[..., 2] - lightness], -1)
    steps = np.clip(lightness * (TONES / 256), 0, TONES - 1).astype(int)
    present = np.unique(steps)
    medians = np.array([np.median(chroma[steps == step], axis=0) for step in present])
    strayed = chroma - medians[np.searchsorted(present, steps)]
    colour = float(np.percentile(np.hypot(strayed[..., 0], strayed[..., 1]), _PERCENTILE))
    middles = ((present + 0.5) / TONES).astype(np.float32)
    return ToneCurve(middles, (medians / 255).astype(np.float32), colour)
