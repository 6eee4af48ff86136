"""How long work will take, before it begins.

Comes in: sizes of photographs, what finished jobs of the same recipe and weights took here. Goes
out: seconds. Pure numbers: it reads nothing, and knows nothing of other work on the device.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from daemon.checkpoints.library import Library
from daemon.config.recipe import Recipe
from daemon.jobs.job_log import days

RATE_WINDOW_S = 3600.0
"""Of the past, from which the rate of what is at work now is told."""


@dataclass(frozen=True)
class Sample:
    """What one finished job took.

    Attributes:
        megapixels: Size of its photographs together.
        device_s: Its share of the forward passes.
        host_s: Reading and writing, and restoring where no network is asked, on one core.
    """

    megapixels: float
    device_s: float
    host_s: float


@dataclass(frozen=True)
class LinearFit:
    """Seconds of a job as a straight line over its size: a job has a fixed cost, and one by area.

    Attributes:
        fixed_s: For a job of any size.
        per_megapixel_s: For each million pixels.
    """

    fixed_s: float
    per_megapixel_s: float

    def over(self, megapixels: Sequence[float]) -> float:
        """Seconds of all these jobs, one after another."""
        return self.fixed_s * len(megapixels) + self.per_megapixel_s * sum(megapixels)


@dataclass(frozen=True)
class Pace:
    """How fast a recipe goes on a machine.

    Attributes:
        device: Time of the network.
        host: Time of reading and writing.
        samples: Of so many jobs it was learnt.
    """

    device: LinearFit
    host: LinearFit
    samples: int


def pace_of(samples: Sequence[Sample]) -> Pace | None:
    """What finished jobs say of the next ones, or None where there are none."""
    if not samples:
        return None
    sizes = [sample.megapixels for sample in samples]
    return Pace(
        _fit(sizes, [sample.device_s for sample in samples]),
        _fit(sizes, [sample.host_s for sample in samples]),
        len(samples),
    )


def estimate_s(megapixels: Sequence[float], pace: Pace, cores: int = 1) -> float:
    """How long photographs of these sizes take when nothing else wants the machine.

    The engine reads and writes some photographs while the network works on others, so the slower
    of the two decides.

    Args:
        megapixels: Size of each job, the photographs of a pair together.
        pace: Of the recipe.
        cores: That read and write at the same time.

    Returns:
        Seconds from the first to the last result.
    """
    return max(pace.device.over(megapixels), pace.host.over(megapixels) / max(1, cores))


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
    """Jobs a second of those done since the first of them; times in UTC seconds."""
    return done / max(now - first, 1.0)


_SAMPLES = 500
"""The latest so many jobs are asked: a machine's pace changes with its load and its drivers."""


_TAIL_BYTES = 8 << 20


def samples(logs: Path, recipe: Recipe, library: Library) -> list[Sample]:
    """What the latest jobs of this very recipe with these very weights took, the newest first.

    Only those on the device of the newest count: another is faster or slower.

    Args:
        logs: Folder of the job log.
        recipe: What is to be done.
        library: Where its models lie.
    """
    pinned, weights = library.resolved(recipe)
    wanted = (pinned.digest, dict(zip(pinned.models, weights, strict=True)))
    found: list[Sample] = []
    device = None
    for line in _newest_first(logs):
        if (line.get("recipe_digest"), line.get("models")) != wanted:
            continue
        device = line.get("device") if device is None else device
        sample = sample_of(line)
        if sample is None or line.get("device") != device:
            continue
        found.append(sample)
        if len(found) == _SAMPLES:
            break
    return found


def sample_of(record: Mapping[str, Any]) -> Sample | None:
    """What a record says of its job's time, or None if it is no whole record."""
    try:
        timing = record["timing"]
        photos = [given for given in record["inputs"] if given["role"] == "photo"]
        pixels = sum(photo["width"] * photo["height"] for photo in photos)
        host_s = timing["decode_s"] + timing["encode_s"]
        if timing.get("calls") == 0:  # nothing was waited for
            host_s += timing["restore_s"]
        return Sample(pixels / 1e6, float(timing["device_s"]), float(host_s))
    except (KeyError, TypeError, ValueError):
        return None


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
            except ValueError:  # cut off by a crash, or by where reading began
                continue
            if isinstance(content, dict):
                yield content
        if left <= 0:
            return
