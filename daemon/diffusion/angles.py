"""Diffusion time as an angle of the variance-preserving process.

x_t = cos(t) x0 + sin(t) eps with t in [0, pi/2]. The noise level relative to the picture is
sigma = tan(t), in units of [-1, 1].
"""

import math


def even_angles(start: float, steps: int) -> list[float]:
    """Equally spaced angles of a sampling run, from `start` down to 0.0.

    Args:
        start: First angle in radians, [0, pi/2].
        steps: Evaluations of the network, at least 1.

    Returns:
        steps + 1 angles; the network is asked at all but the last, which is exactly 0.
    """
    return [start * (steps - k) / steps for k in range(steps + 1)]


def angle_of(sigma: float) -> float:
    """Angle in radians, [0, pi/2), of a noise level in units of [-1, 1]: atan(sigma)."""
    return math.atan(sigma)
