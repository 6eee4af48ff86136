"""Measures how fast a recipe runs on this machine: photographs an hour, and what bounds them.

Photographs go through a worker like the daemon's; what becomes of them is thrown away. The numbers
are those that `estimate` goes by: device time, and time of a core for reading and writing.
"""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from daemon.config.recipe import Recipe
from daemon.executors.shares import distinct_devices
from daemon.jobs.time_estimates import estimate_s, job_time_of, pace_of
from daemon.messages.tasks import Compute
from daemon.service.estimate import trial_picture, trial_records
from daemon.system.cgroups import core_count
from daemon.system.errors import DeviceError

PHOTOGRAPHS = 8
"""Photographs that are restored: a batch, and reading and writing beside it."""


@dataclass(frozen=True)
class Speed:
    """How fast a recipe runs, by photographs (or pairs) just restored.

    Attributes:
        device: Name of the device.
        photographs: How many were restored.
        megapixels: Their size, on average.
        device_s: Seconds of the device that each takes.
        host_s: Seconds of a core that each takes to be read and written.
        cores: Cores that read and write beside the device.
        devices: Devices that share the work.
        per_hour: How many are restored in an hour.
    """

    device: str
    photographs: int
    megapixels: float
    device_s: float
    host_s: float
    cores: int
    devices: int
    per_hour: float

    @property
    def is_bound_by_device(self) -> bool:
        """Whether the device is the slower of the two; otherwise reading and writing is."""
        return self.device_s / self.devices >= self.host_s / self.cores

    def seconds(self, photographs: int) -> float:
        """Seconds that so many photographs of this size take with nothing else to do."""
        return 3600 * photographs / self.per_hour


def measure(recipe: Recipe, photographs: Sequence[Path], compute: Compute) -> Speed:
    """Restore photographs and see how long they take.

    Args:
        recipe: The recipe.
        photographs: Photographs; for a recipe of pairs, each two in a row are a pair.
        compute: How to use the machine.

    Raises:
        DeviceError: None could be restored.
        ConfigError: A model is missing.
    """
    records = trial_records(recipe, photographs, compute)
    times = [found for found in map(job_time_of, records) if found is not None]
    pace = pace_of(times)
    if pace is None:
        raise DeviceError(f"restoring by {recipe.name} gave no times")
    sizes = [one.megapixels for one in times]
    cores = compute.threads or core_count()
    devices = len(distinct_devices(compute))
    seconds = estimate_s(sizes, pace, cores, devices)
    return Speed(
        str(records[0].get("device", "")),
        len(times),
        sum(sizes) / len(times),
        pace.device.over(sizes) / len(times),
        pace.host.over(sizes) / len(times),
        cores,
        devices,
        3600 * len(times) / max(seconds, 1e-6),
    )


def measure_made(recipe: Recipe, megapixels: float, compute: Compute) -> Speed:
    """Measure with photographs that are made for it: a ramp with noise, 3 wide and 2 high.

    Args:
        recipe: The recipe.
        megapixels: Size of each.
        compute: How to use the machine.
    """
    width = max(1, round((megapixels * 1.5e6) ** 0.5))
    size = (width, max(1, round(width / 1.5)))
    with tempfile.TemporaryDirectory(prefix="restored-bench-") as folder:
        made = [
            trial_picture(Path(folder) / f"{number}.png", size, number)
            for number in range(PHOTOGRAPHS * recipe.photos)
        ]
        return measure(recipe, made, compute)
