"""Redo: finished work is done again where its recipe or its weights have changed since.

A command plans what is to be done again and leaves requests; the daemon, which alone writes the
ledger, claims the originals in the archive. New results appear beside the old ones, which stay.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from daemon.checkpoints.library import Library
from daemon.config.recipe import Recipe, recipe_named
from daemon.config.station import Station
from daemon.config.step_changes import with_step_changes
from daemon.intake.arrivals import Arrival, Claim
from daemon.intake.claimer import Claimer
from daemon.intake.requests import MAX_REDO, RedoRequest, leave
from daemon.jobs.ledger import originals as original_rows
from daemon.jobs.ledger.entries import Entry, Original
from daemon.jobs.ledger.reader import LedgerReader
from daemon.jobs.ledger.writer import Ledger
from daemon.messages.tasks import job_id
from daemon.system.errors import ConfigError, UsageError
from daemon.system.files import real_path

Fate = Literal["redo", "up_to_date", "not_there", "no_recipe"]


@dataclass(frozen=True)
class RedoPlan:
    """A plan of redo: the jobs that are to be done again, and those that are not.

    Attributes:
        rows: Rows of the jobs to be done again.
        up_to_date: Number of jobs whose recipe and weights have not changed.
        not_there: Number of jobs whose originals somebody took out of the archive or changed.
        no_recipe: Number of jobs whose recipe is gone.
    """

    rows: tuple[int, ...]
    up_to_date: int
    not_there: int
    no_recipe: int


def plan(
    view: LedgerReader,
    recipes: Sequence[Recipe],
    library: Library,
    paths: Sequence[Path],
    recipe: str | None,
) -> RedoPlan:
    """Find the finished jobs in the archive that are not up to date.

    Args:
        view: The ledger.
        recipes: The recipes as they are now.
        library: The models that the recipes name.
        paths: Originals in the archive, their results, or folders of either; all if empty.
        recipe: Name of the only recipe that counts; None for all.
    """
    chosen = [real_path(path.parent) / path.name for path in paths]
    fates: Counter[Fate] = Counter()
    rows = []
    for row, result in original_rows.jobs(view):
        originals = original_rows.originals_of(view, row)
        places = [result, *(original.path for original in originals)]
        if chosen and not any(p == c or p.is_relative_to(c) for p in places for c in chosen):
            continue
        (entry,) = view.entries([row])
        if recipe is not None and entry.recipe != recipe:
            continue
        fate = _fate(entry, originals, recipes, library)
        fates[fate] += 1
        if fate == "redo":
            rows.append(row)
    return RedoPlan(tuple(rows), fates["up_to_date"], fates["not_there"], fates["no_recipe"])


def ask(station: Station, rows: Sequence[int]) -> None:
    """Leave requests to do these jobs again, for the daemon to take now or when it runs next."""
    for start in range(0, len(rows), MAX_REDO):
        leave(station, RedoRequest(rows=tuple(rows[start : start + MAX_REDO])))


class Redo:
    """The daemon's side: requests become claims of originals in the archive."""

    def __init__(self, ledger: Ledger, claimer: Claimer, library: Library) -> None:
        self._ledger = ledger
        self._claimer = claimer
        self._library = library

    def take(self, request: RedoRequest, recipes: Sequence[Recipe], now: float) -> None:
        """Queue the jobs of one request.

        It may be taken twice after a crash: what was claimed is not in the archive any more.

        Args:
            request: Which jobs.
            recipes: The recipes as they are now.
            now: UTC seconds since the epoch.
        """
        claims = []
        for entry in self._ledger.entries(request.rows):
            originals = original_rows.originals_of(self._ledger, entry.row)
            if _fate(entry, originals, recipes, self._library) == "redo":
                claims.append(_claim(entry, originals))
        self._claimer.claim(claims, now)


def _fate(
    entry: Entry, originals: Sequence[Original], recipes: Sequence[Recipe], library: Library
) -> Fate:
    files = entry.claim.files
    try:
        recipe = recipe_named(entry.recipe, recipes)
        recipe = with_step_changes(recipe, entry.claim.changes)
        _, weights = library.resolved(recipe)
    except (ConfigError, UsageError):
        return "no_recipe"
    digests = [file.digest for file in entry.claim.inputs]
    if job_id(recipe, weights, entry.claim.place, *digests) == entry.id:
        return "up_to_date"
    there = {original.position for original in originals if _is_untouched(original)}
    needed = {position for position, file in enumerate(files) if file.role != "companion"}
    return "redo" if needed <= there else "not_there"


def _is_untouched(original: Original) -> bool:
    try:
        found = original.path.lstat()
    except OSError:
        return False
    return (found.st_size, found.st_mtime_ns) == (original.size_bytes, original.mtime_ns)


def _claim(entry: Entry, originals: Sequence[Original]) -> Claim:
    """The claim of a job anew, of the files where they lie now: in the archive.

    A companion that somebody took away or changed stays behind.
    """
    old = entry.claim
    folder = replace(old.folder, path=old.folder.archive, polled=False)
    roles: dict[str, list[Arrival]] = {}
    for one in filter(_is_untouched, originals):
        place = one.path.relative_to(folder.path)
        arrival = Arrival(folder, place, one.size_bytes, one.mtime_ns)
        came_later = one.position >= len(old.files)
        role = "companion" if came_later else old.files[one.position].role
        roles.setdefault(role, []).append(arrival)
    (mask,), (hints,) = roles.get("mask", [None]), roles.get("hints", [None])
    return Claim(
        tuple(roles["photo"]),
        entry.recipe,
        old.stem,
        mask=mask,
        hints=hints,
        companions=tuple(roles.get("companion", ())),
        changes=old.changes,
    )
