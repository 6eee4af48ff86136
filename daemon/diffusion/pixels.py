"""Convert between pixels, uint8 or uint16 (H, W, 3), and tensors, float32 (3, H, W) in [-1, 1]."""

from typing import Any

import numpy as np
import torch
from numpy.typing import DTypeLike, NDArray
from PIL import Image
from torch import Tensor

LEVEL = 2 / 255
"""One level of 0 to 255, in units of [-1, 1]."""


def to_tensor(pixels: NDArray[np.generic]) -> Tensor:
    """Pixels (H, W, 3), uint8 or uint16, as float32 (3, H, W) in [-1, 1]."""
    half = _highest_level(pixels.dtype) / 2
    planes = np.ascontiguousarray(pixels.transpose(2, 0, 1), dtype=np.float32)
    return torch.from_numpy(planes).div_(half).sub_(1)


def to_pixels(picture: Tensor, dtype: DTypeLike) -> NDArray[np.generic]:
    """A picture (3, H, W) in [-1, 1], clipped and rounded to uint8 or uint16 pixels (H, W, 3)."""
    highest = _highest_level(dtype)
    levels = picture.add(1).mul_(highest / 2).round_().clamp_(0, highest)
    return np.ascontiguousarray(levels.permute(1, 2, 0).numpy().astype(dtype))


def resize(
    pixels: NDArray[Any],
    width: int,
    height: int,
    box: tuple[float, float, float, float] | None = None,
) -> NDArray[Any]:
    """Resize pixels bicubically, with an antialias where they shrink.

    Args:
        pixels: (h, w, 3) or (h, w), uint8 or uint16.
        width, height: Size of the result, in pixels.
        box: Left, top, right and bottom of the part to take, in pixels; None takes all.

    Returns:
        (height, width, 3) or (height, width), same type.
    """
    if pixels.dtype == np.uint8:
        return _resized(pixels, width, height, box)
    planes = pixels.reshape(*pixels.shape[:2], -1).astype(np.float32)
    channels = [
        _resized(planes[..., channel], width, height, box) for channel in range(planes.shape[2])
    ]
    levels = np.stack(channels, axis=2).round().clip(0, _highest_level(pixels.dtype))
    return levels.astype(pixels.dtype).reshape(height, width, *pixels.shape[2:])


def _resized(
    plane: NDArray[Any], width: int, height: int, box: tuple[float, float, float, float] | None
) -> NDArray[Any]:
    image = Image.fromarray(plane).resize((width, height), Image.Resampling.BICUBIC, box)
    return np.asarray(image)


def to_grey(picture: Tensor) -> Tensor:
    """The mean of the channels in all three of them, (3, H, W)."""
    return picture.mean(0, keepdim=True).expand_as(picture)


def _highest_level(dtype: DTypeLike) -> int:
    return int(np.iinfo(np.dtype(dtype).name).max)
