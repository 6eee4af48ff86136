"""One order on its way through the engine: read, asked and answered, written.

Comes in: an order and the functions that do the work. Goes out: at each step what happens next. The
steps run in the engine's threads, one at a time for each course; the rest belongs to its loop.
"""

import contextlib
import time
from collections.abc import Sequence
from dataclasses import dataclass

from daemon.call import Answer, Asking, Question
from daemon.craft import Craft, Finished
from daemon.errors import PhotoError
from daemon.job import Order, Restored, StagedFile, Timing
from daemon.photo import Limits


@dataclass(frozen=True)
class Asked:
    """The generator waits for the answers to these calls."""

    calls: tuple[Question, ...]


@dataclass(frozen=True)
class Done:
    """The generator has returned."""

    finished: Finished


@dataclass(frozen=True)
class Written:
    """The results are staged."""

    files: tuple[StagedFile, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Raised:
    """A step ended with an exception."""

    error: BaseException


Step = Asked | Done | Written | Raised


class Course:
    """An order, its generator and where its time goes.

    Attributes:
        number: The how-manieth order of the engine it is.
        order: The order.
        bytes: Memory it needs while it is in flight.
        pixels: Size of its result.
        answers: Answers to the calls it waits for, None where one is still missing.
        writing: It asks nothing any more.
    """

    def __init__(self, number: int, order: Order, craft: Craft, limits: Limits) -> None:
        """Look at the sizes.

        Raises:
            PhotoError: The result would be larger than the settings allow.
        """
        recipe, photos = order.job.recipe, order.job.photos
        sizes = [(photo.header.width, photo.header.height) for photo in photos]
        outputs = [craft.output_size(recipe, *size) for size in sizes]
        self.number = number
        self.order = order
        self.pixels = max(width * height for width, height in outputs)
        if self.pixels > limits.max_output_megapixels * 1e6:
            width, height = outputs[0]
            raise PhotoError(
                f"{photos[0].name}: the result would have {width}x{height} pixels, "
                f"{self.pixels / 1e6:.1f} megapixels; max_output_megapixels allows "
                f"{limits.max_output_megapixels:g}"
            )
        self.bytes = craft.footprint(recipe, sizes)
        self.answers: list[Answer | None] = []
        self.writing = False
        self._craft = craft
        self._limits = limits
        self._generator: Asking[Finished] | None = None
        self._notes: tuple[str, ...] = ()
        self._began = 0.0
        self._decode_s = self._restore_s = self._encode_s = self._device_s = 0.0
        self._calls = self._passes = 0

    @property
    def fence(self) -> int:
        """Number of the lease."""
        return self.order.fence

    def begin(self) -> Step:
        """Read the photographs and run the generator to its first calls."""
        began = time.monotonic()
        job = self.order.job
        pictures = tuple(self._craft.read(photo, self._limits) for photo in job.photos)
        self._notes = tuple(note for picture in pictures for note in picture.notes)
        self._began = time.monotonic()
        self._decode_s = self._began - began
        self._generator = self._craft.restore(job.recipe, pictures, job.seed)
        return self._resume(None)

    def advance(self) -> Step:
        """Run the generator with the answers to its next calls, or to its end."""
        answers = [answer for answer in self.answers if answer is not None]
        self.answers = []
        return self._resume(answers)

    def write(self, finished: Finished) -> Step:
        """Stage the results."""
        began = time.monotonic()
        job = self.order.job
        files, notes = self._craft.write(finished.pictures, job.recipe, self.order.staging)
        self._encode_s = time.monotonic() - began
        return Written(files, tuple(dict.fromkeys((*self._notes, *finished.notes, *notes))))

    def answer(self, index: int, answer: Answer, device_s: float) -> bool:
        """Note the answer to one call, and say whether it was the last one missing."""
        self.answers[index] = answer
        self._device_s += device_s
        self._calls += 1
        return all(answer is not None for answer in self.answers)

    def took_part(self) -> None:
        """Count a forward pass."""
        self._passes += 1

    def restored(self, finished: Finished, written: Written, device: str) -> Restored:
        """The outcome of a course that came to its end."""
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
            return Done(end.value)
        return Asked(tuple(calls))
