"""Jobs and what becomes of them.

Comes in: recipes and photographs. Goes out: the frozen types that travel between the service, the
executors and the engine; all of them can be pickled to a worker of our own.
"""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from daemon.look import Feature
from daemon.photo import Limits, Photo, Prompt
from daemon.recipe import Recipe


@dataclass(frozen=True)
class Job:
    """One photograph (or pair) to be put through one recipe.

    Attributes:
        id: What is done to what: equal ids give equal results.
        recipe: The recipe.
        photos: One photograph, or two for a pair, in order.
        stem: What the result's file name starts with.
        seed: Seed of all noise, [0, 2**63), made from the id.
        weights: Digests of the recipe's models, in the order of `recipe.models`.
    """

    id: str
    recipe: Recipe
    photos: tuple[Photo, ...]
    stem: str
    seed: int
    weights: tuple[str, ...] = ()


@dataclass(frozen=True)
class Order:
    """A job handed to an executor.

    Attributes:
        job: What to do.
        fence: Number of the lease; an outcome with any other number is stale.
        staging: An own, existing, empty folder to write the results into.
        alone: Nothing else may be in flight beside it (it may have killed a worker).
    """

    job: Job
    fence: int
    staging: Path
    alone: bool = False


@dataclass(frozen=True)
class Glance:
    """A photograph handed to an executor to be looked at, so that its recipe can be chosen.

    Attributes:
        photo: The photograph.
        questions: What is to be found out, at least one.
        fence: Number of the lease.
        clip: Reference of the CLIP model that answers for likeness, or "".
        clip_digest: Its digest, or "".
        alone: Nothing else may be in flight beside it.
    """

    photo: Photo
    questions: tuple[Feature, ...]
    fence: int
    clip: str = ""
    clip_digest: str = ""
    alone: bool = False


Errand = Order | Glance
"""What an executor is given to do."""


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
class Seen:
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


Outcome = Restored | Seen | Rejected | Failed


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
class WorkerReady:
    """The worker has loaded what it needs and takes orders."""

    device: str


@dataclass(frozen=True)
class Advanced:
    """The worker has answered a step of some order; told about once a second at most."""


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


Report = Outcome | HandedBack | WorkerDied | WorkerReady | Advanced | ModelLoaded
"""What an executor reports to whoever gave it orders."""


def job_id(recipe: Recipe, model_digests: tuple[str, ...], place: bytes, *digests: str) -> str:
    """What is done to what, as sha256 hex.

    Args:
        recipe: What is done.
        model_digests: Digests of the weights of the recipe's models, in order.
        place: Inbox-relative path of the first photograph.
        digests: Of photographs and side files, in order.
    """
    whole = hashlib.sha256()
    for part in (recipe.digest.encode(), place, *(d.encode() for d in (*model_digests, *digests))):
        whole.update(len(part).to_bytes(8, "big") + part)
    return whole.hexdigest()


def seed_of(job_id: str) -> int:
    """The seed of a job's noise, [0, 2**63)."""
    return int(job_id[:16], 16) >> 1


Dtype = Literal["auto", "bf16", "fp16", "fp32"]
Offload = Literal["none", "model", "group"]


@dataclass(frozen=True)
class Handling:
    """How models are run.

    Attributes:
        dtype: Precision of weights and activations; "auto" takes what the device is fastest with.
        offload: Keep in the machine's memory what the device does not need at the moment: whole
            components ("model") or groups of layers ("group").
        compile: Compile networks; the first picture of each size takes minutes.
        attention: Attention backend by diffusers' name, or None for its default.
    """

    dtype: Dtype = "auto"
    offload: Offload = "none"
    compile: bool = False
    attention: str | None = None


@dataclass(frozen=True)
class Compute:
    """How an executor may use this machine.

    Attributes:
        device: "auto", "cpu", "mps", "cuda" or "cuda:N".
        threads: CPU threads of the network; None takes all cores this process may use.
        memory_bytes: For photographs in flight; None takes a share of what is free.
        limits: What is refused.
        models_dir: Where models lie that were pulled from the Hub.
        model_bytes: For models that stay loaded; None takes a share of the device's memory.
        handling: How models are run.
    """

    device: str = "auto"
    threads: int | None = None
    memory_bytes: int | None = None
    limits: Limits = field(default_factory=Limits)
    models_dir: Path | None = None
    model_bytes: int | None = None
    handling: Handling = Handling()
