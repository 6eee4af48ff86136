"""The interface of restorers: what one takes and what it returns.

A restorer is a generator of model calls; it knows nothing of batches, devices or other
photographs. This module imports no torch, so that the registry can import it.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from daemon.config.steps import Step
from daemon.models.calls import ModelCalls
from daemon.photo import Picture, Source

if TYPE_CHECKING:
    from daemon.diffusion.noise import Noise


@dataclass(frozen=True)
class Restoration:
    """The result of a restorer.

    Attributes:
        pictures: The results: one, or the frames of an interpolation in order.
        measures: Names and numbers for the record.
        notes: What a person should know, such as how sizes were fitted.
    """

    pictures: tuple[Picture, ...]
    measures: tuple[tuple[str, float], ...] = ()
    notes: tuple[str, ...] = ()


class Restorer(Protocol):
    """Does one kind of step.

    The functions of this package declare the classes that they really take, such as `Denoise` for
    a `Step`; those that can work with checkpoints take the model's `Traits` as well.
    """

    def __call__(
        self, sources: tuple[Source, ...], params: Step, noise: "Noise", /
    ) -> ModelCalls[Restoration]:
        """Put a step's photographs, or its file of prompts, through the step."""
