"""Diffusion time as an angle of the variance-preserving process, and the angles of sampling runs.

x_t = cos(t) x0 + sin(t) eps with t in [0, pi/2]. The noise level relative to the picture is
sigma = tan(t), in units of [-1, 1].
"""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from itertools import accumulate

from daemon.config.steps import Spacing, SpacingName

_LATE_POWER = 1.5
"""Power of the share of the way in `late`; measured against 1 and 2 in docs/design.md."""

_KARRAS_RHO = 7.0
_ALL_NOISE = math.pi / 2 - 1e-3
"""Angle that stands for pi/2 where its infinite noise level is needed."""

_TRAINING_TIMES = 1000
_BETAS = (0.00085, 0.012)
"""Training times and range of the square roots' squares of Stable Diffusion's schedule."""


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
    smallest = min(math.tan(_training_angles()[0]), highest / 10)
    first, last = (sigma ** (1 / _KARRAS_RHO) for sigma in (highest, smallest))
    shares = [k / max(1, steps - 1) for k in range(1, steps)]
    sigmas = [(first + share * (last - first)) ** _KARRAS_RHO for share in shares]
    return [start, *map(angle_of, sigmas), 0.0]


def _trailing_angles(start: float, steps: int) -> list[float]:
    """Equal distances in the training time of Stable Diffusion's schedule.

    Source: arXiv:2305.08891, table 2, "trailing"; begun at the time whose angle is `start`.
    """
    known = _training_angles()
    begin = next((time for time, angle in enumerate(known, 1) if angle >= start), len(known))
    if begin <= steps:  # less noise than that training has so many times for
        return even_angles(start, steps)
    times = [begin - round(k * begin / steps) for k in range(1, steps)]
    return [start, *(min(start, known[max(1, time) - 1]) for time in times), 0.0]


@cache
def _training_angles() -> Sequence[float]:
    """Angles of Stable Diffusion's training times, ascending."""
    low, high = (math.sqrt(beta) for beta in _BETAS)
    steps = (low + (high - low) * k / (_TRAINING_TIMES - 1) for k in range(_TRAINING_TIMES))
    products = accumulate((1 - step**2 for step in steps), lambda a, b: a * b)
    return [math.acos(math.sqrt(product)) for product in products]


SPACINGS: Mapping[SpacingName, Callable[[float, int], list[float]]] = {
    "even": even_angles,
    "late": _late_angles,
    "karras": _karras_angles,
    "trailing": _trailing_angles,
}
"""Every spacing by the name that recipes use: (first angle, steps) -> angles."""
