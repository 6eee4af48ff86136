"""Restored at work in this process: pixels through one step, on the shipped network.

Comes in: 8-bit RGB pixels, (H, W, 3), and a step of a recipe. Goes out: the results' pixels. No
station, no engine: what is measured is what restorers and network do.
"""

from collections.abc import Sequence
from functools import cache
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from daemon.config.recipe import Recipe
from daemon.config.steps import Step
from daemon.engine.backend import Backend, torch_backend
from daemon.engine.hardware import pick_device
from daemon.models.calls import ModelCalls
from daemon.models.registry import Model
from daemon.photo import Metadata, Picture
from training.photos import is_grey

Pixels = NDArray[np.uint8]
T = TypeVar("T")


def restore(step: Step, *given: Pixels, seed: int = 0, mask: Pixels | None = None) -> list[Pixels]:
    """The results of a step; most take one picture and give one. The mask is (H, W)."""
    backend, _ = _at_work()
    pictures = tuple(
        Picture(pixels, is_grey(pixels), Metadata("PNG", "RGB"), mask=mask) for pixels in given
    )
    finished = answered(backend.restore(Recipe(name="quality", steps=(step,)), pictures, seed))
    return [np.asarray(one.pixels, np.uint8) for one in finished.pictures]


def answered(asking: ModelCalls[T]) -> T:
    """What a computation returns that asks the shipped network."""
    _, model = _at_work()
    answers: Sequence[Any] | None = None
    try:
        while True:
            calls = next(asking) if answers is None else asking.send(answers)
            answers = [model.predict([call])[0] for call in calls]
    except StopIteration as end:
        result: T = end.value
        return result


@cache
def _at_work() -> tuple[Backend, Model]:
    backend = torch_backend()
    return backend, backend.load_model(
        "prior", pick_device("auto"), lambda: None, as_pipeline=False
    )
