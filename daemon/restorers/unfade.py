"""Unfade: give a faded colour print or slide back the contrast and colours that its dyes have lost.

Each channel goes through a curve of its own; size and type stay, and a grey photograph stays grey.
No network is asked: what the prior expects of the colours was tried and told no more than the
histograms do (docs/design.md).
"""

from dataclasses import replace

import numpy as np

from daemon.config.steps import Unfade
from daemon.diffusion.noise import Noise
from daemon.models.calls import ModelCalls
from daemon.photo import Picture
from daemon.photo.notes import Note, NoteKind
from daemon.restorers.dye_fading import (
    Fading,
    apply_tables,
    estimate_fading,
    quantiles,
    small_copy,
    unfading_tables,
)
from daemon.restorers.interface import Restoration

_CHANNELS = ("red", "green", "blue")
_OPAQUE = 0.5
"""Opacity, of 0 to 1, from which a pixel counts."""


def unfade(pictures: tuple[Picture, ...], params: Unfade, noise: Noise) -> ModelCalls[Restoration]:
    """Undo the fading of one photograph.

    Args:
        pictures: One picture, uint8 or uint16.
        params: The recipe's step.
        noise: Unused: nothing here is random.

    Returns:
        The picture, with the measures "contrast_left_red" and "stain_red" (density that was
        removed) of each channel as they were undone; unchanged and without measures if it has no
        contrast to tell the fading by.
    """
    yield from ()
    (picture,) = pictures
    fading = fading_of(picture)
    if fading is None:
        said = "it has no contrast to tell its fading by, and stays as it is"
        note = Note(NoteKind.NOTHING_FOUND, said)
        return Restoration((picture,), notes=(note,))
    undone = (fading.without_cast() if picture.grey or not params.cast else fading).scaled(
        params.strength
    )
    tables = unfading_tables(undone, np.iinfo(picture.pixels.dtype.name).max)
    result = replace(picture, pixels=apply_tables(picture.pixels, tables))
    return Restoration((result,), _measures(undone))


def fading_of(picture: Picture) -> Fading | None:
    """Estimate a picture's fading; None if it has no contrast to tell it by."""
    counted = None if picture.alpha is None else small_copy(picture.alpha) >= _OPAQUE
    levels = quantiles(small_copy(picture.pixels), counted)
    return None if levels is None else estimate_fading(levels)


def _measures(fading: Fading) -> tuple[tuple[str, float], ...]:
    values = (("contrast_left", fading.contrast), ("stain", fading.stain))
    return tuple(
        (f"{name}_{channel}", float(value))
        for name, channels in values
        for channel, value in zip(_CHANNELS, channels, strict=True)
    )
