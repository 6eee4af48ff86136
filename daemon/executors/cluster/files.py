"""Photographs on their way to another machine, and results on their way back, as bytes.

Only the daemon's machine sees the station. A worker gets copies in a scratch folder of its own.
"""

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from daemon.messages.reports import Restored
from daemon.messages.tasks import RestoreTask, Task
from daemon.photo import Photo
from daemon.system.errors import PassingError
from daemon.system.files import open_regular, sync_folders


@dataclass(frozen=True)
class SentFile:
    """A file as bytes.

    Attributes:
        name: Its place: relative to the scratch folder, or to the staging folder.
        content: Its bytes.
        mtime_ns: When it was changed, nanoseconds since the epoch.
    """

    name: str
    content: bytes
    mtime_ns: int


def photos_of(task: Task) -> tuple[Photo, ...]:
    """The photographs of a task."""
    return task.job.photos if isinstance(task, RestoreTask) else (task.photo,)


def read_inputs(task: Task) -> tuple[SentFile, ...]:
    """The files of a task's photographs, named by their order.

    Raises:
        OSError: One cannot be read.
    """
    return tuple(
        _read(path, _name(number, role, path), photo.beneath)
        for number, photo in enumerate(photos_of(task))
        for role, path in _paths(photo)
    )


def unpack(task: Task, files: Sequence[SentFile], scratch: Path) -> Task:
    """Write a task's files into an empty folder; returns the task that reads and writes there."""
    for file in files:
        _write(file, scratch, durable=False)
    photos = tuple(
        _moved(photo, {r: scratch / _name(number, r, path) for r, path in _paths(photo)})
        for number, photo in enumerate(photos_of(task))
    )
    if not isinstance(task, RestoreTask):
        return replace(task, photo=photos[0])
    staging = scratch / "staged"
    staging.mkdir()
    return replace(task, job=replace(task.job, photos=photos), staging=staging)


def read_results(restored: Restored, staging: Path) -> tuple[SentFile, ...]:
    """The files of a result, named by their places in the staging folder."""
    return tuple(_read(one.path, str(one.path.relative_to(staging))) for one in restored.files)


def place_results(
    restored: Restored, files: Sequence[SentFile], theirs: Path, staging: Path
) -> Restored:
    """Write a result into its staging folder, synced to disk; returns it as staged there.

    Args:
        restored: As it was staged on the other machine.
        files: Its files.
        theirs: The staging folder there.
        staging: The staging folder here.

    Raises:
        OSError: It cannot be written.
        PassingError: What came is not what was written there.
    """
    for file, staged in zip(files, restored.files, strict=True):
        if hashlib.sha256(file.content).hexdigest() != staged.digest:
            raise PassingError(f"{file.name} came damaged from another machine")
        _write(file, staging, durable=True)
    sync_folders({(staging / file.name).parent for file in files} | {staging})
    here = tuple(
        replace(one, path=staging / one.path.relative_to(theirs)) for one in restored.files
    )
    return replace(restored, files=here)


def _paths(photo: Photo) -> list[tuple[str, Path]]:
    """The files of a photograph, each with the field that names it."""
    found = (("path", photo.path), ("mask", photo.mask), ("hints", photo.hints))
    return [(role, path) for role, path in found if path is not None]


def _moved(photo: Photo, places: Mapping[str, Path]) -> Photo:
    return replace(
        photo,
        path=places["path"],
        mask=places.get("mask"),
        hints=places.get("hints"),
        beneath=None,
    )


def _name(number: int, role: str, path: Path) -> str:
    return f"{number}-{role}{path.suffix}"


def _read(path: Path, name: str, beneath: Path | None = None) -> SentFile:
    with open_regular(path, beneath) as file:
        mtime_ns = os.fstat(file.fileno()).st_mtime_ns
        return SentFile(name, file.read(), mtime_ns)


def _write(file: SentFile, folder: Path, *, durable: bool) -> None:
    path = folder / file.name
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("xb") as out:
        out.write(file.content)
        out.flush()
        os.utime(out.fileno(), ns=(file.mtime_ns, file.mtime_ns))
        if durable:
            os.fsync(out.fileno())
