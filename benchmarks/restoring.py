"""Runs one step of a recipe in this process, with the shipped networks: pixels in, pixels out.

There is no station and no engine, so that only restorers and networks are measured.
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
"""(H, W, 3), RGB."""

T = TypeVar("T")


def restore(step: Step, *given: Pixels, seed: int = 0, mask: Pixels | None = None) -> list[Pixels]:
    """Run one step; most take one picture and give one.

    Args:
        step: Step of a recipe.
        given: Pictures that go in.
        seed: Seed of all noise.
        mask: What is to be inpainted, (H, W).
    """
    recipe = Recipe(name="quality", steps=(step,))
    return restore_by(recipe, *given, seed=seed, mask=mask)


def restore_by(
    recipe: Recipe, *given: Pixels, seed: int = 0, mask: Pixels | None = None
) -> list[Pixels]:
    """Run all steps of a recipe; the arguments are those of `restore`."""
    pictures = tuple(
        Picture(pixels, is_grey(pixels), Metadata("PNG", "RGB"), mask=mask) for pixels in given
    )
    output = run_generator(_backend().restore(recipe, pictures, seed))
    return [np.asarray(one.pixels, np.uint8) for one in output.pictures]


def run_generator(generator: ModelCalls[T]) -> T:
    """Answer the calls of a generator with the shipped networks, one by one; its result."""
    answers: Sequence[Any] | None = None
    try:
        while True:
            calls = next(generator) if answers is None else generator.send(answers)
            answers = [_model(call.model).predict([call])[0] for call in calls]
    except StopIteration as end:
        result: T = end.value
        return result


@cache
def _backend() -> Backend:
    return torch_backend()


@cache
def _model(reference: str) -> Model:
    return _backend().load_model(reference, pick_device("auto"), lambda: None, as_pipeline=False)
