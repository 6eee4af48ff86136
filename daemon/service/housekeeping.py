"""Housekeeping: what the settings say is kept long enough goes, a little at a time.

Comes in: how long and how much is kept. Goes out: fewer archived originals, job logs and rows of
the ledger. It removes only what the ledger or the job log's names say is the daemon's own and has
not changed since; it never touches failed/, outbox/ or an inbox, and a crash at any point leaves at
most an entry for a file that is gone.
"""

import contextlib
import math
import shutil
import stat
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import structlog

from daemon.config.settings import Settings
from daemon.config.station import Station
from daemon.jobs import job_log
from daemon.jobs.ledger import archive as archive_rows
from daemon.jobs.ledger import bulk as bulk_rows
from daemon.jobs.ledger.archive import EndedJob, StandingResult
from daemon.jobs.ledger.entries import Original
from daemon.jobs.ledger.writer import Ledger
from daemon.jobs.outbox import stands
from daemon.jobs.reasons import has_reason
from daemon.system.clock import is_over
from daemon.system.files import is_there, shown

_log = structlog.get_logger()

_FEW = 64
"""Files or rows in one turn of the loop: about ten milliseconds."""

_REST_S = 60.0
_TROUBLE_S = 3600.0
_DAY_S = 86400.0
_ROUND_S = _DAY_S
"""Between looks at whether each file still lies where the ledger says; a million take minutes."""

_GB = 1e9


@dataclass(frozen=True)
class Retention:
    """What is kept; None keeps all of it.

    Attributes:
        archive_days: Archived originals.
        archive_gb: Archived originals together, the newest of them.
        free_gb: Free space on the archive's disk, for which the oldest originals go.
        logs_days: Files of the job log.
        ledger_days: Rows of ended jobs whose originals are not in the archive.
        inboxes: Folders whose originals stay in place, and are remembered while they do.
    """

    archive_days: float | None = None
    archive_gb: float | None = None
    free_gb: float | None = None
    logs_days: float | None = None
    ledger_days: float | None = None
    inboxes: tuple[Path, ...] = ()


def retention_of(settings: Settings) -> Retention:
    """What the settings say is kept."""
    return Retention(
        settings.keep_archive_days,
        settings.keep_archive_gb,
        settings.keep_free_gb,
        settings.keep_logs_days,
        settings.keep_ledger_days,
        tuple(watch.path for watch in settings.watch),
    )


_Duty = Callable[[float], bool]
"""Does a little at some time (UTC seconds); says whether there is more of it."""


class Housekeeping:
    """Keeps one station's house; called by the loop in each of its turns."""

    def __init__(self, station: Station, ledger: Ledger, keep: Retention) -> None:
        self._station = station
        self._ledger = ledger
        self._keep = keep
        # What is not in the archive any more takes no room there; what goes lets its row go.
        self._duties: tuple[_Duty, ...] = (
            *(self._vanished_originals, self._archive_by_age, self._archive_by_size),
            *(self._archive_by_space, self._logs, self._rows, self._standing, self._left_in_place),
        )
        self._rounds = (self._vanished_originals, self._rows, self._standing, self._left_in_place)
        self._rests_until: dict[_Duty, float] = {}
        self._trouble_until: dict[_Duty, float] = {}
        self._free_expected = 0.0
        self._refused: Original | None = None
        self._refused_until = 0.0
        self._visited: Original | None = None
        self._all_visited = False
        self._looked_at: EndedJob | None = None
        self._stood = ""
        self._seen: Path | None = None

    def turn(self, now: float, *, at_once: bool) -> bool:
        """Do a little of what is due.

        Args:
            now: UTC seconds since the epoch.
            at_once: Look for something to remove although there was nothing a moment ago.

        Returns:
            Whether there is more to do at once.
        """
        more = [
            self._do(duty, now, _ROUND_S if duty in self._rounds else 0 if at_once else _REST_S)
            for duty in self._duties
        ]
        return any(more)

    def _do(self, duty: _Duty, now: float, rest_s: float) -> bool:
        """Do one duty if its time has come; whether there is more of it."""
        trouble, rest = self._trouble_until.get(duty, 0), self._rests_until.get(duty, 0)
        if not (is_over(trouble, now, _TROUBLE_S) and is_over(rest, now, rest_s)):
            return False
        try:
            more = duty(now)
        except OSError as error:
            self._say_not_removed(error)
            self._trouble_until[duty] = now + _TROUBLE_S
            return False
        self._rests_until[duty] = 0 if more else now + rest_s
        return more

    def _archive_by_age(self, now: float) -> bool:
        days = self._keep.archive_days
        if days is None:
            return False
        due = self._oldest(now, now - days * _DAY_S)
        return self._remove(due, f"older than keep_archive_days = {days:g}", now)

    def _archive_by_size(self, now: float) -> bool:
        most = self._keep.archive_gb
        if most is None or not self._all_visited:
            return False
        excess = archive_rows.size_bytes(self._ledger) - most * _GB
        return self._remove(self._enough(excess, now), f"beyond keep_archive_gb = {most:g}", now)

    def _archive_by_space(self, now: float) -> bool:
        wanted = self._keep.free_gb
        if wanted is None or not self._station.archive.is_dir():
            return False
        free = shutil.disk_usage(self._station.archive).free
        lacking = wanted * _GB - free
        if lacking > 0 and free < self._free_expected:
            # A snapshot still holds what was removed, or somebody writes as fast: removing all
            # the rest would help no more.
            _log.warning("space_not_freed", keep_free_gb=wanted, tries_again_in_s=_TROUBLE_S)
            self._trouble_until[self._archive_by_space] = now + _TROUBLE_S
            self._free_expected = 0.0
            return False
        due = self._enough(lacking, now)
        self._free_expected = free + sum(original.size_bytes for original in due) / 2 if due else 0
        return self._remove(due, f"for keep_free_gb = {wanted:g}", now)

    def _oldest(self, now: float, before: float = math.inf) -> list[Original]:
        """A few of the oldest originals, without those that could not be removed this hour."""
        if is_over(self._refused_until, now, _TROUBLE_S):
            self._refused = None
        return archive_rows.oldest(self._ledger, _FEW, before, self._refused)

    def _enough(self, size_bytes: float, now: float) -> list[Original]:
        """The oldest originals that have this size together, but only a few."""
        chosen: list[Original] = []
        for original in self._oldest(now) if size_bytes > 0 else ():
            if size_bytes <= 0:
                break
            chosen.append(original)
            size_bytes -= original.size_bytes
        return chosen

    def _remove(self, originals: Sequence[Original], why: str, now: float) -> bool:
        """Remove files first, then their entries: an entry without a file is struck later."""
        if not originals or not is_there(self._station.archive):
            return False
        removed: list[Original] = []
        struck: list[Original] = []
        refusal: OSError | None = None
        for original in originals:
            try:
                if self._remove_one(original):
                    removed.append(original)
                struck.append(original)
            except OSError as error:  # one that cannot be removed must not keep all the others
                refusal = refusal or error
        archive_rows.strike(self._ledger, struck)
        for folder in {original.path.parent for original in removed}:
            self._remove_empty(folder)
        if removed:
            size = sum(original.size_bytes for original in removed)
            _log.info("archive_cleared", files=len(removed), megabytes=size / 1e6, why=why)
        if refusal is not None:
            if self._refused is None:
                self._say_not_removed(refusal)
                self._refused_until = now + _TROUBLE_S
            self._refused = originals[-1]
        return bool(struck) or len(originals) == _FEW

    def _say_not_removed(self, error: OSError) -> None:
        what = shown(error.filename or "")
        _log.warning("not_removed", path=what, why=str(error), tries_again_in_s=_TROUBLE_S)

    def _remove_one(self, original: Original) -> bool:
        """Remove an original; False if it is gone, or not the daemon's any more."""
        try:
            found = original.path.lstat()
        except FileNotFoundError:
            return False
        same = (found.st_size, found.st_mtime_ns) == (original.size_bytes, original.mtime_ns)
        if not (stat.S_ISREG(found.st_mode) and same):
            _log.warning("archive_file_changed", path=shown(original.path), kept=True)
            return False
        original.path.unlink()
        return True

    def _remove_empty(self, folder: Path) -> None:
        """Remove a folder of the archive and those above it, as far as they are empty."""
        with contextlib.suppress(OSError):
            while folder != self._station.archive and folder.is_relative_to(self._station.archive):
                folder.rmdir()
                folder = folder.parent

    def _logs(self, now: float) -> bool:
        days = self._keep.logs_days
        if days is None:
            return False
        today = datetime.fromtimestamp(now, UTC).date()
        old = [p for day, p in job_log.days(self._station.logs) if (today - day).days > days]
        for path in old[:_FEW]:
            path.unlink(missing_ok=True)
            _log.info("job_log_removed", path=shown(path), keep_logs_days=days)
        return len(old) > _FEW

    def _vanished_originals(self, now: float) -> bool:
        """Strike what somebody else took out of the archive: its row can go, it has no size.

        For the rows alone, only those are asked that are old enough.
        """
        days, all_count = self._keep.ledger_days, self._keep.archive_gb is not None
        if days is None and not all_count:
            return False
        before = math.inf if all_count or days is None else now - days * _DAY_S
        visited = archive_rows.oldest(self._ledger, _FEW, before, self._visited)
        if visited and not is_there(self._station.archive):
            return False
        gone = [original for original in visited if not original.path.exists()]
        if gone:
            archive_rows.strike(self._ledger, gone)
        more = len(visited) == _FEW
        self._visited = visited[-1] if more else None
        self._all_visited |= not more
        return more

    def _rows(self, now: float) -> bool:
        days = self._keep.ledger_days
        if days is None:
            return False
        found = archive_rows.ended(self._ledger, now - days * _DAY_S, self._looked_at, _FEW)
        jobs = [job for job in found if job.failed_to is None or not has_reason(job.failed_to)]
        standing = [
            StandingResult(job.id, job.result, job.outbox)
            for job in jobs
            if job.result is not None and not _is_gone(job.result, job.outbox)
        ]
        if jobs:
            archive_rows.forget(self._ledger, jobs, standing)
            _log.info("ledger_rows_removed", rows=len(jobs), keep_ledger_days=days)
        self._looked_at = found[-1] if len(found) == _FEW else None
        if self._looked_at is None:
            bulk_rows.forget(self._ledger, now - days * _DAY_S)
        return len(found) == _FEW

    def _standing(self, now: float) -> bool:
        """Forget results that were taken away, of jobs whose row is gone already."""
        if self._keep.ledger_days is None:
            return False
        visited = archive_rows.standing_after(self._ledger, self._stood, _FEW)
        gone = [one for one in visited if _is_gone(one.result, one.outbox)]
        if gone:
            archive_rows.forget_standing(self._ledger, gone)
        self._stood = visited[-1].id if len(visited) == _FEW else ""
        return len(visited) == _FEW

    def _left_in_place(self, now: float) -> bool:
        """Forget originals that were left in their inbox, once somebody took them away."""
        if self._keep.ledger_days is None:
            return False
        visited = self._ledger.seen_after(self._seen, _FEW)
        gone = [path for path in visited if not path.exists() and is_there(self._root_of(path))]
        if gone:
            self._ledger.unsee(gone)
        self._seen = visited[-1] if len(visited) == _FEW else None
        return len(visited) == _FEW

    def _root_of(self, path: Path) -> Path:
        """The inbox that a path lies in, or the nearest folder above it that there is."""
        inboxes = (self._station.inbox, *self._keep.inboxes)
        above = [inbox for inbox in inboxes if path.is_relative_to(inbox)]
        return next(iter(above), None) or next(f for f in path.parents if f.is_dir())


def _is_gone(result: Path, outbox: Path) -> bool:
    """Whether a result was taken away; while its disk is not mounted it was not."""
    return not stands(result) and is_there(outbox)
