"""JPEG as batched torch on any device: compress and read again, as libjpeg does.

Differs from Pillow by rounding alone; tests/project/test_torch_damage.py holds it to that.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional

_LUMA = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)
_CHROMA_CORNER = ((17, 18, 24, 47), (18, 21, 26, 66), (24, 26, 56, 99), (47, 66, 99, 99))
"""Quantisation of luminance, and of the lowest frequencies of chroma: annex K of the standard."""

_TO_YCC = (
    (0.299, 0.587, 0.114),
    (-0.168735892, -0.331264108, 0.5),
    (0.5, -0.418687589, -0.081312411),
)
_TO_RGB = ((1.0, 0.0, 1.402), (1.0, -0.344136286, -0.714136286), (1.0, 1.772, 0.0))


def round_to_levels(pictures: Tensor) -> Tensor:
    """Round to whole levels, 0 to 255, as files hold them."""
    return pictures.round().clamp(0, 255)


def jpeg(pictures: Tensor, quality: Tensor, full_chroma: Tensor) -> Tensor:
    """Compress and read again.

    Args:
        pictures: (B, 3, H, W), 0 to 255; sides multiples of 16.
        quality: 1 to 100, (B,).
        full_chroma: Which have 4:4:4, the others 4:2:0, bool (B,).

    Returns:
        Same shape, whole levels.
    """
    ycc = torch.einsum("ij,bjhw->bihw", pictures.new_tensor(_TO_YCC), pictures)
    ycc[:, 1:] += 128
    ycc = ycc.round()
    luma = _compressed(ycc[:, :1], _table(_luma_table(), quality))
    chroma_table = _table(_chroma_table(), quality)
    full = _compressed(ycc[:, 1:], chroma_table)
    # libjpeg adds 1 and 2 by turns before it divides the sum of four by 4.
    bias = pictures.new_tensor([0.25, 0.5]).repeat(pictures.shape[3] // 4)
    small = _compressed((functional.avg_pool2d(ycc[:, 1:], 2) + bias).floor(), chroma_table)
    enlarged = functional.interpolate(small, scale_factor=2.0, mode="bilinear").round()
    chroma = torch.where(full_chroma[:, None, None, None], full, enlarged) - 128
    both = torch.cat((luma, chroma), 1)
    return round_to_levels(torch.einsum("ij,bjhw->bihw", pictures.new_tensor(_TO_RGB), both))


def _luma_table() -> Tensor:
    return torch.tensor(_LUMA, dtype=torch.float32)


def _chroma_table() -> Tensor:
    table = torch.full((8, 8), 99.0)
    table[:4, :4] = torch.tensor(_CHROMA_CORNER)
    return table


def _table(base: Tensor, quality: Tensor) -> Tensor:
    """Quantisation tables of qualities (B,), (B, 8, 8)."""
    quality = quality.float()
    scale = torch.where(quality < 50, (5000 / quality).floor(), 200 - 2 * quality)
    table = (base.to(quality.device) * scale[:, None, None] + 50) / 100
    return table.floor().clamp(1, 255)


def _compressed(planes: Tensor, table: Tensor) -> Tensor:
    """Planes (B, C, H, W) after quantisation of their 8x8 cosine transforms."""
    count, channels, height, width = planes.shape
    dct = _cosines().to(planes)
    shape = (count, channels, height // 8, 8, width // 8, 8)
    blocks = (planes - 128).reshape(shape).permute(0, 1, 2, 4, 3, 5)
    steps = table[:, None, None, None]
    kept = torch.round(dct @ blocks @ dct.T / steps) * steps
    back = (dct.T @ kept @ dct + 128).permute(0, 1, 2, 4, 3, 5)
    return round_to_levels(back.reshape(planes.shape))


def _cosines() -> Tensor:
    rows = [
        [
            (math.sqrt(1 / 8) if k == 0 else 0.5) * math.cos((2 * n + 1) * k * math.pi / 16)
            for n in range(8)
        ]
        for k in range(8)
    ]
    return torch.tensor(rows)
