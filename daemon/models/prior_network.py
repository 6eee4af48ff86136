"""The network of the photo prior: a small U-Net given the time, a condition and its degradation.

It has convolutions only and no normalisation over space, so that a picture of any size and any
tiling of it get the same answer, but for the receptive field at the borders.
"""

import json
import math
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import cast

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional

STRIDE = 16
"""Heights and widths must be multiples of this, and tiles start at multiples of it."""

_CONFIG, _WEIGHTS = "config.json", "diffusion_pytorch_model.safetensors"
"""Files of a network in its folder, called as diffusers calls them."""

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


@dataclass(frozen=True)
class PriorShape:
    """The architecture that a network's weights must fit; the arguments of `PhotoPrior`."""

    channels: tuple[int, ...]
    blocks: tuple[int, ...]
    patch: int
    embedding: int


class PhotoPrior(nn.Module):
    """Predicts v = cos(t) eps - sin(t) x0 of noisy photographs, with or without a condition.

    Args:
        channels: Features at each resolution, finest first.
        blocks: Blocks at each resolution, on the way down and again on the way up.
        patch: Side of the pixel blocks that the finest resolution folds into channels.
        embedding: Width of the time embedding.
    """

    frequencies: Tensor

    def __init__(
        self,
        channels: tuple[int, ...] = (32, 64, 128, 192),
        blocks: tuple[int, ...] = (2, 2, 2, 2),
        patch: int = 2,
        embedding: int = 128,
    ) -> None:
        super().__init__()
        self.shape = PriorShape(tuple(channels), tuple(blocks), patch, embedding)

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
        patch = self.shape.patch
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


def read_prior(folder: Path) -> PhotoPrior:
    """Read a network from its folder, with its weights in float32.

    Raises:
        OSError, ValueError, TypeError, RuntimeError, SafetensorError: Its files are missing,
            damaged or do not fit each other.
    """
    config = json.loads((folder / _CONFIG).read_text("utf-8"))
    shape = {key: value for key, value in config.items() if not key.startswith("_")}
    weights = {name: weight.float() for name, weight in load_file(folder / _WEIGHTS).items()}
    with torch.device("meta"):  # every weight is in the file, so none has to be drawn
        network = PhotoPrior(**shape)
    network.load_state_dict(weights, assign=True)
    return network


def write_prior(network: PhotoPrior, folder: Path) -> None:
    """Write a network, in the precision that its weights have, to a folder that is made."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file(network.state_dict(), folder / _WEIGHTS, {"format": "pt"})
    config = {"_class_name": type(network).__name__, **asdict(network.shape)}
    (folder / _CONFIG).write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", "utf-8")


def _apply_blocks(blocks: nn.Module, features: Tensor, embedding: Tensor) -> Tensor:
    for block in cast(nn.ModuleList, blocks):
        features = block(features, embedding)
    return features
