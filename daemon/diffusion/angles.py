"""Diffusion time: angles of the variance-preserving process, and what noise level they mean.

x_t = cos(t) x0 + sin(t) eps with t in [0, pi/2]; the noise level relative to the picture is
sigma = tan(t), in units of [-1, 1].
"""

import math


def timesteps(start: float, steps: int) -> list[float]:
    """Angles of a sampling run from `start` down to 0.0, equally spaced.

    Args:
        start: First angle in radians, [0, pi/2].
        steps: Evaluations of the network, at least 1.

    Returns:
        steps + 1 angles; the network is asked at all but the last, which is exactly 0.
    """
    return [start * (steps - k) / steps for k in range(steps + 1)]


def sigma_of(t: float) -> float:
    """Noise level of angle t, in units of [-1, 1]; huge, not infinite, at pi/2."""
    return math.tan(t)


def angle_of(sigma: float) -> float:
    """Angle in radians, [0, pi/2), of a noise level in units of [-1, 1]."""
    return math.atan(sigma)
