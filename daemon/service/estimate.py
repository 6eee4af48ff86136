"""An estimate before work begins: how many photographs, how large, how long.

Comes in: a recipe, files and folders. Goes out: a forecast, from what finished jobs of the same
recipe and weights took on this station or, where there are none, from a short trial. Headers are
read, no photograph is restored and none is touched.
"""

import json
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from daemon.checkpoints.library import Library
from daemon.config.recipe import Recipe
from daemon.intake.companions import side_of
from daemon.intake.scanner import walk_folders
from daemon.jobs.outbox import record_path
from daemon.jobs.pace import Pace, estimate_s, pace_of, sample_of, samples
from daemon.messages.tasks import Compute
from daemon.photo import Limits, read_header
from daemon.service.apply import ApplyOptions, apply
from daemon.system.cgroups import core_count
from daemon.system.errors import DeviceError, PhotoError

_SURVEYED = 200

_TRIAL_PX = (128, 256)
_TRIAL_EACH = 4
"""So many of each size share forward passes, as photographs of the service do."""


@dataclass(frozen=True)
class PlannedWork:
    """What is to be done.

    Attributes:
        megapixels: Size of each job, the photographs of a pair together.
        refused: Files that the recipe or the limits refuse, or that are no photographs.
    """

    megapixels: tuple[float, ...]
    refused: int


@dataclass(frozen=True)
class Forecast:
    """How long it will take.

    Attributes:
        seconds: With nothing else on the machine.
        samples: Of so many jobs the pace was learnt.
        tried: It was learnt in a trial, because this station has finished no such job yet.
    """

    seconds: float
    samples: int
    tried: bool


def work_in(recipe: Recipe, paths: Sequence[Path], limits: Limits) -> PlannedWork:
    """Look at what lies in files and folders.

    Args:
        recipe: What will be done.
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
    """What seems to lie in folders, from a sample of them.

    Attributes:
        jobs: How many photographs (or pairs) the recipe takes, about.
        seconds: How long they take with nothing else to do; None where no such work is known.
    """

    jobs: int
    seconds: float | None


def survey(recipe: Recipe, paths: Sequence[Path], logs: Path, compute: Compute) -> Survey:
    """Judge folders of any size by their names and the headers of a few files.

    Args:
        recipe: What will be done.
        paths: Files, and folders with all that is below them.
        logs: Folder of the station's job log.
        compute: What is refused, and how many cores there are.
    """
    files = [
        path
        for path in _files(paths)
        if recipe.mismatch(path.name, recipe.match.min_megapixels) is None
    ]
    few = files[:: max(1, len(files) // _SURVEYED)]
    work = work_in(recipe, few, compute.limits)
    times = len(files) / len(few) if few else 0.0
    pace = pace_of(samples(logs, recipe, Library(compute.models_dir)))
    seconds = estimate_s(work.megapixels, pace, compute.threads or core_count()) if pace else None
    jobs = round(len(work.megapixels) * times)
    return Survey(jobs, seconds * times if seconds is not None else None)


def forecast(recipe: Recipe, work: PlannedWork, logs: Path | None, compute: Compute) -> Forecast:
    """Say how long the work will take.

    Args:
        recipe: What will be done.
        work: To what.
        logs: Folder of the station's job log; None where there is no station.
        compute: How the trial may use the machine, if there must be one.

    Raises:
        DeviceError: The trial failed.
    """
    library = Library(compute.models_dir)
    known = pace_of(samples(logs, recipe, library)) if logs is not None else None
    pace = known or _trial(recipe, compute)
    seconds = estimate_s(work.megapixels, pace, compute.threads or core_count())
    return Forecast(seconds, pace.samples, tried=known is None)


def spoken(seconds: float) -> str:
    """A duration as a person says it: "40 s", "12 min", "3 h 20 min", "2 d 4 h"."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{minutes} min"
    if minutes < 36 * 60:
        hours, minutes = divmod(minutes, 60)
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    days, hours = divmod(round(seconds / 3600), 24)
    return f"{days} d {hours} h" if hours else f"{days} d"


def _files(paths: Sequence[Path]) -> Iterator[Path]:
    """The files among these, and those below the folders among these, in order."""
    for path in paths:
        if path.is_file():
            yield path
            continue
        for folder in walk_folders(str(path)):
            yield from (path.joinpath(*folder.parts, name) for name in folder.files)


def _trial(recipe: Recipe, compute: Compute) -> Pace:
    """Put a few small pictures through the recipe, in a worker like the service's."""
    with tempfile.TemporaryDirectory(prefix="restored-estimate-") as scratch:
        inputs = list(_trial_pictures(Path(scratch), recipe.photos))
        found = []
        options = ApplyOptions(Path(scratch) / "out", record=True)
        for done in apply(recipe, inputs, options, compute, executor="process"):
            if done.result is None:
                raise DeviceError(f"a trial of {recipe.name} failed: {done.why}")
            found.append(sample_of(json.loads(record_path(done.result).read_text())))
    pace = pace_of([sample for sample in found if sample is not None])
    if pace is None:
        raise DeviceError(f"a trial of {recipe.name} told nothing of its time")
    return pace


def _trial_pictures(folder: Path, photos: int) -> Iterator[Path]:
    import numpy as np
    from PIL import Image

    generator = np.random.default_rng(0)
    for side_px in _TRIAL_PX:
        ramp = np.linspace(40, 215, side_px)[:, None, None]
        for number in range(_TRIAL_EACH * photos):
            noise = generator.normal(0, 12, (side_px, side_px, 3))
            path = folder / f"{side_px}-{number}.png"
            Image.fromarray(np.clip(ramp + noise, 0, 255).round().astype(np.uint8)).save(path)
            yield path
