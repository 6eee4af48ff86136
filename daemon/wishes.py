"""What `apply` is asked for: which files become which jobs, and where their results go.

Comes in: a recipe, files, where to write. Goes out: tasks, each with a target of its own, or what
is wrong with them. Only looks; nothing is restored or written here.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from daemon import photo
from daemon.entries import ClaimedFile, photos_of
from daemon.errors import CannotWriteError, PhotoError, UsageError
from daemon.job import Compute, Job, job_id, seed_of
from daemon.models import Library
from daemon.photo import PROMPTS, Limits, Metadata
from daemon.recipe import Recipe

_FORMATS = {
    ".png": "png",
    ".jpg": "jpeg",
    ".jpeg": "jpeg",
    ".webp": "webp",
    ".tif": "tiff",
    ".tiff": "tiff",
}


@dataclass(frozen=True)
class Wish:
    """How results are wanted.

    Attributes:
        to: A folder, or the file of the only result.
        force: Replace what is there.
        seed: Of the noise; None takes each job's own.
        record: Write a record beside each result.
    """

    to: Path
    force: bool = False
    seed: int | None = None
    record: bool = False


@dataclass(frozen=True)
class Task:
    """One job of `apply`.

    Attributes:
        inputs: Its files.
        job: What is done.
        target: Where the main result goes.
    """

    inputs: tuple[ClaimedFile, ...]
    job: Job
    target: Path


def shaped(recipe: Recipe, inputs: Sequence[Path], wish: Wish) -> tuple[Recipe, str | None]:
    """The recipe with the format that the output's name asks for, and that name's stem.

    Raises:
        UsageError: The inputs or the output make no sense together.
    """
    for path in inputs:
        if path.is_dir():
            raise UsageError(f"{path} is a folder; name its files, such as {path}/*.jpg")
    if wish.to.is_dir() or not wish.to.suffix or str(wish.to).endswith(os.sep):
        return recipe, None
    if len(inputs) > recipe.photos:
        raise UsageError(f"{wish.to}: more than one result needs a folder, which has no suffix")
    wanted = _FORMATS.get(wish.to.suffix.lower())
    if recipe.photos == 2:
        if wanted != "webp":
            raise UsageError(f"{wish.to}: a sequence is written as .webp, with its frames beside")
        return recipe, wish.to.stem
    if wanted is None:
        raise UsageError(f"{wish.to}: its suffix is none of {', '.join(_FORMATS)}")
    output = recipe.output.model_copy(update={"format": wanted})
    return recipe.model_copy(update={"output": output}), wish.to.stem


def groups_of(recipe: Recipe, inputs: Sequence[Path]) -> list[tuple[Path, ...]]:
    """The inputs of each job; a side file that a glob brought along is no photograph.

    Raises:
        UsageError: The recipe takes pairs, and one photograph has no other.
    """
    sides = {side for path in inputs for _, side in _sides(recipe, path)}
    photos = [path for path in inputs if path not in sides]
    if len(photos) % recipe.photos:
        raise UsageError(f"{recipe.name} takes pairs; {len(photos)} photographs are given")
    step = recipe.photos
    return [tuple(photos[i : i + step]) for i in range(0, len(photos), step)]


def _sides(recipe: Recipe, path: Path) -> list[tuple[str, Path]]:
    found = []
    for role in recipe.companions:
        names = (f"{path.stem}.{role}.png", f"{path.name}.{role}.png")
        beside = [path.with_name(name) for name in names if path.with_name(name).is_file()]
        found += [(role, side) for side in beside[:1]]
    return found


def task_of(
    recipe: Recipe, group: tuple[Path, ...], wish: Wish, stem: str | None, compute: Compute
) -> Task:
    """Look at the files of one job and name its result.

    Args:
        recipe: What is done.
        group: The photographs.
        wish: How the result is wanted.
        stem: Name of the result without suffix; None takes the first photograph's.
        compute: What is refused, and where models lie.

    Raises:
        PhotoError: A file is refused, or is none that the recipe takes.
        OSError: A file cannot be read.
    """
    files = [_looked_at(path, "photo", compute.limits) for path in group]
    for file in files:
        if file.header and (file.header.format == PROMPTS) != recipe.generates:
            prompts, photographs = "files of prompts", "photographs"
            takes, not_these = (
                (prompts, photographs) if recipe.generates else (photographs, prompts)
            )
            raise PhotoError(f"recipe {recipe.name} takes {takes}, no {not_these}")
    files += [_looked_at(side, role, compute.limits) for role, side in _sides(recipe, group[0])]
    digests = [file.digest for file in files]
    library = Library(compute.models_dir)
    pinned, weights = library.resolved(recipe)
    key = job_id(recipe, weights, os.fsencode(group[0].name), *digests)
    photos = photos_of(files)
    target = wish.to
    if stem is None:
        header = photos[0].header
        seen = Metadata(format=header.format, mode=header.mode)
        suffix = photo.output_format(recipe.output.format, seen)[1]
        target = wish.to / f"{group[0].stem}{'.webp' if recipe.photos == 2 else suffix}"
    seed = seed_of(key) if wish.seed is None else wish.seed
    return Task(tuple(files), Job(key, pinned, photos, target.stem, seed, weights), target)


def _looked_at(path: Path, role: str, limits: Limits) -> ClaimedFile:
    stat = path.stat()
    header = photo.read_header(path, limits) if role == "photo" else None
    digest = photo.digest_file(path)
    return ClaimedFile(role, Path(path.name), path, stat.st_size, stat.st_mtime_ns, digest, header)  # type: ignore[arg-type]


def check_targets(tasks: Sequence[Task], wish: Wish) -> None:
    """See before anything is computed that every result has a place of its own.

    Raises:
        CannotWriteError: A result is there already, or would replace an original.
        UsageError: Two results have one name.
    """
    taken: dict[Path, Path] = {}
    originals = {file.path.resolve() for task in tasks for file in task.inputs}
    for task in tasks:
        first = task.inputs[0].path
        if task.target.resolve() in originals:
            raise CannotWriteError(f"{task.target} is an original; give another -o")
        if task.target in taken:
            raise UsageError(f"{taken[task.target]} and {first} would both become {task.target}")
        if task.target.exists() and not wish.force:
            raise CannotWriteError(f"{task.target} is there already; --force replaces it")
        taken[task.target] = first
