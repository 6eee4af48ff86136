"""The steps of a recipe: one frozen class for each kind, with defaults, ranges and meaning.

The descriptions here are what `docs/recipes.md` prints: the first sentence says what a key means,
the others what a reader must know to choose a value. No torch is imported, so that commands that
only look at recipes answer at once.
"""

from collections.abc import Callable
from itertools import pairwise
from typing import Annotated, ClassVar, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    field_validator,
    model_validator,
)

from daemon.config.conditions import Condition
from daemon.config.model_reference import (
    COLOUR,
    DAMAGE,
    FORMS,
    PRIOR,
    RESTORATION,
    Adapter,
    adapted_reference,
    valid_adapter,
    valid_reference,
)

PROMPT_SUFFIXES = (".txt", ".toml")
"""Endings of the prompt files that `generate` reads."""

Fraction = Annotated[float, Field(ge=0, le=1)]
"""A number from 0 to 1."""

Levels = Annotated[float, Field(ge=0, le=255)]
"""A deviation of noise, in levels of 0 to 255, whatever the depth of the file."""

SelfEnsemble = Annotated[
    Literal[1, 4, 8],
    Field(
        description="In how many orientations the photograph is restored, whose means are then "
        "averaged. 4 takes the quarter turns, 8 their mirror images as well. The result is nearer "
        "to the truth (0.05 to 0.1 dB with 8) and takes that many times as long. Only the mean "
        "gains: with `realism = 1` it changes nothing.",
        examples=[8],
    ),
]
"""Orientations of the geometric self-ensemble."""

WorkPx = Annotated[
    Literal[0] | Annotated[int, Field(ge=64, le=4096)] | None,
    Field(
        description="With a checkpoint: size at which it sees the photograph, as the side of a "
        "square of as many pixels (for a Stable Diffusion: the short side). What it changes there "
        "is brought to the photograph's own size, guided by the photograph. 0: the photograph's "
        "own size, in overlapping tiles. Not set: the size that it was trained for, for whole "
        "pipelines and for photographs that are smaller than that; else in tiles.",
        examples=[1024],
        json_schema_extra={"allowed": "0, or 64 to 4096"},
    ),
]
"""Size at which a checkpoint sees a photograph."""

SizePx = Annotated[int, Field(ge=64, le=4096)]
"""Width or height of a picture to be generated, in pixels."""


SamplerName = Literal["ddim", "euler", "ancestral", "dpmpp-2m", "dpmpp-2m-sde", "lcm"]
"""Names of the samplers."""

SpacingName = Literal["even", "late", "karras", "trailing"]
"""Names of the spacings of their steps."""

Shares = Annotated[
    tuple[Annotated[float, Field(gt=0, le=1)], ...], Field(min_length=1, max_length=1000)
]
"""Where the steps of a sampling run lie, as shares of its first angle."""

Spacing = SpacingName | Shares
"""A spacing by name or by shares."""


class Lora(BaseModel):
    """A LoRA that acts on the checkpoint of a step."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: Annotated[str, AfterValidator(valid_adapter)] = Field(
        description="Its safetensors file."
    )
    weight: Annotated[float, Field(ge=-4, le=4)] = Field(
        1.0, description="How strongly it acts; 1 is as it was trained."
    )


class BaseStep(BaseModel):
    """Keys that every kind of step has."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    photos: ClassVar[int] = 1
    """How many photographs the step takes at once."""

    added: ClassVar[tuple[str, ...]] = ("loras", "sampler", "spacing", "timesteps", "when")
    """Keys that came after the first version: at their default a recipe's digest leaves them out,
    so that what was restored before is not restored again."""

    model: Annotated[str, AfterValidator(valid_reference)] = Field(
        PRIOR,
        description="The network that does the work. `prior` is the one inside the package. A "
        "model of the Hub must be pulled first (`restored models pull`). A relative path starts "
        "at the recipe's folder. See [models.md](models.md).",
        examples=["stabilityai/stable-diffusion-xl-base-1.0"],
        json_schema_extra={"allowed": FORMS},
    )
    loras: Annotated[tuple[Lora, ...], Field(max_length=16)] = Field(
        (),
        description="LoRAs that act on the checkpoint, in diffusers' or kohya's format: tables of "
        "the path of a safetensors file, which starts at the recipe's folder, and a weight. Needs "
        "the extra `lora`.",
        examples=[({"model": "./film-grain.safetensors", "weight": 0.8},)],
        json_schema_extra={
            "allowed": "tables with model and weight (-4 to 4, default 1), up to 16"
        },
    )
    steps: int | None = Field(
        None,
        ge=1,
        le=1000,
        description="How many times the network is called for one sample. More is slower. Not "
        "set: 10 to 16, depending on the kind of step; with a whole pipeline, the pipeline's own "
        "number.",
        examples=[20],
    )
    seed: int | None = Field(
        None,
        ge=0,
        lt=2**63,
        description="Start of the random noise. The same photograph, recipe and seed give the "
        "same result. Not set: derived from the photograph and the recipe, so that a repetition "
        "gives the same result as well.",
        examples=[7],
    )
    sampler: SamplerName | None = Field(
        None,
        description="How a sample is made, where the network is driven step by step. "
        "`dpmpp-2m` keeps most of the texture for its number of calls; `ancestral` adds fresh "
        "noise at each step and mends what earlier steps got wrong; `dpmpp-2m-sde` does both; "
        "`ddim` and `euler` are one and the same, plain; `lcm` is for checkpoints distilled for a "
        "few steps. Not set: what was measured best for the kind of step, and for such a "
        "checkpoint its own.",
        examples=["ancestral"],
    )
    spacing: Spacing | None = Field(
        None,
        description="Where the calls lie between the first noise level and none. `even`: equal "
        "angles. `late`: most of them where there is little noise, which keeps fine texture. "
        "`karras` and `trailing`: as the programs for Stable Diffusion have them. A list: shares "
        "of the first angle, falling from 1, in place of `steps`. Not set: what was measured best "
        "for the kind of step.",
        examples=["late"],
    )
    timesteps: Annotated[
        tuple[Annotated[int, Field(ge=0, lt=1_000_000)], ...], Field(max_length=1000)
    ] = Field(
        (),
        description="Training times of a checkpoint at which its network is called, falling, in "
        "place of `steps` and `spacing`; those before the noise that the step begins at are left "
        "out. For checkpoints that were distilled for a few steps. Not set: if the checkpoint's "
        "scheduler says that it was (LCM, TCD, Euler ancestral with `trailing` spacing), four of "
        "its own, or as many as `steps`, and no guidance.",
        examples=[(999, 749, 499, 249)],
    )
    when: Annotated[
        tuple[Condition, ...],
        BeforeValidator(lambda given: (given,) if isinstance(given, dict) else given),
    ] = Field(
        (),
        max_length=8,
        description="What the photograph must be like, at that point, for the step to run; else "
        "it passes as it is, and the record says why. One table, all of which must hold, or a "
        "list of them, one of which must. Not set: the step always runs.",
        examples=[({"noise_above": 3}, {"blocks_above": 0.6})],
        json_schema_extra={"allowed": "a table of conditions, or a list of 1 to 8"},
    )
    prompt: str = Field(
        "",
        description="What the result shows, in words. Only models that read text take it; for a "
        "model that edits by instruction it is the instruction.",
        examples=["a colour photograph of a harbour, sharp"],
    )
    negative_prompt: str = Field(
        "",
        description="What the result must not show, in words. Only models that read text take "
        "it, and not all of those.",
        examples=["blurry, drawing"],
    )
    guidance: float | None = Field(
        None,
        ge=0,
        le=50,
        description="How strongly the result follows the prompt (scale of classifier-free "
        "guidance). At 1 and below the prompt is only taken into account, not amplified. Not "
        "set: 5 for a Stable Diffusion with a prompt, a whole pipeline's own value.",
        examples=[7.5],
    )

    @field_validator("spacing")
    @classmethod
    def _shares_fall_from_one(cls, value: Spacing | None) -> Spacing | None:
        if value is None or isinstance(value, str):
            return value
        if value[0] != 1 or any(late >= early for early, late in pairwise(value)):
            raise ValueError("must begin with 1, and each share must be smaller than the last")
        return value

    @field_validator("timesteps")
    @classmethod
    def _timesteps_fall(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if any(late >= early for early, late in pairwise(value)):
            raise ValueError("each must be smaller than the last")
        return value

    @model_validator(mode="after")
    def _one_says_where_the_calls_lie(self) -> "BaseStep":
        for key in ("steps", "spacing"):
            if self.timesteps and getattr(self, key) is not None:
                raise ValueError(f"timesteps and {key} say the same; leave one of them out")
        return self

    @property
    def shipped(self) -> tuple[str, ...]:
        """Networks inside the package that the step may call if its model is the prior."""
        return (PRIOR,)

    @property
    def models(self) -> tuple[str, ...]:
        """References to the models that it may call, LoRAs included."""
        loras = tuple(lora.model for lora in self.loras)
        return (*(self.shipped if self.model == PRIOR else (self.model,)), *loras)

    @property
    def adapted_model(self) -> str:
        """Reference of the model as its calls name it, with the LoRAs that act on it."""
        return adapted_reference(
            self.model, [Adapter(lora.model, lora.weight) for lora in self.loras]
        )

    def with_models(self, renamed: Callable[[str], str]) -> Self:
        """The same step with each reference to a model replaced by `renamed(reference)`."""
        loras = tuple(lora.model_copy(update={"model": renamed(lora.model)}) for lora in self.loras)
        changes: dict[str, object] = {"model": renamed(self.model)}
        return self.model_copy(update=changes | ({"loras": loras} if loras else {}))

    @property
    def meaning(self) -> dict[str, object]:
        """Its keys as the digest of a recipe counts them."""
        fields = type(self).model_fields
        dumped = self.model_dump(mode="json") | {"when": [one.meaning for one in self.when]}
        return {
            key: value
            for key, value in dumped.items()
            if key not in {*BaseStep.added, *self.added}
            or getattr(self, key) != fields[key].default
        }

    @property
    def text_keys(self) -> tuple[str, ...]:
        """The keys set here that only a model that reads text can obey."""
        textual = ("prompt", "second_prompt", "negative_prompt", "guidance")
        return tuple(key for key in textual if key in self.model_fields_set)


class Denoise(BaseStep):
    """Remove noise, JPEG blocks and the dirt of a scan, or undo a slight blur."""

    added: ClassVar[tuple[str, ...]] = ("blur_px", "work_px")

    kind: Literal["denoise"] = "denoise"
    mode: Literal["blind", "gaussian", "deblur"] = Field(
        "blind",
        description="What the network is told. `blind`: what the photograph shows "
        "of its noise, if that is all that is wrong; else nothing, and it finds out. "
        "`gaussian`: the photograph has pure sensor noise of the level `sigma`. `deblur`: it is "
        "slightly out of focus, by `blur_px`, with little noise; strong noise is to be removed by "
        'a step before. `deblur` works with `model = "prior"` only, and gives the mean.',
        examples=["gaussian"],
    )
    sigma: Levels | Literal["auto"] = Field(
        "auto",
        description='With `mode = "gaussian"`: deviation of the noise, in levels of 0 to 255. '
        "`auto` estimates it from the photograph.",
        examples=[25],
    )
    blur_px: Annotated[float, Field(ge=0.3, le=2.2)] | Literal["auto"] = Field(
        "auto",
        description='With `mode = "deblur"`: deviation of the Gaussian blur, in pixels; a circle '
        "of confusion is some four times as wide. Too much draws double lines along edges. `auto` "
        "estimates it where the photograph is sharpest, so that what is sharp stays as it is, and "
        "what is soft on purpose, such as a blurred background, is taken for no fault.",
        examples=[1.2],
    )
    realism: Fraction = Field(
        0.0,
        description="How sharp the result is. 0 gives the mean of all plausible photographs: "
        "smooth, and nearest to the truth. 1 gives one of them: sharp, with texture that is "
        "invented.",
        examples=[0.3],
    )
    self_ensemble: SelfEnsemble = 1
    work_px: WorkPx = None

    @model_validator(mode="after")
    def _deblur_stands_alone(self) -> "Denoise":
        if self.mode != "deblur":
            if "blur_px" in self.model_fields_set:
                raise ValueError('blur_px needs mode = "deblur"; set it, or leave blur_px out')
            return self
        if self.model != PRIOR:
            raise ValueError('mode = "deblur" needs model = "prior"; leave model out')
        fields = type(self).model_fields
        for key in ("sigma", "realism", "steps", "seed", "sampler", "spacing"):
            if getattr(self, key) != fields[key].default:
                raise ValueError(f'mode = "deblur" knows no {key}; leave {key} out')
        return self

    @property
    def shipped(self) -> tuple[str, ...]:
        """The restoration networks for the mean, the prior for a sample."""
        return (PRIOR, RESTORATION)


class SuperResolve(BaseStep):
    """Enlarge a photograph two, three or four times."""

    added: ClassVar[tuple[str, ...]] = ("consistent", "deblock")

    kind: Literal["super-resolve"] = "super-resolve"
    scale: Literal[2, 3, 4] = Field(
        2, description="How many times as wide and as high the result is.", examples=[4]
    )
    realism: Fraction = Field(
        0.0,
        description="How much texture is invented. 0 gives the mean of all plausible "
        "photographs: clean edges, and nearest to the truth. 1 gives one of them, with grain that "
        "may look rough; at four times the size up to 0.5 suits stone and fur.",
        examples=[0.3],
    )
    sigma: Levels = Field(
        0.0,
        description="Deviation of the noise in the photograph, in levels of 0 to 255, so that "
        "noise is not enlarged with it.",
        examples=[5],
    )
    deblock: bool = Field(
        True,
        description="Whether what JPEG did to the photograph, its blocks and the rings around "
        "edges, is left out of the result. How strong it is, is found in the pixels; a photograph "
        "that was resized or repaired since it was compressed shows no trace of it, so run "
        '`denoise` first there. Works with `model = "prior"` only, and neither with `sigma` nor '
        "with `consistent`, which say what is to be kept.",
        examples=[False],
    )
    consistent: bool = Field(
        False,
        description="Whether the result, reduced again by the means of its blocks of pixels, "
        "equals the photograph; with `sigma` above 0 but for about that much. It costs a little "
        "(0.2 dB at twice the size), because few photographs were reduced in just this way. With "
        "other models than the prior the result is always bound so.",
        examples=[True],
    )
    self_ensemble: SelfEnsemble = 1

    @property
    def shipped(self) -> tuple[str, ...]:
        """The restoration networks for the mean, the prior for a sample."""
        return (PRIOR, RESTORATION)


class Colorize(BaseStep):
    """Give a black-and-white photograph colours and keep its light and dark exactly."""

    added: ClassVar[tuple[str, ...]] = ("vivid", "keep_tone")

    kind: Literal["colorize"] = "colorize"
    saturation: Annotated[float, Field(ge=0, le=3)] = Field(
        1.0,
        description="Factor by which the strength of the colours is multiplied. 0 gives grey, "
        "1 what is usually nearest to the truth.",
        examples=[1.3],
    )
    vivid: Fraction = Field(
        0.0,
        description="Whether rare, strong colours count as much as usual ones where several are "
        "plausible. 0: no; a coat whose colour cannot be told becomes brown or grey. 1: yes; "
        "more of the red and green things get their colour, and more of the others a wrong one.",
        examples=[0.5],
    )
    realism: Fraction | None = Field(
        None,
        description="How far the colours are one plausible choice, made by the `seed`, rather "
        "than the mean of all. 0 gives the mean, nearest to the truth; 1 gives one choice, and "
        "other seeds give others. Not set: 0, with a checkpoint 0.7.",
        examples=[1],
    )
    keep_tone: bool = Field(
        True,
        description="Whether surfaces of which the network is unsure keep the print's own tone: "
        "sepia stays sepia there, grey stays grey. `false` colours everything.",
        examples=[False],
    )
    hints: bool = Field(
        True,
        description="Whether to use a side file `NAME.hints.png`: a transparent picture of the "
        "photograph's size with dabs of the colours that you want.",
        examples=[False],
    )

    @property
    def shipped(self) -> tuple[str, ...]:
        """The colour network."""
        return (COLOUR,)


class Restyle(BaseStep):
    """Turn a rough picture or a stroke painting towards a photograph (SDEdit)."""

    added: ClassVar[tuple[str, ...]] = ("work_px",)

    kind: Literal["restyle"] = "restyle"
    strength: Fraction = Field(
        0.4,
        description="How much may change. 0 keeps everything, 1 keeps nothing. It is a share of "
        "the way to pure noise: the diffusion angle is `strength` times pi/2.",
        examples=[0.35],
    )
    sweep: tuple[Fraction, ...] = Field(
        (),
        max_length=16,
        description="Up to 16 strengths to compare, in place of `strength`. The result is one "
        "labelled sheet with the original and each of them.",
        examples=[(0.2, 0.3, 0.4, 0.5, 0.6)],
    )
    mask: bool = Field(
        True,
        description="Whether to use a side file `NAME.mask.png`: white is restyled, black is "
        "kept as it is.",
        examples=[False],
    )
    work_px: WorkPx = None


class Inpaint(BaseStep):
    """Fill in what is lost: scratches, dust and tears, as a mask says or as they are found."""

    added: ClassVar[tuple[str, ...]] = ("strength",)

    kind: Literal["inpaint"] = "inpaint"
    strength: Annotated[float, Field(gt=0, le=1)] | None = Field(
        None,
        description="How much of what lies under the mask may change, as in `restyle`: with a "
        "`prompt` things are replaced rather than holes filled. 1 keeps nothing of it. Not set: "
        "what lies there is lost and is not looked at.",
        examples=[0.8],
    )
    realism: Fraction = Field(
        1.0,
        description="How sharp the filling is. 1 takes one plausible filling: sharpest and "
        "quickest. 0 takes the mean of four: smoother, nearest to what was lost, and four times "
        "slower.",
        examples=[0],
    )
    find: bool | Literal["cracks"] = Field(
        False,
        description="What happens to a photograph without a side file `NAME.mask.png`. `false`: "
        "it waits in the inbox until its mask is there. `true`: scratches and dust are searched "
        "for, on prints of one tone (grey or brown) cracks too, and only sure ones taken. "
        "`cracks`: all that a network takes for damage, which is most cracks, but also bright "
        "collars, buttons and ropes; look at what it did, or use `mask_only`. Works with "
        '`model = "prior"` only.',
        examples=["cracks"],
    )
    sensitivity: Annotated[float, Field(ge=0, le=1)] = Field(
        0.3,
        description="With `find`: how readily a spot counts as damage. It does if its "
        "probability is above 1 - `sensitivity`; for `cracks`, if that of its surest pixel is "
        "above 1 - `sensitivity` / 3. Higher finds more damage, and more often takes a sparkle, a "
        "wire or a star for damage.",
        examples=[0.5],
    )
    tone: Literal["both", "bright", "dark"] = Field(
        "both",
        description="With `find = true`: which damage to search for. Dust on a negative and torn "
        "emulsion are bright; dust and hairs on a print or a slide are dark. One of them takes "
        "half the time of both.",
        examples=["bright"],
    )
    mask_only: bool = Field(
        False,
        description="With `find`: whether the result is the mask of what was found, white on "
        "black, instead of the repaired photograph. Correct it and drop it beside the photograph "
        "as `NAME.mask.png`.",
        examples=[True],
    )

    @model_validator(mode="after")
    def _search_keys_need_find(self) -> "Inpaint":
        for key in ("sensitivity", "tone", "mask_only"):
            if key in self.model_fields_set and not self.find:
                raise ValueError(f"{key} needs find = true; set it, or leave {key} out")
        if "tone" in self.model_fields_set and self.find == "cracks":
            raise ValueError('tone needs find = true; find = "cracks" takes both: leave tone out')
        return self

    @property
    def models(self) -> tuple[str, ...]:
        """References to the models that it may call."""
        return (*super().models, DAMAGE) if self.find else super().models


class Unfade(BaseStep):
    """Give a faded colour print or slide its contrast and colours back, without a network."""

    kind: Literal["unfade"] = "unfade"
    strength: Fraction = Field(
        1.0,
        description="Which share of the fading is undone. 0 changes nothing, 1 undoes all that "
        "is found.",
        examples=[0.7],
    )
    cast: bool = Field(
        True,
        description="Whether the colour cast is removed as well. `false` gives contrast back and "
        "keeps the tint, of a sepia print for example.",
        examples=[False],
    )


class Interpolate(BaseStep):
    """Morph one photograph into another: the result is a series of frames."""

    photos: ClassVar[int] = 2

    kind: Literal["interpolate"] = "interpolate"
    frames: int = Field(
        9,
        ge=2,
        le=240,
        description="How many frames are written, both ends included.",
        examples=[24],
    )
    strength: Fraction = Field(
        0.5,
        description="How deep both photographs are encoded before they are mixed; the diffusion "
        "angle is `strength` times pi/2. Deeper makes the frames in between smoother and more "
        "blurred; near 0 the photographs fade into each other.",
        examples=[0.4],
    )
    second_prompt: str = Field(
        "",
        description="What the second photograph shows; `prompt` then describes the first. Only "
        "models that read text take it.",
        examples=["the same street in winter"],
    )


class Generate(BaseStep):
    """Make pictures from the prompts in a text file, which takes the photograph's place."""

    kind: Literal["generate"] = "generate"
    size: tuple[SizePx, SizePx] | None = Field(
        None,
        description="Width and height in pixels, each 64 to 4096, where the prompt file gives "
        "none. Not set: the size that the model was trained on.",
        examples=[(1024, 768)],
    )


Step = Annotated[
    Denoise | SuperResolve | Colorize | Restyle | Inpaint | Unfade | Interpolate | Generate,
    Field(discriminator="kind"),
]
