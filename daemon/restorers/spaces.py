"""Where a model works: on the pixels themselves, or on a latent that its autoencoder makes of them.

Comes in: pictures, windows of them, noise. Goes out: what the model denoises, and pictures again.
So a restorer's mathematics is the same for every model that is driven step by step.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from torch import Tensor
from torch.nn import functional

from daemon.checkpoints.traits import Traits
from daemon.config.steps import BaseStep, Interpolate
from daemon.diffusion.noise import Noise
from daemon.diffusion.sampling import Draw
from daemon.diffusion.tiling import Denoiser, Tiling, mirror_pad, native_tiles
from daemon.diffusion.windows import Window
from daemon.models.calls import DecodeCall, Embedding, EncodeCall, Guidance, ModelCalls, ask, embed

PROMPTED = 5.0
"""Scale of classifier-free guidance where a step has a prompt and does not say how much."""


@dataclass(frozen=True)
class WorkingSpace:
    """What a model denoises.

    Attributes:
        denoiser: Whom to ask.
        traits: Of the model.
    """

    denoiser: Denoiser
    traits: Traits

    @property
    def latent(self) -> bool:
        """Whether it is not the pixels themselves."""
        return self.traits.family == "latent"

    def guided(self, guidance: Guidance | None) -> "WorkingSpace":
        """The same space with another prompt."""
        return replace(self, denoiser=replace(self.denoiser, guidance=guidance))

    def encode(self, picture: Tensor) -> ModelCalls[Tensor]:
        """What the model denoises of a picture (3, H, W): itself, or its latent (C, h, w)."""
        if not self.latent:
            return picture
        height, width = self._extent(*picture.shape[1:])
        factor, model = self.denoiser.reduction, self.denoiser.model
        tiling = Tiling.for_size((height, width), self.denoiser.tiles)
        pixels = mirror_pad(picture, height * factor, width * factor)
        tiles = [EncodeCall(model, tile) for tile in tiling.scaled(factor).split(pixels)]
        return tiling.blend((yield from ask(tiles)))

    def decode(self, x0: Tensor, height: int, width: int) -> ModelCalls[Tensor]:
        """The picture (3, height, width) of what `encode` gives."""
        if not self.latent:
            return x0
        factor, model = self.denoiser.reduction, self.denoiser.model
        tiling = Tiling.for_size(x0.shape[1:], self.denoiser.tiles)
        tiles = [DecodeCall(model, tile, factor) for tile in tiling.split(x0)]
        whole = tiling.scaled(factor).blend((yield from ask(tiles)))
        return whole[:, :height, :width].contiguous()

    def draws(self, window: Window, size: Sequence[int], noise: Noise) -> Draw:
        """Noise of what `encode` gives of a window.

        Latents have noise of their own, a function of the position in the latent of the whole.

        Args:
            window: Of the picture.
            size: (height, width) of the whole picture.
            noise: The step's noise.
        """
        height, width = size
        if not self.latent:
            return lambda number: window.draw(noise, number, height, width)
        tall, wide = self._extent(height, width)
        rows, columns = self._extent(window.height, window.width)
        factor = self.denoiser.reduction
        part = Window(
            min(window.top // factor, tall - rows),
            min(window.left // factor, wide - columns),
            rows,
            columns,
        )
        return lambda number: part.draw(noise, number, tall, wide, self.traits.channels)

    def free(self, mask: Tensor) -> Tensor:
        """Of a mask (H, W), 1 where a picture may change: where what is denoised may, (h, w)."""
        if not self.latent:
            return mask
        factor = self.denoiser.reduction
        height, width = (side * factor for side in self._extent(*mask.shape))
        return functional.max_pool2d(mirror_pad(mask[None], height, width), factor)[0]

    def _extent(self, height: int, width: int) -> tuple[int, int]:
        """Sides of the latent of a picture; small pictures are filled up to one whole tile."""
        factor, least = self.denoiser.reduction, self.denoiser.tiles.sizes[0]
        return max(least, -(-height // factor)), max(least, -(-width // factor))


def space_of(params: BaseStep, traits: Traits) -> ModelCalls[WorkingSpace]:
    """Where a step's model works, with its prompt understood.

    Args:
        params: The recipe's step.
        traits: Of its model.
    """
    if traits.family == "prior":
        return WorkingSpace(Denoiser(params.model), traits)
    tiles = native_tiles(traits.side_px // traits.reduction)
    space = WorkingSpace(Denoiser(params.model, tiles, None, traits.reduction), traits)
    if not traits.text_encoders:
        return space
    texts = [params.prompt, *([params.negative_prompt] if params.negative_prompt else [])]
    prompt, *negative = yield from embed(params.model, *texts)
    scale = params.guidance
    if scale is None:
        scale = PROMPTED if params.prompt or negative else 1.0
    return space.guided(Guidance(prompt, negative[0] if negative else None, scale))


def path_of(
    params: Interpolate, space: WorkingSpace
) -> ModelCalls[tuple[WorkingSpace, WorkingSpace]]:
    """The space at each end of an interpolation: its own prompt, followed without guidance.

    Guided, the way up and the way back would not meet.
    """
    if not space.traits.text_encoders:
        return space, space
    second = params.second_prompt or params.prompt
    ends = yield from embed(params.model, params.prompt, second)
    first, last = (space.guided(Guidance(end)) for end in ends)
    return first, last


def between(first: WorkingSpace, last: WorkingSpace, share: float) -> WorkingSpace:
    """The space at a share of the way from one prompt to another."""
    a, b = first.denoiser.guidance, last.denoiser.guidance
    if a is None or b is None:
        return first
    pooled = a.prompt.pooled
    if pooled is not None and b.prompt.pooled is not None:
        pooled = pooled.lerp(b.prompt.pooled, share)
    tokens = a.prompt.tokens.lerp(b.prompt.tokens, share)
    return first.guided(Guidance(Embedding(tokens, pooled)))
