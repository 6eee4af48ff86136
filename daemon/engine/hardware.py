"""The machine's device and memory, and the engine's budgets drawn from them.

Nothing here allocates memory. torch is imported by `pick_device`, so that tasks which ask no
network need not wait for it.
"""

import gc
import importlib
import sys
from pathlib import Path
from types import ModuleType

from daemon.system.cgroups import free_bytes
from daemon.system.errors import DeviceError

PASS_PIXELS = {"cpu": 2**18, "mps": 2**20, "cuda": 2**22}
"""Pixels worth putting through one forward pass, by kind of device; with more it only takes longer.

Two CPU cores in bf16 are filled by one 512-px tile; 96-px tiles are faster in batches.
"""

NO_DEVICE = "cpu"
"""Name of the device where no task asks a network."""

_SHARE_OF_FREE = 0.5
"""Share of the machine's free memory for tasks in flight."""

_SHARE_FOR_MODELS = 0.3
"""Share of the machine's free memory for models, where the device has no memory of its own."""

_SHARE_OF_GPU = 0.7
"""Share of a GPU's memory for models; the rest is for activations and photographs."""

_SHARE_FOR_TASKS = 0.1
"""Share of a GPU's memory for what tasks in flight keep on it between their passes."""

_LEAST_BYTES = 256 << 20
"""Bytes for tasks in flight at least, however little is free."""

_FALLBACK_BYTES = 2 << 30
"""Free memory that is assumed where the system does not tell."""


def pick_device(choice: str) -> str:
    """Name of the device to run on: "cpu", "mps" or "cuda:N".

    Args:
        choice: As in `Compute.device`; "auto" is the best there is.

    Raises:
        DeviceError: The chosen device is not there.
    """
    torch = load_torch()
    if choice == "auto":
        if torch.cuda.is_available():
            return "cuda:0"
        return "mps" if torch.backends.mps.is_available() else "cpu"
    kind, _, index = choice.partition(":")
    missing = (kind == "cuda" and torch.cuda.device_count() <= int(index or 0)) or (
        kind == "mps" and not torch.backends.mps.is_available()
    )
    if missing:
        raise DeviceError(f'device {choice!r} is not there; device = "auto" takes the best one')
    return "cuda:0" if choice == "cuda" else choice


def load_torch() -> ModuleType:
    """Import torch without searching what it makes for garbage: 1.3 s instead of 1.8.

    What is there by then is never searched later either: modules stay until the process ends.
    """
    if "torch" not in sys.modules and gc.isenabled():
        gc.disable()
        try:
            importlib.import_module("torch")
        finally:
            gc.freeze()
            gc.enable()
    return importlib.import_module("torch")


def pass_pixels(device: str) -> int:
    """Pixels worth putting through one forward pass on this device."""
    return PASS_PIXELS[device.partition(":")[0]]


def use_threads(count: int) -> None:
    """Set how many cores torch uses in the calling thread; other threads keep theirs.

    Reading the number makes it stick: otherwise a thread takes over, at its first operation,
    whatever number was set last in any thread. Where torch is not loaded nothing is to be set: an
    engine that needs it has loaded it before it has threads.
    """
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_num_threads(count)
        torch.get_num_threads()


def memory_budget() -> int:
    """Bytes for tasks in flight: half of what is free, within a container's limit too."""
    free = [value for value in (_free_in_machine(), free_bytes()) if value is not None]
    return max(_LEAST_BYTES, int(_SHARE_OF_FREE * min(free, default=_FALLBACK_BYTES)))


def model_budget(device: str) -> int:
    """Bytes for all loaded models on this device."""
    if device.startswith("cuda"):
        import torch

        return int(_SHARE_OF_GPU * torch.cuda.get_device_properties(device).total_memory)
    return int(_SHARE_FOR_MODELS / _SHARE_OF_FREE * memory_budget())


def task_budget(device: str) -> int:
    """Bytes that tasks in flight may keep on this device; no limit where it is the machine's."""
    if device.startswith("cuda"):
        import torch

        return int(_SHARE_FOR_TASKS * torch.cuda.get_device_properties(device).total_memory)
    return sys.maxsize


def _free_in_machine() -> int | None:
    try:
        lines = Path("/proc/meminfo").read_text("ascii").splitlines()
    except OSError:
        return None
    found = [line.split()[1] for line in lines if line.startswith("MemAvailable:")]
    return int(found[0]) * 1024 if found else None
