"""Writing a job's results into its staging folder, proven readable and durable.

Comes in: restored pictures. Goes out: staged files with their digests. Never touches the outbox.
"""

import os
from collections.abc import Sequence
from pathlib import Path

from daemon import photo
from daemon.config.recipe import Recipe
from daemon.messages.reports import StagedFile
from daemon.photo import Picture
from daemon.photo.writing import write_animation, write_picture
from daemon.system.errors import CannotWriteError, PassingError

FRAME_MS = 120
_STEM = "{stem}"


def stage(
    pictures: Sequence[Picture], recipe: Recipe, staging: Path
) -> tuple[tuple[StagedFile, ...], tuple[str, ...]]:
    """Write the pictures of one job, look at what was written, sync it and its folders.

    One picture becomes one file of the recipe's format, and generated ones a file each, the first
    being the main result; the frames of an interpolation become an animated WebP, which is the main
    result, and a folder of PNG frames.

    Args:
        pictures: At least one.
        recipe: Its output section says format and quality.
        staging: An own, existing folder.

    Returns:
        The files, the main one first, and notes for the record.

    Raises:
        PassingError: What was written does not read back.
        PhotoError: The format cannot hold the picture.
        OSError: It could not be written.
    """
    if len(pictures) > 1 and not recipe.generates:
        return _stage_frames(pictures, staging)
    files: list[StagedFile] = []
    notes: list[str] = []
    for number, picture in enumerate(pictures, start=1):
        suffix = f"-{number}" if number > 1 else ""
        file, said = _stage_one(picture, recipe, staging, f"result{suffix}", f"{_STEM}{suffix}")
        files.append(file)
        notes += said
    _sync(staging)
    return tuple(files), tuple(dict.fromkeys(notes))


def _stage_one(
    picture: Picture, recipe: Recipe, folder: Path, stored: str, shown: str
) -> tuple[StagedFile, tuple[str, ...]]:
    form, suffix = photo.output_format(recipe.output.format, picture.metadata)
    path = folder / f"{stored}{suffix}"
    notes = write_picture(picture, path, format=form, quality=recipe.output.quality)
    return _proven(path, f"{shown}{suffix}", picture), tuple(notes)


def _stage_frames(
    pictures: Sequence[Picture], staging: Path
) -> tuple[tuple[StagedFile, ...], tuple[str, ...]]:
    animation = staging / "result.webp"
    write_animation(pictures, animation, frame_ms=FRAME_MS)
    notes: list[str] = []
    files = [_proven(animation, f"{_STEM}.webp", pictures[0])]
    frames = staging / "frames"
    frames.mkdir()
    digits = max(2, len(str(len(pictures) - 1)))
    for index, picture in enumerate(pictures):
        path = frames / f"{index:0{digits}}.png"
        notes += write_picture(picture, path, format="PNG", quality=95)
        files.append(_proven(path, f"{_STEM}.frames/{path.name}", picture))
    _sync(frames)
    _sync(staging)
    return tuple(files), tuple(dict.fromkeys(notes))


def _proven(path: Path, name: str, picture: Picture) -> StagedFile:
    _sync(path)
    height, width = picture.pixels.shape[:2]
    try:
        photo.verify_file(path, width, height)
    except CannotWriteError as error:
        # The photograph is not at fault for what the disk or the encoder made of it.
        raise PassingError(f"the result does not read back: {error}") from error
    return StagedFile(path, name, photo.digest_file(path), width, height, picture.prompt)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
