"""Samplers: the ways from an angle of the diffusion process to the next, one row of a table each.

Every sampler is one step on the state x_t = cos(t) x0 + sin(t) eps, given the posterior mean of x0
at t. The names are those of the field. In the angle form Euler's step is DDIM's, and the ancestral
step of Euler is that of DDIM with eta = 1, so those rows share a function.

Source: DDIM, arXiv:2010.02502; DPM-Solver++(2M) and its SDE, arXiv:2211.01095, section 5 and
appendix A.6, with lambda = -log(tan(t)); consistency models (LCM), arXiv:2303.01469, algorithm 1.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from torch import Tensor

from daemon.config.steps import SamplerName
from daemon.diffusion.process import add_noise, combine, ddim_step


@dataclass(frozen=True, eq=False)
class SamplerState:
    """The state that a step starts from.

    Attributes:
        x_t: Noisy picture at t, (C, H, W).
        x0: Posterior mean of the clean picture at t, same shape.
        t: Angle of x_t in radians, (0, pi/2].
        s: Angle to go to, [0, t).
        noise: Standard normal noise, same shape; None where the step takes none.
        before: Angle and posterior mean of the step before; None at the first.
    """

    x_t: Tensor
    x0: Tensor
    t: float
    s: float
    noise: Tensor | None = None
    before: tuple[float, Tensor] | None = None


@dataclass(frozen=True)
class Sampler:
    """One row of the table.

    Attributes:
        step: Gives the picture at the angle s.
        fresh: Whether a step takes fresh noise.
    """

    step: Callable[[SamplerState], Tensor]
    fresh: bool


def ddim_sampler(eta: float) -> Sampler:
    """DDIM with a share of fresh noise: 0 is deterministic, 1 is ancestral sampling."""
    return Sampler(partial(_ddim, eta=eta), fresh=eta > 0)


def _ddim(state: SamplerState, eta: float) -> Tensor:
    used = eta if state.noise is not None else 0.0
    return ddim_step(state.x_t, state.x0, state.t, state.s, used, state.noise)


def _dpmpp_2m(state: SamplerState) -> Tensor:
    """Second order, deterministic: x_s = sin(s)/sin(t) x_t + cos(s) (1 - e^-h) x0'."""
    if state.s == 0:
        return state.x0
    ratio = math.sin(state.s) / math.sin(state.t)
    share = math.cos(state.s) * (1 - _shrinking(state))
    if state.before is None:
        return combine((ratio, state.x_t), (share, state.x0))
    _, before_x0 = state.before
    half = _half_step(state, state.before[0])
    return combine((ratio, state.x_t), (share * (1 + half), state.x0), (-share * half, before_x0))


def _dpmpp_2m_sde(state: SamplerState) -> Tensor:
    """Second order with fresh noise: the ancestral step with x0' in place of x0."""
    if state.s == 0:
        return state.x0
    return ddim_step(state.x_t, _extrapolated(state), state.t, state.s, 1.0, state.noise)


def _lcm(state: SamplerState) -> Tensor:
    """The estimate itself, noised again: for networks that map every x_t to x0 at once."""
    if state.noise is None:
        return state.x0
    return add_noise(state.x0, state.s, state.noise)


def _extrapolated(state: SamplerState) -> Tensor:
    """x0' = x0 + (x0 - x0 before) h / (2 h before): x0 half-way through the step; x0 at first."""
    if state.before is None:
        return state.x0
    before_t, before_x0 = state.before
    half = _half_step(state, before_t)
    return combine((1 + half, state.x0), (-half, before_x0))


def _half_step(state: SamplerState, before_t: float) -> float:
    """Half of this step over the one before, in lambda."""
    step = math.log(_shrinking(state)) / math.log(math.tan(state.t) / math.tan(before_t))
    return step / 2


def _shrinking(state: SamplerState) -> float:
    """e^-h = tan(s) / tan(t)."""
    return math.tan(state.s) / math.tan(state.t)


SAMPLERS: Mapping[SamplerName, Sampler] = {
    "ddim": ddim_sampler(0.0),
    "euler": ddim_sampler(0.0),
    "ancestral": ddim_sampler(1.0),
    "dpmpp-2m": Sampler(_dpmpp_2m, fresh=False),
    "dpmpp-2m-sde": Sampler(_dpmpp_2m_sde, fresh=True),
    "lcm": Sampler(_lcm, fresh=True),
}
"""Every sampler by the name that recipes use."""
