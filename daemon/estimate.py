"""How long work will take, before it begins.

Comes in: sizes of photographs, what finished jobs of the same recipe and weights took here. Goes
out: seconds. Pure numbers: it reads nothing, and knows nothing of other work on the device.
"""

from collections.abc import Sequence
from dataclasses import dataclass

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
class Line:
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

    device: Line
    host: Line
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


def _fit(sizes: Sequence[float], seconds: Sequence[float]) -> Line:
    """Least squares, with neither part below zero; through the origin where sizes are alike."""
    count = len(sizes)
    mean_size, mean_s = sum(sizes) / count, sum(seconds) / count
    spread = sum((size - mean_size) ** 2 for size in sizes)
    proportional = Line(0, mean_s / mean_size) if mean_size else Line(mean_s, 0)
    if spread <= (0.05 * mean_size) ** 2 * count:
        return proportional
    slope = (
        sum((x - mean_size) * (y - mean_s) for x, y in zip(sizes, seconds, strict=True)) / spread
    )
    if slope <= 0:
        return Line(mean_s, 0)
    fixed_s = mean_s - slope * mean_size
    return Line(fixed_s, slope) if fixed_s >= 0 else proportional


def rate_per_s(done: int, first: float, now: float) -> float:
    """Jobs a second of those done since the first of them; times in UTC seconds."""
    return done / max(now - first, 1.0)
