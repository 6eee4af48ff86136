"""Apply: read, restore, write, without a station.

Comes in: a recipe, files, where to write. Goes out: results beside each other; what became of each
input. Originals are only read, and nothing is overwritten unless that is asked for.
"""

import json
import queue
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from daemon.errors import CannotWriteError, DeviceError, PhotoError
from daemon.executors import make_executor
from daemon.files import place, shown
from daemon.job import Compute, Order
from daemon.models import Library
from daemon.recipe import Recipe
from daemon.record import describe, output
from daemon.reports import Failed, HandedBack, Rejected, Report, Restored, WorkerDied
from daemon.restorers import check_models
from daemon.wishes import Task, Wish, check_targets, groups_of, shaped, task_of

Ended = Restored | Rejected | Failed


@dataclass(frozen=True)
class Applied:
    """What became of one photograph or pair.

    Attributes:
        photo: The first input.
        result: Where the main result is; None if it failed.
        why: Why it failed, without its name, or "".
        seconds: Reading, restoring and writing.
    """

    photo: Path
    result: Path | None
    why: str = ""
    seconds: float = 0.0


def apply(
    recipe: Recipe,
    inputs: Sequence[Path],
    wish: Wish,
    compute: Compute,
    *,
    executor: str = "inline",
) -> Iterator[Applied]:
    """Put photographs through a recipe, as many at a time as the machine takes.

    Args:
        recipe: What is done.
        inputs: Photographs; for a recipe of pairs, two after each other are one pair.
        wish: How results are wanted.
        compute: How to use the machine.
        executor: Name of an entry of EXECUTORS.

    Yields:
        What became of each, as soon as it is known.

    Raises:
        ConfigError: A model is not there, or of no use to its step.
        UsageError: The inputs or the output make no sense together.
        CannotWriteError: A result is there already; nothing has been computed.
    """
    check_models([recipe], Library(compute.models_dir))
    recipe, stem = shaped(recipe, inputs, wish)
    tasks: list[Task] = []
    for group in groups_of(recipe, inputs):
        try:
            tasks.append(task_of(recipe, group, wish, stem, compute))
        except OSError as error:
            yield Applied(group[0], None, error.strerror or str(error))
        except PhotoError as error:
            yield Applied(group[0], None, _unnamed(str(error), group[0]))
    folder = wish.to if stem is None else wish.to.parent
    check_targets(tasks, wish)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".restored-", dir=folder) as scratch:
            yield from _carry_out(tasks, wish, Path(scratch), compute, executor)
    except (FileExistsError, NotADirectoryError) as error:
        raise CannotWriteError(f"{folder}: a file is where a folder must be") from error
    except OSError as error:
        if isinstance(error, PermissionError):
            raise
        raise CannotWriteError(f"{folder}: {error.strerror or error}") from error


def _carry_out(
    tasks: Sequence[Task], wish: Wish, scratch: Path, compute: Compute, executor: str
) -> Iterator[Applied]:
    if not tasks:
        return
    reports: queue.SimpleQueue[Report] = queue.SimpleQueue()
    runner = make_executor(executor, compute, reports.put)
    runner.start()
    waiting = dict(enumerate(tasks, start=1))
    try:
        for fence, task in waiting.items():
            staging = scratch / str(fence)
            staging.mkdir()
            runner.submit(Order(task.job, fence, staging))
        while waiting:
            for fence, outcome in _outcomes(reports.get()):
                if (done := waiting.pop(fence, None)) is not None:
                    yield _delivered(done, outcome, wish, scratch)
    finally:
        runner.stop(0)


def _outcomes(report: Report) -> list[tuple[int, Ended]]:
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


def _delivered(task: Task, outcome: Ended, wish: Wish, scratch: Path) -> Applied:
    first = task.inputs[0].path
    if not isinstance(outcome, Restored):
        trace = getattr(outcome, "trace", "")
        return Applied(first, None, _unnamed(f"{outcome.reason}\n{trace}".rstrip(), first))
    timing = outcome.timing
    seconds = timing.decode_s + timing.restore_s + timing.encode_s
    try:
        names = [file.name.replace("{stem}", task.target.stem) for file in outcome.files]
        names[0] = task.target.name
        for name, file in zip(names, outcome.files, strict=True):
            target = task.target.parent / name
            target.parent.mkdir(exist_ok=True)
            _put(file.path, target, force=wish.force)
        if wish.record:
            part = scratch / "record.json"
            content = dict(describe(task.job, outcome, task.inputs, time.time()))
            content["outputs"] = [
                {"file": name} | output(file)
                for name, file in zip(names, outcome.files, strict=True)
            ]
            part.write_text(json.dumps(content, indent=2) + "\n")
            _put(part, task.target.with_name(f"{task.target.name}.json"), force=wish.force)
            part.unlink(missing_ok=True)
    except (CannotWriteError, OSError) as error:
        return Applied(first, None, str(error), seconds)
    return Applied(first, task.target, "", seconds)


def _unnamed(why: str, photo: Path) -> str:
    """A reason without the photograph's name before it: whoever tells it says the name."""
    for called in (photo, photo.name):
        why = why.removeprefix(f"{shown(called)}: ")
    return why


def _put(source: Path, target: Path, *, force: bool) -> None:
    if force:
        source.replace(target)
    elif not place(source, target):
        raise CannotWriteError(f"{target} is there already; --force replaces it")
