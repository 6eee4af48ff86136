"""A recipe, applied: photographs go through its steps, one after the other."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

from daemon.checkpoints.library import Library
from daemon.config.recipe import Recipe
from daemon.config.steps import Generate, Step
from daemon.diffusion.concurrent import gather_bounded
from daemon.diffusion.noise import Noise
from daemon.messages.reports import Measure
from daemon.models.calls import ModelCalls
from daemon.photo import Picture, Source
from daemon.photo.preprocessing import deepened
from daemon.restorers.footprint import scale_of
from daemon.restorers.interface import Restoration, Restorer
from daemon.restorers.registry import restorer_for

_PRIOR_ONLY = Library()


@dataclass(frozen=True)
class ChainOutput:
    """The result of a recipe.

    Attributes:
        pictures: The last step's results, in order.
        measures: Every step's numbers for the record.
        notes: Every step's notes, each once.
    """

    pictures: tuple[Picture, ...]
    measures: tuple[Measure, ...]
    notes: tuple[str, ...]


def restore(
    recipe: Recipe, sources: tuple[Source, ...], seed: int, library: Library = _PRIOR_ONLY
) -> ModelCalls[ChainOutput]:
    """Put the photographs of one job through every step of its recipe.

    Args:
        recipe: What is done.
        sources: The job's photographs, decoded, or its file of prompts, read.
        seed: Seed of the job; a step's own seed replaces it for that step.
        library: Where models lie.
    """
    measures: list[Measure] = []
    notes: list[str] = []
    pictures: tuple[Picture, ...] = ()
    if recipe.output.depth in (10, 12, 16):
        sources = tuple(deepened(one) if isinstance(one, Picture) else one for one in sources)
    for index, step in enumerate(recipe.steps):
        noise = Noise(seed).child(index) if step.seed is None else Noise(step.seed)
        restorer = restorer_for(step.kind, library.checkpoint(step.model).traits)
        given = pictures or sources
        restorations = yield from _run_step(restorer, step, given, noise)
        for restoration in restorations:
            measures += [Measure(index, name, value) for name, value in restoration.measures]
            notes += restoration.notes
        pictures = tuple(picture for one in restorations for picture in one.pictures)
        if step.kind == "super-resolve":
            pictures = _enlarged(given, pictures)
    return ChainOutput(pictures, tuple(measures), tuple(dict.fromkeys(notes)))


def _enlarged(given: Sequence[Source], pictures: tuple[Picture, ...]) -> tuple[Picture, ...]:
    """The pictures with how much larger a step made them, so that prints keep their size."""
    if len(given) != len(pictures):
        return pictures
    enlarged = []
    for before, after in zip(given, pictures, strict=True):
        if isinstance(before, Picture):
            factor = after.pixels.shape[1] / before.pixels.shape[1]
            scale = before.metadata.scale * factor
            after = replace(after, metadata=replace(after.metadata, scale=scale))
        enlarged.append(after)
    return tuple(enlarged)


def _run_step(
    restorer: Restorer, step: Step, sources: tuple[Source, ...], noise: Noise
) -> ModelCalls[Sequence[Restoration]]:
    """Apply a step once to all sources if it takes several at once, else to each concurrently."""
    if step.photos > 1 or isinstance(step, Generate):
        restoration = yield from restorer(sources, step, noise)
        return [restoration]
    each = [
        partial(restorer, (source,), step, noise.child(number))
        for number, source in enumerate(sources)
    ]
    largest = max(source.pixels.size // 3 for source in sources if isinstance(source, Picture))
    return (yield from gather_bounded(each, largest * scale_of(step) ** 2))
