"""The memory of a device: what a forward pass took at its peak, and what is free for the next."""

from typing import Protocol


class MemoryMeter(Protocol):
    """Measures passes. Nothing here waits for the device: its allocator is asked."""

    def start(self) -> None:
        """Begin to measure: a pass is about to be computed."""

    def peak_bytes(self) -> int | None:
        """What was taken at most since `start`, beyond what lay there; None if it is not known."""

    def room_bytes(self) -> int | None:
        """What is free for a pass; None where memory is not what limits one."""


class NoMeter:
    """Where the machine's memory is the device's, passes are small against it."""

    def start(self) -> None:
        """Nothing is measured."""

    def peak_bytes(self) -> int | None:
        """Not known."""
        return None

    def room_bytes(self) -> int | None:
        """Not limited."""
        return None


class CudaMeter:
    """Asks the caching allocator of a CUDA device.

    Args:
        name: "cuda:N".
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._before = 0

    def start(self) -> None:
        """Begin to measure."""
        import torch

        torch.cuda.reset_peak_memory_stats(self._name)
        self._before = torch.cuda.memory_allocated(self._name)

    def peak_bytes(self) -> int | None:
        """What was taken at most since `start`."""
        import torch

        return int(torch.cuda.max_memory_allocated(self._name)) - self._before

    def room_bytes(self) -> int | None:
        """What the driver has left and what the allocator keeps unused."""
        import torch

        free, _ = torch.cuda.mem_get_info(self._name)
        kept = torch.cuda.memory_reserved(self._name) - torch.cuda.memory_allocated(self._name)
        return int(free + kept)


def meter_of(device: str) -> MemoryMeter:
    """The meter of a device: "cpu", "mps" or "cuda:N"."""
    return CudaMeter(device) if device.startswith("cuda") else NoMeter()
