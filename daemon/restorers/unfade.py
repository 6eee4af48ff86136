"""Unfade: contrast and colours that dyes and paper have lost come back to a colour print or slide.

Comes in: one picture. Goes out: the same picture, each channel through a curve of its own, same
size and type; a grey one stays grey. It asks no network: what the prior expects of the colours was
tried and told no more than the histograms do (docs/design.md).
"""

from dataclasses import replace

import numpy as np

from daemon.config.steps import Unfade
from daemon.diffusion.noise import Noise
from daemon.models.calls import ModelCalls
from daemon.photo import Picture
from daemon.restorers.dye_fading import (
    Fading,
    fading_of,
    quantiles,
    small_copy,
    through,
    unfading_tables,
)
from daemon.restorers.registry import Restoration

_CHANNELS = ("red", "green", "blue")
_SHOWN = 0.5
"""Opacity from which a pixel counts."""


def unfade(pictures: tuple[Picture, ...], params: Unfade, noise: Noise) -> ModelCalls[Restoration]:
    """Give one picture back what it has lost.

    Args:
        pictures: One picture, uint8 or uint16.
        params: The recipe's step.
        noise: The step's noise, of which nothing is needed.

    Returns:
        The picture, with measures "contrast_left_red" and "stain_red" (density that was
        taken off) of each channel as they were undone; with none, and unchanged, if it has no
        contrast to tell the fading by.
    """
    yield from ()
    (picture,) = pictures
    fading = _seen(picture)
    if fading is None:
        note = "it has no contrast to tell its fading by, and stays as it is"
        return Restoration((picture,), notes=(note,))
    undone = (fading.alike() if picture.grey or not params.cast else fading).by(params.strength)
    tables = unfading_tables(undone, np.iinfo(picture.pixels.dtype.name).max)
    result = replace(picture, pixels=through(picture.pixels, tables))
    return Restoration((result,), _measures(undone))


def _seen(picture: Picture) -> Fading | None:
    shown = None if picture.alpha is None else small_copy(picture.alpha) >= _SHOWN
    found = quantiles(small_copy(picture.pixels), shown)
    return None if found is None else fading_of(found)


def _measures(fading: Fading) -> tuple[tuple[str, float], ...]:
    values = (("contrast_left", fading.contrast), ("stain", fading.stain))
    return tuple(
        (f"{name}_{channel}", float(value))
        for name, of in values
        for channel, value in zip(_CHANNELS, of, strict=True)
    )
