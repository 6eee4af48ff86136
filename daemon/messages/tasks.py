"""Tasks: what an executor is given to do, and how it may use the machine.

All types here are frozen and picklable, since they are sent to worker processes.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from daemon import __version__
from daemon.config.content_features import Feature
from daemon.config.recipe import Recipe
from daemon.photo import Limits, Photo
from daemon.photo.content_credentials import Signing


@dataclass(frozen=True)
class Job:
    """One photograph or pair with its recipe.

    Attributes:
        id: sha256 of everything that determines the result; equal ids give equal results.
        recipe: The recipe.
        photos: One photograph, or the two of a pair in order.
        stem: Start of the result's file name.
        seed: Seed of all noise, [0, 2**63), made from the id.
        weights: Digests of the recipe's models, in the order of `recipe.models`.
    """

    id: str
    recipe: Recipe
    photos: tuple[Photo, ...]
    stem: str
    seed: int
    weights: tuple[str, ...] = ()

    @property
    def provenance(self) -> Mapping[str, object]:
        """The entries of its record that are known before it is done, and are always the same."""
        return {
            "job": self.id,
            "restored": __version__,
            "recipe_digest": self.recipe.digest,
            "models": dict(zip(self.recipe.models, self.weights, strict=True)),
            "seed": self.seed,
        }

    @property
    def provenance_digest(self) -> str:
        """Sha256 by which a result names its record, and a record can be shown to be its own.

        It is that of `provenance` as JSON with sorted keys and without spaces.
        """
        text = json.dumps(self.provenance, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True)
class RestoreTask:
    """A job to be restored.

    Attributes:
        job: What to do.
        fence: Number of the lease. An outcome with an older number is stale and is dropped.
        staging: Existing, empty folder for the results of this task only.
        alone: No other task may be in flight beside it, as it may have killed a worker.
        queued_s: Seconds since the photograph came, retries included.
        suspects: Number of its group of suspects, one of which may have killed a worker: only they
            may be in flight in its worker. 0 for none.
    """

    job: Job
    fence: int
    staging: Path
    alone: bool = False
    queued_s: float = 0.0
    suspects: int = 0


@dataclass(frozen=True)
class InspectTask:
    """A photograph whose content is to be measured, so that its recipe can be chosen.

    Attributes:
        photo: The photograph.
        features: What to measure, at least one.
        fence: Number of the lease.
        clip: Reference of the CLIP model that scores likeness, or "".
        clip_digest: Digest of that model, or "".
        alone: No other task may be in flight beside it, as it may have killed a worker.
        suspects: As in `RestoreTask`.
    """

    photo: Photo
    features: tuple[Feature, ...]
    fence: int
    clip: str = ""
    clip_digest: str = ""
    alone: bool = False
    suspects: int = 0


Task = RestoreTask | InspectTask
"""Tasks of an executor."""


def job_id(recipe: Recipe, model_digests: tuple[str, ...], place: bytes, *digests: str) -> str:
    """Digest of everything that determines a job's result, as sha256 hex.

    Args:
        recipe: The recipe.
        model_digests: Digests of the weights of the recipe's models, in order.
        place: Path of the first photograph, relative to its inbox.
        digests: Digests of the photographs and side files, in order.
    """
    sha256 = hashlib.sha256()
    for part in (recipe.digest.encode(), place, *(d.encode() for d in (*model_digests, *digests))):
        sha256.update(len(part).to_bytes(8, "big") + part)
    return sha256.hexdigest()


def seed_of(job_id: str) -> int:
    """Seed of the noise of the job with this id, [0, 2**63)."""
    return int(job_id[:16], 16) >> 1


Dtype = Literal["auto", "bf16", "fp16", "fp32"]
Offload = Literal["none", "model", "group"]


@dataclass(frozen=True)
class ModelOptions:
    """How models are run.

    Attributes:
        dtype: Precision of weights and activations; "auto" is the device's fastest.
        offload: What is kept in the machine's memory until the device needs it: entire components
            ("model"), groups of layers ("group") or nothing ("none").
        compile: Compile networks. The first picture of each size then takes minutes.
        attention: Attention backend by its name in diffusers, or None for the default.
    """

    dtype: Dtype = "auto"
    offload: Offload = "none"
    compile: bool = False
    attention: str | None = None


@dataclass(frozen=True)
class Cluster:
    """A Ray cluster whose machines carry out tasks.

    Attributes:
        address: Address of its head, such as "10.0.0.1:6379"; "auto" for the one of this machine.
        workers: How many workers there are; None for one on each GPU or, without GPUs, on each
            machine.
        gpus_per_worker: GPUs that each worker has; a share if it is less than 1.
        shared_files: Every machine sees the station's files by the same paths; otherwise
            photographs and results are sent.
    """

    address: str = "auto"
    workers: int | None = None
    gpus_per_worker: float = 1.0
    shared_files: bool = False


@dataclass(frozen=True)
class Compute:
    """How an executor may use this machine.

    Attributes:
        device: "auto", "cpu", "mps", "cuda" or "cuda:N".
        threads: CPU threads for networks; None means all cores that this process may use.
        memory_bytes: Memory for the tasks in flight; None means a share of what is free.
        limits: Sizes beyond which a photograph or result is refused.
        models_dir: Folder of models pulled from the Hub; None means that there are none.
        model_bytes: Memory for loaded models; None means a share of the device's memory.
        options: How models are run.
        signing: With what results are signed; None for not at all.
        networks: Whether tasks may ask a network. If not, no device is looked for and torch, which
            takes over a second, is not loaded.
        devices: Devices with a worker each, as `device`, or "all" for every GPU; none stands for
            one worker on `device`.
        workers: Workers that share the cores and the memory of this machine.
        device_workers: Those of them that share the memory of this device.
        cluster: The cluster whose machines work for the ray executor.
    """

    device: str = "auto"
    threads: int | None = None
    memory_bytes: int | None = None
    limits: Limits = field(default_factory=Limits)
    models_dir: Path | None = None
    model_bytes: int | None = None
    options: ModelOptions = ModelOptions()
    signing: Signing | None = None
    networks: bool = True
    devices: tuple[str, ...] = ()
    workers: int = 1
    device_workers: int = 1
    cluster: Cluster | None = None
