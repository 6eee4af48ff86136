"""What the benchmarks share: photographs, tasks, rows of a table, the name of the machine."""

import platform
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import skimage.data
from numpy.typing import NDArray
from PIL import Image

from daemon.config.recipe import Recipe
from daemon.config.steps import Colorize, Denoise, Restyle, SuperResolve
from daemon.messages.tasks import Job, RestoreTask, job_id, seed_of
from daemon.photo import Header, Photo

EVALUATIONS = 10
"""Evaluations of the network in each recipe that samples."""

RECIPES = (
    Recipe(
        name="denoise",
        steps=(Denoise(mode="gaussian", sigma=25, realism=1, steps=EVALUATIONS),),
    ),
    Recipe(name="restyle", steps=(Restyle(strength=0.4, steps=EVALUATIONS),)),
    Recipe(name="super-resolve", steps=(SuperResolve(scale=2, steps=EVALUATIONS),)),
    Recipe(name="colorize", steps=(Colorize(),)),
)


@dataclass(frozen=True)
class Row:
    """One row of the table.

    Attributes:
        what: What was measured.
        measured: The number, with its unit.
        aim: What it should be, or "".
    """

    what: str
    measured: str
    aim: str = ""


def markdown_table(rows: Sequence[Row]) -> str:
    """Format rows as a Markdown table."""
    lines = ["| what | measured | aim |", "|---|---|---|"]
    return "\n".join(lines + [f"| {row.what} | {row.measured} | {row.aim} |" for row in rows])


def photographs() -> list[NDArray[np.uint8]]:
    """Photographs bundled with scikit-image, RGB."""
    names = ("astronaut", "chelsea", "coffee", "rocket")
    return [np.asarray(getattr(skimage.data, name)()) for name in names]


def crop(sources: Sequence[NDArray[np.uint8]], size_px: int, index: int) -> NDArray[np.uint8]:
    """A square crop of a source at a random place, resized to `size_px`; one for each index."""
    rng = np.random.default_rng(index)
    picture = sources[index % len(sources)]
    side = int(rng.integers(180, min(picture.shape[:2])))
    top = int(rng.integers(0, picture.shape[0] - side + 1))
    left = int(rng.integers(0, picture.shape[1] - side + 1))
    piece = Image.fromarray(picture[top : top + side, left : left + side])
    return np.asarray(piece.resize((size_px, size_px), Image.Resampling.LANCZOS))


def write_tasks(
    folder: Path, sources: Sequence[NDArray[np.uint8]], size_px: int, count: int
) -> list[RestoreTask]:
    """Write photographs; tasks whose results have this size, with the recipes in turn."""
    folder.mkdir(parents=True)
    tasks = []
    for index in range(count):
        recipe = RECIPES[index % len(RECIPES)]
        input_px = size_px // 2 if recipe.name == "super-resolve" else size_px
        path = folder / f"{index:05}.png"
        piece = Image.fromarray(crop(sources, input_px, index))
        if recipe.name == "colorize":
            piece = piece.convert("L")
        piece.save(path, compress_level=1)
        header = Header("PNG", input_px, input_px, piece.mode)
        key = job_id(recipe, (), bytes(path), str(index))
        job = Job(
            key, recipe, (Photo(path, path.name, str(index), header),), path.stem, seed_of(key)
        )
        tasks.append(RestoreTask(job, index, folder))
    return tasks


def with_staging(tasks: Sequence[RestoreTask], name: str) -> list[RestoreTask]:
    """The same tasks with new staging folders."""
    staged = []
    for task in tasks:
        staging = task.job.photos[0].path.parent / f"{name}-{task.fence:05}"
        staging.mkdir()
        staged.append(RestoreTask(task.job, task.fence, staging))
    return staged


def machine(command: str) -> str:
    """The date, the command and the machine, for the first sentence of a page of numbers."""
    import torch

    from daemon.engine.hardware import pick_device
    from daemon.system.cgroups import core_count

    device = pick_device("auto")
    name = torch.cuda.get_device_name(0) if device.startswith("cuda") else _processor()
    day = time.strftime("%Y-%m-%d", time.gmtime())
    return (
        f"{day} with `{command}` on device {device} ({name}), {core_count()} cores, "
        f"Python {platform.python_version()}, torch {torch.__version__}."
    )


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()
