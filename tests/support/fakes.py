"""A fake executor, with which the service is tested without a network."""

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
    WorkerLost,
    WorkerReady,
)
from daemon.messages.tasks import Compute, InspectTask, RestoreTask, Task
from daemon.photo.notes import Note, NoteKind


def restored(task: RestoreTask) -> Restored:
    """Stage the photograph's own bytes, reversed, as the result; "noted" in a name makes a note."""
    path = task.staging / "0.png"
    content = b"".join(photo.path.read_bytes()[::-1] for photo in task.job.photos)
    path.write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    timing = Timing(0.1, 0.2, 0.3, 0.4, 5, 6)
    file = StagedFile(path, "{stem}.png", digest, 1, 1)
    guess = Note(NoteKind.GUESS, "the colours are a guess")
    notes = (guess,) if "noted" in task.job.photos[0].name else ()
    return Restored(task.fence, (file,), (), notes, timing, "fake")


class FakeExecutor:
    """Reports on every task at once; the photograph's name decides what it reports."""

    inspect_tasks: ClassVar[list[InspectTask]] = []
    """Every inspection that any of them was given; tests clear it."""

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
            fences = tuple(other.fence for other in self.tasks)
            self.tasks.clear()
            self._killed = True
            self._report(WorkerDied(fences, "signal 9"))
        elif "lost" in photo.name and not self._killed:
            self.tasks.remove(task)
            self._killed = True
            self._report(WorkerLost((task.fence,), "gpu7 has not answered for 30 s"))
        elif self._killed or "held" not in photo.name:
            self.tasks.remove(task)
            if isinstance(task, InspectTask):
                self._report(self.inspect(task, photo.name))
            else:
                self._report(self.restore(task, photo.name))

    def inspect(self, task: InspectTask, name: str) -> Outcome:
        self.inspect_tasks.append(task)
        if "broken" in name:
            return Rejected(task.fence, task.photo.label, "it ends early")
        numbers = {"colour": 0.0 if "grey" in name else 30.0, "noise": 12.0 * ("noisy" in name)}
        return Inspected(task.fence, tuple(numbers[feature.name] for feature in task.features))

    def restore(self, task: RestoreTask, name: str) -> Outcome:
        if "broken" in name:
            return Rejected(task.fence, task.job.photos[0].label, "it ends early")
        if "full" in name:
            return Failed(task.fence, "no space left", passing=True, no_space=True)
        if "passing" in name:
            return Failed(task.fence, "the device was lost", passing=True)
        if "bug" in name:
            return Failed(task.fence, "KeyError: 'x'", trace="Traceback …")
        return restored(task)

    def replace_worker(self, why: str, worker: str) -> None:
        fences = tuple(task.fence for task in self.tasks)
        self.tasks.clear()
        self._killed = True
        self._report(WorkerDied(fences, why))

    def stop(self, drain_s: float) -> None:
        self._report(HandedBack(tuple(task.fence for task in self.tasks)))
        self.tasks.clear()


def everything_below(folder: Path) -> dict[str, bytes]:
    """Every file below a folder with its content, by relative path."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}
