"""Stand-ins for the compute side: what the service is tested with, without a network."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

from daemon.messages.reports import (
    Failed,
    HandedBack,
    Inspected,
    Outcome,
    Rejected,
    Report,
    Restored,
    StagedFile,
    Timing,
    WorkerDied,
    WorkerReady,
)
from daemon.messages.tasks import Compute, InspectTask, RestoreTask, Task


def restored(order: RestoreTask) -> Restored:
    """Stage the photograph's own bytes, turned round, as its result."""
    path = order.staging / "0.png"
    content = b"".join(photo.path.read_bytes()[::-1] for photo in order.job.photos)
    path.write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    timing = Timing(0.1, 0.2, 0.3, 0.4, 5, 6)
    return Restored(
        order.fence, (StagedFile(path, "{stem}.png", digest, 1, 1),), (), (), timing, "fake"
    )


class FakeExecutor:
    """Answers every errand at once; what it answers depends on the photograph's name."""

    inspect_tasks: ClassVar[list[InspectTask]] = []
    """What any of them was asked to look at; tests clear it."""

    def __init__(self, compute: Compute, report: Callable[[Report], None]) -> None:
        self._report = report
        self.tasks: list[Task] = []
        self._killed = False

    def start(self) -> None:
        self._report(WorkerReady("fake"))

    def submit(self, task: Task) -> None:
        self.tasks.append(task)
        photo = task.photo if isinstance(task, InspectTask) else task.job.photos[0]
        if "killer" in photo.name:
            fences = tuple(known.fence for known in self.tasks)
            self.tasks.clear()
            self._killed = True
            self._report(WorkerDied(fences, "signal 9"))
        elif self._killed or "held" not in photo.name:
            self.tasks.remove(task)
            if isinstance(task, InspectTask):
                self._report(self.seen(task, photo.name))
            else:
                self._report(self.answer(task, photo.name))

    def seen(self, inspect_task: InspectTask, name: str) -> Outcome:
        self.inspect_tasks.append(inspect_task)
        if "broken" in name:
            return Rejected(inspect_task.fence, f"{inspect_task.photo.path}: it ends early")
        numbers = {"colour": 0.0 if "grey" in name else 30.0, "noise": 12.0 * ("noisy" in name)}
        return Inspected(
            inspect_task.fence, tuple(numbers[feature.name] for feature in inspect_task.features)
        )

    def answer(self, order: RestoreTask, name: str) -> Outcome:
        if "broken" in name:
            return Rejected(order.fence, f"{order.job.photos[0].path}: it ends early")
        if "full" in name:
            return Failed(order.fence, "no space left", passing=True, no_space=True)
        if "passing" in name:
            return Failed(order.fence, "the device was lost", passing=True)
        if "bug" in name:
            return Failed(order.fence, "KeyError: 'x'", trace="Traceback …")
        return restored(order)

    def stop(self, drain_s: float) -> None:
        self._report(HandedBack(tuple(task.fence for task in self.tasks)))
        self.tasks.clear()


def everything_below(folder: Path) -> dict[str, bytes]:
    """Every file below a folder with its content, by relative path."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}
