"""Estimates of how long jobs will take, by what finished jobs of the same recipe and weights took.

An estimate takes the machine to be free for it; other work on the device is not considered.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, Field, ValidationError

from daemon.checkpoints.library import Library
from daemon.config.recipe import Recipe
from daemon.jobs.job_log import days

RATE_WINDOW_S = 3600.0
"""Seconds of the past; the jobs finished in them give the current rate."""

_MAX_JOBS = 500
"""Most jobs that are read, the latest: a machine's pace changes with its load and its drivers."""

_TAIL_BYTES = 8 << 20
"""Bytes of the job log that are read at most, from its end."""


@dataclass(frozen=True)
class JobTime:
    """The time that one finished job took.

    Attributes:
        megapixels: Size of its photographs together.
        device_s: Seconds on the device, its share of the forward passes.
        host_s: Seconds on one core: reading, writing, and restoring where no network is called.
    """

    megapixels: float
    device_s: float
    host_s: float


@dataclass(frozen=True)
class LinearFit:
    """Seconds of a job as a straight line over its size: a fixed cost, and one by area.

    Attributes:
        fixed_s: Seconds for a job of any size.
        per_megapixel_s: Seconds for each million pixels.
    """

    fixed_s: float
    per_megapixel_s: float

    def over(self, megapixels: Sequence[float]) -> float:
        """Seconds of all these jobs, one after another."""
        return self.fixed_s * len(megapixels) + self.per_megapixel_s * sum(megapixels)


@dataclass(frozen=True)
class Pace:
    """How fast a recipe runs on a machine.

    Attributes:
        device: Time of the network.
        host: Time of reading and writing.
        samples: Number of finished jobs that it was fitted to.
    """

    device: LinearFit
    host: LinearFit
    samples: int


def pace_of(times: Sequence[JobTime]) -> Pace | None:
    """The pace fitted to finished jobs; None if there are none."""
    if not times:
        return None
    sizes = [one.megapixels for one in times]
    return Pace(
        _fit(sizes, [one.device_s for one in times]),
        _fit(sizes, [one.host_s for one in times]),
        len(times),
    )


def estimate_s(megapixels: Sequence[float], pace: Pace, cores: int = 1, devices: int = 1) -> float:
    """Seconds that jobs of these sizes take on a machine with nothing else to do.

    The engine reads and writes some photographs while the network works on others, so the slower
    of the two decides.

    Args:
        megapixels: Size of each job, the photographs of a pair together.
        pace: The pace of the recipe.
        cores: CPU cores that read and write at the same time.
        devices: Devices that share the jobs; workers on the same device share its pace.

    Returns:
        Seconds from the first to the last result.
    """
    device_s = pace.device.over(megapixels) / max(1, devices)
    return max(device_s, pace.host.over(megapixels) / max(1, cores))


def _fit(sizes: Sequence[float], seconds: Sequence[float]) -> LinearFit:
    """Least squares, with neither part below zero; through the origin where sizes are alike."""
    count = len(sizes)
    mean_size, mean_s = sum(sizes) / count, sum(seconds) / count
    spread = sum((size - mean_size) ** 2 for size in sizes)
    proportional = LinearFit(0, mean_s / mean_size) if mean_size else LinearFit(mean_s, 0)
    if spread <= (0.05 * mean_size) ** 2 * count:
        return proportional
    slope = (
        sum((x - mean_size) * (y - mean_s) for x, y in zip(sizes, seconds, strict=True)) / spread
    )
    if slope <= 0:
        return LinearFit(mean_s, 0)
    fixed_s = mean_s - slope * mean_size
    return LinearFit(fixed_s, slope) if fixed_s >= 0 else proportional


def rate_per_s(done: int, first: float, now: float) -> float:
    """Jobs a second.

    Args:
        done: How many were done.
        first: When the first of them was, UTC seconds since the epoch.
        now: UTC seconds since the epoch.
    """
    return done / max(now - first, 1.0)


def job_times(logs: Path, recipe: Recipe, library: Library) -> list[JobTime]:
    """The times of the latest jobs of a recipe with its present weights, the newest first.

    Jobs on another device than that of the newest are left out: it is faster or slower.

    Args:
        logs: Folder of the job log.
        recipe: The recipe.
        library: Where its models lie.
    """
    pinned, weights = library.resolved(recipe)
    wanted = (pinned.digest, dict(zip(pinned.models, weights, strict=True)))
    found: list[JobTime] = []
    device = None
    for line in _newest_first(logs):
        if (line.get("recipe_digest"), line.get("models")) != wanted:
            continue
        device = line.get("device") if device is None else device
        job_time = job_time_of(line)
        if job_time is None or line.get("device") != device:
            continue
        found.append(job_time)
        if len(found) == _MAX_JOBS:
            break
    return found


def job_time_of(record: Mapping[str, Any]) -> JobTime | None:
    """The time that a job took by its record; None if that is incomplete or makes no sense."""
    try:
        found = _Record.model_validate(record)
    except ValidationError:
        return None
    timing, pixels = found.timing, 0
    for given in found.inputs:
        if given.role == "photo":
            if given.width is None or given.height is None:
                return None
            pixels += given.width * given.height
    host_s = timing.decode_s + timing.encode_s
    if timing.calls == 0:  # nothing was waited for
        if timing.restore_s is None:
            return None
        host_s += timing.restore_s
    return JobTime(pixels / 1e6, timing.device_s, host_s)


_Seconds = Annotated[float, Field(ge=0, le=1e9)]
_Side = Annotated[int, Field(ge=0, le=1 << 31)] | None


class _Input(BaseModel):
    role: str
    width: _Side = None
    height: _Side = None


class _Timing(BaseModel):
    decode_s: _Seconds
    encode_s: _Seconds
    device_s: _Seconds
    restore_s: _Seconds | None = None
    calls: int | None = None


class _Record(BaseModel):
    """The keys of a record that say what a job took."""

    inputs: tuple[_Input, ...]
    timing: _Timing


def _newest_first(logs: Path) -> Iterator[Mapping[str, Any]]:
    left = _TAIL_BYTES
    for _, path in reversed(days(logs)):
        try:
            with path.open("rb") as file:
                size = file.seek(0, 2)
                file.seek(max(0, size - left))
                lines = file.read(left).splitlines()
        except OSError:
            continue
        left -= size
        for line in reversed(lines):
            try:
                content = json.loads(line)
            except (ValueError, RecursionError):  # cut off by a crash, or by where reading began
                continue
            if isinstance(content, dict):
                yield content
        if left <= 0:
            return
