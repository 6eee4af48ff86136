"""The damage network: a photograph in, log-odds that each pixel is damaged out.

A U-Net of convolutions alone, without normalisation over space, so that a picture of any size and
any tiling of it get the same answer but for what it sees around a pixel.

Source: U-Net, arXiv:1505.04597, with residual blocks and pixel shuffles.
"""

from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional

STRIDE = 16
"""Heights and widths must be multiples of this."""

_FOLD = 2
"""Side of the pixel blocks that the finest resolution folds into channels."""


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions with a residual."""

    def __init__(self, channels: int, dilation: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=dilation, dilation=dilation)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=dilation, dilation=dilation)

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, H, W) -> the same shape."""
        changed: Tensor = self.conv2(functional.relu(self.conv1(features)))
        return functional.relu(features + changed)


class DamageNetwork(nn.Module):
    """Photographs -> log-odds of damage.

    Args:
        channels: Features at 1/2, 1/4, 1/8 and 1/16 of the size.
        blocks: Blocks at each but the coarsest on the way down; there is one on the way up.
        dilations: Dilation of each block at the coarsest.
    """

    def __init__(
        self,
        channels: tuple[int, ...] = (16, 40, 72, 96),
        blocks: tuple[int, ...] = (1, 1, 2),
        dilations: tuple[int, ...] = (1, 2, 1),
    ) -> None:
        super().__init__()
        *levels, coarsest = channels
        pairs = list(pairwise(channels))
        self.stem = nn.Conv2d(3 * _FOLD**2, channels[0], 3, padding=1)
        self.encoder = nn.ModuleList(
            nn.Sequential(*(ResidualBlock(width) for _ in range(count)))
            for width, count in zip(levels, blocks, strict=True)
        )
        self.down = nn.ModuleList(nn.Conv2d(fine, coarse, 2, stride=2) for fine, coarse in pairs)
        self.middle = nn.Sequential(*(ResidualBlock(coarsest, one) for one in dilations))
        self.up = nn.ModuleList(nn.Conv2d(coarse, 4 * fine, 1) for fine, coarse in pairs)
        self.decoder = nn.ModuleList(ResidualBlock(width) for width in levels)
        self.head = nn.Conv2d(channels[0], _FOLD**2, 3, padding=1)

    def forward(self, picture: Tensor) -> Tensor:
        """Log-odds of damage.

        Args:
            picture: RGB in [-1, 1], (B, 3, H, W), H and W multiples of 16.

        Returns:
            (B, 1, H, W).
        """
        features = functional.relu(self.stem(functional.pixel_unshuffle(picture, _FOLD)))
        skips: list[Tensor] = []
        for blocks, down in zip(self.encoder, self.down, strict=True):
            features = blocks(features)
            skips.append(features)
            features = functional.relu(down(features))
        features = self.middle(features)
        ups = zip(reversed(list(self.decoder)), reversed(list(self.up)), strict=True)
        for block, up in ups:
            features = block(skips.pop() + functional.pixel_shuffle(up(features), 2))
        return functional.pixel_shuffle(self.head(features), _FOLD)
