"""Where originals go when their jobs have ended: into archive/, or into failed/ with the reason.

Nothing is overwritten. Every function may be repeated after a crash; it then finishes what it had
begun.
"""

from collections.abc import Mapping
from pathlib import Path

from daemon.jobs.access import Access
from daemon.jobs.case_folding import FoldedNames
from daemon.jobs.failure_reasons import is_foreign, reason_path
from daemon.system.files import (
    alternative,
    fit_name,
    make_folder,
    move_to_free,
    sha256_of,
    sync_folders,
)
from daemon.system.json_files import write_new


def retire(
    source: Path,
    target: Path,
    key: str,
    access: Access,
    *,
    keep: bool,
    names: FoldedNames | None = None,
) -> Path | None:
    """Move the original of a finished job to the archive, or remove it.

    Args:
        source: The claimed original; it may be gone already.
        target: Its place in the archive.
        key: Part of the name if another original has that.
        access: Permissions of new folders.
        keep: False removes it.
        names: The names in the archive, if they were asked for before.

    Returns:
        Where it is now; None if nowhere, or if it was moved before a crash.
    """
    if not source.exists():
        return None
    if keep:
        return _move(source, target, key, access, names or FoldedNames())
    source.unlink()
    return None


def _move(source: Path, target: Path, key: str, access: Access, names: FoldedNames) -> Path:
    path = move_to_free(source, target, key, access.group, names.is_taken)
    names.add([path])
    return path


def find_archived(target: Path, key: str, digest: str) -> Path | None:
    """Find a file that `retire` moved before a crash, by its content; None if there is none.

    Args:
        target: Its place in the archive.
        key: The key that was given to `retire`.
        digest: sha256 of the file, hex.
    """
    for name in (fit_name(target.name), alternative(target.name, key)):
        path = target.with_name(name)
        if path.is_file() and sha256_of(path.resolve()) == digest:
            return path
    return None


def reject(
    source: Path | None,
    target: Path,
    key: str,
    why: Mapping[str, object],
    access: Access,
    names: FoldedNames | None = None,
) -> Path:
    """Put the untouched original into failed/ with its reason beside it.

    Args:
        source: The claimed original; None where originals stay in their place.
        target: Its place below failed/.
        key: Part of the name if another original has that.
        why: Content of the reason file.
        access: Permissions of new files.
        names: The names in failed/, if they were asked for before.

    A file that is named like the reason and is none keeps its name; the original takes another.

    Returns:
        Where the original is now; where it would be, if it stays in its place.
    """
    names = names or FoldedNames()
    make_folder(target.parent, access.group)
    origin = why.get("origin")
    kept = target.with_name(fit_name(target.name))
    if is_foreign(reason_path(kept), origin) or names.is_taken(reason_path(kept)):
        kept = target = target.with_name(alternative(target.name, key))
    if source is not None:
        before = target.with_name(alternative(target.name, key))
        if source.exists():
            kept = _move(source, target, key, access, names)
        elif before.exists():  # a crash came between its move and its reason
            kept = before
    error = reason_path(kept)
    if not is_foreign(error, origin):
        error.unlink(missing_ok=True)
    write_new(error, why, access.file_mode, access.group)
    names.add([error])
    sync_folders([kept.parent])
    return kept
