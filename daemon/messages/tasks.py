"""Jobs, and how an executor may do them.

Comes in: recipes and photographs. Goes out: the frozen types that travel from the service to the
executors and the engine; all of them can be pickled to a worker of our own.
"""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from daemon.config.features import Feature
from daemon.config.recipe import Recipe
from daemon.photo import Limits, Photo


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
class RestoreTask:
    """A job handed to an executor.

    Attributes:
        job: What to do.
        fence: Number of the lease; an outcome with any other number is stale.
        staging: An own, existing, empty folder to write the results into.
        alone: Nothing else may be in flight beside it (it may have killed a worker).
        queued_s: How long ago the photograph came, retries included.
    """

    job: Job
    fence: int
    staging: Path
    alone: bool = False
    queued_s: float = 0.0


@dataclass(frozen=True)
class InspectTask:
    """A photograph handed to an executor to be looked at, so that its recipe can be chosen.

    Attributes:
        photo: The photograph.
        features: What is to be found out, at least one.
        fence: Number of the lease.
        clip: Reference of the CLIP model that answers for likeness, or "".
        clip_digest: Its digest, or "".
        alone: Nothing else may be in flight beside it.
    """

    photo: Photo
    features: tuple[Feature, ...]
    fence: int
    clip: str = ""
    clip_digest: str = ""
    alone: bool = False


Task = RestoreTask | InspectTask
"""What an executor is given to do."""


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
class ModelOptions:
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
    options: ModelOptions = ModelOptions()
