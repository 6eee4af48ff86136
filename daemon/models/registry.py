"""The families of models, and how one of them is loaded.

Imports no torch: the module of a family is imported when the first of its models is loaded, in the
worker only.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, Protocol

from daemon.checkpoints.library import Checkpoint
from daemon.checkpoints.traits import Family
from daemon.messages.tasks import ModelOptions
from daemon.models.calls import Reply

Tick = Callable[[], None]
"""Called between the steps of a long answer: shows that the model is alive, and may raise
`CancelError`, which the model lets through."""


def no_tick() -> None:
    """The tick of a model that nobody watches."""


@dataclass(frozen=True)
class Placement:
    """Where and how a checkpoint is loaded.

    Attributes:
        checkpoint: The checkpoint.
        device: "cpu", "cuda:N" or "mps".
        options: Precision, offload, attention backend and compilation.
        tick: Called between the steps of a long answer.
    """

    checkpoint: Checkpoint
    device: str
    options: ModelOptions = field(default_factory=ModelOptions)
    tick: Tick = no_tick


class Model(Protocol):
    """A loaded checkpoint that answers calls."""

    # Sequence[Any]: each family answers its own kinds of calls, which `MODELS` tells apart.
    def predict(self, calls: Sequence[Any]) -> Sequence[Reply]:
        """Answer calls of equal key in one forward pass or one run of a pipeline.

        Returns:
            The answers in the order of the calls, where the calls' tensors lie, as the class of the
            call says.
        """


MODELS: dict[Family, str] = {
    "clip": "daemon.models.clip:Clip",
    "pipeline": "daemon.models.pipeline:Pipeline",
    "colour": "daemon.models.colour:Colour",
    "damage": "daemon.models.damage:Damage",
    "latent": "daemon.models.latent:Latent",
    "pixel": "daemon.models.pixel:Pixel",
    "prior": "daemon.models.prior:Prior",
    "restoration": "daemon.models.restoration:RestorationModel",
}
"""Class of each family, constructed from a `Placement`. "pipeline" answers `PipelineCall` for every
family that is a diffusers pipeline."""


def load_model(placement: Placement, *, as_pipeline: bool = False) -> Model:
    """Load a model onto its device.

    Args:
        placement: The checkpoint, its device and options.
        as_pipeline: Load the diffusers pipeline even if the model can be driven step by step.

    Raises:
        ConfigError: The checkpoint is incomplete or damaged.
    """
    family: Family = "pipeline" if as_pipeline else placement.checkpoint.traits.family
    module, name = MODELS[family].split(":")
    model: Model = getattr(import_module(module), name)(placement)
    return model
