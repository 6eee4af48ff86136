"""`restored apply`: restores files without a station.

Originals are only read, and nothing is overwritten unless that is asked for.
"""

import contextlib
import itertools
import queue
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from daemon.checkpoints.library import Library
from daemon.config.recipe import Recipe
from daemon.executors import make_executor
from daemon.jobs.companions import SideFilesOnDisk
from daemon.jobs.record import describe, with_file_names
from daemon.messages.reports import (
    Failed,
    HandedBack,
    Heartbeat,
    Inspected,
    Outcome,
    Rejected,
    Report,
    Restored,
    WorkerDied,
    WorkerLost,
)
from daemon.messages.tasks import Compute, InspectTask, RestoreTask, Task
from daemon.photo.content_credentials import check_signing
from daemon.restorers.registry import asks_networks, check_clip, check_models
from daemon.service.apply_plan import (
    ApplyOptions,
    PlannedJob,
    check_targets,
    group_inputs,
    plan_job,
    refused_by,
    with_output_format,
    with_side_files,
)
from daemon.system.errors import CannotWriteError, DeviceError, PhotoError, photo_message
from daemon.system.files import place, shown
from daemon.system.text import json_text


@dataclass(frozen=True)
class Applied:
    """The outcome of one photograph or pair.

    Attributes:
        photo: The first input.
        result: Path of the main result; None if it failed.
        why: Why it failed, without the name of the first input; or "".
        seconds: Seconds of reading, restoring and writing.
        notes: What a person should know about the result.
        kept: The result was there before, and nothing was done.
        cannot_write: The place where the result should go is at fault, not the photograph.
    """

    photo: Path
    result: Path | None
    why: str = ""
    seconds: float = 0.0
    notes: tuple[str, ...] = ()
    kept: bool = False
    cannot_write: bool = False


@dataclass(frozen=True)
class Working:
    """Work goes on.

    Attributes:
        evaluations: Evaluations of networks since the start, by all photographs together.
    """

    evaluations: int = 0


def apply(
    recipe: Recipe,
    inputs: Sequence[Path],
    options: ApplyOptions,
    compute: Compute,
    *,
    executor: str = "inline",
) -> Iterator[Applied]:
    """Restore photographs as `follow` does; yields only what became of each."""
    events = follow(recipe, inputs, options, compute, executor=executor)
    return (event for event in events if isinstance(event, Applied))


def follow(
    recipe: Recipe,
    inputs: Sequence[Path],
    options: ApplyOptions,
    compute: Compute,
    *,
    executor: str = "inline",
) -> Iterator[Applied | Working]:
    """Restore photographs, as many at a time as the machine takes.

    Args:
        recipe: The recipe.
        inputs: Photographs; for a recipe of pairs, each two in a row are a pair.
        options: Where results go, and how.
        compute: How to use the machine.
        executor: Name of an entry of EXECUTORS.

    Yields:
        What became of each, as soon as it is known; in between, that work goes on.

    Raises:
        ConfigError: A model is missing or does not serve its step, or results cannot be signed.
        UsageError: The inputs and the output do not fit together.
        CannotWriteError: A result exists already; nothing has been computed.
    """
    library = Library(compute.models_dir)
    check_models([recipe], library)
    if not options.any_photo:
        check_clip([recipe], options.clip, library)
    check_signing(compute.signing)
    compute = replace(compute, networks=asks_networks(recipe))
    recipe, stem = with_output_format(recipe, inputs, options)
    planned: list[PlannedJob] = []
    beside = SideFilesOnDisk()
    for group in group_inputs(recipe, inputs):
        try:
            files = with_side_files(recipe, group, beside)
            job = plan_job(recipe, files, options, stem, compute)
            said = (beside.misnamed(group[0], role) for role in recipe.side_files)
            planned.append(replace(job, misnamed=tuple(filter(None, said))))
        except OSError as error:
            yield Applied(group[0], None, error.strerror or str(error))
        except PhotoError as error:
            yield Applied(group[0], None, _beside(group[0], error))
    check_targets(planned, options)
    jobs = [job for job in planned if not options.is_kept(job.target)]
    yield from (Applied(j.photo, j.target, kept=True) for j in planned if j not in jobs)
    with contextlib.ExitStack() as made:
        scratch = {
            folder: made.enter_context(_scratch_in(folder))
            for folder in dict.fromkeys(job.target.parent for job in jobs)
        }
        if jobs:
            yield from _ApplyRun(recipe, options, compute, scratch).run(jobs, executor)


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


class _ApplyRun:
    """Jobs in an executor of their own: measured where the recipe's [match] asks, then restored.

    Args:
        recipe: The recipe of all jobs.
        options: Where results go, and how.
        compute: How to use the machine.
        scratch: For each folder of results, one on its disk for what is not complete.
    """

    def __init__(
        self,
        recipe: Recipe,
        options: ApplyOptions,
        compute: Compute,
        scratch: Mapping[Path, Path],
    ) -> None:
        self._recipe = recipe
        self._options = options
        self._compute = compute
        self._scratch = scratch
        self._waiting: dict[int, PlannedJob] = {}
        self._measured: dict[int, int] = {}
        self._unmeasured: Counter[int] = Counter()
        self._evaluations = 0

    def run(self, jobs: Sequence[PlannedJob], executor: str) -> Iterator[Applied | Working]:
        """Carry out jobs, and yield each when it is done."""
        yield Working()
        reports: queue.SimpleQueue[Report] = queue.SimpleQueue()
        runner = make_executor(executor, self._compute, reports.put)
        runner.start()
        self._waiting = dict(enumerate(jobs, start=1))
        try:
            for task in self._first_tasks():
                runner.submit(task)
            while self._waiting:
                report = reports.get()
                if isinstance(report, Heartbeat) and report.counts.calls:
                    self._evaluations += report.counts.calls
                    yield Working(self._evaluations)
                for fence, outcome in _outcomes(report):
                    done = self._taken(fence, outcome)
                    if isinstance(done, RestoreTask):
                        runner.submit(done)
                    elif done is not None:
                        yield done
        finally:
            runner.stop(0)

    def _first_tasks(self) -> Iterator[Task]:
        """The first tasks of each job; those that measure are numbered after all jobs."""
        features = () if self._options.any_photo else self._recipe.match.features
        if not features:
            yield from (self._restore_task(fence) for fence in self._waiting)
            return
        library = Library(self._compute.models_dir)
        clip = library.pinned(self._options.clip) if self._options.clip else ""
        digest = library.digest(clip) if clip else ""
        numbers = itertools.count(len(self._waiting) + 1)
        for fence, planned in self._waiting.items():
            for photo in planned.job.photos:
                number = next(numbers)
                self._measured[number] = fence
                self._unmeasured[fence] += 1
                yield InspectTask(photo, features, number, clip, digest)

    def _restore_task(self, fence: int) -> RestoreTask:
        planned = self._waiting[fence]
        staging = self._scratch[planned.target.parent] / str(fence)
        staging.mkdir()
        return RestoreTask(planned.job, fence, staging)

    def _taken(self, number: int, outcome: Outcome) -> Applied | RestoreTask | None:
        """What follows the outcome of a task: what became of its job, its next task, or nothing."""
        fence = self._measured.get(number, number)
        planned = self._waiting.get(fence)
        if planned is None:
            return None
        if isinstance(outcome, Inspected):
            features = self._recipe.match.features
            answers = dict(zip(features, outcome.answers, strict=True))
            why = self._recipe.match.content_mismatch(answers)
            if why is None:
                self._unmeasured[fence] -= 1
                return None if self._unmeasured[fence] else self._restore_task(fence)
            error = refused_by(self._recipe, "", why)
            outcome = Rejected(number, "", error.why, error.remedy)
        del self._waiting[fence]
        return _delivered(planned, outcome, self._options, self._scratch[planned.target.parent])


def _outcomes(report: Report) -> list[tuple[int, Outcome]]:
    match report:
        case Restored() | Inspected() | Rejected() | Failed():
            return [(report.fence, report)]
        case HandedBack():
            return [(fence, Failed(fence, "stopped before it was done")) for fence in report.fences]
        case WorkerDied(hopeless=True) | WorkerLost(hopeless=True):
            raise DeviceError(report.reason)
        case WorkerDied() | WorkerLost():
            return [(fence, Failed(fence, report.reason)) for fence in report.fences]
    return []


def _delivered(
    planned: PlannedJob,
    outcome: Restored | Rejected | Failed,
    options: ApplyOptions,
    scratch: Path,
) -> Applied:
    first = planned.photo
    match outcome:
        case Rejected():
            return Applied(first, None, "; ".join((_beside(first, outcome), *planned.misnamed)))
        case Failed(no_space=True):
            why = f"{shown(planned.target.parent)}: its disk is full; free some space"
            return Applied(first, None, why, cannot_write=True)
        case Failed():
            return Applied(first, None, f"{outcome.reason}\n{outcome.trace}".rstrip())
    timing = outcome.timing
    seconds = timing.decode_s + timing.restore_s + timing.encode_s
    try:
        _place_results(planned, outcome, options, scratch)
    except CannotWriteError as error:
        return Applied(first, None, str(error), seconds, cannot_write=True)
    except OSError as error:
        why = f"{shown(planned.target.parent)}: {error.strerror or error}"
        return Applied(first, None, why, seconds, cannot_write=True)
    return Applied(first, planned.target, "", seconds, (*outcome.notes, *planned.misnamed))


def _place_results(
    planned: PlannedJob, outcome: Restored, options: ApplyOptions, scratch: Path
) -> None:
    """Give the files of a result their names, and write the record if it is wanted.

    Raises:
        CannotWriteError: A file of that name exists.
    """
    target = planned.target
    names = [file.name.replace("{stem}", target.stem) for file in outcome.files]
    names[0] = target.name
    for name, file in zip(names, outcome.files, strict=True):
        path = target.parent / name
        path.parent.mkdir(exist_ok=True)
        _place_result(file.path, path, force=options.force)
    if options.record:
        part = scratch / "record.json"
        record = describe(planned.job, outcome, planned.inputs, time.time())
        part.write_text(json_text(with_file_names(record, names), indent=2) + "\n")
        _place_result(part, target.with_name(f"{target.name}.json"), force=options.force)
        part.unlink(missing_ok=True)


def _beside(first: Path, fault: PhotoError | Rejected) -> str:
    """The reason, for a line that already names the first photograph: only others are named."""
    photo = "" if fault.photo == shown(first.name) else fault.photo
    return photo_message(photo, fault.why, fault.remedy)


def _place_result(source: Path, target: Path, *, force: bool) -> None:
    if force:
        source.replace(target)
    elif not place(source, target):
        raise CannotWriteError(f"{target} exists already; --force replaces it")
