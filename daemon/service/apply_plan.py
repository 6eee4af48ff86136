"""The jobs of `restored apply`: which files they take, and where their results go.

Nothing is computed here; headers and digests are read.
"""

import os
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from pathlib import Path

from daemon import photo
from daemon.checkpoints.library import Library
from daemon.config.recipe import Recipe
from daemon.jobs.companions import SideFilesOnDisk, without_side_files
from daemon.jobs.ledger.entries import ClaimedFile, photos_of
from daemon.messages.tasks import Compute, Job, job_id, seed_of
from daemon.photo import PROMPTS, Limits, Metadata
from daemon.system.errors import CannotWriteError, PhotoError, UsageError
from daemon.system.files import real_path, sha256_of, shown

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
        keep_existing: Leave a photograph alone whose result exists, instead of refusing all.
        any_photo: Take photographs that the recipe's [match] refuses.
        seed: Seed of the noise; None derives one from each job.
        record: Write a record beside each result.
        clip: CLIP model that judges `looks_like` of a [match]; None without one.
    """

    to: Path | None
    _: KW_ONLY
    force: bool = False
    keep_existing: bool = False
    any_photo: bool = False
    seed: int | None = None
    record: bool = False
    clip: str | None = None

    def is_kept(self, result: Path) -> bool:
        """Whether a result stays as it is, because it exists and may not be replaced."""
        return self.keep_existing and not self.force and result.exists()


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

    @property
    def photo(self) -> Path:
        """The first photograph."""
        return self.inputs[0].path


def with_output_format(
    recipe: Recipe, inputs: Sequence[Path], options: ApplyOptions
) -> tuple[Recipe, str | None]:
    """The recipe with the format of the output's suffix, and the stem of the output's name.

    Raises:
        UsageError: The inputs and the output do not fit together.
    """
    for path in inputs:
        if path.is_dir():
            raise UsageError(f"{shown(path)} is a folder; name the files in it")
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
        PhotoError: A file is refused, or is none that the recipe takes by its name and size.
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
        if file.header and not options.any_photo:
            why = recipe.mismatch(file.relative.name, file.header.megapixels, any_suffix=True)
            if why is not None:
                raise refused_by(recipe, shown(file.relative), why)
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


def refused_by(recipe: Recipe, label: str, why: str) -> PhotoError:
    """The error that a photograph fails with which the [match] of a recipe refuses."""
    refusal = f"recipe {recipe.name} refuses it: {why}"
    return PhotoError(label, refusal, "--any-photo takes it all the same")


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
        if task.target.exists() and not (options.force or options.keep_existing):
            raise CannotWriteError(f"{task.target} exists already; --force replaces it")
        taken[task.target] = first
