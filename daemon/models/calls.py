"""The calls that restorers make and models answer, with their answers.

A restorer is a generator: it yields calls, the engine answers calls of equal `key` in one forward
pass, and the generator is resumed with the answers. These types are all that the two share; nothing
is computed here. Every tensor of a call or an answer is float32 and lies on the device of the
process (`transfers`).
"""

from collections.abc import Generator, Hashable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal, NamedTuple, TypeAlias, TypeVar, cast

from daemon.checkpoints.traits import PipelineUse

if TYPE_CHECKING:
    from torch import Tensor

Operation = Literal[
    "predict",
    "predict-exact",
    "restore",
    "encode",
    "decode",
    "embed",
    "pipeline",
    "clip",
    "colour",
    "damage",
]
"""Kinds of forward passes; "predict-exact" is "predict" in float32 throughout."""

_EMBED_PIXELS = 64 * 64
"""Pixels that a prompt counts for where calls are gathered into a pass."""

_CLIP_PIXELS = 224 * 224
"""Pixels that a picture counts for in a pass of CLIP: most CLIP models see it at this size."""


class BatchKey(NamedTuple):
    """The properties that calls must have in common to share a forward pass.

    Attributes:
        model: Reference of the model.
        operation: What the pass computes.
        shape: Shape of the input tensor without its batch dimension; () where shapes may differ.
        settings: Whatever else must be equal.
        pixels: Cost of one row of a pass, in pixels of the picture that it stands for.
    """

    model: str
    operation: Operation
    shape: tuple[int, ...]
    settings: Hashable = None
    pixels: int = 1

    @property
    def needs_pipeline(self) -> bool:
        """Whether a diffusers pipeline answers, not a network driven step by step."""
        return self.operation == "pipeline"


@dataclass(frozen=True, slots=True)
class Degradation:
    """How the condition came of the clean picture; the default is the unconditional prior.

    Attributes:
        grey: The condition is the grey picture of a colour one.
        scale: How many times the condition was enlarged, 1 to 4.
        sigma: Standard deviation of the condition's noise, or of what JPEG changed where it is
            blind or to be enlarged, in units of [-1, 1].
        blind: The condition is damaged in an unknown way.
        blur_px: Deviation of the Gaussian blur that is to be undone, in pixels, 0 where it is not
            known; None leaves the sharpness alone.
    """

    grey: bool = False
    scale: int = 1
    sigma: float = 0.0
    blind: bool = False
    blur_px: float | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Embedding:
    """A prompt, encoded by the text encoders of a model.

    Restorers hand it back to the model it came from, and may interpolate between two.

    Attributes:
        tokens: One row for each token, (N, D).
        pooled: One vector for the whole prompt, (P,); None for a model without one.
    """

    tokens: "Tensor"
    pooled: "Tensor | None" = None


@dataclass(frozen=True, slots=True)
class Guidance:
    """Classifier-free guidance: what the picture shall show, for a model that reads text.

    Attributes:
        prompt: What it shall show.
        negative: What it shall not show; None stands for the empty prompt.
        scale: Weight of the prompt against the negative; up to 1 only the prompt is evaluated.
    """

    prompt: Embedding
    negative: Embedding | None = None
    scale: float = 1.0


@dataclass(frozen=True, slots=True)
class DenoiseCall:
    """One evaluation x0 = D(x_t, t, condition) on one tile of one photograph or of its latent.

    The answer is the posterior mean of the clean tile, (C, H, W).

    Attributes:
        model: Reference of the model, such as "prior".
        x_t: Noisy tile, (C, H, W), in the variance-preserving scale.
        t: Diffusion angle in radians, [0, pi/2]; the noise level is tan(t).
        condition: What is known of the tile, (3, H, W) in [-1, 1], or None. For an inpainting
            checkpoint the mask, 1 where the picture is to be made, and the latent of what lies
            outside of it, (1 + C, H, W).
        degradation: How the condition came of the clean tile.
        exact: Compute in float32 throughout and leave the estimate unclipped, which inversion
            needs.
        guidance: The prompt, for a model that reads text.
        reduction: Pixels of the photograph along one element of x_t: 1 in pixel space, 8 in most
            latent spaces.
    """

    model: str
    x_t: "Tensor"
    t: float
    condition: "Tensor | None" = None
    degradation: Degradation = Degradation()
    exact: bool = False
    guidance: Guidance | None = None
    reduction: int = 1

    @property
    def key(self) -> BatchKey:
        """The key that the calls of its batch have in common."""
        operation: Operation = "predict-exact" if self.exact else "predict"
        shape = tuple(self.x_t.shape)
        return BatchKey(self.model, operation, shape, None, _area(shape) * self.reduction**2)

    @property
    def rows(self) -> int:
        """Rows of the network's batch: under guidance two, for the prompt and for the negative."""
        return 2 if self.guidance is not None and self.guidance.scale > 1 else 1


@dataclass(frozen=True, slots=True)
class RestoreCall:
    """One evaluation of a restoration network on one tile of one photograph.

    The answer is the posterior mean of the clean tile, (3, H scale, W scale).

    Attributes:
        model: Reference of the model.
        picture: The small or damaged tile, (3, H, W) in [-1, 1], sides even.
        degradation: How it came of the clean tile.
    """

    t: ClassVar[float] = 0.0
    rows: ClassVar[int] = 1

    model: str
    picture: "Tensor"
    degradation: Degradation

    @property
    def key(self) -> BatchKey:
        """The key that the calls of its batch have in common."""
        shape, degradation = tuple(self.picture.shape), self.degradation
        # An enlargement works at each small pixel, the other tasks at each 2x2 block.
        pixels = _area(shape) * (4 if degradation.scale > 1 else 1)
        task = (degradation.scale, degradation.blind, degradation.blur_px is not None)
        return BatchKey(self.model, "restore", shape, task, pixels)


@dataclass(frozen=True, slots=True)
class EncodeCall:
    """Pixels into the model's latent space.

    The answer is the mean of the latent, (C, h, w), in the scale that the denoiser works in.

    Attributes:
        model: Reference of the model.
        pixels: RGB, (3, H, W), in [-1, 1].
    """

    t: ClassVar[float] = 0.0
    rows: ClassVar[int] = 1

    model: str
    pixels: "Tensor"

    @property
    def key(self) -> BatchKey:
        """The key that the calls of its batch have in common."""
        shape = tuple(self.pixels.shape)
        return BatchKey(self.model, "encode", shape, None, _area(shape))


@dataclass(frozen=True, slots=True)
class DecodeCall:
    """A latent of the model back into pixels.

    The answer is RGB, (3, H, W), in [-1, 1] but for small overshoots.

    Attributes:
        model: Reference of the model.
        latent: As `EncodeCall` is answered, (C, h, w).
        reduction: Pixels along one element of the latent.
    """

    t: ClassVar[float] = 0.0
    rows: ClassVar[int] = 1

    model: str
    latent: "Tensor"
    reduction: int = 8

    @property
    def key(self) -> BatchKey:
        """The key that the calls of its batch have in common."""
        shape = tuple(self.latent.shape)
        return BatchKey(self.model, "decode", shape, None, _area(shape) * self.reduction**2)


@dataclass(frozen=True, slots=True)
class EmbedCall:
    """A prompt through the model's text encoders.

    The answer is an `Embedding`.

    Attributes:
        model: Reference of the model.
        text: The prompt; empty for the unconditional one.
    """

    t: ClassVar[float] = 0.0
    rows: ClassVar[int] = 1

    model: str
    text: str

    @property
    def key(self) -> BatchKey:
        """The key that the calls of its batch have in common."""
        return BatchKey(self.model, "embed", (), None, _EMBED_PIXELS)


@dataclass(frozen=True, slots=True)
class PipelineSettings:
    """The properties that pictures have in common to go through a pipeline as one batch.

    None leaves a setting to the pipeline's own default.

    Attributes:
        use: What the pipeline makes a picture of.
        width, height: Size of the result in pixels.
        steps: Evaluations of the denoiser, at least 1.
        strength: Where sampling begins, (0, 1]: at the angle strength * pi/2.
        guidance: Scale of classifier-free guidance.
    """

    use: PipelineUse
    width: int
    height: int
    steps: int | None = None
    strength: float | None = None
    guidance: float | None = None


@dataclass(frozen=True, slots=True)
class PipelineCall:
    """One picture through a whole diffusers pipeline.

    The answer is RGB, (3, height, width), in [-1, 1].

    Attributes:
        model: Reference of the model.
        settings: What it shares with the others of its batch.
        seed: Seed of its own random generator, [0, 2**63).
        prompt: What the picture shall show, or the instruction of an edit.
        negative: What it shall not show; "" for none.
        image: The picture to begin with, RGB, (3, H, W), in [-1, 1]; None begins with the prompt.
        mask: Where the picture is to be made anew, (1, H, W), 0 or 1; for the use "inpaint".
    """

    t: ClassVar[float] = 0.0
    rows: ClassVar[int] = 1

    model: str
    settings: PipelineSettings
    seed: int
    prompt: str = ""
    negative: str = ""
    image: "Tensor | None" = None
    mask: "Tensor | None" = None

    @property
    def key(self) -> BatchKey:
        """The key that the calls of its batch have in common."""
        shape = () if self.image is None else tuple(self.image.shape)
        # Pipelines tell an empty negative prompt from none, and a batch has all or none.
        common = (self.settings, bool(self.negative))
        pixels = self.settings.width * self.settings.height
        return BatchKey(self.model, "pipeline", shape, common, pixels)


@dataclass(frozen=True, slots=True)
class ClipCall:
    """The CLIP scores of a picture against some phrases.

    The answer is one logit for each phrase, (N,).

    Attributes:
        model: Reference of a CLIP model.
        image: RGB, (3, H, W), in [-1, 1], of any size; its central square is scored.
        phrases: N phrases that may describe the picture.
    """

    t: ClassVar[float] = 0.0
    rows: ClassVar[int] = 1

    model: str
    image: "Tensor"
    phrases: tuple[str, ...]

    @property
    def key(self) -> BatchKey:
        """The key that the calls of its batch have in common."""
        return BatchKey(self.model, "clip", (), self.phrases, _CLIP_PIXELS)


@dataclass(frozen=True, slots=True, eq=False)
class ColourCall:
    """The colours of a grey photograph at a quarter of its size.

    The answer is (3, H / 4, W / 4): R - Y and B - Y of the mean colour, white less black being 1,
    and the standard deviation of what the colour may be, in the same unit.

    Attributes:
        model: Reference of the colour network.
        grey: Luminance in [-1, 1], (1, H, W), H and W multiples of 32.
        vivid: How much rare, strong colours count, [0, 1]: 0 as often as they are, 1 as they did in
            training.
        variation: Deviation, in nats, of a random change of the odds; 0 changes nothing.
        seed: Seed of that change, [0, 2**63).
    """

    t: ClassVar[float] = 0.0
    rows: ClassVar[int] = 1

    model: str
    grey: "Tensor"
    vivid: float = 0.0
    variation: float = 0.0
    seed: int = 0

    @property
    def key(self) -> BatchKey:
        """The key that the calls of its batch have in common."""
        shape = tuple(self.grey.shape)
        return BatchKey(self.model, "colour", shape, None, _area(shape))


@dataclass(frozen=True, slots=True, eq=False)
class DamageCall:
    """Where one tile of a photograph is damaged.

    The answer is the probability of each pixel, (1, H, W) in [0, 1].

    Attributes:
        model: Reference of the damage network.
        picture: The tile, RGB, (3, H, W) in [-1, 1], H and W multiples of 16.
    """

    t: ClassVar[float] = 0.0
    rows: ClassVar[int] = 1

    model: str
    picture: "Tensor"

    @property
    def key(self) -> BatchKey:
        """The key that the calls of its batch have in common."""
        shape = tuple(self.picture.shape)
        return BatchKey(self.model, "damage", shape, None, _area(shape))


TensorCall = (
    DenoiseCall
    | RestoreCall
    | EncodeCall
    | DecodeCall
    | PipelineCall
    | ClipCall
    | ColourCall
    | DamageCall
)
"""The kinds of calls that a tensor answers."""

ModelCall = TensorCall | EmbedCall
"""Every kind of call. The engine reads `model` and `key` of it, `rows`, which it takes in the batch
of a pass, and `t`, which shows how far a run is; calls other than `DenoiseCall` take one row and
stand at t = 0."""

Answer: TypeAlias = "Tensor | Embedding"
"""Answers that a restorer is resumed with: an `Embedding` for an `EmbedCall`, else a tensor."""


@dataclass(frozen=True, slots=True, eq=False)
class AnswerWithNotes:
    """An answer with notes for the record of the job; the restorer gets the answer alone.

    Attributes:
        answer: The answer.
        notes: What a person should know of it, one sentence each.
    """

    answer: "Answer"
    notes: tuple[str, ...]


Reply: TypeAlias = "Tensor | Embedding | AnswerWithNotes"
"""The reply of a model to a call."""

R = TypeVar("R")
ModelCalls = Generator[Sequence[ModelCall], Sequence[Answer], R]
"""A computation that needs models and in the end returns an R.

It yields calls that may be answered together, and is resumed with their answers in that order.
"""


def answer_of(reply: Reply) -> Answer:
    """The answer without its notes."""
    return reply.answer if isinstance(reply, AnswerWithNotes) else reply


def ask(calls: Sequence[TensorCall]) -> "ModelCalls[list[Tensor]]":
    """Make calls that are answered by tensors, all together."""
    answers = yield calls
    return cast("list[Tensor]", list(answers))


def embed(model: str, *prompts: str) -> ModelCalls[list[Embedding]]:
    """Encode prompts by the text encoders of a model, all together."""
    answers = yield [EmbedCall(model, prompt) for prompt in prompts]
    return cast("list[Embedding]", list(answers))


def _area(shape: tuple[int, ...]) -> int:
    height, width = shape[-2:]
    return height * width
