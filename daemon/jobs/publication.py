"""Publication: results and their records become files in an outbox.

A result is complete when its record exists; nothing partial is ever seen and nothing is
overwritten. Publishing may be repeated after a crash; it then finishes what it had begun.
"""

import errno
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from daemon.jobs.access import Access
from daemon.jobs.case_folding import FoldedNames
from daemon.jobs.file_copies import CopyPendingError, DirectCopies, FileCopies, place_all
from daemon.jobs.record import with_file_names
from daemon.jobs.xmp_sidecars import AFTER_NAME, AFTER_STEM
from daemon.system.errors import UsageError
from daemon.system.files import (
    alternative,
    fit_name,
    make_folder,
    place,
    replace_file,
    sync_folders,
)
from daemon.system.json_files import read_json, write_json

_MAX_RECORD_BYTES = 16 << 20
"""Largest record in bytes: JSON escapes a character to at most 12, and a file of 256 prompts of
2000 characters, each with a negative one, is repeated in the record."""


@dataclass(frozen=True)
class Publication:
    """A staged result that is to be published.

    Attributes:
        folder: Outbox folder it goes to, the inbox's sub-folders included.
        stem: Beginning of the name.
        key: Part of the name if that is taken by other content.
        staging: Folder that the files lie in.
        files: (file in the staging folder, name with "{stem}" in it, sha256), main result first,
            sidecars last, with names as `sidecars` has them.
        record: The record without the names of the published files.
    """

    folder: Path
    stem: str
    key: str
    staging: Path
    files: tuple[tuple[str, str, str], ...]
    record: Mapping[str, object]

    def dump(self) -> str:
        """As JSON, for the ledger."""
        return json.dumps(vars(self), default=str)

    @classmethod
    def load(cls, text: str) -> "Publication":
        """Read what `dump` wrote."""
        values = json.loads(text)
        values["files"] = tuple(tuple(file) for file in values["files"])
        return cls(**values | {key: Path(values[key]) for key in ("folder", "staging")})


def publish(
    publications: Sequence[Publication],
    access: Access,
    names: FoldedNames | None = None,
    copies: FileCopies | None = None,
) -> list[Path | OSError | CopyPendingError]:
    """Publish a group: all results, then all records, each folder made durable once.

    Args:
        publications: What is to be published.
        access: Permissions of what is written.
        names: The names in the outbox, if they were asked for before.
        copies: Copies results to an outbox on another disk; at once if None.

    Returns:
        For each, the path of its main result, or why it is not published: the error, or which
        copies must end before this is called again.
    """
    names, copies = names or FoldedNames(), copies or DirectCopies()
    placed: list[list[Path] | OSError | CopyPendingError] = []
    for publication in publications:
        try:
            files = _place_files(publication, access, names, copies)
            names.add(_entry(path, publication.folder) for path in files)
            placed.append(files)
        except (OSError, CopyPendingError) as error:
            placed.append(error)
    refused = _sync({path.parent for paths in placed if isinstance(paths, list) for path in paths})
    results: list[Path | OSError | CopyPendingError] = []
    for publication, paths in zip(publications, placed, strict=True):
        if not isinstance(paths, list):
            results.append(paths)
            continue
        try:
            for path in paths:
                if path.parent in refused:
                    raise refused[path.parent]
            _place_record(publication, paths, access)
            names.add([record_path(paths[0])])
            results.append(paths[0])
        except OSError as error:
            results.append(error)
    refused = _sync({result.parent for result in results if isinstance(result, Path)})
    return [
        refused.get(result.parent, result) if isinstance(result, Path) else result
        for result in results
    ]


def _sync(folders: Iterable[Path]) -> dict[Path, OSError]:
    """Make the entries of folders durable; returns those whose disk refuses that, and why."""
    refused: dict[Path, OSError] = {}
    for folder in folders:
        try:
            sync_folders([folder])
        except OSError as error:
            refused[folder] = error
    return refused


def record_path(result: Path) -> Path:
    """Where the record of a result lies."""
    return result.with_name(f"{result.name}.json")


def read_record(path: Path) -> Mapping[str, Any]:
    """Read a record, or whatever somebody else put there under its name.

    Raises:
        Exception: Whatever is wrong with it; see `read_json`.
    """
    content = read_json(path, _MAX_RECORD_BYTES)
    if not isinstance(content, dict):
        raise UsageError("it is not a record")
    return content


def is_published(result: Path) -> bool:
    """Whether a result and its record are where they were published."""
    return result.exists() and record_path(result).exists()


def _place_files(
    publication: Publication, access: Access, names: FoldedNames, copies: FileCopies
) -> list[Path]:
    """Give the staged files names that are free, all from one stem."""
    while True:
        paths = _free_targets(publication, access, names, copies)
        there: list[tuple[Path, Path]] = []
        for path, (staged, _, _) in zip(paths, publication.files, strict=True):
            make_folder(path.parent, access.group)
            source = publication.staging / staged
            if not source.exists():
                continue  # a crash came between this placing and the record; `_taken` compared it
            source.chmod(access.file_mode)
            if access.group is not None:
                os.chown(source, -1, access.group)
            there.append((source, path))
        copies.prepare(there)
        if place_all(there, copies):
            return paths
        # Somebody took a name just now.


def _free_targets(
    publication: Publication, access: Access, names: FoldedNames, copies: FileCopies
) -> list[Path]:
    make_folder(publication.folder, access.group)
    own = alternative(publication.stem + ".x", publication.key).removesuffix(".x")
    attempt = 0
    while True:
        stem = [publication.stem, own][attempt] if attempt < 2 else f"{own}-{attempt}"
        paths = _targets(publication, stem)
        if not any(_taken(path, publication, i, names, copies) for i, path in enumerate(paths)):
            return paths
        attempt += 1


def _targets(publication: Publication, stem: str) -> list[Path]:
    paths: list[Path] = []
    for _, template, _ in publication.files:
        if template in (AFTER_STEM, AFTER_NAME):
            result = paths[0]
            name = result.stem if template == AFTER_STEM else result.name
            paths.append(result.with_name(f"{name}.xmp"))
            continue
        parts = template.replace("{stem}", stem).split("/")
        paths.append(publication.folder.joinpath(*(fit_name(part) for part in parts)))
    return paths


def _taken(
    path: Path, publication: Publication, index: int, names: FoldedNames, copies: FileCopies
) -> bool:
    """Whether a name holds anything but this very file, or looks like another name on a share."""
    source = publication.staging / publication.files[index][0]
    if _is_there(path) and not (source.exists() and copies.same_content(source, path)):
        return True
    if names.is_taken(_entry(path, publication.folder)):
        return True
    record = record_path(path)
    if index or not _is_there(record):
        return False
    return _job_of(record) != publication.record.get("job")


def _is_there(path: Path) -> bool:
    """Whether anything has a name; raises if its disk cannot tell or the path is too long."""
    try:
        path.lstat()
    except FileNotFoundError:
        return False
    return True


def _entry(path: Path, folder: Path) -> Path:
    """The entry of the folder itself: the file, or the folder that the file is in."""
    return folder / path.relative_to(folder).parts[0]


def _job_of(record: Path) -> str:
    """Id of the job that a record is of; "" where something else has the record's name."""
    try:
        content = read_record(record)
    except Exception:  # whoever may write to the outbox may have put anything there
        return ""
    return str(content.get("job"))


def _place_record(publication: Publication, paths: Sequence[Path], access: Access) -> None:
    record = record_path(paths[0])
    names = [os.fsdecode(os.path.relpath(path, publication.folder)) for path in paths]
    content = with_file_names(publication.record, names)
    part = publication.staging / ".record.json"
    part.unlink(missing_ok=True)
    write_json(part, content, access.file_mode, access.group)
    if not place(part, record):
        if _job_of(record) != publication.record.get("job"):
            raise FileExistsError(errno.EEXIST, "another job's record is there", str(record))
        replace_file(part, record)
