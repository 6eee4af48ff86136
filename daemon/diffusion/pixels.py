"""Convert between pixels, uint8 or uint16 (H, W, 3), and tensors, float32 (3, H, W) in [-1, 1]."""

from typing import Any

import numpy as np
import torch
from numpy.typing import DTypeLike, NDArray
from PIL import Image
from torch import Tensor

from daemon.models.transfers import download, upload

LEVEL = 2 / 255
"""One level of 0 to 255, in units of [-1, 1]."""


def to_tensor(pixels: NDArray[np.generic], *, on_host: bool = False) -> Tensor:
    """Pixels (H, W, 3), uint8 or uint16, as float32 (3, H, W) in [-1, 1].

    Args:
        pixels: The pixels.
        on_host: They stay in the machine's memory, for what is measured there.
    """
    half = _highest_level(pixels.dtype) / 2
    codes = pixels if pixels.dtype == np.uint8 else pixels.astype(np.int32)
    lying = (_from_array if on_host else to_device)(codes).permute(2, 0, 1)
    planes = lying.to(torch.float32, memory_format=torch.contiguous_format)
    return planes.div_(half).sub_(1)


def to_device(array: NDArray[np.generic]) -> Tensor:
    """An array as a tensor of its own type on the device of this process."""
    return upload(_from_array(array))


def _from_array(array: NDArray[np.generic]) -> Tensor:
    return torch.from_numpy(np.require(array, requirements=("C", "W")))


def to_pixels(picture: Tensor, dtype: DTypeLike) -> NDArray[np.generic]:
    """A picture (3, H, W) in [-1, 1], clipped and rounded to uint8 or uint16 pixels (H, W, 3).

    Raises:
        FloatingPointError: It came of a device with NaN or infinities. On the processor answers are
            checked one by one.
    """
    highest = _highest_level(dtype)
    levels = picture.add(1).mul_(highest / 2)
    if picture.device.type != "cpu" and not download(levels.sum().isfinite()):
        raise FloatingPointError("NaN or infinities in the result")
    codes = levels.round_().clamp_(0, highest).to(torch.uint8 if highest < 2**8 else torch.int32)
    return download(codes.permute(1, 2, 0).contiguous()).numpy().astype(dtype, copy=False)


def to_host(tensor: Tensor) -> NDArray[np.generic]:
    """A tensor as an array in the machine's memory."""
    array: NDArray[np.generic] = download(tensor).numpy()
    return array


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
