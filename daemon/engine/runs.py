"""A task on its way through the engine, from its photographs to its outcome.

A run is a small state machine:

    QUEUED -> RESTORING <-> WAITING
                  |
               WRITING -> ENDED          (every state may go to ENDED: stopped, failed)

It belongs to one thread at a time: to a thread of `EngineThreads` while one of its steps (`start`,
`resume`, `write`) runs there, else to the engine's loop. The event that ends a step hands it back.
Two things are the loop's alone and never touched by a step: `state` and `models_in_use`; the loop
also reads, at any time, the attributes that never change.
"""

import contextlib
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Generic, TypeAlias, TypeVar, assert_never

from daemon.engine.backend import Backend, RecipeOutput
from daemon.engine.model_cache import ModelKey, model_key
from daemon.engine.plausibility import check_result, check_source, must_show_something
from daemon.messages.reports import Inspected, Outcome, Restored, StagedFile, Timing
from daemon.messages.tasks import InspectTask, Job, RestoreTask, Task
from daemon.models.calls import Answer, AnswerWithNotes, ModelCall, ModelCalls, Reply, answer_of
from daemon.photo import Limits, Photo, Picture, Source
from daemon.photo.notes import NoteKind, each_once, note_of
from daemon.system.errors import ModelError, PhotoError
from daemon.system.files import shown


@dataclass(frozen=True)
class CallsMade:
    """The generator waits for the answers to these calls, at least one."""

    calls: tuple[ModelCall, ...]


@dataclass(frozen=True)
class GeneratorEnded:
    """The generator has returned its result; it makes no more calls."""


@dataclass(frozen=True)
class ResultsStaged:
    """The results are in the staging folder."""


@dataclass(frozen=True)
class StepFailed:
    """A step raised an exception."""

    error: BaseException


StepResult = CallsMade | GeneratorEnded | ResultsStaged | StepFailed
"""How a step of a run ended."""


class RunState(Enum):
    """The activity of a run."""

    QUEUED = "queued"
    """It has not started; nothing of it is in memory."""

    RESTORING = "restoring"
    """A thread reads its photographs or runs its generator."""

    WAITING = "waiting"
    """Its generator waits for answers."""

    WRITING = "writing"
    """A thread stages its results."""

    ENDED = "ended"
    """It is reported. A step that was running at that moment still runs to its end."""


R = TypeVar("R")


class TaskRun(ABC, Generic[R]):
    """One task in the engine; R is what its generator returns.

    The loop calls `admit`, `wait_for`, `take_answer`, `finish_generator`, `end_step` and `end`,
    which change the state, and `outcome`. A thread runs the steps `start`, `resume` and `write`.

    Attributes:
        number: Sequence number of the task within this engine.
        name: Recipe's name, or "inspect"; it tells its calls apart in a `ForwardPass`.
        fence: Number of the lease.
        alone: No other task may be in flight beside it.
        bytes: Memory that it needs while it is in flight.
        pixels: Size of its result.
        models: References of all models that it may call.
        state: What it is doing; changed by the loop alone.
        models_in_use: Models that its latest calls went to, until its generator has ended.
    """

    def __init__(self, number: int, task: Task, backend: Backend, limits: Limits) -> None:
        self.number = number
        self.fence = task.fence
        self.alone = task.alone
        self.name = ""
        self.bytes = self.pixels = 0
        self.models: tuple[str, ...] = ()
        self.state = RunState.QUEUED
        self.models_in_use: frozenset[ModelKey] = frozenset()
        self._backend = backend
        self._limits = limits
        self._step_running = False
        self._generator: ModelCalls[R] | None = None
        self._answers: list[Answer | None] = []
        self._missing = 0
        self._result: R | None = None
        self._notes: tuple[str, ...] = ()
        self._read_at = 0.0
        self._decode_s = self._restore_s = self._encode_s = self._device_s = 0.0
        self._calls = self._passes = 0

    def admit(self) -> None:
        """QUEUED -> RESTORING; the step to run now is `start`."""
        self._begin_step(RunState.RESTORING)

    def wait_for(self, calls: Sequence[ModelCall]) -> None:
        """RESTORING -> WAITING, for the answers to these calls."""
        self.state = RunState.WAITING
        self.models_in_use = frozenset(model_key(call.key) for call in calls)
        self._answers = [None] * len(calls)
        self._missing = len(calls)

    def take_answer(self, index: int, reply: Reply, device_s: float) -> bool:
        """Keep the answer to one call; WAITING -> RESTORING if it is the last one missing.

        Args:
            index: Index of the call among those waited for.
            reply: The model's reply.
            device_s: This call's share of the forward pass, in seconds.

        Returns:
            Whether no answer is missing; the step to run now is `resume`.
        """
        if isinstance(reply, AnswerWithNotes):
            self._notes += reply.notes
        self._answers[index] = answer_of(reply)
        self._device_s += device_s
        self._calls += 1
        self._missing -= 1
        if self._missing:
            return False
        self._begin_step(RunState.RESTORING)
        return True

    def count_pass(self) -> None:
        """Count a forward pass that had calls of this run."""
        self._passes += 1

    def finish_generator(self) -> None:
        """RESTORING -> WRITING; the step to run now is `write`."""
        self.models_in_use = frozenset()
        self._begin_step(RunState.WRITING)

    def end_step(self) -> bool:
        """Take the run back from the thread that ran its step.

        Returns:
            False if the run ended while the step ran; it is closed and nothing follows.
        """
        self._step_running = False
        if self.state is RunState.ENDED:
            self._close()
            return False
        return True

    def end(self) -> None:
        """Any state -> ENDED; the generator is closed now, or when the running step ends."""
        self.state = RunState.ENDED
        if not self._step_running:
            self._close()

    def start(self) -> StepResult:
        """Read the photographs and run the generator to its first calls."""
        began = time.monotonic()
        sources = tuple(self._backend.read(photo, self._limits) for photo in self.photos)
        for source in sources:
            check_source(source)
        self._notes = tuple(note for source in sources for note in source.notes)
        self._read_at = time.monotonic()
        self._decode_s = self._read_at - began
        self._generator = self._make_generator(sources)
        return self._run_generator(None)

    def resume(self) -> StepResult:
        """Hand the answers to the generator and run it to its next calls, or to its end."""
        answers = [answer for answer in self._answers if answer is not None]
        self._answers = []
        return self._run_generator(answers)

    def write(self) -> StepResult:
        """Stage the results, if there are files to stage."""
        began = time.monotonic()
        self._stage(self._finished())
        self._encode_s = time.monotonic() - began
        return ResultsStaged()

    @abstractmethod
    def outcome(self, device: str) -> Outcome:
        """The report of the run once its results are staged.

        Args:
            device: Name of the device that answered its calls.
        """

    @property
    @abstractmethod
    def photos(self) -> Sequence[Photo]:
        """Photographs to read."""

    @abstractmethod
    def _make_generator(self, sources: tuple[Source, ...]) -> ModelCalls[R]:
        """Computation to run on what was read."""

    @abstractmethod
    def _stage(self, result: R) -> None:
        """Stage the files of a result."""

    def _finished(self) -> R:
        if self._result is None:
            raise RuntimeError("the generator has not ended")
        return self._result

    def _begin_step(self, state: RunState) -> None:
        self.state = state
        self._step_running = True

    def _run_generator(self, answers: Sequence[Answer] | None) -> StepResult:
        if self._generator is None:
            raise RuntimeError("the run has not started")
        try:
            calls = next(self._generator) if answers is None else self._generator.send(answers)
            while not calls:
                calls = self._generator.send([])
        except StopIteration as end:
            self._result = end.value
            self._restore_s = time.monotonic() - self._read_at
            return GeneratorEnded()
        except FloatingPointError as error:
            names = " or ".join(dict.fromkeys(self.models))
            raise ModelError(names, "its answer has NaN or infinities") from error
        return CallsMade(tuple(calls))

    def _close(self) -> None:
        if self._generator is not None:
            # An exception in a generator's clean-up changes nothing: its outcome is reported.
            with contextlib.suppress(Exception):
                self._generator.close()


AnyRun: TypeAlias = TaskRun[Any]
"""A run of whatever kind of task; only the run itself knows what its generator returns."""


class RestoreRun(TaskRun[RecipeOutput]):
    """Photographs through a recipe.

    Raises:
        PhotoError: The result would be larger than the settings allow.
    """

    def __init__(self, number: int, task: RestoreTask, backend: Backend, limits: Limits) -> None:
        super().__init__(number, task, backend, limits)
        recipe, photos = task.job.recipe, _pages_to_read(task.job)
        sizes = [photo.size for photo in photos for _ in range(photo.header.pictures)]
        outputs = [backend.output_size(recipe, *size) for size in sizes]
        self.name = recipe.name
        self.models = recipe.models
        self.pixels = max(width * height for width, height in outputs)
        if self.pixels > limits.max_output_megapixels * 1e6:
            width, height = outputs[0]
            raise PhotoError(
                shown(photos[0].name),
                f"the result would have {width}x{height} pixels, {self.pixels / 1e6:.1f} "
                f"megapixels; max_output_megapixels allows {limits.max_output_megapixels:g}",
                "raise that setting, or ask for a smaller result",
            )
        _refuse_many_pages(photos, outputs, limits)
        self.bytes = backend.footprint(recipe, sizes)
        self._task = task
        self._photos = photos
        self._files: tuple[StagedFile, ...] = ()
        self._must_show_something = False

    def outcome(self, device: str) -> Restored:
        """The result, with where the time went."""
        result = self._finished()
        timing = Timing(
            self._decode_s,
            self._restore_s,
            self._device_s,
            self._encode_s,
            self._calls,
            self._passes,
        )
        notes = each_once(self._notes)
        return Restored(self.fence, self._files, tuple(result.measures), notes, timing, device)

    @property
    def photos(self) -> Sequence[Photo]:
        """The photograph, each of its pages, or the two of a pair."""
        return self._photos

    def _make_generator(self, sources: tuple[Source, ...]) -> ModelCalls[RecipeOutput]:
        job = self._task.job
        self._must_show_something = must_show_something(job.recipe, sources)
        return self._backend.restore(job.recipe, sources, job.seed)

    def _stage(self, result: RecipeOutput) -> None:
        task = self._task
        if self._must_show_something:
            check_result(result.pictures, self.models)
        self._files, notes = self._backend.write(result.pictures, task.job, task.staging)
        said = (*self._notes, *result.notes)
        if task.job.recipe.output.metadata == "keep" and all(file.signed for file in self._files):
            # The manifest that reading leaves out has come along as an ingredient's.
            said = tuple(one for one in said if note_of(one).kind is not NoteKind.CREDENTIALS)
        self._notes = (*said, *notes)


def _pages_to_read(job: Job) -> tuple[Photo, ...]:
    """The photographs of a job, page by page.

    Only the first page is read if the recipe says so, takes pairs, or has a side file, which is of
    that page's size.
    """
    (first, *others) = job.photos
    has_side_files = first.mask is not None or first.hints is not None
    if job.recipe.output.pages == "first" or others or has_side_files:
        return tuple(job.photos)
    return first.each_page()


def _refuse_many_pages(
    photos: Sequence[Photo], outputs: Sequence[tuple[int, int]], limits: Limits
) -> None:
    """Refuse a file whose pages would not be in memory together.

    Raises:
        PhotoError: The results would be larger than the settings allow for one.
    """
    megapixels = sum(width * height for width, height in outputs) / 1e6
    if photos[0].page is None or megapixels <= limits.max_output_megapixels:
        return
    raise PhotoError(
        shown(photos[0].name),
        f"the results of its {len(photos)} pages would have {megapixels:.1f} megapixels together; "
        f"max_output_megapixels allows {limits.max_output_megapixels:g}",
        'raise that setting, split the file, or set output.pages of the recipe to "first"',
    )


class InspectRun(TaskRun[tuple[float, ...]]):
    """A photograph whose content is measured; nothing is written."""

    def __init__(self, number: int, task: InspectTask, backend: Backend, limits: Limits) -> None:
        super().__init__(number, task, backend, limits)
        header = task.photo.header
        self.name = "inspect"
        self.models = (task.clip,) if task.clip else ()
        self.bytes = backend.inspect_footprint(header.width, header.height)
        self._task = task

    def outcome(self, device: str) -> Inspected:
        """The measured numbers."""
        return Inspected(self.fence, self._finished())

    @property
    def photos(self) -> Sequence[Photo]:
        """The photograph to inspect."""
        return (self._task.photo,)

    def _make_generator(self, sources: tuple[Source, ...]) -> ModelCalls[tuple[float, ...]]:
        (picture,) = (source for source in sources if isinstance(source, Picture))
        return self._backend.inspect(picture, self._task.features, self._task.clip)

    def _stage(self, result: tuple[float, ...]) -> None:
        """There are no files: the outcome holds the numbers."""


def make_run(number: int, task: Task, backend: Backend, limits: Limits) -> AnyRun:
    """Make the run of a task.

    Args:
        number: Sequence number of the task within its engine.
        task: What to do.
        backend: The functions that do it.
        limits: Sizes beyond which a photograph or result is refused.

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
