"""Writes the results of a task into its staging folder: verified, synced, with digests.

The publisher moves them from there; nothing here touches an outbox.
"""

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from daemon import __version__, photo
from daemon.config.recipe import Recipe
from daemon.config.steps import Step
from daemon.engine.backend import Staged
from daemon.messages.reports import StagedFile
from daemon.messages.tasks import Job
from daemon.photo import Picture
from daemon.photo.content_credentials import Ingredient, NotSignedError, Signing, sign_file
from daemon.photo.notes import Note, NoteKind
from daemon.photo.output_formats import OUTPUTS, EncoderOptions
from daemon.photo.privacy import kept_metadata
from daemon.photo.provenance import DigitalSource, Provenance, with_provenance
from daemon.photo.writing import write_animation, write_picture, write_tiff_pages
from daemon.restorers.registry import digital_source
from daemon.system.errors import CannotWriteError, PassingError
from daemon.system.files import sha256_of

FRAME_MS = 120
"""Milliseconds that each frame of an animation is shown."""

_STEM = "{stem}"


def stage(
    pictures: Sequence[Picture], job: Job, staging: Path, signing: Signing | None = None
) -> Staged:
    """Write the pictures of one task, read them back, and sync the files and their folders.

    One picture becomes one file in the recipe's format. Generated pictures become a file each, and
    so do pages, but for TIFF, which holds them all. The frames of an interpolation become an
    animated WebP, which is the main result, and a folder of PNG frames.

    Args:
        pictures: Results, at least one.
        job: The job; the `output` section of its recipe gives format and quality.
        staging: Existing folder of this task only.
        signing: With what results are signed, or None.

    Returns:
        The files, the main one first, and notes for the record.

    Raises:
        PassingError: A file does not read back.
        PhotoError: The format cannot hold the picture.
        OSError: A file could not be written.
    """
    recipe = job.recipe
    pictures, notes = _with_kept_metadata(pictures, job)
    files, more = _stage_all(pictures, recipe, staging)
    steps = _steps_applied(recipe, pictures[0])
    if signing is not None and recipe.output.provenance and steps:
        files, why = _with_credentials(files, job, steps, signing)
        more = (*more, *why)
    if recipe.output.mtime == "keep":
        for file in files:
            _keep_mtime(file.path, pictures[0])
        _sync(staging)
    return files, tuple(dict.fromkeys((*notes, *more)))


def _with_kept_metadata(
    pictures: Sequence[Picture], job: Job
) -> tuple[tuple[Picture, ...], tuple[str, ...]]:
    """The pictures with the metadata that the recipe keeps, and notes."""
    recipe = job.recipe
    kept: list[Picture] = []
    notes: tuple[str, ...] = ()
    for picture in pictures:
        metadata, more = kept_metadata(picture.metadata, recipe.output.metadata)
        stripped = replace(picture, metadata=metadata)
        steps = _steps_applied(recipe, picture)
        if recipe.output.provenance and steps:
            metadata, further = with_provenance(stripped, _provenance(job, steps))
            stripped, more = replace(picture, metadata=metadata), (*more, *further)
        kept.append(stripped)
        notes += more
    return tuple(kept), notes


def _steps_applied(recipe: Recipe, picture: Picture) -> tuple[Step, ...]:
    """The steps that changed the pixels; with none of them the result is the photograph."""
    untouched = picture.metadata.untouched_by
    return tuple(step for index, step in enumerate(recipe.steps) if index not in untouched)


def _provenance(job: Job, steps: Sequence[Step]) -> Provenance:
    sources = {digital_source(step) for step in steps}
    # The strongest word holds for the whole result.
    strength = (DigitalSource.ENHANCED, DigitalSource.COMPOSITE, DigitalSource.GENERATED)
    return Provenance(
        f"restored {__version__}",
        tuple(step.kind for step in steps),
        job.recipe.digest,
        job.provenance_digest,
        max(sources, key=strength.index),
    )


def _with_credentials(
    files: Sequence[StagedFile], job: Job, steps: Sequence[Step], signing: Signing
) -> Staged:
    """The files, signed, or a note that says why they are not."""
    output = job.recipe.output
    ingredients = [
        # What a manifest says of places is left out with all else that says it.
        Ingredient(
            one.path,
            one.name,
            one.header.format,
            one.beneath,
            has_manifest=output.metadata == "keep",
        )
        for one in job.photos
        if not job.recipe.generates
    ]
    signed: list[StagedFile] = []
    notes: list[str] = []
    for file in files:
        mime = next(f"image/{one.name}" for one in OUTPUTS if one.suffix == file.path.suffix)
        try:
            sign_file(file.path, mime, _provenance(job, steps), ingredients, signing)
        except NotSignedError as error:
            # The picture is right all the same, and may be signed later.
            said = f"not signed: c2pa_certificate {error}"
            notes.append(Note(NoteKind.CREDENTIALS, said))
            signed.append(file)
            continue
        _verify(file.path, file.width, file.height)
        signed.append(replace(file, digest=sha256_of(file.path), signed=True))
    for folder in dict.fromkeys(file.path.parent for file in files):
        _sync(folder)
    return tuple(signed), tuple(dict.fromkeys(notes))


def _keep_mtime(path: Path, picture: Picture) -> None:
    """Give a result the modification time of its original; a generated one has none."""
    if picture.metadata.modified_ns is not None:
        os.utime(path, ns=(picture.metadata.modified_ns, picture.metadata.modified_ns))
        _sync(path)


def _stage_all(pictures: Sequence[Picture], recipe: Recipe, staging: Path) -> Staged:
    if len(pictures) > 1 and recipe.photos > 1:
        return _stage_frames(pictures, staging)
    format_name, suffix = photo.output_format(recipe.output.format, pictures[0].metadata)
    if len(pictures) > 1 and format_name == "tiff" and not recipe.generates:
        return _stage_pages(pictures, recipe, staging / f"result{suffix}")
    files: list[StagedFile] = []
    notes: list[str] = []
    for number, picture in enumerate(pictures, start=1):
        ending = f"-{number}" if number > 1 else ""
        file, file_notes = _stage_one(
            picture, recipe, staging, f"result{ending}", f"{_STEM}{ending}"
        )
        files.append(file)
        notes += file_notes
    _sync(staging)
    return tuple(files), tuple(dict.fromkeys(notes))


def _stage_one(
    picture: Picture, recipe: Recipe, folder: Path, stem: str, published_stem: str
) -> tuple[StagedFile, tuple[str, ...]]:
    format_name, suffix = photo.output_format(recipe.output.format, picture.metadata)
    path = folder / f"{stem}{suffix}"
    output = recipe.output
    stays_lossless = (
        output.format == "same"
        and picture.metadata.is_lossless
        and not output.model_fields_set & {"quality", "lossless"}
    )
    notes = write_picture(
        picture,
        path,
        format=format_name,
        depth=output.depth,
        profile=output.profile,
        options=EncoderOptions(
            output.quality,
            output.lossless or stays_lossless,
            output.chroma,
            output.progressive,
            output.compression,
        ),
    )
    return _verified(path, f"{published_stem}{suffix}", picture), tuple(notes)


def _stage_pages(pictures: Sequence[Picture], recipe: Recipe, path: Path) -> Staged:
    output = recipe.output
    notes = write_tiff_pages(
        pictures,
        path,
        depth=output.depth,
        profile=output.profile,
        compression=output.compression,
    )
    file = _verified(path, f"{_STEM}{path.suffix}", pictures[0])
    _sync(path.parent)
    return (file,), notes


def _stage_frames(pictures: Sequence[Picture], staging: Path) -> Staged:
    animation = staging / "result.webp"
    write_animation(pictures, animation, frame_ms=FRAME_MS)
    notes: list[str] = []
    files = [_verified(animation, f"{_STEM}.webp", pictures[0])]
    frames = staging / "frames"
    frames.mkdir()
    digits = max(2, len(str(len(pictures) - 1)))
    for index, picture in enumerate(pictures):
        path = frames / f"{index:0{digits}}.png"
        notes += write_picture(picture, path, format="PNG")
        files.append(_verified(path, f"{_STEM}.frames/{path.name}", picture))
    _sync(frames)
    _sync(staging)
    return tuple(files), tuple(dict.fromkeys(notes))


def _verified(path: Path, name: str, picture: Picture) -> StagedFile:
    _sync(path)
    height, width = picture.pixels.shape[:2]
    _verify(path, width, height)
    return StagedFile(path, name, sha256_of(path), width, height, picture.prompt)


def _verify(path: Path, width: int, height: int) -> None:
    try:
        photo.verify_file(path, width, height)
    except CannotWriteError as error:
        # The disk or the encoder is at fault, not the photograph.
        raise PassingError(f"the result does not read back: {error}") from error


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
