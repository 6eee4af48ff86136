"""What executors report of the jobs they were given, and of themselves.

Comes in: results and faults. Goes out: the frozen types that travel from the engine and the
executors to the service; all of them can be pickled from a worker of our own.
"""

from dataclasses import dataclass
from pathlib import Path

from daemon.photo import Prompt


@dataclass(frozen=True)
class Measure:
    """A number worth keeping in the record, such as the residual ||Ax - y||.

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
    """One file of a result, complete and synced to disk, in the staging folder.

    Attributes:
        path: Where it is.
        name: The name it shall have, relative to the outbox folder, "/" between parts; the text
            "{stem}" in it stands for the job's stem, so that a taken name can be replaced.
        digest: sha256, hex.
        width, height: Size in pixels.
        prompt: What it was generated from, with its seed; None of a photograph.
    """

    path: Path
    name: str
    digest: str
    width: int
    height: int
    prompt: Prompt | None = None


@dataclass(frozen=True)
class Timing:
    """Where a job's time went, in seconds.

    Attributes:
        decode_s: Reading the photographs.
        restore_s: From decoded to restored, other jobs' turns included.
        device_s: Its share of the forward passes it took part in.
        encode_s: Writing and verifying the results.
        calls: Denoiser evaluations of tiles.
        passes: Forward passes it took part in.
    """

    decode_s: float
    restore_s: float
    device_s: float
    encode_s: float
    calls: int
    passes: int


@dataclass(frozen=True)
class Restored:
    """The job is done and its files are staged; the first is the main result."""

    fence: int
    files: tuple[StagedFile, ...]
    measures: tuple[Measure, ...]
    notes: tuple[str, ...]
    timing: Timing
    device: str


@dataclass(frozen=True)
class Inspected:
    """A photograph was looked at.

    Attributes:
        fence: Number of the lease.
        answers: To the questions of the glance, in their order.
    """

    fence: int
    answers: tuple[float, ...]


@dataclass(frozen=True)
class Rejected:
    """The photograph is at fault; it is never retried unless a person says so.

    Attributes:
        fence: Number of the lease.
        reason: What is wrong, with file, value and what was expected.
        truncated: The file ends early: it may still be arriving.
    """

    fence: int
    reason: str
    truncated: bool = False


@dataclass(frozen=True)
class Failed:
    """Something else went wrong.

    Attributes:
        fence: Number of the lease.
        reason: What went wrong.
        passing: It may pass by itself, so it is retried with back-off.
        no_space: The disk is full: the whole intake waits.
        trace: A traceback where it is a bug, else "".
    """

    fence: int
    reason: str
    passing: bool = False
    no_space: bool = False
    trace: str = ""


Outcome = Restored | Inspected | Rejected | Failed


@dataclass(frozen=True)
class HandedBack:
    """Orders that were not finished because the executor was asked to stop; nobody is at fault."""

    fences: tuple[int, ...]


@dataclass(frozen=True)
class WorkerDied:
    """The worker process ended while these orders were in flight; one of them may be the cause.

    Attributes:
        fences: The orders; none where it could not start.
        reason: How it ended.
        hopeless: It could not start several times in a row; orders wait until it can.
    """

    fences: tuple[int, ...]
    reason: str
    hopeless: bool = False


@dataclass(frozen=True)
class LoadedModel:
    """A model that is loaded, and the memory its weights take on the device."""

    model: str
    bytes: int


@dataclass(frozen=True)
class WorkerReady:
    """The worker has loaded what it needs, and takes orders."""

    device: str
    loaded_models: tuple[LoadedModel, ...] = ()


GROUP_SIZES = (1, 2, 4, 8, 16, 32, 64, 128)
"""Upper bounds of the classes in which group sizes are counted."""


@dataclass(frozen=True)
class BatchCounts:
    """What a worker has done since it last said so.

    Attributes:
        groups: How many forward passes had a group of at most each of GROUP_SIZES calls (and more
            than the bound before); the last is for larger ones.
        calls: Calls in all of them.
        busy_s: How long the device was at work, or models were loaded at their first use.
        out_of_memory: How often memory did not suffice for a group, which was halved.
    """

    groups: tuple[int, ...] = (0,) * (len(GROUP_SIZES) + 1)
    calls: int = 0
    busy_s: float = 0.0
    out_of_memory: int = 0


@dataclass(frozen=True)
class Heartbeat:
    """The worker gets on: a step has ended, or is at work; told about once a second at most.

    Attributes:
        work: What it has done since it last said so.
        residents: The models that are loaded now.
    """

    work: BatchCounts = BatchCounts()
    loaded_models: tuple[LoadedModel, ...] = ()


@dataclass(frozen=True)
class ModelLoaded:
    """A model was loaded onto the device.

    Attributes:
        reference: Which.
        seconds: How long it took.
        size: Bytes it takes there, estimated.
        gone: References of those that went to make room.
    """

    reference: str
    seconds: float
    size: int
    gone: tuple[str, ...] = ()


Report = Outcome | HandedBack | WorkerDied | WorkerReady | Heartbeat | ModelLoaded
"""What an executor reports to whoever gave it orders."""
