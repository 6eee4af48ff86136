"""One errand on its way through the engine: read, asked and answered, written.

Comes in: an errand and the functions that do the work. Goes out: at each step what happens next.
The steps run in the engine's threads, one at a time for each course; the rest belongs to its loop.
"""

import contextlib
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, assert_never

from daemon.engine.backend import Backend, RecipeOutput
from daemon.engine.model_cache import Slot
from daemon.messages.reports import Inspected, Outcome, Restored, StagedFile, Timing
from daemon.messages.tasks import InspectTask, RestoreTask, Task
from daemon.models.calls import Answer, AnswerWithNotes, ModelCall, ModelCalls, Reply, answer_of
from daemon.photo import Limits, Photo, Picture, Source
from daemon.system.errors import PhotoError


@dataclass(frozen=True)
class CallsMade:
    """The generator waits for the answers to these calls."""

    calls: tuple[ModelCall, ...]


@dataclass(frozen=True)
class GeneratorEnded:
    """The generator has returned; what, its course knows."""

    finished: Any


@dataclass(frozen=True)
class ResultsStaged:
    """The results are staged."""

    files: tuple[StagedFile, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class StepFailed:
    """A step ended with an exception."""

    error: BaseException


Step = CallsMade | GeneratorEnded | ResultsStaged | StepFailed

R = TypeVar("R")


class TaskRun(ABC, Generic[R]):
    """An errand, its generator and where its time goes.

    Attributes:
        number: The how-manieth errand of the engine it is.
        name: Whose calls these are, for who watches the engine.
        fence: Number of the lease.
        alone: Nothing else may be in flight beside it.
        bytes: Memory it needs while it is in flight.
        pixels: Size of its result.
        answers: Answers to the calls it waits for, None where one is still missing.
        writing: It asks nothing any more.
        models: References of the models that it may ask.
        asking: Models that it asked last.
    """

    def __init__(self, number: int, task: Task, backend: Backend, limits: Limits) -> None:
        self.number = number
        self.fence = task.fence
        self.alone = task.alone
        self.name = ""
        self.bytes = self.pixels = 0
        self.answers: list[Answer | None] = []
        self.writing = False
        self.models: tuple[str, ...] = ()
        self.asking: frozenset[Slot] = frozenset()
        self._backend = backend
        self._limits = limits
        self._generator: ModelCalls[R] | None = None
        self._notes: tuple[str, ...] = ()
        self._began = 0.0
        self._decode_s = self._restore_s = self._encode_s = self._device_s = 0.0
        self._calls = self._passes = 0

    @abstractmethod
    def write(self, finished: R) -> Step:
        """Stage the results, if there are any."""

    @abstractmethod
    def outcome(self, finished: R, written: ResultsStaged, device: str) -> Outcome:
        """What is reported of a course that came to its end."""

    @abstractmethod
    def photos(self) -> Sequence[Photo]:
        """What is read."""

    @abstractmethod
    def generator(self, sources: tuple[Source, ...]) -> ModelCalls[R]:
        """What is done with what was read."""

    def begin(self) -> Step:
        """Read the photographs and run the generator to its first calls."""
        began = time.monotonic()
        sources = tuple(self._backend.read(photo, self._limits) for photo in self.photos())
        self._notes = tuple(note for source in sources for note in source.notes)
        self._began = time.monotonic()
        self._decode_s = self._began - began
        self._generator = self.generator(sources)
        return self._resume(None)

    def advance(self) -> Step:
        """Run the generator with the answers to its next calls, or to its end."""
        answers = [answer for answer in self.answers if answer is not None]
        self.answers = []
        return self._resume(answers)

    def answer(self, index: int, reply: Reply, device_s: float) -> bool:
        """Note the answer to one call, and say whether it was the last one missing."""
        if isinstance(reply, AnswerWithNotes):
            self._notes += reply.notes
        self.answers[index] = answer_of(reply)
        self._device_s += device_s
        self._calls += 1
        return all(answer is not None for answer in self.answers)

    def took_part(self) -> None:
        """Count a forward pass."""
        self._passes += 1

    def close(self) -> None:
        """Let the generator end; only while no step runs."""
        if self._generator is not None:
            # What a job's code does at its end concerns nobody: its outcome is already reported.
            with contextlib.suppress(Exception):
                self._generator.close()

    def _resume(self, answers: Sequence[Answer] | None) -> Step:
        if self._generator is None:
            raise RuntimeError("the course has not begun")
        try:
            calls = next(self._generator) if answers is None else self._generator.send(answers)
        except StopIteration as end:
            self._restore_s = time.monotonic() - self._began
            return GeneratorEnded(end.value)
        return CallsMade(tuple(calls))


class RestoreRun(TaskRun[RecipeOutput]):
    """The course of an order: photographs through a recipe.

    Raises:
        PhotoError: The result would be larger than the settings allow.
    """

    def __init__(self, number: int, order: RestoreTask, backend: Backend, limits: Limits) -> None:
        super().__init__(number, order, backend, limits)
        recipe, photos = order.job.recipe, order.job.photos
        sizes = [
            (photo.header.width, photo.header.height)
            for photo in photos
            for _ in range(photo.header.pictures)
        ]
        outputs = [backend.output_size(recipe, *size) for size in sizes]
        self.name = recipe.name
        self.models = recipe.models
        self.pixels = max(width * height for width, height in outputs)
        if self.pixels > limits.max_output_megapixels * 1e6:
            width, height = outputs[0]
            raise PhotoError(
                f"{photos[0].name}: the result would have {width}x{height} pixels, "
                f"{self.pixels / 1e6:.1f} megapixels; max_output_megapixels allows "
                f"{limits.max_output_megapixels:g}"
            )
        self.bytes = backend.footprint(recipe, sizes)
        self._order = order

    def photos(self) -> Sequence[Photo]:
        """The job's photographs."""
        return self._order.job.photos

    def generator(self, sources: tuple[Source, ...]) -> ModelCalls[RecipeOutput]:
        """The recipe, step by step."""
        job = self._order.job
        return self._backend.restore(job.recipe, sources, job.seed)

    def write(self, finished: RecipeOutput) -> Step:
        """Stage the results."""
        began = time.monotonic()
        job = self._order.job
        files, notes = self._backend.write(finished.pictures, job.recipe, self._order.staging)
        self._encode_s = time.monotonic() - began
        return ResultsStaged(files, tuple(dict.fromkeys((*self._notes, *finished.notes, *notes))))

    def outcome(self, finished: RecipeOutput, written: ResultsStaged, device: str) -> Restored:
        """The result, with where its time went."""
        timing = Timing(
            self._decode_s,
            self._restore_s,
            self._device_s,
            self._encode_s,
            self._calls,
            self._passes,
        )
        measures = tuple(finished.measures)
        return Restored(self.fence, written.files, measures, written.notes, timing, device)


class InspectRun(TaskRun[tuple[float, ...]]):
    """The course of a glance: a photograph is read and looked at; nothing is written."""

    def __init__(
        self, number: int, inspect_task: InspectTask, backend: Backend, limits: Limits
    ) -> None:
        super().__init__(number, inspect_task, backend, limits)
        header = inspect_task.photo.header
        self.name = "look"
        self.models = (inspect_task.clip,) if inspect_task.clip else ()
        self.bytes = backend.look_footprint(header.width, header.height)
        self._inspect_task = inspect_task

    def photos(self) -> Sequence[Photo]:
        """The one photograph, without its side files."""
        return (self._inspect_task.photo,)

    def generator(self, sources: tuple[Source, ...]) -> ModelCalls[tuple[float, ...]]:
        """The questions."""
        (picture,) = (source for source in sources if isinstance(source, Picture))
        return self._backend.look(picture, self._inspect_task.features, self._inspect_task.clip)

    def write(self, finished: tuple[float, ...]) -> Step:
        """There is nothing to write."""
        return ResultsStaged((), ())

    def outcome(
        self, finished: tuple[float, ...], written: ResultsStaged, device: str
    ) -> Inspected:
        """The answers."""
        return Inspected(self.fence, finished)


def run_of(number: int, task: Task, backend: Backend, limits: Limits) -> TaskRun[Any]:
    """The course of an errand.

    Raises:
        PhotoError: The result would be larger than the settings allow.
    """
    match task:
        case RestoreTask():
            return RestoreRun(number, task, backend, limits)
        case InspectTask():
            return InspectRun(number, task, backend, limits)
        case _:
            assert_never(task)
