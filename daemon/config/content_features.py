"""Features of a photograph's content that a recipe's [match] and its steps can ask for.

A feature of a file never changes, so each is measured once and remembered in the ledger. Nothing
here reads pixels: `restorers.content` measures.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

GREY_BELOW = 7.0
"""A photograph with at most this much colour, in levels of 0 to 255, counts as grey.

Measured on 159 photographs. Made grey, sepia or cast, with noise of 6 levels and JPEG quality 60:
none had more than 6.2. On paper that yellows by 15 % towards its edges: half had less than 6.1,
nine in ten less than 7.6. In colour: nineteen in twenty had more than 6.4; the rest show grey
things."""


@dataclass(frozen=True)
class Feature:
    """One number that describes a photograph's content.

    Attributes:
        name: "colour": how far its colours stray from one tone curve, in levels of 0 to 255.
            "noise": the deviation of its noise, in the same levels. "blocks": how much more it
            jumps at the edges of JPEG's blocks than elsewhere, in the same levels. "faded": the
            share of contrast that it has lost. "blur": the blur of its sharpest edges, in pixels.
            "likeness": the logit that a CLIP model gives it for the phrase.
        phrase: For "likeness": what the photograph may look like.
    """

    name: Literal["colour", "noise", "blocks", "faded", "blur", "likeness"]
    phrase: str = ""

    @classmethod
    def likeness(cls, phrase: str) -> "Feature":
        """The feature that says how much a photograph looks like a phrase."""
        return cls("likeness", phrase)

    def model_digest(self, clip_digest: str) -> str:
        """Digest of the CLIP model that the value depends on; "" for what needs no model."""
        return clip_digest if self.name == "likeness" else ""


COLOUR, NOISE = Feature("colour"), Feature("noise")
BLOCKS, FADED, BLUR = Feature("blocks"), Feature("faded"), Feature("blur")


def grey_mismatch(colour: float, *, grey: bool) -> str | None:
    """Why a photograph is not as grey, or not as colourful, as asked; None if it is.

    Args:
        colour: Its colour, in levels of 0 to 255.
        grey: Whether it is to be grey.
    """
    if (colour <= GREY_BELOW) == grey:
        return None
    said = f"grey = {str(grey).lower()}, and up to {GREY_BELOW:g} is grey"
    return f"{colour:.1f} levels of colour; {said}"


def noise_mismatch(answers: Mapping[Feature, float], above: float) -> str | None:
    """Why a photograph is not noisy enough, or None if it is."""
    noise = answers[NOISE]
    return f"{noise:.1f} levels of noise, not above {above:g}" if noise <= above else None


def likeness_probability(
    answers: Mapping[Feature, float], phrase: str, unlike: Sequence[str]
) -> float:
    """Probability that a photograph shows the phrase rather than any of the others.

    Args:
        answers: Logits of all these phrases.
        phrase: What the photograph may look like.
        unlike: What it may look like instead.

    Returns:
        The softmax share of `phrase`, [0, 1].
    """
    logits = [answers[Feature.likeness(p)] for p in (phrase, *unlike)]
    highest = max(logits)
    shares = [math.exp(logit - highest) for logit in logits]
    return shares[0] / sum(shares)
