"""Models: what answers the questions of restorers.

Comes in: groups of questions with equal keys. Goes out: their answers. This package's front imports
no torch, so that the parent process can ask for digests.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, Protocol

from daemon.checkpoints.library import WEIGHTS, Checkpoint, Library
from daemon.messages.tasks import ModelOptions
from daemon.models.calls import Reply
from daemon.system.errors import ConfigError

__all__ = [
    "MODELS",
    "WEIGHTS",
    "Checkpoint",
    "Library",
    "Model",
    "Placement",
    "Tick",
    "load_model",
]

Tick = Callable[[], None]
"""Called by a model between the steps of a long answer: says that it lives, and may raise
`CancelError`, which the model lets through."""


def _never_mind() -> None:
    """Nobody asks."""


@dataclass(frozen=True)
class Placement:
    """A model to be loaded: which, where and how.

    Attributes:
        checkpoint: Which.
        device: "cpu", "cuda:N" or "mps".
        handling: Precision, offload and the like.
        tick: Called between the steps of a long answer.
    """

    checkpoint: Checkpoint
    device: str
    options: ModelOptions = field(default_factory=ModelOptions)
    tick: Tick = _never_mind


class Model(Protocol):
    """Answers questions that share a key, in one forward pass or one run of a pipeline."""

    # Sequence[Any]: each class answers its own kinds of questions; the table below knows which.
    def predict(self, calls: Sequence[Any]) -> Sequence[Reply]:
        """Answers in the questions' order, as each question's class says, on the CPU."""


MODELS = {
    "clip": "daemon.models.clip:Clip",
    "pipeline": "daemon.models.pipeline:Pipeline",
    "latent": "daemon.models.latent:Latent",
    "pixel": "daemon.models.pixel:Pixel",
    "prior": "daemon.models.prior:Prior",
}
"""Family: class, made with a `Placement`. "pipeline" answers `Whole` for every family."""


def load_model(placement: Placement, *, as_pipeline: bool = False) -> Model:
    """Load a model onto a device, importing its module only now.

    Args:
        placement: Which, where and how.
        as_pipeline: As a diffusers pipeline, even if it can be driven step by step.

    Raises:
        ConfigError: Nothing here drives such a model.
    """
    traits = placement.checkpoint.traits
    family = "pipeline" if as_pipeline else traits.family
    if family not in MODELS:
        raise ConfigError(f"model {placement.checkpoint.reference}: {traits.what} cannot be driven")
    module, name = MODELS[family].split(":")
    model: Model = getattr(import_module(module), name)(placement)
    return model
