"""Optimisers and learning rates: Muon for the inner convolutions, AdamW for all other weights."""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer

_COEFFICIENTS = (3.4445, -4.7750, 2.0315)
_NEWTON_SCHULZ_STEPS = 5
_WARM_UP_S = 20.0


class Muon(Optimizer):
    """Nesterov momentum, orthogonalised by Newton-Schulz, on weights as matrices (out, rest).

    On this network it reached in six minutes what AdamW did not reach in twenty.

    Source: Jordan et al. 2024, "Muon: an optimizer for hidden layers in neural networks".
    """

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        lr: float,
        momentum: float = 0.95,
        weight_decay: float = 0.01,
    ) -> None:
        super().__init__(
            list(parameters), {"lr": lr, "momentum": momentum, "weight_decay": weight_decay}
        )

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Take one step along the orthogonalised momentum; the closure is not called."""
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is not None:
                    self._move(weight, weight.grad, group)

    def _move(self, weight: nn.Parameter, gradient: Tensor, group: dict[str, float]) -> None:
        state = self.state[weight]
        if not state:
            state["momentum"] = torch.zeros_like(weight)
        momentum = state["momentum"]
        momentum.lerp_(gradient, 1 - group["momentum"])
        ahead = torch.lerp(gradient, momentum, group["momentum"])
        matrix = ahead.reshape(len(ahead), -1)
        update = orthogonalise(matrix).to(weight.dtype).reshape(weight.shape)
        scale = max(1.0, matrix.shape[0] / matrix.shape[1]) ** 0.5
        weight.mul_(1 - group["lr"] * group["weight_decay"])
        weight.add_(update, alpha=-group["lr"] * scale)


def orthogonalise(matrix: Tensor) -> Tensor:
    """Approximate the nearest semi-orthogonal matrix: singular values end between 0.7 and 1.2.

    Args:
        matrix: (rows, columns), any scale.

    Returns:
        Same shape, bfloat16.
    """
    a, b, c = _COEFFICIENTS
    wide = matrix.bfloat16()
    tall = wide.shape[0] > wide.shape[1]
    wide = wide.T if tall else wide
    wide = wide / (wide.norm() + 1e-7)
    for _ in range(_NEWTON_SCHULZ_STEPS):
        gram = wide @ wide.T
        wide = a * wide + (b * gram + c * gram @ gram) @ wide
    result: Tensor = wide.T if tall else wide
    return result


def make_optimisers(
    network: nn.Module, weighting: nn.Module, muon_lr: float | None, adamw_lr: float
) -> dict[str, Optimizer]:
    """Make the optimisers, by name; each group keeps its full rate as `base_lr`.

    Args:
        network: Network in training.
        weighting: Module of learned loss weights.
        muon_lr: Full rate of Muon, or None to give all weights to AdamW.
        adamw_lr: Full rate of AdamW.
    """
    inner: list[nn.Parameter] = []
    outer: list[nn.Parameter] = []
    for name, weight in network.named_parameters():
        is_inner = weight.ndim == 4 and not name.startswith(("stem", "head"))
        (inner if is_inner and muon_lr is not None else outer).append(weight)
    groups = [
        {"params": outer, "lr": adamw_lr},
        {"params": list(weighting.parameters()), "lr": 1e-2},
    ]
    optimisers: dict[str, Optimizer] = {"adamw": AdamW(groups, betas=(0.9, 0.99), weight_decay=0.0)}
    if muon_lr is not None:
        optimisers["muon"] = Muon(inner, muon_lr)
    for optimiser in optimisers.values():
        for group in optimiser.param_groups:
            group["base_lr"] = group["lr"]
    return optimisers


def set_rate(optimisers: dict[str, Optimizer], share: float) -> None:
    """Set the rate of every group to this share of its full rate."""
    for optimiser in optimisers.values():
        for group in optimiser.param_groups:
            group["lr"] = share * group["base_lr"]


def rate_share(trained_s: float, total_s: float, hold: float) -> float:
    """Share of the full rate: warm-up, 1 until `hold` of the time, then linearly down to 0."""
    decay = (total_s - trained_s) / max((1 - hold) * total_s, 1e-9)
    return max(0.0, min(1.0, decay, (trained_s + 1.0) / _WARM_UP_S))
