"""Reports: what an executor says about the tasks it was given, and about itself.

All of them are frozen and picklable, since most are sent by a worker process. `Report` lists them.
Exactly one of `Outcome`, `HandedBack`, `WorkerDied` and `WorkerLost` names the fence of each task.
Reports about a worker name it, as an executor may have several.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import assert_never

from daemon.photo import Prompt
from daemon.photo.notes import Note
from daemon.system.errors import photo_message

ONLY_WORKER = "1"
"""Name of the worker of an executor that has one; several are called "1", "2" and so on."""


@dataclass(frozen=True)
class Measure:
    """A number kept in the record, such as the residual ||Ax - y||.

    Attributes:
        step: Index of the recipe's step, from 0.
        name: What was measured, such as "sigma" or "residual".
        value: The number.
    """

    step: int
    name: str
    value: float


@dataclass(frozen=True)
class StagedFile:
    """One file of a result in the staging folder, complete, verified and synced to disk.

    Attributes:
        path: Where it is now.
        name: Path it will have in the outbox folder, "/" between parts. "{stem}" in it stands for
            the job's stem, which the publisher replaces by another if the name is taken.
        digest: sha256, hex.
        width: Pixels.
        height: Pixels.
        prompt: Prompt and seed it was generated from; None if it was restored from a photograph.
        signed: Whether it carries content credentials of its own.
    """

    path: Path
    name: str
    digest: str
    width: int
    height: int
    prompt: Prompt | None = None
    signed: bool = False


@dataclass(frozen=True)
class Timing:
    """Where the time of a task went.

    Attributes:
        decode_s: Seconds spent reading the photographs.
        restore_s: Seconds from decoded to restored, waiting for other tasks' batches included.
        device_s: Seconds of forward passes, each divided evenly among the calls of its batch.
        encode_s: Seconds spent writing and verifying the results.
        calls: Model calls answered.
        passes: Forward passes that answered them.
    """

    decode_s: float
    restore_s: float
    device_s: float
    encode_s: float
    calls: int
    passes: int


@dataclass(frozen=True)
class Restored:
    """A `RestoreTask` is done and its files are staged.

    Attributes:
        fence: Fence of the task.
        files: Staged files, the main result first.
        measures: Numbers for the record.
        notes: What a person should know about the result, each once.
        timing: Where the time went.
        device: Name of the device that did it, such as "cuda:0".
    """

    fence: int
    files: tuple[StagedFile, ...]
    measures: tuple[Measure, ...]
    notes: tuple[Note, ...]
    timing: Timing
    device: str


@dataclass(frozen=True)
class Inspected:
    """An `InspectTask` is done.

    Attributes:
        fence: Fence of the task.
        answers: One number for each of the task's features, in their order.
    """

    fence: int
    answers: tuple[float, ...]


@dataclass(frozen=True)
class Rejected:
    """The photograph is at fault. It is retried only when a person asks for that.

    Attributes:
        fence: Fence of the task.
        photo: The name of the file at fault, as the person gave it; "" if nobody knew it.
        why: What is wrong, with the value and what was expected.
        remedy: What to do; "" if `why` already tells.
        truncated: The file ends early, so it may still be arriving.
    """

    fence: int
    photo: str
    why: str
    remedy: str = ""
    truncated: bool = False

    @property
    def reason(self) -> str:
        """All of it as one message."""
        return photo_message(self.photo, self.why, self.remedy)


@dataclass(frozen=True)
class Failed:
    """The task failed for a reason other than its photograph.

    Attributes:
        fence: Fence of the task.
        reason: What went wrong.
        passing: The cause may pass by itself, so the job is retried with back-off.
        no_space: The disk is full, so the whole intake waits.
        trace: Traceback if it is a bug, else "".
        model: Reference of the model that may be at fault, or "".
        unusable: The model cannot be loaded: it is at fault, and no photograph can be.
    """

    fence: int
    reason: str
    passing: bool = False
    no_space: bool = False
    trace: str = ""
    model: str = ""
    unusable: bool = False


Outcome = Restored | Inspected | Rejected | Failed
"""How a task ended."""


@dataclass(frozen=True)
class HandedBack:
    """Tasks that were not finished because the executor was stopped; nothing is at fault."""

    fences: tuple[int, ...]


@dataclass(frozen=True)
class WorkerDied:
    """The worker process ended. One of the tasks it had in flight may be the cause.

    Attributes:
        fences: Fences of the tasks in flight; none if the worker could not start.
        reason: How it ended.
        hopeless: It failed to start several times in a row. It is still tried; tasks wait.
        outside: Something outside of the worker ended or stopped it: no task is the cause.
        worker: Its name.
    """

    fences: tuple[int, ...]
    reason: str
    hopeless: bool = False
    outside: bool = False
    worker: str = ONLY_WORKER


@dataclass(frozen=True)
class WorkerLost:
    """A worker on another machine cannot be reached or was refused; no task is at fault.

    Attributes:
        fences: Fences of the tasks that it may have begun.
        reason: What happened.
        hopeless: It is no use to wait for another in its place; it is still tried.
        worker: Its name.
    """

    fences: tuple[int, ...]
    reason: str
    hopeless: bool = False
    worker: str = ONLY_WORKER


@dataclass(frozen=True)
class LoadedModel:
    """A model that is loaded.

    Attributes:
        model: Reference of the model.
        bytes: Memory that it takes on the device, estimated.
    """

    model: str
    bytes: int


@dataclass(frozen=True)
class WorkerStarts:
    """One of several workers is being started; it is ready in ten minutes at most, or has died.

    Attributes:
        worker: Its name.
        device: The device that it is to use, as the settings name it.
    """

    worker: str
    device: str


@dataclass(frozen=True)
class WorkerReady:
    """The worker has started and takes tasks.

    Attributes:
        device: Name of its device.
        loaded_models: Models that it has loaded.
        worker: Its name.
    """

    device: str
    loaded_models: tuple[LoadedModel, ...] = ()
    worker: str = ONLY_WORKER


@dataclass(frozen=True)
class TaskAssigned:
    """A task was given to one of several workers; if it cannot start it, another one gets it.

    Attributes:
        fence: Fence of the task.
        worker: Name of the worker.
    """

    fence: int
    worker: str


BATCH_SIZE_BOUNDS = (1, 2, 4, 8, 16, 32, 64, 128)
"""Upper bounds, inclusive, of the histogram of batch sizes, in calls."""


@dataclass(frozen=True)
class BatchCounts:
    """The work of a worker since its last heartbeat.

    Attributes:
        batches: Number of forward passes by batch size: one count for each of BATCH_SIZE_BOUNDS,
            not cumulative, and a last one for larger batches.
        calls: Calls in all of them.
        busy_s: Seconds that the device was at work, loading of models at first use included.
        out_of_memory: Number of batches that did not fit into memory and were halved.
    """

    batches: tuple[int, ...] = (0,) * (len(BATCH_SIZE_BOUNDS) + 1)
    calls: int = 0
    busy_s: float = 0.0
    out_of_memory: int = 0


@dataclass(frozen=True)
class Heartbeat:
    """The worker makes progress, or has nothing to do.

    Sent about once a second while it does, every ten seconds while it has nothing to do, else not
    at all.

    Attributes:
        counts: What it has done since the last heartbeat.
        loaded_models: Models that are loaded now.
        worker: Its name.
    """

    counts: BatchCounts = BatchCounts()
    loaded_models: tuple[LoadedModel, ...] = ()
    worker: str = ONLY_WORKER


@dataclass(frozen=True)
class ModelLoaded:
    """A model was loaded onto the device.

    Attributes:
        reference: Reference of the model.
        seconds: Seconds that loading took.
        bytes: Memory that it takes there, estimated.
        evicted: References of the models that were unloaded to make room.
        worker: Name of the worker that loaded it.
    """

    reference: str
    seconds: float
    bytes: int
    evicted: tuple[str, ...] = ()
    worker: str = ONLY_WORKER


WorkerReport = WorkerStarts | WorkerReady | WorkerDied | WorkerLost | Heartbeat | ModelLoaded
"""Reports about one worker."""

Report = Outcome | HandedBack | TaskAssigned | WorkerReport
"""Reports of an executor to the function it was given."""


def fences_of(report: Report) -> tuple[int, ...]:
    """Fences of the tasks that are no longer in flight after a report."""
    match report:
        case Restored() | Inspected() | Rejected() | Failed():
            return (report.fence,)
        case HandedBack() | WorkerDied() | WorkerLost():
            return report.fences
        case WorkerStarts() | WorkerReady() | TaskAssigned() | Heartbeat() | ModelLoaded():
            return ()
        case _:
            assert_never(report)
