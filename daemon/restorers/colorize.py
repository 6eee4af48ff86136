"""Colorize: plausible colours for a grey photograph, whose luminance stays as it is.

A network finds, at a small size where it sees the whole scene, which colours each place may have.
Their mean is painted where they agree; where they do not, the print keeps its own tone. The small
map is brought to full size along the edges of the photograph (`chroma`).

Source: the distribution over a palette is that of Colorful Image Colorization, arXiv:1603.08511.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from daemon.config.model_reference import COLOUR
from daemon.config.steps import Colorize
from daemon.diffusion.noise import Noise
from daemon.diffusion.pixels import to_device
from daemon.models.calls import ColourCall, ModelCalls, ask
from daemon.models.transfers import download
from daemon.photo import Picture
from daemon.photo.notes import Note, NoteKind
from daemon.restorers.chroma import (
    Floats,
    Grey,
    coloured,
    colourfulness,
    local_colours,
    luminance,
    resized,
    whole_luminance,
)
from daemon.restorers.colour_hints import HintPropagation, hints_on_grid
from daemon.restorers.interface import Restoration
from daemon.restorers.print_tone import tone_curve

LONGEST_PX, SHORTEST_PX, LARGEST_PX = 256, 128, 1024
"""Sides, in pixels, at which the network sees a photograph: the longer one is 256, or more where
the shorter one would have fewer than 128, up to 1024."""

MULTIPLE_PX = 32
"""Sides of what the network sees are multiples of this many pixels."""

GAIN = 1.6
"""Factor on the mean chroma that `saturation = 1` stands for: a mean of many colours is paler than
any of them. See docs/design.md for what was measured."""

SURE_GAIN = 1.0
"""The same where the network is sure: the mean is hardly paler than what is meant there, and
faces would turn salmon."""

GAIN_FALLS = (0.3, 0.6)
"""Shares of the mean in the second moment between which the factor falls; in faces it is 0.6."""

SURE = 0.2
"""Share of the mean in the second moment of the chroma from which the network's colour is painted
in full; below it is mixed with the print's own tone.

Over 57 photographs that the network had not seen, the hue of coloured things was right within 45
degrees in 39 % of the places with a share below 0.02, in 70 % around 0.08, in 74 % around 0.25 and
in 89 % above 0.4; below 0.1 grey was as near to the truth as the network's colour.
"""

SURELY_GREY = 0.1
"""Deviation of the chroma up to which the network is sure, however little colour there is."""

VARIATION = 0.8
"""Deviation, in nats, of the random change of the odds at `realism = 1`; from 1.5 on it is
spotty."""


@dataclass(frozen=True, eq=False)
class _Found:
    """The answer of the network on a small grid.

    Attributes:
        chroma: Colours to paint, (h, w, 2).
        trust: How far they can be trusted, (h, w) in [0, 1]: the share of the mean in the second
            moment of the chroma, 1 from `SURE` on.
        unsure: 1 where the colours could as well be others, (h, w).
    """

    chroma: Floats
    trust: Floats
    unsure: Floats


def colorize(
    pictures: tuple[Picture, ...], params: Colorize, noise: Noise
) -> ModelCalls[Restoration]:
    """Colour one photograph by the network inside the package.

    Args:
        pictures: One picture, uint8 or uint16; if it has colours already, only its luminance is
            used.
        params: The recipe's step.
        noise: The step's noise.

    Returns:
        The picture, whose luminance is that of the input to the level, with measures
        "colourfulness" and "unsure": the share of the picture, [0, 1], in which the colours could
        as well be others.
    """
    (picture,) = pictures
    grey = luminance(picture.pixels)
    height, width = _seen_size(*grey.shape)
    small = resized(grey, height, width, Image.Resampling.BICUBIC)
    seen = to_device(small * 2 - 1)[None]
    answer, chosen = yield from _mean_and_choice(seen, params, noise)
    guide = luminance_guide(grey, max(height, width))
    found = _on_grid(answer, chosen, guide)
    chroma, unsure = found.chroma, found.unsure
    if params.keep_tone:
        trust = found.trust[..., None]
        chroma = trust * chroma + (1 - trust) * _tone(picture, guide)
    propagation = hint_propagation(picture, params, guide)
    if propagation is not None:
        chroma = propagation.apply(chroma)
        unsure = unsure * (1 - propagation.reach())
    return painted(picture, guide, chroma, params, float(unsure.mean()))


def luminance_guide(grey: Grey, longest: int) -> Floats:
    """A photograph's luminance on a small grid of its own shape, float32 (h, w) in [0, 1].

    Args:
        grey: Its luminance, uint8 (H, W).
        longest: Longest side of the result, in pixels; small photographs keep their size.
    """
    scale = min(1, longest / max(grey.shape))
    height, width = (max(1, round(side * scale)) for side in grey.shape)
    return resized(grey, height, width)


def hint_propagation(picture: Picture, params: Colorize, guide: Floats) -> HintPropagation | None:
    """Spreads the picture's hints on the guide's grid; None if there are none to use."""
    layer = picture.hints if params.hints else None
    hints = None if layer is None else hints_on_grid(layer, *guide.shape)
    return None if hints is None else HintPropagation(guide, hints)


def painted(
    picture: Picture, guide: Floats, chroma: Floats, params: Colorize, unsure: float | None = None
) -> Restoration:
    """Paint a photograph with colours that were found on a small grid.

    Args:
        picture: The photograph.
        guide: Its luminance on the grid, from `luminance_guide`.
        chroma: (R - Y, B - Y) on the grid, (h, w, 2).
        params: The recipe's step.
        unsure: Share of the picture whose colours could as well be others; None if not known.
    """
    grey = whole_luminance(picture.pixels)
    pixels = coloured(grey, local_colours(guide, chroma), params.saturation)
    # Colours that the original had outside sRGB are not those of the result.
    result = replace(picture, pixels=pixels, grey=False, hints=None, original=None)
    measures = (("colourfulness", colourfulness(pixels)),)
    if unsure is None:
        return Restoration((result,), measures)
    per_cent = round(100 * unsure)
    doubt = f": unsure in {per_cent} % of the picture" if per_cent else ""
    note = Note(NoteKind.GUESS, f"the colours are a guess{doubt}")
    return Restoration((result,), (*measures, ("unsure", unsure)), (note,))


def _seen_size(height: int, width: int) -> tuple[int, int]:
    """Height and width at which the network sees a photograph of this size."""
    longest, shortest = max(height, width), min(height, width)
    scale = max(LONGEST_PX / longest, SHORTEST_PX / shortest)
    scale = min(scale, LARGEST_PX / longest)
    rows, columns = (max(1, round(side * scale / MULTIPLE_PX)) for side in (height, width))
    return rows * MULTIPLE_PX, columns * MULTIPLE_PX


def _mean_and_choice(
    seen: Tensor, params: Colorize, noise: Noise
) -> ModelCalls[tuple[Tensor, Tensor]]:
    """The network's answer, (3, h, w), and the chroma that the step's realism asks for, (2, h, w).

    Args:
        seen: Luminance in [-1, 1] as the network sees it, (1, H, W).
        params: The recipe's step.
        noise: The step's noise.
    """
    realism = params.realism or 0.0
    calls = [ColourCall(COLOUR, seen, params.vivid)]
    if realism:
        calls.append(ColourCall(COLOUR, seen, params.vivid, VARIATION, noise.seed))
    answers = yield from ask(calls)
    return answers[0], torch.lerp(answers[0][:2], answers[-1][:2], realism)


def _on_grid(answer: Tensor, chosen: Tensor, guide: Floats) -> _Found:
    """The network's answer at the guide's size.

    Args:
        answer: As `ColourCall` is answered, (3, h, w).
        chosen: The chroma to paint, (2, h, w).
        guide: Luminance, (H, W).
    """
    mean, deviation = answer[:2], answer[2]
    square = mean.square().sum(0)
    share = square / (square + deviation.square()).clamp(min=1e-12)
    trust = (share / SURE).clamp(max=1)
    unsure = (trust < 0.5) & (deviation > SURELY_GREY)
    low, high = GAIN_FALLS
    gain = GAIN + (SURE_GAIN - GAIN) * ((share - low) / (high - low)).clamp(0, 1)
    planes = torch.cat((gain * chosen, trust[None], unsure[None].float()))[None]
    size = (guide.shape[0], guide.shape[1])
    enlarged: Floats = download(functional.interpolate(planes, size, mode="bilinear")[0]).numpy()
    return _Found(enlarged[:2].transpose(1, 2, 0), enlarged[2], enlarged[3])


def _tone(picture: Picture, guide: Floats) -> Floats:
    """The print's own tone on the guide's grid, (h, w, 2); 0 for a picture that has colours."""
    curve = tone_curve(picture.pixels)
    if picture.grey or not curve.is_toned:
        return np.zeros((*guide.shape, 2), np.float32)
    return curve.chroma_at(guide)
