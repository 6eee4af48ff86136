"""A denoiser call: the one thing restorers ask for and models answer.

Comes in: nothing. Goes out: the frozen types that restorers yield, the engine groups and models
receive. This module computes nothing.
"""

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeVar

if TYPE_CHECKING:
    from torch import Tensor

Operation = Literal["predict", "predict-exact"]


class Key(NamedTuple):
    """What calls must have in common to share a forward pass."""

    model: str
    operation: Operation
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Task:
    """What a network is asked, besides the time: all zeros is the unconditional prior.

    Attributes:
        grey: The condition is the grey picture of a colour one.
        scale: How many times the condition was enlarged, 1 to 4.
        sigma: Standard deviation of the condition's noise, in units of [-1, 1].
        blind: The condition is damaged in an unknown way.
    """

    grey: bool = False
    scale: int = 1
    sigma: float = 0.0
    blind: bool = False


@dataclass(frozen=True, slots=True)
class Call:
    """One evaluation x0 = D(x_t, t, condition) on one tile of one photograph.

    Attributes:
        model: Reference of the model, such as "prior".
        x_t: Noisy tile, float32 on the CPU, (3, H, W), in the variance-preserving scale.
        t: Diffusion angle in radians, [0, pi/2]; the noise level is tan(t).
        condition: What is known of the tile, (3, H, W) in [-1, 1], or None.
        task: What the condition means.
        exact: Ask for float32 throughout (inversion needs it).

    The answer is the posterior mean of the clean tile, float32 on the CPU, (3, H, W).
    """

    model: str
    x_t: "Tensor"
    t: float
    condition: "Tensor | None" = None
    task: Task = Task()
    exact: bool = False

    @property
    def key(self) -> Key:
        """The group this call can be answered in."""
        return Key(self.model, "predict-exact" if self.exact else "predict", tuple(self.x_t.shape))


R = TypeVar("R")
Asking = Generator[Sequence[Call], Sequence["Tensor"], R]
"""A computation that asks for denoiser calls and in the end returns an R.

It yields the calls it wants answered together and is resumed with the answers in that order.
"""
