"""A recipe's steps, one after the other; and what they need, known before any work.

Comes in: a recipe, decoded pictures, the job's seed. Goes out: the last step's pictures with every
step's measures and notes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from daemon.checkpoints.library import Library
from daemon.config.recipe import Recipe
from daemon.config.steps import (
    Denoise,
    Generate,
    Inpaint,
    Interpolate,
    Restyle,
    Step,
    SuperResolve,
    Unfade,
)
from daemon.diffusion.concurrent import concurrent_count, gather_bounded
from daemon.diffusion.noise import Noise
from daemon.diffusion.windows import WINDOW_PX
from daemon.messages.reports import Measure
from daemon.models.calls import ModelCalls
from daemon.photo import Picture, Source
from daemon.restorers.generate import wanted_size
from daemon.restorers.inpaint import MEAN_SAMPLES
from daemon.restorers.registry import Restoration, Restorer, restorer_for
from daemon.restorers.restyle import sweep_labels
from daemon.restorers.scratch_search import WAYS
from daemon.restorers.sweep_sheet import sheet_size

_PRIOR_ONLY = Library()

_PIXEL_BYTES = 8
"""Of a decoded picture: two copies of RGB and alpha in uint8, or one of uint16."""

_WORKING_BYTES = 200
"""Per pixel in float: state, estimate, noise, condition and the tiles of a turn; an upper estimate.

A 100-megapixel `denoise` peaked at 2.1 GiB beside the network; this says 2.8 GiB."""


@dataclass(frozen=True)
class ChainOutput:
    """What a whole recipe returns; as `Restoration`, with the step that measured."""

    pictures: tuple[Picture, ...]
    measures: tuple[Measure, ...]
    notes: tuple[str, ...]


def restore(
    recipe: Recipe, sources: tuple[Source, ...], seed: int, library: Library = _PRIOR_ONLY
) -> ModelCalls[ChainOutput]:
    """Put pictures through every step of a recipe.

    A step that takes one photograph is applied to each of several, side by side.

    Args:
        recipe: What is done.
        sources: The job's photographs, decoded, or its file of prompts, read.
        seed: Of the job; a step's own seed replaces it for that step.
        library: Where models lie.
    """
    measures: list[Measure] = []
    notes: list[str] = []
    pictures: tuple[Picture, ...] = ()
    for index, step in enumerate(recipe.steps):
        noise = Noise(seed).child(index) if step.seed is None else Noise(step.seed)
        restorer = restorer_for(step.kind, library.checkpoint(step.model).traits)
        if isinstance(step, Generate):
            done = [(yield from restorer(sources, step, noise))]
        else:
            photographs = tuple(s for s in sources if isinstance(s, Picture))
            done = yield from _step(restorer, step, pictures or photographs, noise)
        for restoration in done:
            measures += [Measure(index, name, value) for name, value in restoration.measures]
            notes += restoration.notes
        pictures = tuple(picture for restoration in done for picture in restoration.pictures)
    return ChainOutput(pictures, tuple(measures), tuple(dict.fromkeys(notes)))


def output_size(
    recipe: Recipe, width: int, height: int, library: Library = _PRIOR_ONLY
) -> tuple[int, int]:
    """Width and height in pixels of the result for a photograph of a size.

    A file of prompts that says no size has 0 x 0.
    """
    width, height = _begun(recipe, (width, height), library)
    for step in recipe.steps:
        width, height = _grown(step, width, height)
    return width, height


def footprint(
    recipe: Recipe, sizes: Sequence[tuple[int, int]], library: Library = _PRIOR_ONLY
) -> int:
    """Bytes a job needs while it is in flight, network apart.

    Args:
        recipe: What is done.
        sizes: Width and height of each photograph, or picture to be generated, in pixels.
        library: Where models lie.
    """
    held = [_begun(recipe, size, library) for size in sizes]
    most = 0
    for step in recipe.steps:
        grown = [_grown(step, *size) for size in held]
        if isinstance(step, Interpolate):
            grown = [held[0]] * step.frames
        kept = _PIXEL_BYTES * sum(width * height for width, height in (*held, *grown))
        most = max(most, kept + _working_bytes(step, held))
        held = grown
    return most


def _step(
    restorer: Restorer, step: Step, pictures: tuple[Picture, ...], noise: Noise
) -> ModelCalls[list[Restoration]]:
    if step.photos > 1:
        restoration = yield from restorer(pictures, step, noise)
        return [restoration]
    each = [
        partial(restorer, (picture,), step, noise.child(number))
        for number, picture in enumerate(pictures)
    ]
    scale = step.scale if isinstance(step, SuperResolve) else 1
    largest = max(picture.pixels.size // 3 for picture in pictures)
    return (yield from gather_bounded(each, largest * scale**2))


def _begun(recipe: Recipe, size: tuple[int, int], library: Library) -> tuple[int, int]:
    """The size of a photograph, or of a picture to be generated."""
    first = recipe.steps[0]
    if not isinstance(first, Generate) or size != (0, 0):
        return size
    return wanted_size(first, library.checkpoint(first.model).traits)


def _grown(step: Step, width: int, height: int) -> tuple[int, int]:
    match step:
        case SuperResolve():
            return width * step.scale, height * step.scale
        case Restyle(sweep=(_, *_)):
            return sheet_size(width, height, sweep_labels(step))
        case _:
            return width, height


def _working_bytes(step: Step, held: Sequence[tuple[int, int]]) -> int:
    """Floats of one turn: whole pictures when interpolating, windows of them otherwise."""
    if isinstance(step, Unfade):
        return 0  # no network: a small copy and tables
    scale = step.scale if isinstance(step, SuperResolve) else 1
    largest = max(width * height for width, height in held) * scale**2
    many = step.frames if isinstance(step, Interpolate) else len(held) * _side_by_side(step)
    if not isinstance(step, Interpolate):
        largest = min(largest, WINDOW_PX**2)
    return _WORKING_BYTES * largest * min(many, concurrent_count(largest))


def _side_by_side(step: Step) -> int:
    """How many states of one window a step works on at once, where memory allows."""
    match step:
        case Restyle():
            return max(1, len(step.sweep))
        case Denoise() | SuperResolve():
            return step.self_ensemble
        case Inpaint():
            samples = 1 if step.realism == 1 else MEAN_SAMPLES
            return max(samples, WAYS if step.find else 1)
        case _:
            return 1
