"""The network of the photo prior: a small U-Net given the time, a condition and its degradation.

It has convolutions only and no normalisation over space, so that a picture of any size and any
tiling of it get the same answer, but for the receptive field at the borders.
"""

import math
from itertools import pairwise
from typing import cast

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor, nn
from torch.nn import functional

STRIDE = 16
"""Heights and widths must be multiples of this, and tiles start at multiples of it."""

_FREQUENCIES = 32
_DEGRADATION_NUMBERS = 4


class ModulatedBlock(nn.Module):
    """Two 3x3 convolutions with a residual; the embedding scales and shifts between them (FiLM)."""

    def __init__(self, channels: int, embedding: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        self.film = nn.Linear(embedding, 2 * channels)

    def forward(self, features: Tensor, embedding: Tensor) -> Tensor:
        """Features (B, C, H, W), embedding (B, E) -> features of the same shape."""
        scale, shift = self.film(embedding).unflatten(1, (2, -1, 1, 1)).unbind(1)
        modulated = torch.addcmul(shift, self.conv1(features), 1 + scale)
        residual: Tensor = self.conv2(functional.silu(modulated))
        return features + residual


class PhotoPrior(ModelMixin, ConfigMixin):  # type: ignore[misc]  # diffusers is untyped
    """Predicts v = cos(t) eps - sin(t) x0 of noisy photographs, with or without a condition.

    Args:
        channels: Features at each resolution, finest first.
        blocks: Blocks at each resolution, on the way down and again on the way up.
        patch: Side of the pixel blocks that the finest resolution folds into channels.
        embedding: Width of the time embedding.
    """

    @register_to_config  # type: ignore[untyped-decorator]  # diffusers is untyped
    def __init__(
        self,
        channels: tuple[int, ...] = (32, 64, 128, 192),
        blocks: tuple[int, ...] = (2, 2, 2, 2),
        patch: int = 2,
        embedding: int = 128,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]

        def stack(width: int, count: int) -> nn.ModuleList:
            return nn.ModuleList(ModulatedBlock(width, embedding) for _ in range(count))

        *levels, middle = zip(channels, blocks, strict=True)
        pairs = list(pairwise(channels))
        self.time_embedding = nn.Sequential(
            nn.Linear(2 * _FREQUENCIES, embedding),
            nn.SiLU(),
            nn.Linear(embedding, embedding),
            nn.SiLU(),
        )
        frequencies = torch.linspace(math.log(0.3), math.log(12), _FREQUENCIES).exp()
        self.register_buffer("frequencies", frequencies)
        self.stem = nn.Conv2d(6 * patch**2 + _DEGRADATION_NUMBERS, channels[0], 3, padding=1)
        self.encoder = nn.ModuleList(stack(*level) for level in levels)
        self.down = nn.ModuleList(nn.Conv2d(fine, coarse, 2, stride=2) for fine, coarse in pairs)
        self.middle = stack(*middle)
        self.up = nn.ModuleList(nn.Conv2d(coarse, 4 * fine, 1) for fine, coarse in pairs)
        self.decoder = nn.ModuleList(stack(*level) for level in levels)
        self.head = nn.Conv2d(channels[0], 3 * patch**2, 3, padding=1)

    def forward(self, x_t: Tensor, t: Tensor, condition: Tensor, degradation: Tensor) -> Tensor:
        """Predict v, less the condition's share (see `posterior_mean`).

        Args:
            x_t: Noisy pictures, (B, 3, H, W), H and W multiples of 16; zeros where t = pi/2.
            t: Diffusion angles in radians, [0, pi/2], (B,).
            condition: What is known of the pictures, (B, 3, H, W) in [-1, 1]; zeros for none.
            degradation: (grey, log2(scale) / 2, sigma, blind) of each condition, (B, 4).

        Returns:
            Same shape as x_t.
        """
        patch: int = self.config["patch"]
        angle = 4 * t[:, None] * self.frequencies
        embedding = self.time_embedding(torch.cat((angle.cos(), angle.sin()), dim=1))
        folded = functional.pixel_unshuffle(torch.cat((x_t, condition), dim=1), patch)
        planes = degradation[:, :, None, None].expand(-1, -1, *folded.shape[2:])
        features = self.stem(torch.cat((folded, planes.to(folded.dtype)), dim=1))
        skips: list[Tensor] = []
        for blocks, down in zip(self.encoder, self.down, strict=True):
            features = _apply_blocks(blocks, features, embedding)
            skips.append(features)
            features = down(features)
        features = _apply_blocks(self.middle, features, embedding)
        for blocks, up in zip(reversed(self.decoder), reversed(self.up), strict=True):
            features = skips.pop() + functional.pixel_shuffle(up(features), 2)
            features = _apply_blocks(blocks, features, embedding)
        return functional.pixel_shuffle(self.head(features), patch)

    def posterior_mean(
        self, x_t: Tensor, t: Tensor, condition: Tensor, degradation: Tensor
    ) -> Tensor:
        """The mean of the clean pictures that x_t may have come from; arguments as in `forward`.

        x0 = cos(t) x_t - sin(t) (network - sin(t) condition): with a condition the network
        predicts only what is missing from it.
        """
        cos, sin = t.cos()[:, None, None, None], t.sin()[:, None, None, None]
        missing: Tensor = self(x_t, t, condition, degradation)
        return cos * x_t - sin * (missing - sin * condition)


def _apply_blocks(blocks: nn.Module, features: Tensor, embedding: Tensor) -> Tensor:
    for block in cast(nn.ModuleList, blocks):
        features = block(features, embedding)
    return features
