"""XMP sidecars: the XMP that lay beside a photograph is copied to stand beside its result.

It was claimed with its photograph where originals are archived. Where they are left in their place
or removed, and in bulk jobs, it is no part of the claim and is looked for where the photograph lay.

Lightroom looks for NAME.xmp and darktable for NAME.EXT.xmp. The copy has the form in which the
photograph's own one came, since whoever wrote that reads it. Orientation is reset, as results are
upright; the rest is copied byte by byte, but for what `metadata` of the recipe leaves out. No other
companion is copied: a telephone's or an album's files (AAE, JSON) stay with the original.
"""

import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import structlog

from daemon.jobs.ledger.entries import ClaimedFiles
from daemon.photo.notes import Note, NoteKind
from daemon.photo.privacy import MetadataChoice, kept_side_file
from daemon.photo.xmp import upright_xmp
from daemon.system.errors import UsageError
from daemon.system.files import as_text, read_bounded, sha256_of, shown, sync_folders
from daemon.system.text import same_name

_log = structlog.get_logger()

AFTER_STEM, AFTER_NAME = "{result stem}.xmp", "{result}.xmp"
"""Names of sidecars, to be completed with the name of the main result."""

_Found = tuple[str, Path, Path]
"""An XMP file: its form, its place below the inbox, its path."""

_MAX_BYTES = 16 << 20
"""Largest XMP file in bytes that is copied; darktable's masks take up to about one megabyte."""


@dataclass(frozen=True)
class Sidecar:
    """A staged sidecar.

    Attributes:
        staged: Its name in the staging folder.
        name: `AFTER_STEM` or `AFTER_NAME`.
        origin: The file that it was copied from, below its inbox, as text.
        digest: sha256, hex.
    """

    staged: str
    name: str
    origin: str
    digest: str

    def record(self) -> dict[str, object]:
        """As the record of the result tells of it."""
        return {"from": self.origin, "sha256": self.digest}


def stage_sidecars(
    claim: ClaimedFiles, staging: Path, choice: MetadataChoice = "keep"
) -> tuple[list[Sidecar], tuple[Note, ...]]:
    """Copy the XMP files of the first photograph into the staging folder, durably.

    It may be repeated. One that is too large to be XMP is left out.

    Args:
        claim: The photograph's files.
        staging: The folder.
        choice: What of the metadata a result carries.

    Returns:
        The sidecars, and notes on those that could not be searched for places.

    Raises:
        OSError: A file cannot be read or written.
    """
    staged: list[Sidecar] = []
    notes: tuple[Note, ...] = ()
    archived = claim.folder.originals == "archive"
    beneath = None if archived else claim.folder.path
    for form, relative, path in _claimed(claim) if archived else _beside(claim):
        try:
            packet = upright_xmp(read_bounded(path, _MAX_BYTES, beneath))
        except UsageError as error:
            _log.warning("sidecar_not_copied", file=shown(relative), why=str(error))
            continue
        kept = kept_side_file(packet, choice)
        if kept is None:
            if choice != "strip":
                said = f"{shown(relative)} cannot be searched for a place: not copied"
                notes += (Note(NoteKind.METADATA, said),)
            continue
        target = staging / f"sidecar-{len(staged)}.xmp"
        with target.open("wb") as file:
            file.write(kept)
            file.flush()
            os.fsync(file.fileno())
        staged.append(Sidecar(target.name, form, as_text(relative), sha256_of(target)))
    if staged:
        sync_folders([staging])
    return staged, notes


def _claimed(claim: ClaimedFiles) -> Sequence[_Found]:
    """The claimed XMP files, one of a form."""
    photo = claim.files[0].relative
    forms = {same_name(photo.stem): AFTER_STEM, same_name(photo.name): AFTER_NAME}
    found: dict[str, _Found] = {}
    for file in claim.files:
        form = forms.get(same_name(file.relative.stem))
        if file.role == "companion" and file.relative.suffix.lower() == ".xmp" and form:
            found.setdefault(form, (form, file.relative, file.path))
    return tuple(found.values())


def _beside(claim: ClaimedFiles) -> Sequence[_Found]:
    """The XMP files where the photograph lay, one of a form; a folder may be too large to list."""
    photo = claim.files[0].relative
    found: dict[str, _Found] = {}
    for form, name in ((AFTER_STEM, photo.stem), (AFTER_NAME, photo.name)):
        for suffix in (".xmp", ".XMP"):
            relative = photo.with_name(name + suffix)
            path = claim.folder.path / relative
            if form not in found and _is_file(path):
                found[form] = (form, relative, path)
    return tuple(found.values())


def _is_file(path: Path) -> bool:
    """Whether a regular file is there; False, too, where the folder does not say."""
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except OSError:
        return False
