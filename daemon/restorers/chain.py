"""A recipe, applied: photographs go through its steps, one after the other."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from daemon.checkpoints.library import Library
from daemon.config.recipe import Recipe
from daemon.config.steps import Generate, Step
from daemon.diffusion.concurrent import gather_bounded
from daemon.diffusion.noise import Noise
from daemon.messages.reports import Measure
from daemon.models.calls import ModelCalls
from daemon.photo import Picture, Source
from daemon.photo.notes import Note, NoteKind
from daemon.photo.preprocessing import deepened
from daemon.restorers.chroma import BAND_ROWS
from daemon.restorers.content import check_conditions
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
    untouched_by: set[int] = set()
    pictures: tuple[Source, ...] = sources
    if recipe.output.depth in (10, 12, 16):
        pictures = tuple(deepened(one) if isinstance(one, Picture) else one for one in sources)
    del sources  # the pixels of a large photograph are not kept beyond the first step
    for index, step in enumerate(recipe.steps):
        noise = Noise(seed).child(index) if step.seed is None else Noise(step.seed)
        restorer = restorer_for(step.kind, library.checkpoint(step.model).traits)
        given = pictures
        restorations = yield from _run_step(restorer, step, given, noise)
        for restoration in restorations:
            measures += [Measure(index, name, value) for name, value in restoration.measures]
            notes += restoration.notes
        pictures = tuple(picture for one in restorations for picture in one.pictures)
        if step.kind == "super-resolve":
            pictures = _enlarged(given, pictures)
        if all(map(_same_pixels, given, pictures)) and len(given) == len(pictures):
            untouched_by.add(index)
    results = tuple(_told(one, untouched_by) for one in pictures if isinstance(one, Picture))
    return ChainOutput(results, tuple(measures), tuple(dict.fromkeys(notes)))


def _same_pixels(before: Source, after: Source) -> bool:
    if not (isinstance(before, Picture) and isinstance(after, Picture)):
        return False
    old, new = before.pixels, after.pixels
    if old is new:
        return True
    # Band by band: comparing a large picture at once takes as many bytes as it has values.
    bands = (slice(top, top + BAND_ROWS) for top in range(0, len(old), BAND_ROWS))
    return old.shape == new.shape and all(np.array_equal(old[rows], new[rows]) for rows in bands)


def _told(picture: Picture, untouched_by: set[int]) -> Picture:
    """The picture, which now knows the steps that left it as it was."""
    metadata = replace(picture.metadata, untouched_by=frozenset(untouched_by))
    return replace(picture, metadata=metadata)


def _enlarged(given: Sequence[Source], pictures: tuple[Source, ...]) -> tuple[Source, ...]:
    """The pictures with how much larger a step made them, so that prints keep their size."""
    if len(given) != len(pictures):
        return pictures
    enlarged: list[Source] = []
    for before, after in zip(given, pictures, strict=True):
        if isinstance(before, Picture) and isinstance(after, Picture):
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
        partial(_restore_one, restorer, step, source, noise.child(number))
        for number, source in enumerate(sources)
    ]
    largest = max(source.pixels.size // 3 for source in sources if isinstance(source, Picture))
    return (yield from gather_bounded(each, largest * scale_of(step) ** 2))


def _restore_one(
    restorer: Restorer, step: Step, source: Source, noise: Noise
) -> ModelCalls[Restoration]:
    """Apply a step to one source, unless its conditions do not hold: then that is told."""
    measured: tuple[tuple[str, float], ...] = ()
    if step.when and isinstance(source, Picture):
        measured, why = check_conditions(source, step.when)
        if why is not None:
            note = Note(NoteKind.NOT_NEEDED, f"{step.kind} was not needed: {why}")
            return Restoration((source,), measured, (note,))
    restoration = yield from restorer((source,), step, noise)
    return replace(restoration, measures=(*measured, *restoration.measures))
