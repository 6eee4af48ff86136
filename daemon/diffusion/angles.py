"""Diffusion time as an angle of the variance-preserving process, and the angles of sampling runs.

x_t = cos(t) x0 + sin(t) eps with t in [0, pi/2]. The noise level relative to the picture is
sigma = tan(t), in units of [-1, 1].
"""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from itertools import accumulate, pairwise
from typing import assert_never

from daemon.checkpoints.traits import Betas
from daemon.config.steps import Spacing, SpacingName

_LATE_POWER = 1.5
"""Power of the share of the way in `late`; measured against 1 and 2 in docs/design.md."""

_KARRAS_RHO = 7.0
_ALL_NOISE = math.pi / 2 - 1e-3
"""Angle that stands for pi/2 where its infinite noise level is needed."""

_STABLE_DIFFUSION = Betas("scaled_linear", 0.00085, 0.012, 1000)

_LEAST_BETA_SHARE, _MOST_BETA = 0.008, 0.999
"""Offset and bound of the cosine schedule: arXiv:2102.09672, section 3.2."""


def even_angles(start: float, steps: int) -> list[float]:
    """Equally spaced angles of a sampling run, from `start` down to 0.0.

    Args:
        start: First angle in radians, [0, pi/2].
        steps: Evaluations of the network, at least 1.

    Returns:
        steps + 1 angles; the network is asked at all but the last, which is exactly 0.
    """
    return [start * (steps - k) / steps for k in range(steps + 1)]


def spaced_angles(start: float, steps: int, spacing: Spacing) -> list[float]:
    """Angles of a sampling run in a spacing of the table, or in shares of the first angle.

    Args:
        start: First angle in radians, [0, pi/2].
        steps: Evaluations of the network, at least 1; shares bring their own number.
        spacing: A name, or shares of the first angle, descending from 1, the last above 0.

    Returns:
        Descending angles, the first `start`, the last exactly 0.
    """
    if not isinstance(spacing, str):
        return [*(share * start for share in spacing), 0.0]
    return SPACINGS[spacing](start, steps)


def angle_of(sigma: float) -> float:
    """Angle in radians, [0, pi/2), of a noise level in units of [-1, 1]: atan(sigma)."""
    return math.atan(sigma)


def _late_angles(start: float, steps: int) -> list[float]:
    """Most steps where there is little noise: start (1 - k/steps)^1.5."""
    return [start * (1 - k / steps) ** _LATE_POWER for k in range(steps + 1)]


def _karras_angles(start: float, steps: int) -> list[float]:
    """Noise levels of equal distance in sigma^(1/7) down to the smallest of training, then 0.

    Source: arXiv:2206.00364, eq. 5.
    """
    highest = math.tan(min(start, _ALL_NOISE))
    smallest = min(math.tan(training_angles(_STABLE_DIFFUSION)[0]), highest / 10)
    first, last = (sigma ** (1 / _KARRAS_RHO) for sigma in (highest, smallest))
    shares = [k / max(1, steps - 1) for k in range(1, steps)]
    sigmas = [(first + share * (last - first)) ** _KARRAS_RHO for share in shares]
    return [start, *map(angle_of, sigmas), 0.0]


def _trailing_angles(start: float, steps: int) -> list[float]:
    """Equal distances in the training time of Stable Diffusion's schedule.

    Source: arXiv:2305.08891, table 2, "trailing"; begun at the time whose angle is `start`.
    """
    known = training_angles(_STABLE_DIFFUSION)
    begin = next((time for time, angle in enumerate(known, 1) if angle >= start), len(known))
    if begin <= steps:  # less noise than that training has so many times for
        return even_angles(start, steps)
    times = [begin - round(k * begin / steps) for k in range(1, steps)]
    return [start, *(min(start, known[max(1, time) - 1]) for time in times), 0.0]


@cache
def training_angles(betas: Betas) -> Sequence[float]:
    """Angles of a checkpoint's training times in radians, ascending, one for each of its betas."""
    products = list(accumulate((1 - beta for beta in _beta_values(betas)), lambda a, b: a * b))
    roots = [math.sqrt(product) for product in products]
    if betas.zero_snr:  # arXiv:2305.08891, algorithm 1
        roots = [(root - roots[-1]) * roots[0] / (roots[0] - roots[-1]) for root in roots]
    return [math.acos(root) for root in roots]


def _beta_values(betas: Betas) -> Sequence[float]:
    """The betas themselves."""
    count = betas.count
    match betas.schedule:
        case "linear":
            span = betas.last - betas.first
            return [betas.first + span * k / max(1, count - 1) for k in range(count)]
        case "scaled_linear":
            low, high = math.sqrt(betas.first), math.sqrt(betas.last)
            return [(low + (high - low) * k / max(1, count - 1)) ** 2 for k in range(count)]
        case "squaredcos_cap_v2":
            shares = [_cosine_share(k / count) for k in range(count + 1)]
            return [min(1 - late / early, _MOST_BETA) for early, late in pairwise(shares)]
        case _:
            assert_never(betas.schedule)


def _cosine_share(time: float) -> float:
    """Power of the picture at a share of the training times in the cosine schedule."""
    angle = (time + _LEAST_BETA_SHARE) / (1 + _LEAST_BETA_SHARE) * math.pi / 2
    return math.cos(angle) ** 2


def own_angles(known: Sequence[float], start: float, steps: int) -> list[float]:
    """Angles of a run that keeps to those a checkpoint knows, from the one nearest to a start.

    Args:
        known: The angles that it knows in radians, falling.
        start: Where the run is to begin, in radians.
        steps: Most evaluations; at least 1.

    Returns:
        Up to steps + 1 falling angles, evenly chosen among those known, the last exactly 0.

    Source: LCM, arXiv:2310.04378, whose sampling skips evenly over the times of its distillation.
    """
    first = min(range(len(known)), key=lambda index: abs(known[index] - start))
    below = known[first:]
    count = min(steps, len(below))
    return [*(below[len(below) * k // count] for k in range(count)), 0.0]


SPACINGS: Mapping[SpacingName, Callable[[float, int], list[float]]] = {
    "even": even_angles,
    "late": _late_angles,
    "karras": _karras_angles,
    "trailing": _trailing_angles,
}
"""Every spacing by the name that recipes use: (first angle, steps) -> angles."""
