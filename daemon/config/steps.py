"""What a recipe's steps may say: one frozen class per kind, with defaults, ranges and meaning.

Comes in: plain values from TOML. Goes out: validated steps. Imports no torch, so that commands
which only look at recipes answer at once.
"""

from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from daemon.config.model_reference import PRIOR, valid_reference

PROMPT_SUFFIXES = (".txt", ".toml")
"""Endings of the files that `generate` reads."""

Unit = Annotated[float, Field(ge=0, le=1)]

SelfEnsemble = Annotated[
    Literal[1, 4, 8],
    Field(
        description="Ways the photograph is laid (4: quarter turns, 8: mirrored as well), whose "
        "posterior means are averaged: nearer to the truth, and so many times slower. Only the "
        "mean gains, the sample of `realism` 1 does not."
    ),
]
"""Of the geometric self-ensemble."""

Side = Annotated[int, Field(ge=64, le=4096)]
"""Of a picture to be generated, in pixels."""


class BaseStep(BaseModel):
    """What every step may say."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    photos: ClassVar[int] = 1
    """How many photographs the step takes at once."""

    model: Annotated[str, AfterValidator(valid_reference)] = Field(
        PRIOR,
        description="The network: `prior` is the one inside the package; a Hub id such as "
        "`org/name@revision`, or the path of a folder or .safetensors file.",
    )
    steps: int | None = Field(
        None,
        ge=1,
        le=1000,
        description="Evaluations of a sampling run; the recipe's own if absent.",
    )
    seed: int | None = Field(
        None, ge=0, lt=2**63, description="Fixes the noise; drawn from the job if absent."
    )
    prompt: str = Field(
        "", description="What the result shows, in words; for models that read text."
    )
    negative_prompt: str = Field("", description="What the result shall not show, in words.")
    guidance: float | None = Field(
        None,
        ge=0,
        le=50,
        description="How much more than likely the result follows the prompt; up to 1 not at all "
        "more. The model's own if absent.",
    )

    @property
    def text_keys(self) -> tuple[str, ...]:
        """The keys it says that only a model which reads text can obey."""
        textual = ("prompt", "second_prompt", "negative_prompt", "guidance")
        return tuple(key for key in textual if key in self.model_fields_set)


class Denoise(BaseStep):
    """Remove noise, JPEG blocks and the dirt of a scan."""

    kind: Literal["denoise"] = "denoise"
    mode: Literal["blind", "gaussian"] = Field(
        "blind", description="`blind` finds out what is wrong; `gaussian` removes noise of a level."
    )
    sigma: Annotated[float, Field(ge=0, le=255)] | Literal["auto"] = Field(
        "auto",
        description="Noise level for `gaussian`, in levels of 0 to 255; `auto` estimates it.",
    )
    realism: Unit = Field(
        0.0, description="0 gives the posterior mean (safest), 1 a posterior sample (sharpest)."
    )
    self_ensemble: SelfEnsemble = 1


class SuperResolve(BaseStep):
    """Enlarge, so that reducing the result gives the photograph back."""

    kind: Literal["super-resolve"] = "super-resolve"
    scale: Literal[2, 3, 4] = Field(2, description="How many times wider and higher.")
    realism: Unit = Field(
        0.5, description="0 gives the posterior mean (safest), 1 a posterior sample (sharpest)."
    )
    sigma: Annotated[float, Field(ge=0, le=255)] = Field(
        0.0,
        description="Noise of the input in levels of 0 to 255; above 0 it binds softly.",
    )
    self_ensemble: SelfEnsemble = 1


class Colorize(BaseStep):
    """Give a grey photograph colours and leave its luminance as it is."""

    kind: Literal["colorize"] = "colorize"
    saturation: Annotated[float, Field(ge=0, le=3)] = Field(
        1.0, description="Multiplies the chroma; 0 is grey."
    )
    realism: Unit = Field(
        0.7, description="0 gives the mean of plausible colours (muted), 1 one plausible choice."
    )
    hints: bool = Field(
        True, description="Use NAME.hints.png: transparent but for dabs of the wanted colour."
    )


class Restyle(BaseStep):
    """SDEdit: forward to `strength`, back again; strokes become a photograph."""

    kind: Literal["restyle"] = "restyle"
    strength: Unit = Field(
        0.4, description="How far forward: 0 keeps everything, 1 keeps nothing; t = strength pi/2."
    )
    sweep: tuple[Unit, ...] = Field(
        (), max_length=16, description="Strengths to try: the result is one labelled sheet of them."
    )
    mask: bool = Field(
        True, description="Use NAME.mask.png: white is restyled, black is kept as it is."
    )


class Inpaint(BaseStep):
    """Fill in what is lost: scratches, dust, tears, as NAME.mask.png says (white) or as found."""

    kind: Literal["inpaint"] = "inpaint"
    realism: Unit = Field(
        1.0,
        description="0 gives the mean of several samples (nearest to what was lost, smoother), "
        "1 one sample (sharpest, and quickest).",
    )
    find: bool = Field(
        False,
        description="Look for scratches and dust where there is no NAME.mask.png, "
        "rather than wait for it.",
    )
    sensitivity: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.3,
        description="With `find`: a spot is filled in if it is damage with a probability above "
        "1 - sensitivity. Higher finds more, and takes more for damage that is none.",
    )
    tone: Literal["both", "bright", "dark"] = Field(
        "both",
        description="With `find`: which damage to look for. Dust on a negative and torn emulsion "
        "are bright, dust and hairs on a print or slide are dark; one takes half the time of both.",
    )
    mask_only: bool = Field(
        False,
        description="With `find`: the result is the mask of what was found, white on black, to be "
        "corrected and dropped as NAME.mask.png.",
    )

    @model_validator(mode="after")
    def _found_or_given(self) -> "Inpaint":
        for key in ("sensitivity", "tone", "mask_only"):
            if key in self.model_fields_set and not self.find:
                raise ValueError(f"{key} needs find = true")
        return self


class Unfade(BaseStep):
    """Give a faded colour print or slide its contrast and colours back; asks no network."""

    kind: Literal["unfade"] = "unfade"
    strength: Unit = Field(
        1.0, description="How much of the fading it finds is undone: 0 nothing, 1 all."
    )
    cast: bool = Field(
        True,
        description="Take the cast off, too; `false` gives all channels the same contrast back and "
        "keeps the tint, of a sepia print for example.",
    )


class Interpolate(BaseStep):
    """Morph one photograph into another through the latents of both."""

    photos: ClassVar[int] = 2

    kind: Literal["interpolate"] = "interpolate"
    frames: int = Field(9, ge=2, le=240, description="Frames written, both ends included.")
    strength: Unit = Field(
        0.5, description="How deep both photographs are encoded; t = strength pi/2."
    )
    second_prompt: str = Field(
        "", description="What the second photograph shows; `prompt` is for the first."
    )


class Generate(BaseStep):
    """Make pictures of the prompts in a text file, which takes the photograph's place."""

    kind: Literal["generate"] = "generate"
    size: tuple[Side, Side] | None = Field(
        None, description="Width and height in pixels where the file says none; else the model's."
    )


Step = Annotated[
    Denoise | SuperResolve | Colorize | Restyle | Inpaint | Unfade | Interpolate | Generate,
    Field(discriminator="kind"),
]
