"""The colour network: a grey photograph in, odds over a palette of chromas out.

The encoder is EfficientNet-lite0, trained to recognise things; its batch norms are folded into the
convolutions. The decoder brings its features back to a quarter of the picture's size, where each
cell of 4 by 4 pixels has its own odds: a mean, a strong choice and a measure of doubt follow from
them.

Chroma is (R - Y, B - Y), white less black being 1, Y Pillow's luminance.

Sources: EfficientNet, arXiv:1905.11946, in its "lite" variant without squeeze and excitation and
with ReLU6; palette and class weights of Colorful Image Colorization, arXiv:1603.08511.
"""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

STRIDE = 32
"""Heights and widths of the input must be multiples of this."""

GRID = 4
"""Side, in pixels, of the cell that one position of the output covers."""

COLOURS = 128
"""Chromas of the palette."""

_STAGES = (
    (1, 3, 1, 1, 32, 16),
    (2, 3, 2, 6, 16, 24),
    (2, 5, 2, 6, 24, 40),
    (3, 3, 2, 6, 40, 80),
    (3, 5, 1, 6, 80, 112),
    (4, 5, 2, 6, 112, 192),
    (1, 3, 1, 6, 192, 320),
)
"""Stages of the encoder: blocks, kernel, stride of the first block, expansion, channels in, out."""

_TAPS = {2: 24, 4: 40, 10: 112, 15: 320}
"""Blocks whose outputs the decoder reads, at strides 4, 8, 16 and 32, with their channels."""

_WIDTHS = (48, 80, 128, 192)
"""Channels of the decoder at strides 4, 8, 16 and 32."""

_SCENE = 192
"""Channels of the summary of the whole picture."""


class SameConv(nn.Conv2d):
    """A convolution padded as TensorFlow pads: where pads are odd, more goes below and right."""

    def forward(self, features: Tensor) -> Tensor:
        """Features (B, C, H, W) -> (B, C', ceil(H / stride), ceil(W / stride))."""
        kernel, stride = self.kernel_size[0], self.stride[0]
        down, right = (
            max((-(-side // stride) - 1) * stride + kernel - side, 0)
            for side in features.shape[-2:]
        )
        pads = (right // 2, right - right // 2, down // 2, down - down // 2)
        padded = functional.pad(features, pads)
        return functional.conv2d(padded, self.weight, self.bias, stride, 0, 1, self.groups)


class InvertedBottleneck(nn.Module):
    """Expand, filter each channel by itself, project; with a residual where shapes allow."""

    def __init__(self, kernel: int, stride: int, expansion: int, into: int, out: int) -> None:
        super().__init__()
        inner = into * expansion
        self.expand = nn.Conv2d(into, inner, 1) if expansion > 1 else None
        self.depthwise = SameConv(inner, inner, kernel, stride, groups=inner)
        self.project = nn.Conv2d(inner, out, 1)
        self.residual = stride == 1 and into == out

    def forward(self, features: Tensor) -> Tensor:
        """Features (B, C, H, W) -> (B, C', H / stride, W / stride)."""
        inner = features
        if self.expand is not None:
            inner = functional.relu6(self.expand(features))
        changed: Tensor = self.project(functional.relu6(self.depthwise(inner)))
        return features + changed if self.residual else changed


class Encoder(nn.Module):
    """EfficientNet-lite0 without its classifier, for one channel."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = SameConv(1, 32, 3, 2)
        self.blocks = nn.ModuleList(
            InvertedBottleneck(kernel, 1 if k else stride, expansion, out if k else into, out)
            for count, kernel, stride, expansion, into, out in _STAGES
            for k in range(count)
        )

    def forward(self, grey: Tensor) -> list[Tensor]:
        """Pictures (B, 1, H, W) -> features at strides 4, 8, 16 and 32."""
        features = functional.relu6(self.stem(grey))
        taps = []
        for number, block in enumerate(self.blocks):
            features = block(features)
            if number in _TAPS:
                taps.append(features)
        return taps


class Refinement(nn.Module):
    """One or two 3x3 convolutions with a residual."""

    def __init__(self, channels: int, convolutions: int) -> None:
        super().__init__()
        self.convs = nn.ModuleList(
            nn.Conv2d(channels, channels, 3, padding=1) for _ in range(convolutions)
        )

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, H, W) -> the same shape."""
        changed = features
        for conv in self.convs:
            changed = conv(functional.silu(changed))
        return features + changed


class ColourNetwork(nn.Module):
    """Grey photographs -> log-odds of each chroma of the palette, at a quarter of the size.

    Attributes:
        palette: The chromas, (COLOURS, 2).
        class_weights: What each chroma weighed in training, (COLOURS,); rare ones weigh more.
    """

    palette: Tensor
    class_weights: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("palette", torch.zeros(COLOURS, 2))
        self.register_buffer("class_weights", torch.ones(COLOURS))
        self.encoder = Encoder()
        self.lateral = nn.ModuleList(
            nn.Conv2d(channels, width, 1)
            for channels, width in zip(_TAPS.values(), _WIDTHS, strict=True)
        )
        deepest = _TAPS[15]
        self.scene = nn.Sequential(
            nn.Linear(deepest, _SCENE), nn.SiLU(), nn.Linear(_SCENE, _WIDTHS[-1])
        )
        self.refine = nn.ModuleList(
            Refinement(width, 2 if level else 1) for level, width in enumerate(_WIDTHS)
        )
        self.up = nn.ModuleList(nn.Conv2d(coarse, fine, 1) for fine, coarse in pairwise(_WIDTHS))
        self.detail = nn.Conv2d(GRID * GRID, _WIDTHS[0], 1)
        self.head = nn.Conv2d(_WIDTHS[0], COLOURS, 1)

    def forward(self, grey: Tensor) -> Tensor:
        """Log-odds of the palette, as trained: with class weights in them.

        Args:
            grey: Luminance in [-1, 1], (B, 1, H, W), H and W multiples of 32.

        Returns:
            (B, COLOURS, H / 4, W / 4).
        """
        log_odds: Tensor = self.head(self.features(grey))
        return log_odds

    def features(self, grey: Tensor) -> Tensor:
        """The inputs of `head`, from pictures as `forward` takes them: (B, 48, H / 4, W / 4)."""
        return self.decode(grey, self.encoder(grey))

    def decode(self, grey: Tensor, taps: list[Tensor]) -> Tensor:
        """The inputs of `head`, from the pictures and what the encoder found in them."""
        features = self.lateral[3](taps[3])
        features = features + self.scene(taps[3].mean((2, 3)))[..., None, None]
        features = self.refine[3](features)
        for level in (2, 1, 0):
            coarse = self.up[level](functional.silu(features))
            features = functional.interpolate(coarse, scale_factor=2, mode="bilinear")
            features = features + self.lateral[level](taps[level])
            if level == 0:
                features = features + self.detail(functional.pixel_unshuffle(grey, GRID))
            features = self.refine[level](features)
        return functional.silu(features)
