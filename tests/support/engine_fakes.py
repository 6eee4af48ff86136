"""A toy restorer and model, so that the engine is tested without pictures and weights."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from daemon.config.content_features import Feature
from daemon.config.recipe import Recipe
from daemon.config.steps import Denoise
from daemon.engine.activity import Activity
from daemon.engine.backend import Backend, Staged
from daemon.engine.device import ForwardPass
from daemon.engine.engine import Engine
from daemon.messages.reports import (
    HandedBack,
    Measure,
    ModelLoaded,
    Report,
    StagedFile,
    fences_of,
)
from daemon.messages.tasks import Compute, Job, RestoreTask
from daemon.models.calls import DenoiseCall, ModelCalls, ask
from daemon.photo import Header, Limits, Metadata, Photo, Picture, read_header
from daemon.system.files import sha256_of

DEADLINE_S = 120.0


@dataclass(frozen=True)
class ToyResult:
    pictures: tuple[Picture, ...]
    measures: tuple[Measure, ...] = ()
    notes: tuple[str, ...] = ()


def recipe(steps: int = 4, name: str = "toy", model: str = "prior") -> Recipe:
    return Recipe(name=name, steps=(Denoise(steps=steps, model=model),))


def toy_task(
    fence: int,
    staging: Path,
    *,
    size: tuple[int, int] = (96, 96),
    steps: int = 4,
    alone: bool = False,
    name: str = "toy",
    model: str = "prior",
) -> RestoreTask:
    """A task whose photograph exists in `read` alone: its pixels are its fence's last byte."""
    photo = Photo(Path(f"{fence}.png"), f"{fence}.png", "d", Header("PNG", *size, "RGB"))
    job = Job(f"{fence:x}", recipe(steps, name, model), (photo,), "p", fence)
    return RestoreTask(job, fence, staging, alone)


def task_for(recipe: Recipe, path: Path, staging: Path, fence: int) -> RestoreTask:
    """A task for a real photograph."""
    staging.mkdir()
    photo = Photo(path, path.name, sha256_of(path), read_header(path, Limits()))
    weights = ("0" * 64,) * len(recipe.models)
    job = Job(f"{fence:x}", recipe, (photo,), path.stem, fence, weights)
    return RestoreTask(job, fence, staging)


def read(photo: Photo, limits: Limits) -> Picture:
    pixels = np.full((photo.header.height, photo.header.width, 3), int(photo.path.stem) % 256)
    return Picture(pixels.astype(np.uint8), False, Metadata("PNG", "RGB"))


def restore(recipe: Recipe, pictures: tuple[Picture, ...], seed: int) -> ModelCalls[ToyResult]:
    """Make a call for each of the recipe's steps, at times 1, 1/2, 1/3...; check every answer."""
    x = torch.from_numpy(pictures[0].pixels.astype(np.float32)).permute(2, 0, 1) / 256
    count = recipe.steps[0].steps or 1
    for k in range(1, count + 1):
        (answer,) = yield from ask([DenoiseCall("toy", x, 1 / k)])
        if not torch.equal(answer, x / 2 + 1 / k):
            raise ValueError("this is the answer to somebody else's call")
    return ToyResult(pictures, (Measure(0, "steps", count),))


def write(pictures: Sequence[Picture], job: Job, staging: Path) -> Staged:
    height, width = pictures[0].pixels.shape[:2]
    return (StagedFile(staging / "x", "{stem}.png", "0", width, height),), ()


def inspect(
    picture: Picture, features: Sequence[Feature], clip: str
) -> ModelCalls[tuple[float, ...]]:
    """Make one call; the numbers are the picture's level and the number of features."""
    x = torch.from_numpy(picture.pixels.astype(np.float32)).permute(2, 0, 1) / 256
    (answer,) = yield from ask([DenoiseCall("toy", x, 1.0)])
    return (float(answer[0, 0, 0]), float(len(features)))


@dataclass
class ToyModel:
    """D(x_t, t) = x_t / 2 + t.

    Attributes:
        fits: Whether a batch fits into memory.
        seconds: Time that each batch takes.
        gate: Batches wait for this event.
        batches: The times t of every batch it answered.
    """

    fits: Callable[[Sequence[DenoiseCall]], bool] = lambda calls: True
    seconds: float = 0.0
    gate: threading.Event | None = None
    batches: list[list[float]] = field(default_factory=list)

    def predict(self, calls: Sequence[DenoiseCall]) -> list[Tensor]:
        if self.gate is not None:
            self.gate.wait(DEADLINE_S)
        if not self.fits(calls):
            raise torch.OutOfMemoryError("CUDA out of memory")
        if self.seconds:
            time.sleep(self.seconds)
        self.batches.append([call.t for call in calls])
        return [call.x_t / 2 + call.t for call in calls]


def fake_backend(model: ToyModel, **others: object) -> Backend:
    functions: dict[str, object] = {
        "read": read,
        "restore": restore,
        "footprint": lambda recipe, sizes: 1,
        "output_size": lambda recipe, width, height: (width, height),
        "write": write,
        "load_model": lambda reference, device, tick, as_pipeline: model,
        "model_bytes": lambda reference, device, as_pipeline: 1,
        "inspect": inspect,
        "inspect_footprint": lambda width, height: 1,
    }
    return Backend(**(functions | others))  # type: ignore[arg-type]


class ReportRecorder:
    """Records what an executor or engine reports, and waits for it.

    Attributes:
        reports: Every report but `ModelLoaded`.
        models_loaded: Every `ModelLoaded`.
    """

    def __init__(self) -> None:
        self.reports: list[Report] = []
        self.models_loaded: list[ModelLoaded] = []
        self._news = threading.Condition()

    def __call__(self, report: Report) -> None:
        with self._news:
            if isinstance(report, ModelLoaded):
                self.models_loaded.append(report)
            else:
                self.reports.append(report)
            self._news.notify_all()

    def fences(self) -> list[int]:
        """Every fence that was reported, as often as it was."""
        return sorted(fence for report in self.reports for fence in fences_of(report))

    def of(self, fence: int) -> Report:
        """The one report that names the fence."""
        (found,) = [report for report in self.reports if fence in fences_of(report)]
        return found

    def wait_until(self, fulfilled: Callable[[], bool], within_s: float = DEADLINE_S) -> None:
        with self._news:
            assert self._news.wait_for(fulfilled, within_s), self.reports


@contextmanager
def running_engine(
    backend: Backend,
    *,
    compute: Compute | None = None,
    pixels: int = 8 * 96 * 96,
    passes: list[ForwardPass] | None = None,
    on_pass: Callable[[ForwardPass], None] | None = None,
    drain_s: float = 0.0,
    activity: Activity | None = None,
) -> Iterator[tuple[Engine, ReportRecorder]]:
    """An engine whose loop runs in a thread; stopped and joined at the end."""
    recorder = ReportRecorder()
    engine = Engine(
        compute or Compute(device="cpu", threads=2),
        recorder,
        backend=backend,
        pixels=pixels,
        on_pass=on_pass or ([] if passes is None else passes).append,
        activity=activity,
    )
    thread = threading.Thread(target=engine.run)
    thread.start()
    try:
        yield engine, recorder
    finally:
        engine.stop(drain_s)
        thread.join(DEADLINE_S)
        assert not thread.is_alive()


def handed_back(reports: Sequence[Report]) -> list[int]:
    return sorted(
        fence for report in reports if isinstance(report, HandedBack) for fence in report.fences
    )


KILLER = 13
"""A photograph of this number kills the process that restores it."""


def deadly_backend() -> Backend:
    return fake_backend(ToyModel(seconds=0.01), restore=_deadly)


def _deadly(recipe: Recipe, pictures: tuple[Picture, ...], seed: int) -> ModelCalls[ToyResult]:
    generator = restore(recipe, pictures, seed)
    calls = next(generator)
    try:
        while True:
            answers = yield calls
            if seed == KILLER:
                os.kill(os.getpid(), signal.SIGSEGV)
            calls = generator.send(answers)
    except StopIteration as end:
        result: ToyResult = end.value
        return result
