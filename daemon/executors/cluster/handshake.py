"""The handshake: whether a machine of the cluster has the same program and the same weights."""

import platform
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from daemon import __version__
from daemon.checkpoints.library import Library
from daemon.config.model_reference import SHIPPED
from daemon.messages.tasks import RestoreTask, Task
from daemon.system.errors import ConfigError

_SHORT = 12
"""Digits of a digest that a message shows."""


@dataclass(frozen=True)
class Hello:
    """What a machine says of itself.

    Attributes:
        machine: Its host name.
        version: Version of this program.
        python: Version of Python, without its patch.
        weights: Digests of the networks that ship, by reference.
    """

    machine: str
    version: str
    python: str
    weights: Mapping[str, str]


def hello() -> Hello:
    """What this machine says of itself."""
    library = Library()
    python = ".".join(platform.python_version_tuple()[:2])
    weights = {reference: library.digest(reference) for reference in SHIPPED}
    return Hello(socket.gethostname(), __version__, python, weights)


def why_refused(theirs: Hello, ours: Hello) -> str:
    """Why a machine may not work beside this one, with what to do about it; or ""."""
    if theirs.version != ours.version:
        return (
            f"{theirs.machine} has restored {theirs.version}, this machine {ours.version}; "
            "install the same version on both"
        )
    for reference, digest in ours.weights.items():
        if theirs.weights.get(reference) != digest:
            found = theirs.weights.get(reference, "none")[:_SHORT]
            return (
                f"{theirs.machine} has other weights of {reference!r} ({found}, here "
                f"{digest[:_SHORT]}); install the same package on both"
            )
    return ""


def why_not_here(task: Task, models_dir: Path | None) -> str:
    """Why this machine cannot do a task as the daemon's machine would, or "".

    Args:
        task: Names its checkpoints with the digests that they have on the daemon's machine.
        models_dir: Folder of pulled models, on every machine.
    """
    if isinstance(task, RestoreTask):
        wanted = dict(zip(task.job.recipe.models, task.job.weights, strict=False))
    else:
        wanted = {task.clip: task.clip_digest} if task.clip else {}
    library = Library(models_dir)
    whys = (why_differs(library, *one) for one in wanted.items())
    return next(filter(None, whys), "")


def why_differs(library: Library, reference: str, digest: str) -> str:
    """Why a checkpoint of this machine is not the daemon's, or ""."""
    if reference in SHIPPED:
        return ""  # compared when the machine joined
    try:
        found = library.digest(reference)
    except ConfigError as error:
        return f"{socket.gethostname()}: {error}"
    if found == digest:
        return ""
    return (
        f"{socket.gethostname()} has other weights of {reference!r} ({found[:_SHORT]}, the daemon "
        f"{digest[:_SHORT]}); pull the same revision on both"
    )
