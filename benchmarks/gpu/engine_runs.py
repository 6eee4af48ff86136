"""Runs pictures through an engine, in memory: no file is read or written."""

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from daemon.config.recipe import Recipe
from daemon.engine.backend import Backend, Staged, torch_backend
from daemon.engine.device import ForwardPass
from daemon.engine.engine import Engine
from daemon.messages.reports import Failed, HandedBack, Rejected, Report, Restored, StagedFile
from daemon.messages.tasks import Compute, Job, RestoreTask
from daemon.models.calls import BatchKey, DenoiseCall, answer_of
from daemon.photo.picture import Header, Limits, Metadata, Photo, Picture

_DEADLINE_S = 600.0


@dataclass(frozen=True)
class EngineRun:
    """What a run of several pictures took.

    Attributes:
        seconds: From the first picture that goes in to the last that comes out.
        passes: Every forward pass.
        done_s: Seconds from the start until each picture was done, in the order of the pictures.
    """

    seconds: float
    passes: tuple[ForwardPass, ...]
    done_s: tuple[float, ...]

    @property
    def share(self) -> float:
        """Share of the time that was spent in forward passes."""
        return sum(one.seconds for one in self.passes) / self.seconds

    @property
    def rows(self) -> float:
        """Calls in a pass of the denoiser, on average."""
        sizes = [len(one.members) for one in self.passes if one.key.operation == "predict"]
        return sum(sizes) / max(1, len(sizes))


class EngineBench:
    """An engine that stays loaded between runs.

    Args:
        compute: How to use the machine.
    """

    def __init__(self, compute: Compute) -> None:
        self._passes: list[ForwardPass] = []
        self._done: dict[int, float] = {}
        self._failed: list[str] = []
        self._changed = threading.Condition()
        self.backend = in_memory_backend(compute)
        self._engine = Engine(
            compute, self._report, backend=self.backend, on_pass=self._passes.append
        )
        self._thread = threading.Thread(target=self._engine.run, name="engine")
        self._thread.start()
        self._next = 0

    def __enter__(self) -> "EngineBench":
        return self

    def __exit__(self, *error: object) -> None:
        self._engine.stop(0)
        self._thread.join()

    def run(self, recipe: Recipe, sizes: Sequence[int]) -> EngineRun:
        """Restore squares of these sides, all submitted at once."""
        self._passes.clear()
        began = time.monotonic()
        fences = [self.submit(recipe, size) for size in sizes]
        ends = [self.wait(fence) for fence in fences]
        return EngineRun(max(ends) - began, tuple(self._passes), tuple(end - began for end in ends))

    def submit(self, recipe: Recipe, side_px: int) -> int:
        """Submit one square; returns the number to wait for."""
        fence, self._next = self._next, self._next + 1
        self._engine.submit(_task(recipe, side_px, fence))
        return fence

    def wait(self, fence: int) -> float:
        """Wait for a picture; returns when it was done, on the monotonic clock.

        Raises:
            RuntimeError: A picture failed, or the engine ended.
        """
        with self._changed:
            known = self._changed.wait_for(
                lambda: fence in self._done or self._failed or not self._thread.is_alive(),
                _DEADLINE_S,
            )
            if not known or fence not in self._done:
                raise RuntimeError("; ".join(self._failed) or "the engine gave no result")
            return self._done[fence]

    def _report(self, report: Report) -> None:
        with self._changed:
            match report:
                case Restored():
                    self._done[report.fence] = time.monotonic()
                case Failed():
                    self._failed.append(f"{report.reason}\n{report.trace}")
                case Rejected() | HandedBack():
                    self._failed.append(str(report))
            self._changed.notify_all()


def latecomer(bench: EngineBench, early: Recipe, late: Recipe, side_px: int) -> tuple[float, float]:
    """Seconds that a picture takes alone, and beside four that began before and have longer to go.

    Args:
        bench: The engine.
        early: The recipe of the four.
        late: The recipe of the latecomer.
        side_px: Side of all of them.
    """
    alone_s = bench.run(late, [side_px]).seconds
    fences = [bench.submit(early, side_px) for _ in range(4)]
    time.sleep(alone_s / 4)  # the four are in the midst of their steps
    began = time.monotonic()
    late_s = bench.wait(bench.submit(late, side_px)) - began
    for fence in fences:
        bench.wait(fence)
    return alone_s, late_s


def denoise_calls(backend: Backend, recipe: Recipe, side_px: int, device: str) -> list[DenoiseCall]:
    """The calls of a picture's second step, after those before were answered one by one."""
    made = backend.restore(recipe, (_noise_picture(side_px, 0),), 0)
    models: dict[tuple[str, bool], object] = {}

    def model_of(key: BatchKey) -> object:
        place = (key.model, key.needs_pipeline)
        if place not in models:
            models[place] = backend.load_model(
                key.model, device, lambda: None, as_pipeline=key.needs_pipeline
            )
        return models[place]

    calls, turns = next(made), 0
    while True:
        if isinstance(calls[0], DenoiseCall):
            turns += 1
        if turns == 2:
            return [call for call in calls if isinstance(call, DenoiseCall)]
        replies = [model_of(call.key).predict([call])[0] for call in calls]  # type: ignore[attr-defined]
        calls = made.send([answer_of(reply) for reply in replies])


def in_memory_backend(compute: Compute) -> Backend:
    """This package's backend, but pictures come from nowhere and results go nowhere."""
    return replace(torch_backend(compute), read=_read, write=_write)


def _task(recipe: Recipe, side_px: int, fence: int) -> RestoreTask:
    photo = Photo(Path(f"{fence}.png"), f"{fence}.png", "", Header("PNG", side_px, side_px, "RGB"))
    job = Job(f"{fence:x}", recipe, (photo,), str(fence), fence, ("",) * len(recipe.models))
    return RestoreTask(job, fence, Path())


def _read(photo: Photo, limits: Limits) -> Picture:
    return _noise_picture(photo.header.width, int(photo.path.stem))


def _noise_picture(side_px: int, seed: int) -> Picture:
    """White noise: of a picture that shows nothing no result is refused for showing nothing."""
    return Picture(noise_pixels(side_px, seed), False, Metadata("PNG", "RGB"))


def noise_pixels(side_px: int, seed: int) -> NDArray[np.uint8]:
    """White noise, (side, side, 3)."""
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (side_px, side_px, 3), np.uint8)


def _write(pictures: Sequence[Picture], job: Job, staging: Path) -> Staged:
    height, width = pictures[0].pixels.shape[:2]
    return (StagedFile(staging / "x", "{stem}.png", "", width, height),), ()
