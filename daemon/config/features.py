"""What can be asked of a photograph's content before its recipe is chosen.

Comes in: a recipe's conditions. Goes out: questions, whose answers are plain numbers that stay true
of a file for ever, so that they are asked once. Reads no pixels; see `looking` for who answers.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

GREY_BELOW = 7.0
"""Levels of colour up to which a photograph counts as grey.

Of 159 photographs made grey, sepia or cast, with noise of 6 levels and JPEG quality 60, none had
more than 6.2; on paper that yellows by 15 % towards its edges half had less than 6.1 and nine of
ten less than 7.6; in colour nineteen of twenty had more than 6.4; the others show grey things."""


@dataclass(frozen=True)
class Feature:
    """One thing to find out about one photograph.

    Attributes:
        name: "colour": how far its colours stray from one tone curve, in levels of 0 to 255.
            "noise": the deviation of its noise, in the same levels. "likeness": the logit that a
            CLIP model gives it for the phrase.
        phrase: What it may look like, for "likeness".
    """

    name: Literal["colour", "noise", "likeness"]
    phrase: str = ""

    @classmethod
    def likeness(cls, phrase: str) -> "Feature":
        """How much it looks like a phrase."""
        return cls("likeness", phrase)

    def model_digest(self, clip_digest: str) -> str:
        """Digest of the model whose opinion an answer is; what is measured depends on none."""
        return clip_digest if self.name == "likeness" else ""


COLOUR, NOISE = Feature("colour"), Feature("noise")


def likeness_probability(
    answers: Mapping[Feature, float], phrase: str, unlike: Sequence[str]
) -> float:
    """Probability that a photograph shows the phrase rather than any of the others, [0, 1]."""
    logits = [answers[Feature.likeness(p)] for p in (phrase, *unlike)]
    highest = max(logits)
    shares = [math.exp(logit - highest) for logit in logits]
    return shares[0] / sum(shares)
