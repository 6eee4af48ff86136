"""Copies between the machine's memory and the device: the one way on which tensors go.

Between the first and the last step of a photograph none goes: its pixels come to the device once,
noise is computed there, models answer there, and the result leaves once. Every copy is counted.

A process drives one device. On CUDA copies come from and go to pinned memory, and only the copy to
the machine's memory waits for the device.
"""

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class Copies:
    """Copies since the process began.

    Attributes:
        uploads: Copies to the device.
        downloads: Copies to the machine's memory.
    """

    uploads: int = 0
    downloads: int = 0


class _Seam:
    """The device of this process, and the counts."""

    def __init__(self) -> None:
        self.device = torch.device("cpu")
        self.copies = Copies()
        self._lock = threading.Lock()

    def count(self, *, uploads: int = 0, downloads: int = 0) -> None:
        with self._lock:
            done = self.copies
            self.copies = Copies(done.uploads + uploads, done.downloads + downloads)


_seam = _Seam()


def use_device(name: str) -> None:
    """Set the device that this process computes on: "cpu", "cuda:N" or "mps"."""
    _seam.device = torch.device(name)


def compute_device() -> torch.device:
    """The device that this process computes on; the processor unless `use_device` was called."""
    return _seam.device


def copies() -> Copies:
    """Copies since the process began; where the processor is the device, hand-overs."""
    return _seam.copies


def upload(tensor: Tensor, device: torch.device | None = None) -> Tensor:
    """Bring a tensor from the machine's memory to a device, without waiting for the copy.

    Args:
        tensor: On the processor.
        device: Where to; None means the device of this process.
    """
    _seam.count(uploads=1)
    target = _seam.device if device is None else device
    if target.type == "cuda":
        tensor = tensor.pin_memory()
    return tensor.to(target, non_blocking=True)


def download(tensor: Tensor) -> Tensor:
    """Bring a tensor to the machine's memory, once all that it depends on is computed."""
    _seam.count(downloads=1)
    if tensor.device.type != "cuda":
        return tensor.cpu()
    pinned = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
    pinned.copy_(tensor, non_blocking=True)
    cuda: Any = torch.cuda  # types no events
    copied = cuda.Event()
    copied.record(torch.cuda.current_stream(tensor.device))
    copied.synchronize()
    return pinned


def move(tensor: Tensor, device: torch.device) -> Tensor:
    """Bring a tensor to a device; nothing is copied or counted where it lies there."""
    if tensor.device == device:
        return tensor
    return download(tensor) if device.type == "cpu" else upload(tensor, device)


def scalars(
    values: Sequence[float], device: torch.device, dtype: torch.dtype = torch.float32
) -> Tensor:
    """Numbers as a vector on a device, written by the kernels themselves: nothing is copied."""
    if device.type == "cpu":
        return torch.tensor(values, dtype=dtype)
    vector = torch.empty(len(values), dtype=dtype, device=device)
    for place, value in zip(vector.unbind(0), values, strict=True):
        place.fill_(value)
    return vector
