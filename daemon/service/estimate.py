"""Estimates how many photographs there are and how long they will take.

The pace is that of finished jobs of the same recipe and weights on this station or, without any,
of a short trial. Only headers of the photographs are read.
"""

import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from daemon.checkpoints.library import Library
from daemon.config.recipe import Recipe
from daemon.executors.shares import distinct_devices
from daemon.intake.scanner import walk_folders
from daemon.jobs.companions import side_of
from daemon.jobs.publication import record_path
from daemon.jobs.time_estimates import Pace, estimate_s, job_time_of, job_times, pace_of
from daemon.messages.tasks import Compute
from daemon.photo import Limits, read_header
from daemon.service.apply import apply
from daemon.service.apply_plan import ApplyOptions
from daemon.system.cgroups import core_count
from daemon.system.errors import DeviceError, PhotoError

_SAMPLE = 200
"""Headers read to judge a folder of any size."""

_TRIAL_SIZES_PX = (128, 256)
_TRIAL_PICTURES = 4
"""Pictures of each size in a trial; they share batches as in the daemon."""


@dataclass(frozen=True)
class PlannedWork:
    """Jobs that lie ahead.

    Attributes:
        megapixels: Size of each job; photographs of a pair are added up.
        refused: Files that the recipe or the limits refuse, or that are no photographs.
    """

    megapixels: tuple[float, ...]
    refused: int


@dataclass(frozen=True)
class Forecast:
    """How long the jobs will take.

    Attributes:
        seconds: Seconds with nothing else on the machine.
        samples: Number of jobs the pace was taken from.
        tried: They were those of a trial, since this station has finished no such job.
    """

    seconds: float
    samples: int
    tried: bool


def work_in(recipe: Recipe, paths: Sequence[Path], limits: Limits) -> PlannedWork:
    """The jobs in files and folders, by the header of each file.

    Args:
        recipe: The recipe they would go through.
        paths: Files, and folders with all that is below them.
        limits: What is refused.
    """
    sizes: list[float] = []
    refused = 0
    for path in _files(paths):
        side = side_of(path.name)
        if side is not None and side.role in recipe.side_files:
            continue
        try:
            megapixels = read_header(path, limits).megapixels
        except (PhotoError, OSError):
            refused += 1
            continue
        if recipe.mismatch(path.name, megapixels) is None:
            sizes.append(megapixels)
        else:
            refused += 1
    step = recipe.photos
    jobs = tuple(sum(sizes[i : i + step]) for i in range(0, len(sizes) - step + 1, step))
    return PlannedWork(jobs, refused + len(sizes) % step)


@dataclass(frozen=True)
class Survey:
    """A rough estimate from a sample of the files.

    Attributes:
        jobs: Photographs (or pairs) that the recipe takes, about.
        seconds: Seconds they take with nothing else to do; None if no such job was finished.
    """

    jobs: int
    seconds: float | None


def survey(recipe: Recipe, paths: Sequence[Path], logs: Path, compute: Compute) -> Survey:
    """Estimate folders of any size from file names and the headers of a few files.

    Args:
        recipe: The recipe they would go through.
        paths: Files, and folders with all that is below them.
        logs: Folder of the station's job log.
        compute: What is refused, and how many cores there are.
    """
    files = [
        path
        for path in _files(paths)
        if recipe.mismatch(path.name, recipe.match.min_megapixels) is None
    ]
    few = files[:: max(1, len(files) // _SAMPLE)]
    work = work_in(recipe, few, compute.limits)
    times = len(files) / len(few) if few else 0.0
    pace = pace_of(job_times(logs, recipe, Library(compute.models_dir)))
    seconds = _seconds(work, pace, compute) if pace else None
    jobs = round(len(work.megapixels) * times)
    return Survey(jobs, seconds * times if seconds is not None else None)


def forecast(recipe: Recipe, work: PlannedWork, logs: Path | None, compute: Compute) -> Forecast:
    """Estimate how long jobs will take; without finished ones, a trial is made.

    Args:
        recipe: The recipe they would go through.
        work: The jobs.
        logs: Folder of the station's job log; None without a station.
        compute: How a trial may use the machine.

    Raises:
        DeviceError: The trial failed.
    """
    library = Library(compute.models_dir)
    known = pace_of(job_times(logs, recipe, library)) if logs is not None else None
    pace = known or _trial(recipe, compute)
    seconds = _seconds(work, pace, compute)
    return Forecast(seconds, pace.samples, tried=known is None)


def _seconds(work: PlannedWork, pace: Pace, compute: Compute) -> float:
    cores = compute.threads or core_count()
    return estimate_s(work.megapixels, pace, cores, len(distinct_devices(compute)))


def _files(paths: Sequence[Path]) -> Iterator[Path]:
    """The files among these, and those below the folders among these, in order."""
    for path in paths:
        if path.is_file():
            yield path
            continue
        for folder in walk_folders(str(path)):
            yield from (path.joinpath(*folder.parts, name) for name in folder.files)


def _trial(recipe: Recipe, compute: Compute) -> Pace:
    """Restore a few small pictures in a worker like the daemon's."""
    with tempfile.TemporaryDirectory(prefix="restored-estimate-") as scratch:
        inputs = [
            trial_picture(Path(scratch) / f"{side_px}-{number}.png", (side_px, side_px), number)
            for side_px in _TRIAL_SIZES_PX
            for number in range(_TRIAL_PICTURES * recipe.photos)
        ]
        found = map(job_time_of, trial_records(recipe, inputs, compute))
        pace = pace_of([one for one in found if one is not None])
    if pace is None:
        raise DeviceError(f"a trial of {recipe.name} gave no times")
    return pace


def trial_records(
    recipe: Recipe, inputs: Sequence[Path], compute: Compute
) -> list[Mapping[str, Any]]:
    """Restore pictures in a worker like the daemon's; returns their records, not the results.

    Raises:
        DeviceError: One cannot be restored.
    """
    found: list[Mapping[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="restored-trial-") as scratch:
        options = ApplyOptions(Path(scratch), any_photo=True, record=True)
        for done in apply(recipe, inputs, options, compute, executor="process"):
            if done.result is None:
                raise DeviceError(f"a trial of {recipe.name} failed: {done.why}")
            found.append(json.loads(record_path(done.result).read_text()))
    return found


def trial_picture(path: Path, size: tuple[int, int], seed: int) -> Path:
    """Write a picture that is a ramp with noise, of a width and height; returns its path."""
    import numpy as np
    from PIL import Image

    width, height = size
    ramp = np.linspace(40, 215, height)[:, None, None]
    noise = np.random.default_rng(seed).normal(0, 12, (height, width, 3))
    Image.fromarray(np.clip(ramp + noise, 0, 255).round().astype(np.uint8)).save(path)
    return path
