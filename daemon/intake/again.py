"""Again: the photograph of a finished job is restored once more, with other values.

The original stays where it lies, in the archive or in its inbox, so that several trials of one
photograph can run at once. Each result appears in the outbox under a name of its own, and `Choose`
sets aside those that somebody does not want.
"""

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import structlog

from daemon.config.recipe import Recipe, recipe_named
from daemon.config.station import InboxFolder
from daemon.config.step_changes import with_step_changes
from daemon.intake.arrivals import Arrival, Claim
from daemon.intake.claimer import Claimer
from daemon.intake.requests import AgainRequest, ChooseRequest
from daemon.jobs.companions import ROLES
from daemon.jobs.ledger import originals as original_rows
from daemon.jobs.ledger.entries import ClaimedFile, Entry, Original
from daemon.jobs.ledger.listing import ListedJob, listed_job
from daemon.jobs.ledger.writer import Ledger
from daemon.jobs.publication import read_record, record_path
from daemon.system.errors import ConfigError, UsageError
from daemon.system.files import make_folder, shown, sync_folders
from daemon.system.files import place as place_file

_log = structlog.get_logger()

UNCHOSEN = ".unchosen"
"""Folder in an outbox of results that somebody did not choose."""


class Again:
    """The daemon's side: requests become claims of originals where they lie."""

    def __init__(self, ledger: Ledger, claimer: Claimer) -> None:
        self._ledger = ledger
        self._claimer = claimer

    def take(self, request: AgainRequest, recipes: Sequence[Recipe], now: float) -> None:
        """Queue one more job.

        Args:
            request: Of which photograph, and how.
            recipes: The recipes as they are now.
            now: UTC seconds since the epoch.

        Raises:
            UsageError: It cannot be done, and why.
        """
        entry = next(iter(self._ledger.entries([request.row])), None)
        if entry is None or entry.state not in ("done", "failed"):
            raise UsageError(f"no job with the number {request.row} has ended here")
        try:
            recipe = recipe_named(request.recipe or entry.recipe, recipes)
        except ConfigError as error:
            raise UsageError(str(error)) from error
        keys = [change.partition("=")[0].rpartition(".")[2].strip() for change in request.changes]
        if "model" in keys:  # whoever asks may not name paths of the daemon's machine
            raise UsageError("the model of a step is changed in a recipe, not for one photograph")
        with_step_changes(recipe, request.changes)
        self._claimer.claim([self._claim(entry, recipe, request.changes)], now)

    def _claim(self, entry: Entry, recipe: Recipe, changes: tuple[str, ...]) -> Claim:
        files = self._files(entry)
        photos = [path for file, path in files if file.role == "photo"]
        if len(photos) != recipe.photos or recipe.generates:
            raise UsageError(
                f"recipe {recipe.name} takes {recipe.photos} photographs, and this job has "
                f"{len(photos)}"
            )
        sides = {file.role: path for file, path in files if file.role != "photo"}
        if recipe.needs_mask and "mask" not in sides:
            raise UsageError(f"recipe {recipe.name} needs a mask; mark the photograph first")
        folder = _folder_of(entry, recipe, photos[0])

        def arrival(path: Path) -> Arrival:
            status = path.lstat()
            place = path.relative_to(folder.path)
            return Arrival(folder, place, status.st_size, status.st_mtime_ns)

        wanted = [role for role in ROLES if role in recipe.side_files and role in sides]
        arrivals = {role: arrival(sides[role]) for role in wanted}
        return Claim(
            tuple(map(arrival, photos)),
            recipe.name,
            entry.claim.stem,
            mask=arrivals.get("mask"),
            hints=arrivals.get("hints"),
            changes=changes,
        )

    def _files(self, entry: Entry) -> list[tuple[ClaimedFile, Path]]:
        """The photographs and side files of a job, and where they lie untouched.

        Raises:
            UsageError: One is not there any more as it was.
        """
        rows = original_rows.originals_of(self._ledger, entry.row)
        archived = {one.position: one for one in rows}
        found = []
        for position, file in enumerate(entry.claim.files):
            if file.role == "companion":
                continue
            known = archived.get(position, file)
            path = known.path
            stays = position in archived or entry.claim.folder.originals == "leave"
            if not stays or not _is_untouched(path, known):
                raise UsageError(
                    f"{shown(file.relative)}: the original is not in the archive any more as it was"
                )
            found.append((file, path))
        return found


class Choose:
    """The daemon's side: of several results one stays in the outbox."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def take(self, request: ChooseRequest) -> None:
        """Set results aside, and bring the chosen one back if it was.

        It may be taken twice after a crash: what has moved stays where it is.

        Raises:
            UsageError: They are not results of one photograph.
            OSError: The file system refuses.
        """
        chosen = self._job(request.row)
        others = [self._job(row) for row in request.others if row != request.row]
        digest = chosen.entry.claim.files[0].digest
        if any(other.entry.claim.files[0].digest != digest for other in others):
            raise UsageError("these are not results of one photograph")
        for other in others:
            self._move(other, aside=True)
        self._move(chosen, aside=False)
        _log.info("chosen", row=request.row, set_aside=len(others))

    def _job(self, row: int) -> ListedJob:
        job = listed_job(self._ledger, row)
        if job is None or job.entry.state != "done" or job.result is None:
            raise UsageError(f"no job with the number {row} has a result")
        return job

    def _move(self, job: ListedJob, *, aside: bool) -> None:
        """Move a result with its record, the record last; the ledger knows before the old goes."""
        row, result, outbox = job.entry.row, job.result, job.entry.claim.folder.outbox
        if result is None or not result.is_relative_to(outbox):
            raise UsageError(f"job {row}: its result is not in its outbox")
        below = result.relative_to(outbox)
        is_aside = below.parts[0] == UNCHOSEN
        if is_aside == aside or not result.exists():
            return
        target = outbox.joinpath(*below.parts[2:])
        if aside:
            target = outbox / UNCHOSEN / str(row) / below
        sources = [result, *_beside(result), record_path(result)]
        moves = [(one, target.parent / one.relative_to(result.parent)) for one in sources]
        moves = [(source, place) for source, place in moves if os.path.lexists(source)]
        for source, place in moves:
            make_folder(place.parent)
            if not place_file(source, place):
                raise UsageError(f"{shown(place)} is another file; move that away first")
        sync_folders({place.parent for _, place in moves})
        self._ledger.move_result(row, target)
        for source, _ in moves:
            source.unlink()
        sync_folders({source.parent for source, _ in moves})


def _beside(result: Path) -> list[Path]:
    """The other files of a result, as its record names them."""
    try:
        record = read_record(record_path(result))
    except Exception:  # whatever lies there, a parser raises what it likes
        return []
    named = [one for key in ("outputs", "sidecars") for one in _dicts(record.get(key))]
    names = [str(one["file"]) for one in named if isinstance(one.get("file"), str)]
    paths = [result.parent / name for name in names if ".." not in Path(name).parts]
    return [path for path in dict.fromkeys(paths) if path != result and path.is_file()]


def _dicts(value: object) -> list[dict[str, object]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _folder_of(entry: Entry, recipe: Recipe, photo: Path) -> InboxFolder:
    """An inbox whose originals stay: the archive, from the folder of the old recipe on.

    Results of a station's own inbox go to the folder of the new recipe, others where they went.
    """
    old = entry.claim.folder
    where = old.archive if photo.is_relative_to(old.archive) else old.path
    inside = photo.relative_to(where).parts
    if old.recipe is not None or old.bulk:
        return replace(old, path=where, archive=where, originals="leave", bulk="")
    outbox, failed = old.outbox, old.failed
    if old.is_archive and old.originals == "leave":  # these are the folders of a recipe already
        outbox, failed = outbox.parent, failed.parent
    elif len(inside) > 1 and inside[0] == entry.recipe:
        where = where / inside[0]
    return replace(
        old,
        path=where,
        archive=where,
        outbox=outbox / recipe.name,
        failed=failed / recipe.name,
        originals="leave",
    )


def _is_untouched(path: Path, known: Original | ClaimedFile) -> bool:
    try:
        found = path.lstat()
    except OSError:
        return False
    return (found.st_size, found.st_mtime_ns) == (known.size_bytes, known.mtime_ns)
