"""What restorers ask for and models answer.

Comes in: nothing. Goes out: the frozen types that restorers yield, the engine groups and models
receive. This module computes nothing.
"""

from collections.abc import Generator, Hashable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal, NamedTuple, TypeAlias, TypeVar, cast

from daemon.checkpoints.traits import PipelineUse

if TYPE_CHECKING:
    from torch import Tensor

Operation = Literal["predict", "predict-exact", "encode", "decode", "embed", "pipeline", "clip"]

_EMBED_PIXELS = 64 * 64
"""A prompt counts as so many pixels where calls are gathered for one pass."""


_CLIP_PIXELS = 224 * 224
"""The size at which most CLIP models see a picture."""


class BatchKey(NamedTuple):
    """What calls must have in common to share a forward pass.

    Attributes:
        model: Reference of the model.
        operation: What it is asked to do.
        shape: Of the tensor that goes in.
        settings: Whatever else must be equal.
        pixels: What one call counts for where they are gathered, in pixels of the picture.
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
    """What a network is asked, besides the time: all zeros is the unconditional prior.

    Attributes:
        grey: The condition is the grey picture of a colour one.
        scale: How many times the condition was enlarged, 1 to 4.
        sigma: Standard deviation of the condition's noise, in units of [-1, 1].
        blind: The condition is damaged in an unknown way.
    """

    grey: bool = False
    scale: int = 1
    sigma: float = 0.0
    blind: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Embedding:
    """What a model's text encoders make of a prompt; opaque to restorers but for interpolation.

    Attributes:
        tokens: (N, D), on the CPU.
        pooled: (P,), on the CPU; None where the model has none.
    """

    tokens: "Tensor"
    pooled: "Tensor | None" = None


@dataclass(frozen=True, slots=True)
class Guidance:
    """What the picture shall show, for models that understand text.

    Attributes:
        prompt: What it shall be.
        negative: What it shall not be, or the empty prompt.
        scale: Of classifier-free guidance; 1 asks for the prompt alone.
    """

    prompt: Embedding
    negative: Embedding | None = None
    scale: float = 1.0


@dataclass(frozen=True, slots=True)
class DenoiseCall:
    """One evaluation x0 = D(x_t, t, condition) on one tile of one photograph, or of its latent.

    Attributes:
        model: Reference of the model, such as "prior".
        x_t: Noisy tile, float32 on the CPU, (C, H, W), in the variance-preserving scale.
        t: Diffusion angle in radians, [0, pi/2]; the noise level is tan(t).
        condition: What is known of the tile, (3, H, W) in [-1, 1], or None.
        task: What the condition means.
        exact: Ask for float32 throughout (inversion needs it).
        guidance: The prompt, for models that take one.
        reduction: Pixels of the picture along one element of x_t: 1 for pixels, 8 for most latents.

    The answer is the posterior mean of the clean tile, float32 on the CPU, (C, H, W).
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
        """The group this call can be answered in."""
        operation: Operation = "predict-exact" if self.exact else "predict"
        shape = tuple(self.x_t.shape)
        # With guidance the network is asked twice: with the prompt and against it.
        twice = 2 if self.guidance is not None and self.guidance.scale > 1 else 1
        return BatchKey(
            self.model, operation, shape, None, twice * _area(shape) * self.reduction**2
        )


@dataclass(frozen=True, slots=True)
class EncodeCall:
    """Pixels to the model's latent.

    Attributes:
        model: Reference of the model.
        pixels: (3, H, W), float32 on the CPU, in [-1, 1].

    The answer is the latent's mean in the scale the denoiser works in, (C, h, w), float32, CPU.
    """

    t: ClassVar[float] = 0.0

    model: str
    pixels: "Tensor"

    @property
    def key(self) -> BatchKey:
        """The group this call can be answered in."""
        shape = tuple(self.pixels.shape)
        return BatchKey(self.model, "encode", shape, None, _area(shape))


@dataclass(frozen=True, slots=True)
class DecodeCall:
    """The model's latent to pixels.

    Attributes:
        model: Reference of the model.
        latent: (C, h, w), as `EncodeCall` answers.
        reduction: Pixels along one element of the latent.

    The answer is (3, H, W), float32 on the CPU, about [-1, 1].
    """

    t: ClassVar[float] = 0.0

    model: str
    latent: "Tensor"
    reduction: int = 8

    @property
    def key(self) -> BatchKey:
        """The group this call can be answered in."""
        shape = tuple(self.latent.shape)
        return BatchKey(self.model, "decode", shape, None, _area(shape) * self.reduction**2)


@dataclass(frozen=True, slots=True)
class EmbedCall:
    """A prompt to what the model's text encoders make of it; the answer is an `Embedding`."""

    t: ClassVar[float] = 0.0

    model: str
    text: str

    @property
    def key(self) -> BatchKey:
        """The group this call can be answered in."""
        return BatchKey(self.model, "embed", (), None, _EMBED_PIXELS)


@dataclass(frozen=True, slots=True)
class PipelineSettings:
    """What pictures that go through a pipeline as one batch have in common; None: its default.

    Attributes:
        use: What is made of what.
        width, height: Of the result, in pixels.
        steps: Evaluations.
        strength: Where it begins, (0, 1]: the angle strength pi/2, where the pipeline knows one.
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
    """One picture through a whole pipeline.

    Attributes:
        model: Reference of the model.
        settings: What it shares with the others of its batch.
        seed: Of its own generator, [0, 2**63).
        prompt: What it shall show, or the instruction.
        negative: What it shall not show.
        image: (3, H, W), float32 on the CPU, in [-1, 1]; None where it begins with a prompt.

    The answer is (3, height, width), float32 on the CPU, in [-1, 1].
    """

    t: ClassVar[float] = 0.0

    model: str
    settings: PipelineSettings
    seed: int
    prompt: str = ""
    negative: str = ""
    image: "Tensor | None" = None

    @property
    def key(self) -> BatchKey:
        """The group this call can be answered in."""
        shape = () if self.image is None else tuple(self.image.shape)
        # Pipelines tell an empty negative prompt from none, and a batch has all or none.
        alike = (self.settings, bool(self.negative))
        return BatchKey(
            self.model, "pipeline", shape, alike, self.settings.width * self.settings.height
        )


@dataclass(frozen=True, slots=True)
class ClipCall:
    """How much a picture looks like each of some phrases, to a CLIP model.

    Attributes:
        model: Reference of the model.
        image: (3, H, W) in [-1, 1], any size; the middle of it counts.
        phrases: What it may look like.

    The answer is a logit for each phrase, (N,), float32 on the CPU.
    """

    t: ClassVar[float] = 0.0

    model: str
    image: "Tensor"
    phrases: tuple[str, ...]

    @property
    def key(self) -> BatchKey:
        """The group this call can be answered in."""
        return BatchKey(self.model, "clip", (), self.phrases, _CLIP_PIXELS)


ModelCall = DenoiseCall | EncodeCall | DecodeCall | EmbedCall | PipelineCall | ClipCall
"""What may be asked. The engine knows of it only `model`, `key` and, to tell who watches, `t`."""

Answer: TypeAlias = "Tensor | Embedding"
"""`EmbedCall` is answered by an `Embedding`, everything else by a tensor."""


@dataclass(frozen=True, slots=True, eq=False)
class AnswerWithNotes:
    """An answer with what a person should know of it; who asked gets the answer alone."""

    answer: "Answer"
    notes: tuple[str, ...]


Reply: TypeAlias = "Tensor | Embedding | AnswerWithNotes"
"""What a model says to a question."""

R = TypeVar("R")
ModelCalls = Generator[Sequence[ModelCall], Sequence[Answer], R]
"""A computation that asks and in the end returns an R.

It yields what it wants answered together and is resumed with the answers in that order.
"""


def answer_of(reply: Reply) -> Answer:
    """The answer without its notes."""
    return reply.answer if isinstance(reply, AnswerWithNotes) else reply


def ask(
    questions: Sequence[DenoiseCall | EncodeCall | DecodeCall | PipelineCall | ClipCall],
) -> "ModelCalls[list[Tensor]]":
    """Ask for tensors, all together."""
    answers = yield questions
    return cast("list[Tensor]", list(answers))


def embed(model: str, *texts: str) -> ModelCalls[list[Embedding]]:
    """Ask what a model makes of prompts."""
    answers = yield [EmbedCall(model, text) for text in texts]
    return cast("list[Embedding]", list(answers))


def _area(shape: tuple[int, ...]) -> int:
    height, width = shape[-2:]
    return height * width
