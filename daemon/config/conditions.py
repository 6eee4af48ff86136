"""Conditions of a step: what a photograph must be like, at that point, for the step to run."""

from collections.abc import Mapping
from typing import Annotated, ClassVar

from pydantic import BaseModel, ConfigDict, Field, model_validator

from daemon.config.content_features import (
    BLOCKS,
    BLUR,
    COLOUR,
    FADED,
    NOISE,
    Feature,
    grey_mismatch,
    noise_mismatch,
)


class Condition(BaseModel):
    """What must hold of a photograph, all of it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    added: ClassVar[tuple[str, ...]] = ("blur_above",)
    """Keys that a recipe's digest leaves out where they are not set, as `BaseStep.added` says."""

    grey: bool | None = Field(
        None,
        description="Whether it has no colour, sepia and yellowed ones included (`true`), or has "
        "some (`false`). Not set: both.",
        examples=[True],
    )
    noise_above: Annotated[float, Field(ge=0, le=255)] | None = Field(
        None,
        description="It has more noise than this, as the deviation in levels of 0 to 255 where "
        "the photograph is quietest. Not set: noise does not matter.",
        examples=[3],
    )
    blocks_above: Annotated[float, Field(ge=0, le=255)] | None = Field(
        None,
        description="It jumps at the edges of JPEG's blocks by more than this, in levels of 0 to "
        "255, beyond what it does elsewhere. 0.6 is rarely reached at JPEG quality 85 and mostly "
        "at 50. Not set: blocks do not matter.",
        examples=[0.6],
    )
    faded_above: Annotated[float, Field(ge=0, lt=1)] | None = Field(
        None,
        description="It has lost more than this share of its contrast, as `unfade` estimates it. "
        "At 0.4 one photograph in twenty that never faded counts as faded; misty ones do. Not "
        "set: fading does not matter.",
        examples=[0.4],
    )
    blur_above: Annotated[float, Field(ge=0, le=20)] | None = Field(
        None,
        description="Its sharpest edges are blurred by more than this: the deviation of a Gaussian "
        "blur in pixels. A background out of focus does not count if something is sharp. Sharp "
        "photographs have up to 0.5, fully enlarged camera pictures and scans often 1. Not set: "
        "sharpness does not matter.",
        examples=[0.6],
    )
    megapixels_below: Annotated[float, Field(gt=0)] | None = Field(
        None,
        description="It is smaller than this, in millions of pixels. Not set: its size does not "
        "matter.",
        examples=[2],
    )

    @model_validator(mode="after")
    def _says_something(self) -> "Condition":
        if not self.model_fields_set:
            keys = ", ".join(type(self).model_fields)
            raise ValueError(f"says nothing; set one of {keys}, or leave when out")
        return self

    @property
    def features(self) -> tuple[Feature, ...]:
        """Features of the content that must be measured."""
        asked = (
            (COLOUR, self.grey),
            (NOISE, self.noise_above),
            (BLOCKS, self.blocks_above),
            (FADED, self.faded_above),
            (BLUR, self.blur_above),
        )
        return tuple(feature for feature, value in asked if value is not None)

    @property
    def meaning(self) -> dict[str, object]:
        """Its keys as the digest of a recipe counts them."""
        return {
            key: value
            for key, value in self.model_dump(mode="json").items()
            if key not in self.added or value is not None
        }

    def mismatch(self, answers: Mapping[Feature, float], megapixels: float) -> str | None:
        """Why it does not hold, such as "1.2 levels of noise, not above 3"; None if it does.

        Args:
            answers: Values of all `features`.
            megapixels: Size of the photograph.
        """
        if self.megapixels_below is not None and megapixels >= self.megapixels_below:
            return f"{megapixels:.2f} megapixels, not below {self.megapixels_below:g}"
        if self.grey is not None and (why := grey_mismatch(answers[COLOUR], grey=self.grey)):
            return why
        if self.noise_above is not None and (why := noise_mismatch(answers, self.noise_above)):
            return why
        if self.blocks_above is not None and answers[BLOCKS] <= self.blocks_above:
            return (
                f"edges of blocks of {answers[BLOCKS]:.2f} levels, not above {self.blocks_above:g}"
            )
        if self.faded_above is not None and answers[FADED] <= self.faded_above:
            return f"{answers[FADED]:.0%} of its contrast lost, not above {self.faded_above:.0%}"
        if self.blur_above is not None and answers[BLUR] <= self.blur_above:
            return f"edges blurred by {answers[BLUR]:.1f} px, not above {self.blur_above:g}"
        return None
