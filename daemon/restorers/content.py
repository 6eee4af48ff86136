"""Measure a photograph's content: its colour, damage, fading and blur, and what it looks like.

Recipes are chosen by these features elsewhere; the conditions of steps are checked here.
"""

from collections.abc import Mapping, Sequence
from typing import Literal, assert_never

import numpy as np
from numpy.typing import NDArray

from daemon.config.conditions import Condition
from daemon.config.content_features import Feature
from daemon.models.calls import ClipCall, ModelCalls, ask
from daemon.photo import Picture
from daemon.restorers.chroma import box_means
from daemon.restorers.damage_measures import block_edges, blur_px, quiet_noise
from daemon.restorers.print_tone import tone_curve
from daemon.restorers.unfade import fading_of

_LIKENESS_PX = 1024
"""Longest side of the copy that a CLIP model sees, which reduces it further."""

_PIXEL_BYTES = 8
_WORKING_BYTES = 1 << 26


def measure_features(
    picture: Picture, features: Sequence[Feature], clip: str
) -> ModelCalls[tuple[float, ...]]:
    """Measure features of a picture.

    Args:
        picture: The picture, uint8 or uint16.
        features: What is to be measured.
        clip: Reference of the CLIP model that measures likeness.

    Returns:
        A number for each feature; their units are with `Feature`.
    """
    answers: dict[Feature, float] = {}
    for feature in features:
        if feature.name != "likeness":
            answers[feature] = measure_feature(picture, feature.name)
    phrases = tuple(feature.phrase for feature in features if feature.name == "likeness")
    if phrases:
        from daemon.diffusion.pixels import to_tensor

        image = to_tensor(np.asarray(_reduced(picture.pixels, _LIKENESS_PX).round(), np.uint8))
        (logits,) = yield from ask([ClipCall(clip, image, phrases)])
        answers |= zip(map(Feature.likeness, phrases), logits.tolist(), strict=True)
    return tuple(answers[feature] for feature in features)


def measure_feature(
    picture: Picture, name: Literal["colour", "noise", "blocks", "faded", "blur"]
) -> float:
    """Measure a feature that needs no network; its unit is with `Feature`."""
    match name:
        case "colour":
            return 0.0 if picture.grey else colour_level(picture.pixels)
        case "noise":
            return quiet_noise(picture.pixels)
        case "blocks":
            return block_edges(picture.pixels)
        case "faded":
            fading = fading_of(picture)
            return 0.0 if fading is None else 1.0 - float(fading.contrast.mean())
        case "blur":
            return blur_px(picture.pixels)
        case _:
            assert_never(name)


def check_conditions(
    picture: Picture, conditions: Sequence[Condition]
) -> tuple[tuple[tuple[str, float], ...], str | None]:
    """Whether one of the conditions of a step holds.

    Args:
        picture: The picture as the step would get it.
        conditions: At least one.

    Returns:
        Names and values of what was measured, and why none holds, or None if one does.
    """
    megapixels = picture.pixels.shape[0] * picture.pixels.shape[1] / 1e6
    answers: dict[Feature, float] = {}
    reasons: list[str] = []
    for condition in conditions:
        for feature in condition.features:
            if feature.name != "likeness" and feature not in answers:
                answers[feature] = measure_feature(picture, feature.name)
        why = condition.mismatch(answers, megapixels)
        if why is None:
            return _by_name(answers), None
        reasons.append(why)
    return _by_name(answers), " and ".join(reasons)


def _by_name(answers: Mapping[Feature, float]) -> tuple[tuple[str, float], ...]:
    return tuple((feature.name, value) for feature, value in answers.items())


def footprint(width: int, height: int) -> int:
    """Upper estimate of the bytes that measuring a photograph takes, apart from networks."""
    return _PIXEL_BYTES * width * height + _WORKING_BYTES


def colour_level(pixels: NDArray[np.generic]) -> float:
    """How far a picture's colours stray from one tone curve, in levels of 0 to 255.

    A toned scan, or one with a cast, has one colour for each lightness, whichever it is; so each
    pixel's chroma is compared with the median of its lightness. What covers less than a tenth of
    the picture, such as a stamp or a coloured margin, does not count. Noise is averaged out first.

    Args:
        pixels: (H, W, 3), uint8 or uint16.
    """
    return tone_curve(pixels).colour


def _reduced(pixels: NDArray[np.generic], side: int) -> NDArray[np.float32]:
    """Reduce a picture by box means until no side is longer than `side`: levels of 0 to 255."""
    factor = max(1, -(-max(pixels.shape[:2]) // side))
    return box_means(pixels, factor).astype(np.float32)
