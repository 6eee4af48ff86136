"""The share of the machine that each of several workers has: its device, cores and memory."""

import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from daemon.messages.tasks import Compute
from daemon.system.cgroups import core_count

_COUNT_GPUS = "import torch; print(torch.cuda.device_count())"
_COUNT_S = 120.0
"""Seconds that counting the GPUs may take; importing torch from a cold disk takes half a minute."""


def shares_of(compute: Compute) -> Sequence[Compute]:
    """How each worker may use the machine: its device, and an equal share of cores and memory.

    A GPU has memory of its own for models, which only workers on the same one share.
    """
    devices = worker_devices(compute)
    beside, number = Counter(devices), len(devices)
    cores = compute.threads or core_count()

    def share(size: int | None, among: int) -> int | None:
        return None if size is None else size // among

    return [
        replace(
            compute,
            device=device,
            devices=(),
            threads=max(1, cores // number),
            memory_bytes=share(compute.memory_bytes, number),
            model_bytes=share(compute.model_bytes, beside[device]),
            workers=number,
            device_workers=beside[device],
        )
        for device in devices
    ]


def worker_devices(compute: Compute) -> tuple[str, ...]:
    """The device of each worker."""
    devices = compute.devices or (compute.device,)
    return all_devices() if devices == ("all",) else devices


def distinct_devices(compute: Compute) -> tuple[str, ...]:
    """The devices of the workers, each once."""
    return tuple(dict.fromkeys(worker_devices(compute)))


def all_devices() -> tuple[str, ...]:
    """Every NVIDIA GPU that this process may use; without one, the best device there is.

    A process of its own asks torch, which this one never imports.
    """
    command = [sys.executable, "-c", _COUNT_GPUS]
    try:
        said = subprocess.run(command, capture_output=True, text=True, timeout=_COUNT_S).stdout
        count = int(said.strip() or 0)
    except (OSError, ValueError, subprocess.TimeoutExpired):
        count = 0
    return tuple(f"cuda:{number}" for number in range(count)) or ("auto",)
