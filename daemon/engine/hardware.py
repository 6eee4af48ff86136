"""What this machine offers the network: its device and memory.

Comes in: what the settings ask for. Goes out: a device's name and numbers. Allocates nothing.
"""

from pathlib import Path

import torch

from daemon.system.cgroups import free_bytes
from daemon.system.errors import DeviceError

PASS_PIXELS = {"cpu": 2**18, "mps": 2**20, "cuda": 2**22}
"""Pixels worth putting through one forward pass: beyond it a pass only takes longer.

Two CPU cores in bf16: a lone 512-px tile already fills them; 96-px tiles want company.
"""

_SHARE_OF_FREE = 0.5
_SHARE_FOR_MODELS = 0.3
_SHARE_OF_GPU = 0.7
_FALLBACK_BYTES = 2 << 30


def pick_device(choice: str) -> str:
    """The device to run on: what is asked for, or for "auto" the best there is.

    Raises:
        DeviceError: What is asked for is not there.
    """
    if choice == "auto":
        if torch.cuda.is_available():
            return "cuda:0"
        return "mps" if torch.backends.mps.is_available() else "cpu"
    kind, _, index = choice.partition(":")
    missing = (kind == "cuda" and torch.cuda.device_count() <= int(index or 0)) or (
        kind == "mps" and not torch.backends.mps.is_available()
    )
    if missing:
        raise DeviceError(f'device {choice!r} is not there; device = "auto" takes what is')
    return "cuda:0" if choice == "cuda" else choice


def pass_pixels(device: str) -> int:
    """How many pixels one forward pass on this device shall hold."""
    return PASS_PIXELS[device.partition(":")[0]]


def use_threads(count: int) -> None:
    """Let the operations of the calling thread use so many cores; other threads keep theirs.

    Asking for the number makes it stick: at its first operation a thread takes over whatever number
    was set last, in any thread.
    """
    torch.set_num_threads(count)
    torch.get_num_threads()


def memory_budget() -> int:
    """Bytes that photographs in flight may take: half of what is free, also inside a container."""
    free = [value for value in (_free_in_machine(), free_bytes()) if value is not None]
    return max(256 << 20, int(_SHARE_OF_FREE * min(free, default=_FALLBACK_BYTES)))


def model_budget(device: str) -> int:
    """Bytes that models may take that stay loaded, in all.

    The rest of a GPU's memory is for activations, the rest of the machine's for photographs.
    """
    if device.startswith("cuda"):
        return int(_SHARE_OF_GPU * torch.cuda.get_device_properties(device).total_memory)
    return int(_SHARE_FOR_MODELS / _SHARE_OF_FREE * memory_budget())


def _free_in_machine() -> int | None:
    try:
        lines = Path("/proc/meminfo").read_text("ascii").splitlines()
    except OSError:
        return None
    found = [line.split()[1] for line in lines if line.startswith("MemAvailable:")]
    return int(found[0]) * 1024 if found else None
