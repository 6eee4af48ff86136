"""`restored apply`: restores files without a station.

Originals are only read, and nothing is overwritten unless that is asked for.
"""

import contextlib
import os
import queue
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, replace
from pathlib import Path

from daemon import photo
from daemon.checkpoints.library import Library
from daemon.config.recipe import Recipe
from daemon.executors import make_executor
from daemon.jobs.companions import SideFilesOnDisk, without_side_files
from daemon.jobs.ledger.entries import ClaimedFile, photos_of
from daemon.jobs.record import describe, with_file_names
from daemon.messages.reports import Failed, HandedBack, Rejected, Report, Restored, WorkerDied
from daemon.messages.tasks import Compute, Job, RestoreTask, job_id, seed_of
from daemon.photo import PROMPTS, Limits, Metadata
from daemon.photo.content_credentials import check_signing
from daemon.restorers.registry import check_models
from daemon.system.errors import (
    CannotWriteError,
    DeviceError,
    PhotoError,
    UsageError,
    photo_message,
)
from daemon.system.files import place, real_path, sha256_of, shown
from daemon.system.text import json_text

_FORMATS = {
    ".png": "png",
    ".jpg": "jpeg",
    ".jpeg": "jpeg",
    ".webp": "webp",
    ".tif": "tiff",
    ".tiff": "tiff",
    ".jxl": "jxl",
    ".avif": "avif",
}


BESIDE = ".restored"
"""What follows the photograph's name in that of a result that lies beside it."""

COMPARED = ".compare"
"""What follows the photograph's name in that of the sheet with it and its results."""

_OWN_ENDINGS = (BESIDE, COMPARED)
"""Endings of the stems of files that this program leaves beside photographs."""


@dataclass(frozen=True)
class ApplyOptions:
    """Where results go, and how.

    Attributes:
        to: A folder, or the file of the only result. None: each result lies beside its photograph,
            as NAME.restored.png.
        force: Replace results that exist.
        seed: Seed of the noise; None derives one from each job.
        record: Write a record beside each result.
    """

    to: Path | None
    _: KW_ONLY
    force: bool = False
    seed: int | None = None
    record: bool = False


@dataclass(frozen=True)
class PlannedJob:
    """One photograph (or pair) with its files.

    Attributes:
        inputs: Its files.
        job: What is computed.
        target: Path of the main result.
        misnamed: What to say of files that were probably meant as its side files.
    """

    inputs: tuple[ClaimedFile, ...]
    job: Job
    target: Path
    misnamed: tuple[str, ...] = ()


def with_output_format(
    recipe: Recipe, inputs: Sequence[Path], options: ApplyOptions
) -> tuple[Recipe, str | None]:
    """The recipe with the format of the output's suffix, and the stem of the output's name.

    Raises:
        UsageError: The inputs and the output do not fit together.
    """
    for path in inputs:
        if path.is_dir():
            raise UsageError(f"{path} is a folder; name its files, such as {path}/*.jpg")
    if options.to is None:
        return recipe, None
    if options.to.is_dir() or not options.to.suffix or str(options.to).endswith(os.sep):
        return recipe, None
    if len(inputs) > recipe.photos:
        raise UsageError(f"{options.to}: several results need a folder, whose name has no suffix")
    wanted = _FORMATS.get(options.to.suffix.lower())
    if recipe.photos == 2:
        if wanted != "webp":
            raise UsageError(
                f"{options.to}: a sequence is written as .webp, with its frames beside it"
            )
        return recipe, options.to.stem
    if wanted is None:
        raise UsageError(f"{options.to}: unknown suffix; use one of {', '.join(_FORMATS)}")
    output = recipe.output.model_copy(update={"format": wanted})
    return recipe.model_copy(update={"output": output}), options.to.stem


def photographs_of(recipe: Recipe, paths: Sequence[Path]) -> list[Path]:
    """The photographs that files and folders stand for, without results that lie beside their own.

    Args:
        recipe: Says which names of a folder's files count; folders inside it are left alone.
        paths: Files, taken whatever they are called, and folders.

    Raises:
        UsageError: A folder holds no photograph.
        OSError: A folder cannot be listed.
    """
    found: list[Path] = []
    for path in paths:
        if not path.is_dir():
            found.append(path)
            continue
        inside = sorted(
            file
            for file in path.iterdir()
            if file.name.lower().endswith(recipe.suffixes)
            and not file.name.startswith(".")
            and file.is_file()
        )
        if not inside:
            raise UsageError(f"{path} holds no photographs; folders inside it are left alone")
        found += inside
    stems = {file.with_suffix("") for file in found}
    own = {
        file
        for file in found
        for ending in _OWN_ENDINGS
        if _without(file.with_suffix(""), ending) in stems
    }
    return [file for file in dict.fromkeys(found) if file not in own]


def _without(path: Path, ending: str) -> Path | None:
    """A path without the ending of its name; None if it ends otherwise."""
    name = path.name.removesuffix(ending)
    return path.with_name(name) if name not in ("", path.name) else None


def group_inputs(recipe: Recipe, inputs: Sequence[Path]) -> list[tuple[Path, ...]]:
    """The inputs of each job; a side file that a glob brought along is no photograph.

    Raises:
        UsageError: The recipe takes pairs, and one photograph has no other.
    """
    photos = without_side_files(inputs, recipe.side_files)
    if len(photos) % recipe.photos:
        raise UsageError(f"{recipe.name} takes pairs; {len(photos)} photographs are given")
    step = recipe.photos
    return [tuple(photos[i : i + step]) for i in range(0, len(photos), step)]


def with_side_files(
    recipe: Recipe, group: Sequence[Path], beside: SideFilesOnDisk
) -> list[tuple[str, Path]]:
    """The files of one job, each with its role: photographs, and side files of the first.

    Raises:
        OSError: The folder cannot be listed.
    """
    sides = [(role, beside.all_of(group[0], role)[:1]) for role in recipe.side_files]
    photos = [("photo", path) for path in group]
    return photos + [(role, side) for role, found in sides for side in found]


def plan_job(
    recipe: Recipe,
    inputs: Sequence[tuple[str, Path]],
    options: ApplyOptions,
    stem: str | None,
    compute: Compute,
) -> PlannedJob:
    """Read the headers and digests of the files of one job, and name its result.

    Args:
        recipe: What is done.
        inputs: Its files, each with its role; photographs first.
        options: How the result is wanted.
        stem: Name of the result without suffix; None takes the first photograph's.
        compute: What is refused, and where models lie.

    Raises:
        PhotoError: A file is refused, or is none that the recipe takes.
        OSError: A file cannot be read.
    """
    files = [_read_input(path, role, compute.limits) for role, path in inputs]
    first = inputs[0][1]
    for file in files:
        if file.header and (file.header.format == PROMPTS) != recipe.generates:
            kinds = ("photographs", "files of prompts")
            takes, not_these = kinds[::-1] if recipe.generates else kinds
            raise PhotoError(
                shown(file.relative), f"recipe {recipe.name} takes {takes}, not {not_these}"
            )
    digests = [file.digest for file in files]
    library = Library(compute.models_dir)
    pinned, weights = library.resolved(recipe)
    key = job_id(recipe, weights, os.fsencode(first.name), *digests)
    photos = photos_of(files)
    target = options.to
    if stem is None or target is None:
        header = photos[0].header
        metadata = Metadata(format=header.format, mode=header.mode)
        suffix = photo.output_format(recipe.output.format, metadata)[1]
        suffix = ".webp" if recipe.photos == 2 else suffix
        beside = first.with_name(f"{first.stem}{BESIDE}{suffix}")
        target = beside if target is None else target / f"{first.stem}{suffix}"
    seed = seed_of(key) if options.seed is None else options.seed
    return PlannedJob(tuple(files), Job(key, pinned, photos, target.stem, seed, weights), target)


def _read_input(path: Path, role: str, limits: Limits) -> ClaimedFile:
    real = real_path(path)  # a person may name links; files are opened without following any
    stat = real.stat()
    photo.refuse_large_file(stat.st_size, shown(path.name), limits)
    header = photo.read_header(real, limits, name=path.name) if role == "photo" else None
    digest = sha256_of(real)
    return ClaimedFile(role, Path(path.name), real, stat.st_size, stat.st_mtime_ns, digest, header)  # type: ignore[arg-type]


def check_targets(tasks: Sequence[PlannedJob], options: ApplyOptions) -> None:
    """Check before anything is computed that every result has a path of its own.

    Raises:
        CannotWriteError: A result exists already, or would replace an original.
        UsageError: Two results have one name.
    """
    taken: dict[Path, Path] = {}
    originals = {real_path(file.path) for task in tasks for file in task.inputs}
    for task in tasks:
        first = task.inputs[0].path
        if real_path(task.target) in originals:
            raise CannotWriteError(f"{task.target} is an original; give another --output")
        if task.target in taken:
            raise UsageError(f"{taken[task.target]} and {first} would both become {task.target}")
        if task.target.exists() and not options.force:
            raise CannotWriteError(f"{task.target} exists already; --force replaces it")
        taken[task.target] = first


ApplyOutcome = Restored | Rejected | Failed


@dataclass(frozen=True)
class Applied:
    """The outcome of one photograph or pair.

    Attributes:
        photo: The first input.
        result: Path of the main result; None if it failed.
        why: Why it failed, without the name of the first input; or "".
        seconds: Seconds of reading, restoring and writing.
        notes: What a person should know about the result.
        cannot_write: The place where the result should go is at fault, not the photograph.
    """

    photo: Path
    result: Path | None
    why: str = ""
    seconds: float = 0.0
    notes: tuple[str, ...] = ()
    cannot_write: bool = False


def apply(
    recipe: Recipe,
    inputs: Sequence[Path],
    options: ApplyOptions,
    compute: Compute,
    *,
    executor: str = "inline",
) -> Iterator[Applied]:
    """Restore photographs, as many at a time as the machine takes.

    Args:
        recipe: The recipe.
        inputs: Photographs; for a recipe of pairs, each two in a row are a pair.
        options: Where results go, and how.
        compute: How to use the machine.
        executor: Name of an entry of EXECUTORS.

    Yields:
        What became of each, as soon as it is known.

    Raises:
        ConfigError: A model is missing or does not serve its step, or results cannot be signed.
        UsageError: The inputs and the output do not fit together.
        CannotWriteError: A result exists already; nothing has been computed.
    """
    check_models([recipe], Library(compute.models_dir))
    check_signing(compute.signing)
    recipe, stem = with_output_format(recipe, inputs, options)
    tasks: list[PlannedJob] = []
    beside = SideFilesOnDisk()
    for group in group_inputs(recipe, inputs):
        try:
            files = with_side_files(recipe, group, beside)
            task = plan_job(recipe, files, options, stem, compute)
            said = (beside.misnamed(group[0], role) for role in recipe.side_files)
            tasks.append(replace(task, misnamed=tuple(filter(None, said))))
        except OSError as error:
            yield Applied(group[0], None, error.strerror or str(error))
        except PhotoError as error:
            yield Applied(group[0], None, _beside(group[0], error))
    check_targets(tasks, options)
    with contextlib.ExitStack() as made:
        scratch = {
            folder: made.enter_context(_scratch_in(folder))
            for folder in dict.fromkeys(task.target.parent for task in tasks)
        }
        yield from _run(tasks, options, scratch, compute, executor)


@contextlib.contextmanager
def _scratch_in(folder: Path) -> Iterator[Path]:
    """A temporary folder on the file system of the results, so that they appear by a link.

    Raises:
        CannotWriteError: A file is in the way, or the file system fails.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".restored-", dir=folder) as scratch:
            yield Path(scratch)
    except (FileExistsError, NotADirectoryError) as error:
        raise CannotWriteError(f"{folder}: a file is where a folder must be") from error
    except OSError as error:
        if isinstance(error, PermissionError):
            raise
        raise CannotWriteError(f"{folder}: {error.strerror or error}") from error


def _run(
    tasks: Sequence[PlannedJob],
    options: ApplyOptions,
    scratch: Mapping[Path, Path],
    compute: Compute,
    executor: str,
) -> Iterator[Applied]:
    if not tasks:
        return
    reports: queue.SimpleQueue[Report] = queue.SimpleQueue()
    runner = make_executor(executor, compute, reports.put)
    runner.start()
    waiting = dict(enumerate(tasks, start=1))
    try:
        for fence, task in waiting.items():
            staging = scratch[task.target.parent] / str(fence)
            staging.mkdir()
            runner.submit(RestoreTask(task.job, fence, staging))
        while waiting:
            for fence, outcome in _outcomes(reports.get()):
                if (done := waiting.pop(fence, None)) is not None:
                    yield _delivered(done, outcome, options, scratch[done.target.parent])
    finally:
        runner.stop(0)


def _outcomes(report: Report) -> list[tuple[int, ApplyOutcome]]:
    match report:
        case Restored() | Rejected() | Failed():
            return [(report.fence, report)]
        case HandedBack():
            return [(fence, Failed(fence, "stopped before it was done")) for fence in report.fences]
        case WorkerDied(hopeless=True):
            raise DeviceError(report.reason)
        case WorkerDied():
            return [(fence, Failed(fence, report.reason)) for fence in report.fences]
    return []


def _delivered(
    task: PlannedJob, outcome: ApplyOutcome, options: ApplyOptions, scratch: Path
) -> Applied:
    first = task.inputs[0].path
    match outcome:
        case Rejected():
            return Applied(first, None, "; ".join((_beside(first, outcome), *task.misnamed)))
        case Failed(no_space=True):
            why = f"{shown(task.target.parent)}: its disk is full; free some space"
            return Applied(first, None, why, cannot_write=True)
        case Failed():
            return Applied(first, None, f"{outcome.reason}\n{outcome.trace}".rstrip())
    timing = outcome.timing
    seconds = timing.decode_s + timing.restore_s + timing.encode_s
    try:
        names = [file.name.replace("{stem}", task.target.stem) for file in outcome.files]
        names[0] = task.target.name
        for name, file in zip(names, outcome.files, strict=True):
            target = task.target.parent / name
            target.parent.mkdir(exist_ok=True)
            _place_result(file.path, target, force=options.force)
        if options.record:
            part = scratch / "record.json"
            record = describe(task.job, outcome, task.inputs, time.time())
            content = with_file_names(record, names)
            part.write_text(json_text(content, indent=2) + "\n")
            _place_result(
                part, task.target.with_name(f"{task.target.name}.json"), force=options.force
            )
            part.unlink(missing_ok=True)
    except CannotWriteError as error:
        return Applied(first, None, str(error), seconds, cannot_write=True)
    except OSError as error:
        why = f"{shown(task.target.parent)}: {error.strerror or error}"
        return Applied(first, None, why, seconds, cannot_write=True)
    return Applied(first, task.target, "", seconds, (*outcome.notes, *task.misnamed))


def _beside(first: Path, fault: PhotoError | Rejected) -> str:
    """The reason, for a line that already names the first photograph: only others are named."""
    photo = "" if fault.photo == shown(first.name) else fault.photo
    return photo_message(photo, fault.why, fault.remedy)


def _place_result(source: Path, target: Path, *, force: bool) -> None:
    if force:
        source.replace(target)
    elif not place(source, target):
        raise CannotWriteError(f"{target} exists already; --force replaces it")
