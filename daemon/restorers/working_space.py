"""Working spaces: the pixels themselves, or the latent that a model's autoencoder makes of them.

With them a restorer's mathematics is the same for every model that is driven step by step.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional

from daemon.checkpoints.traits import Traits
from daemon.config.steps import BaseStep, Interpolate
from daemon.diffusion.noise import Noise
from daemon.diffusion.sampling import Draw
from daemon.diffusion.tiling import Denoiser, Tiling, mirror_pad, native_tiles
from daemon.diffusion.windows import Window
from daemon.models.calls import DecodeCall, Embedding, EncodeCall, Guidance, ModelCalls, ask, embed

_LOST = 0.5
"""Value of a mask from which an inpainting checkpoint is told that a pixel is lost."""

DEFAULT_GUIDANCE = 5.0
"""Scale of classifier-free guidance if a step has a prompt and no `guidance`; checkpoints that
were distilled for a few steps have learned it and get none."""


@dataclass(frozen=True)
class WorkingSpace:
    """A working space: the tensors that a model denoises.

    Attributes:
        denoiser: The model, with its prompt.
        traits: Traits of the model.
    """

    denoiser: Denoiser
    traits: Traits

    @property
    def latent(self) -> bool:
        """Whether it is a latent rather than the pixels themselves."""
        return self.traits.family == "latent"

    def with_guidance(self, guidance: Guidance | None) -> "WorkingSpace":
        """The same space with another prompt."""
        return replace(self, denoiser=replace(self.denoiser, guidance=guidance))

    def encode(self, picture: Tensor) -> ModelCalls[Tensor]:
        """Bring a picture (3, H, W) to the working space: itself, or its latent (C, h, w)."""
        if not self.latent:
            return picture
        height, width = self._latent_size(*picture.shape[1:])
        factor, model = self.denoiser.reduction, self.denoiser.model
        tiling = Tiling.for_size((height, width), self.denoiser.tiles)
        pixels = mirror_pad(picture, height * factor, width * factor)
        tiles = [EncodeCall(model, tile) for tile in tiling.scaled(factor).split(pixels)]
        return tiling.blend((yield from ask(tiles)))

    def decode(self, x0: Tensor, height: int, width: int) -> ModelCalls[Tensor]:
        """Bring what `encode` gives back to a picture, (3, height, width)."""
        if not self.latent:
            return x0
        factor, model = self.denoiser.reduction, self.denoiser.model
        tiling = Tiling.for_size(x0.shape[1:], self.denoiser.tiles)
        tiles = [DecodeCall(model, tile, factor) for tile in tiling.split(x0)]
        whole = tiling.scaled(factor).blend((yield from ask(tiles)))
        return whole[:, :height, :width].contiguous()

    def noise_draws(self, window: Window, size: Sequence[int], noise: Noise) -> Draw:
        """Noise in the working space for a window of a picture.

        A latent's noise is a function of the position in the latent of the whole picture.

        Args:
            window: The window, in pixels of the picture.
            size: (height, width) of the whole picture.
            noise: The step's noise.
        """
        height, width = size
        if not self.latent:
            return lambda number: window.draw(noise, number, height, width)
        latent_height, latent_width = self._latent_size(height, width)
        rows, columns = self._latent_size(window.height, window.width)
        factor = self.denoiser.reduction
        part = Window(
            min(window.top // factor, latent_height - rows),
            min(window.left // factor, latent_width - columns),
            rows,
            columns,
        )
        channels = self.traits.channels
        return lambda number: part.draw(noise, number, latent_height, latent_width, channels)

    def changeable(self, mask: Tensor) -> Tensor:
        """Bring a mask (H, W), 1 where a picture may change, to the working space, (h, w)."""
        if not self.latent:
            return mask
        factor = self.denoiser.reduction
        height, width = (side * factor for side in self._latent_size(*mask.shape))
        return functional.max_pool2d(mirror_pad(mask[None], height, width), factor)[0]

    def told(self, picture: Tensor, mask: Tensor | None) -> ModelCalls[Tensor | None]:
        """What an inpainting checkpoint is told at every call; None for other models.

        Args:
            picture: (3, H, W) in [-1, 1].
            mask: (H, W), 1 where it is to be made anew; None for all of it.

        Returns:
            The mask and the latent of the picture with grey under the mask, (1 + C, h, w).
        """
        if not self.traits.told_mask:
            return None
        lost = torch.ones_like(picture[0]) if mask is None else (mask >= _LOST).to(picture.dtype)
        outside = yield from self.encode(picture * (1 - lost))
        return torch.cat((self.changeable(lost)[None], outside))

    def _latent_size(self, height: int, width: int) -> tuple[int, int]:
        """(h, w) of the latent of a picture; small pictures are padded to one whole tile."""
        factor, least = self.denoiser.reduction, self.denoiser.tiles.sizes[0]
        return max(least, -(-height // factor)), max(least, -(-width // factor))


def working_space(params: BaseStep, traits: Traits) -> ModelCalls[WorkingSpace]:
    """Where a step's model works, with the step's prompt embedded.

    Args:
        params: The recipe's step.
        traits: Traits of its model.
    """
    if traits.family == "prior":
        return WorkingSpace(Denoiser(params.model), traits)
    tiles = native_tiles(traits.side_px // traits.reduction)
    space = WorkingSpace(Denoiser(params.adapted_model, tiles, None, traits.reduction), traits)
    if not traits.text_encoders:
        return space
    texts = [params.prompt, *([params.negative_prompt] if params.negative_prompt else [])]
    prompt, *negative = yield from embed(params.adapted_model, *texts)
    scale = params.guidance
    if scale is None:
        guided = (params.prompt or negative) and traits.few_steps is None
        scale = DEFAULT_GUIDANCE if guided else 1.0
    return space.with_guidance(Guidance(prompt, negative[0] if negative else None, scale))


def end_spaces(
    params: Interpolate, space: WorkingSpace
) -> ModelCalls[tuple[WorkingSpace, WorkingSpace]]:
    """The spaces of the first and the last frame, each with its own prompt and without guidance.

    With guidance inversion and reconstruction would not meet.
    """
    if not space.traits.text_encoders:
        return space, space
    second = params.second_prompt or params.prompt
    ends = yield from embed(params.adapted_model, params.prompt, second)
    first, last = (space.with_guidance(Guidance(end)) for end in ends)
    return first, last


def interpolated_space(first: WorkingSpace, last: WorkingSpace, share: float) -> WorkingSpace:
    """The space of a frame: its prompt lies at a share of the way from the first to the last."""
    a, b = first.denoiser.guidance, last.denoiser.guidance
    if a is None or b is None:
        return first
    pooled = a.prompt.pooled
    if pooled is not None and b.prompt.pooled is not None:
        pooled = pooled.lerp(b.prompt.pooled, share)
    tokens = a.prompt.tokens.lerp(b.prompt.tokens, share)
    return first.with_guidance(Guidance(Embedding(tokens, pooled)))
