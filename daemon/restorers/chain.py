"""A whole recipe: its steps one after the other, over one photograph, a pair or its frames.

Comes in: decoded pictures and the job's seed. Goes out: pictures, what was measured at each step,
and what a person should know. Also says beforehand what a job will need.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

from daemon.call import Asking
from daemon.diffusion.noise import Noise
from daemon.diffusion.together import together
from daemon.diffusion.windows import WINDOW
from daemon.job import Measure
from daemon.photo import Picture
from daemon.recipe import Recipe
from daemon.restorers import Restoration, restorer_for
from daemon.steps import Step

_DECODED_BYTES = 12
"""A pixel read and written: uint8 in and out, and Pillow's own copy while it decodes."""

_WORKING_BYTES = 120
"""A pixel worked on: x_t, x0, condition, noise and tiles in float32, three channels each."""


@dataclass(frozen=True)
class Finished:
    """What a recipe returns."""

    pictures: tuple[Picture, ...]
    measures: tuple[Measure, ...]
    notes: tuple[str, ...]


def restore(recipe: Recipe, pictures: tuple[Picture, ...], seed: int) -> Asking[Finished]:
    """Put photographs through every step of a recipe.

    A step that takes one picture is applied to each there is, side by side; each has noise of its
    own, made from the job's seed (or the step's), the step's place and the picture's.

    Args:
        recipe: The recipe.
        pictures: As many as the recipe takes.
        seed: Of the job, [0, 2**63).
    """
    measures: list[Measure] = []
    notes: list[str] = []
    for index, step in enumerate(recipe.steps):
        noise = (Noise(seed) if step.seed is None else Noise(step.seed)).child(index)
        restored = yield from _restore_step(step, pictures, noise)
        pictures = tuple(picture for one in restored for picture in one.pictures)
        for one in restored:
            measures += [Measure(index, name, value) for name, value in one.measures]
            notes += one.notes
    return Finished(pictures, tuple(measures), tuple(dict.fromkeys(notes)))


def output_size(recipe: Recipe, width: int, height: int) -> tuple[int, int]:
    """Width and height of the result for a photograph of this size, in pixels."""
    for step in recipe.steps:
        if step.kind == "super-resolve":
            width, height = width * step.scale, height * step.scale
        elif step.kind == "restyle" and step.sweep:
            columns, rows = sheet_shape(len(step.sweep) + 1)
            width, height = width * columns, height * rows
    return width, height


def footprint(recipe: Recipe, sizes: Sequence[tuple[int, int]]) -> int:
    """Bytes that a job needs while it is in flight, for photographs of these widths and heights.

    A large photograph is worked on in windows, so that only its pixels grow with its size. An
    interpolation holds all its frames.
    """
    frames = max((s.frames for s in recipe.steps if s.kind == "interpolate"), default=1)
    total = 0
    for size in sizes:
        width, height = output_size(recipe, *size)
        working = min(width, WINDOW) * min(height, WINDOW) if frames == 1 else width * height
        total += frames * (_DECODED_BYTES * width * height + _WORKING_BYTES * working)
    return total


def sheet_shape(count: int) -> tuple[int, int]:
    """Columns and rows of a sheet of so many pictures, about as wide as high."""
    columns = ceil(count**0.5)
    return columns, ceil(count / columns)


def _restore_step(
    step: Step, pictures: tuple[Picture, ...], noise: Noise
) -> Asking[list[Restoration]]:
    restorer = restorer_for(step.kind)
    if step.photos > 1:
        return [(yield from restorer(pictures, step, noise))]
    return (
        yield from together(
            [restorer((picture,), step, noise.child(i)) for i, picture in enumerate(pictures)]
        )
    )
