"""Single steps of the diffusion process in its angle form: x_t = cos(t) x0 + sin(t) eps.

Pictures are (C, H, W), float32. Nothing here asks a network; whole runs are in `sampling`.
"""

import math

import torch
from torch import Tensor

_SMALLEST_SINE = 1e-6

_SMALLEST_ANGLE_SINE = 1e-4
"""Sine of the angle between two latents below which they count as parallel or opposite."""


def combine(*terms: tuple[float, Tensor]) -> Tensor:
    """A linear combination of tensors of one shape, in as many passes over memory as terms.

    Args:
        terms: Factors with their tensors, at least one; none of them is changed.
    """
    (factor, first), *others = terms
    total = first * factor
    for weight, tensor in others:
        total.add_(tensor, alpha=weight)
    return total


def add_noise(x0: Tensor, t: float, eps: Tensor) -> Tensor:
    """Carry a clean picture forward to diffusion time t.

    x_t = cos(t) x0 + sin(t) eps

    Args:
        x0: Clean picture, (3, H, W), in [-1, 1].
        t: Diffusion angle in radians, [0, pi/2].
        eps: Standard normal noise, same shape as x0.

    Returns:
        The noisy picture, same shape as x0.

    Source: SDEdit, arXiv:2108.01073, eq. 3, in the variance-preserving angle form.
    """
    return combine((math.cos(t), x0), (math.sin(t), eps))


def eps_of(x_t: Tensor, x0: Tensor, t: float) -> Tensor:
    """The noise that takes x0 to x_t: (x_t - cos(t) x0) / sin(t); zeros at t = 0.

    Args:
        x_t: Noisy picture, (3, H, W).
        x0: Estimate of the clean picture, same shape.
        t: Angle of x_t in radians, [0, pi/2].
    """
    if math.sin(t) < _SMALLEST_SINE:
        return torch.zeros_like(x_t)
    return (x_t - math.cos(t) * x0) / math.sin(t)


def ddim_step(
    x_t: Tensor, x0: Tensor, t: float, s: float, eta: float = 0.0, noise: Tensor | None = None
) -> Tensor:
    """One DDIM step from angle t to angle s.

    Args:
        x_t: Noisy picture at t, (3, H, W).
        x0: Estimate of the clean picture at t, same shape.
        t: Angle of x_t in radians, (0, pi/2].
        s: Angle to go to, [0, t]; with eta = 0 it may also be above t, up to pi/2 (inversion).
        eta: Share of fresh noise: 0 is deterministic, 1 is ancestral sampling.
        noise: Standard normal noise, same shape; required if eta > 0.

    Returns:
        The picture at angle s.

    Raises:
        ValueError: eta > 0 without noise.

    Source: DDIM, arXiv:2010.02502, eqs. 12 and 16, with alpha-bar = cos(t)**2.
    """
    fresh = eta * _ancestral_deviation(t, s) if eta else 0.0
    kept = math.sqrt(max(0.0, math.sin(s) ** 2 - fresh**2)) if eta else math.sin(s)
    # cos(s) x0 + kept eps + fresh noise, with eps = (x_t - cos(t) x0) / sin(t)
    of_x_t = kept / math.sin(t) if math.sin(t) >= _SMALLEST_SINE else 0.0
    terms = [(math.cos(s) - of_x_t * math.cos(t), x0), (of_x_t, x_t)]
    if eta and noise is None:
        raise ValueError("a step with eta > 0 needs noise")
    if eta and noise is not None:
        terms.append((fresh, noise))
    return combine(*terms)


def slerp(a: Tensor, b: Tensor, w: float) -> Tensor:
    """Spherical interpolation of two latents, each taken as one long vector.

    Args:
        a: First latent, any shape.
        b: Second latent, same shape.
        w: 0 gives a, 1 gives b.

    Returns:
        Same shape; its norm lies between theirs, so that the network sees as much noise as it
        expects. Parallel vectors are interpolated linearly. Between opposite ones every great
        circle is as short as any other; the way then leads over one that is fixed by `a`.
    """
    # In float64: float32 tells no angle to pi that is smaller than 5e-4.
    lengths = float(a.double().norm()) * float(b.double().norm())
    cosine = float((a.double() * b.double()).sum()) / lengths if lengths > 0 else 1.0
    angle = math.acos(min(1.0, max(-1.0, cosine)))
    if math.sin(angle) >= _SMALLEST_ANGLE_SINE:
        return (math.sin((1 - w) * angle) * a + math.sin(w * angle) * b) / math.sin(angle)
    across = _turned_by_right_angle(a)
    if cosine > 0 or not across.any():
        return torch.lerp(a, b, w)
    length, across_length = torch.linalg.vector_norm(a), torch.linalg.vector_norm(across)
    norm = torch.lerp(length, torch.linalg.vector_norm(b), w)
    cos, sin = math.cos(w * math.pi), math.sin(w * math.pi)
    turned: Tensor = norm * (cos * a / length + sin * across / across_length)
    return turned


def _turned_by_right_angle(a: Tensor) -> Tensor:
    """Turn each pair of elements by a right angle, so that the whole is at a right angle to `a`.

    (x, y) -> (-y, x); the last of an odd number becomes 0.
    """
    pairs = a.flatten()[: a.numel() // 2 * 2].view(-1, 2)
    turned = torch.zeros_like(a).flatten()
    turned[: pairs.numel()] = torch.stack((-pairs[:, 1], pairs[:, 0]), 1).flatten()
    return turned.view_as(a)


def _ancestral_deviation(t: float, s: float) -> float:
    """Standard deviation of the fresh noise of an ancestral step."""
    if math.sin(t) < _SMALLEST_SINE or s >= t:
        return 0.0
    beta = 1 - (math.cos(t) / math.cos(s)) ** 2
    return math.sin(s) / math.sin(t) * math.sqrt(max(0.0, beta))
