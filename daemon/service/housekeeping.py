"""Removes archived originals, job logs and rows of the ledger that need not be kept any longer.

A little is done in each turn of the loop. Only files that are the daemon's own, by the ledger or by
the name of a job log, and that have not changed since, are removed; failed/, outbox/ and inboxes
are never touched. A crash at any point leaves at most an entry for a file that is gone.
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
from daemon.jobs.failure_reasons import has_reason
from daemon.jobs.ledger import bulk as bulk_rows
from daemon.jobs.ledger import originals as original_rows
from daemon.jobs.ledger import retention as retention_rows
from daemon.jobs.ledger.entries import Original
from daemon.jobs.ledger.retention import ExpiredJob, KeptResult
from daemon.jobs.ledger.writer import Ledger
from daemon.jobs.publication import is_published
from daemon.system.clock import is_over
from daemon.system.files import is_there, shown

_log = structlog.get_logger()

_BATCH = 64
"""Files or rows handled in one turn of the loop: about ten milliseconds."""

_REST_S = 60.0
"""Seconds between two looks for something to remove."""

_RETRY_S = 3600.0
"""Seconds until a duty that the file system refused is tried again."""

_DAY_S = 86400.0
_ROUND_S = _DAY_S
"""Seconds between two checks that each file is where the ledger says; a million take minutes."""

_GB = 1e9


@dataclass(frozen=True)
class Retention:
    """How long and how much is kept; None keeps everything.

    Attributes:
        archive_days: Days an archived original is kept.
        archive_gb: Gigabytes of archived originals; the oldest beyond that are removed.
        free_gb: Gigabytes free on the archive's disk, for which the oldest are removed.
        logs_days: Days a file of the job log is kept.
        ledger_days: Days the row of an ended job is kept, once its original is not archived.
        inboxes: Watched folders; originals left there are remembered while they are there.
    """

    archive_days: float | None = None
    archive_gb: float | None = None
    free_gb: float | None = None
    logs_days: float | None = None
    ledger_days: float | None = None
    inboxes: tuple[Path, ...] = ()


def retention_of(settings: Settings) -> Retention:
    """How long and how much the settings keep."""
    return Retention(
        settings.keep_archive_days,
        settings.keep_archive_gb,
        settings.keep_free_gb,
        settings.keep_logs_days,
        settings.keep_ledger_days,
        tuple(watch.path for watch in settings.watch),
    )


_Duty = Callable[[float], bool]
"""(UTC seconds) -> bool: does a little of one duty; returns whether there is more of it now."""


class Housekeeping:
    """Removes what need not be kept on one station; called in each turn of the loop."""

    def __init__(self, station: Station, ledger: Ledger, retention: Retention) -> None:
        self._station = station
        self._ledger = ledger
        self._retention = retention
        # In this order: sizes need vanished originals struck, rows go after their originals.
        self._duties: tuple[_Duty, ...] = (
            *(self._strike_vanished, self._clear_by_age, self._clear_by_size),
            *(
                self._clear_for_space,
                self._remove_logs,
                self._remove_rows,
                self._forget_results,
                self._forget_left_in_place,
            ),
        )
        self._daily = (
            self._strike_vanished,
            self._remove_rows,
            self._forget_results,
            self._forget_left_in_place,
        )
        self._rest_until: dict[_Duty, float] = {}
        self._retry_at: dict[_Duty, float] = {}
        self._expected_free = 0.0
        self._refused: Original | None = None
        self._refused_retry_at = 0.0
        self._last_visited: Original | None = None
        self._all_visited = False
        self._last_job: ExpiredJob | None = None
        self._last_result = ""
        self._last_seen: Path | None = None

    def turn(self, now: float, *, at_once: bool) -> bool:
        """Do a little of what is due.

        Args:
            now: UTC seconds since the epoch.
            at_once: Look again although there was nothing to remove a moment ago.

        Returns:
            Whether there is more to do now.
        """
        more = [
            self._do(duty, now, _ROUND_S if duty in self._daily else 0 if at_once else _REST_S)
            for duty in self._duties
        ]
        return any(more)

    def _do(self, duty: _Duty, now: float, rest_s: float) -> bool:
        """Do one duty if it is due; returns whether there is more of it now."""
        retry_at, rest_until = self._retry_at.get(duty, 0), self._rest_until.get(duty, 0)
        if not (is_over(retry_at, now, _RETRY_S) and is_over(rest_until, now, rest_s)):
            return False
        try:
            more = duty(now)
        except OSError as error:
            self._log_not_removed(error)
            self._retry_at[duty] = now + _RETRY_S
            return False
        self._rest_until[duty] = 0 if more else now + rest_s
        return more

    def _clear_by_age(self, now: float) -> bool:
        """Remove originals that are older than `archive_days`."""
        days = self._retention.archive_days
        if days is None:
            return False
        due = self._oldest(now, now - days * _DAY_S)
        return self._remove(due, f"older than keep_archive_days = {days:g}", now)

    def _clear_by_size(self, now: float) -> bool:
        """Remove the oldest originals beyond `archive_gb`."""
        max_gb = self._retention.archive_gb
        if max_gb is None or not self._all_visited:
            return False
        excess = original_rows.size_bytes(self._ledger) - max_gb * _GB
        return self._remove(self._enough(excess, now), f"beyond keep_archive_gb = {max_gb:g}", now)

    def _clear_for_space(self, now: float) -> bool:
        """Remove the oldest originals while less than `free_gb` is free."""
        wanted_gb = self._retention.free_gb
        if wanted_gb is None or not self._station.archive.is_dir():
            return False
        free = shutil.disk_usage(self._station.archive).free
        missing_bytes = wanted_gb * _GB - free
        if missing_bytes > 0 and free < self._expected_free:
            # A snapshot still holds what was removed, or somebody writes as fast. Removing the
            # rest would not help either.
            _log.warning("space_not_freed", keep_free_gb=wanted_gb, tries_again_in_s=_RETRY_S)
            self._retry_at[self._clear_for_space] = now + _RETRY_S
            self._expected_free = 0.0
            return False
        due = self._enough(missing_bytes, now)
        self._expected_free = free + sum(original.size_bytes for original in due) / 2 if due else 0
        return self._remove(due, f"for keep_free_gb = {wanted_gb:g}", now)

    def _oldest(self, now: float, before: float = math.inf) -> list[Original]:
        """A few of the oldest originals, without those that could not be removed lately."""
        if is_over(self._refused_retry_at, now, _RETRY_S):
            self._refused = None
        return original_rows.oldest(self._ledger, _BATCH, before, self._refused)

    def _enough(self, size_bytes: float, now: float) -> list[Original]:
        """The oldest originals of at least this size together, but only a few."""
        chosen: list[Original] = []
        for original in self._oldest(now) if size_bytes > 0 else ():
            if size_bytes <= 0:
                break
            chosen.append(original)
            size_bytes -= original.size_bytes
        return chosen

    def _remove(self, originals: Sequence[Original], why: str, now: float) -> bool:
        """Remove files, then their entries; an entry without a file is struck later.

        Returns:
            Whether it may go on at once.
        """
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
            except OSError as error:  # one that cannot be removed must not keep the others
                refusal = refusal or error
        original_rows.remove(self._ledger, struck)
        for folder in {original.path.parent for original in removed}:
            self._remove_empty(folder)
        if removed:
            size = sum(original.size_bytes for original in removed)
            _log.info("archive_cleared", files=len(removed), megabytes=size / 1e6, why=why)
        if refusal is not None:
            if self._refused is None:
                self._log_not_removed(refusal)
                self._refused_retry_at = now + _RETRY_S
            self._refused = originals[-1]
        return bool(struck) or len(originals) == _BATCH

    def _log_not_removed(self, error: OSError) -> None:
        what = shown(error.filename or self._station.archive)
        _log.warning("not_removed", path=what, why=str(error), tries_again_in_s=_RETRY_S)

    def _remove_one(self, original: Original) -> bool:
        """Remove an original; False if it is gone, or was changed and is not ours any more."""
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

    def _remove_logs(self, now: float) -> bool:
        """Remove job logs by the day in their names."""
        days = self._retention.logs_days
        if days is None:
            return False
        today = datetime.fromtimestamp(now, UTC).date()
        old = [p for day, p in job_log.days(self._station.logs) if (today - day).days > days]
        for path in old[:_BATCH]:
            path.unlink(missing_ok=True)
            _log.info("job_log_removed", path=shown(path), keep_logs_days=days)
        return len(old) > _BATCH

    def _strike_vanished(self, now: float) -> bool:
        """Strike originals that somebody took out of the archive: they take no room there.

        If only rows are to go, only originals that are old enough are looked at.
        """
        days, all_count = self._retention.ledger_days, self._retention.archive_gb is not None
        if days is None and not all_count:
            return False
        before = math.inf if all_count or days is None else now - days * _DAY_S
        visited = original_rows.oldest(self._ledger, _BATCH, before, self._last_visited)
        if visited and not is_there(self._station.archive):
            return False
        gone = [original for original in visited if not original.path.exists()]
        if gone:
            original_rows.remove(self._ledger, gone)
        more = len(visited) == _BATCH
        self._last_visited = visited[-1] if more else None
        self._all_visited |= not more
        return more

    def _remove_rows(self, now: float) -> bool:
        """Remove rows of ended jobs; which results stand is remembered without them."""
        days = self._retention.ledger_days
        if days is None:
            return False
        found = retention_rows.expired(self._ledger, now - days * _DAY_S, self._last_job, _BATCH)
        jobs = [job for job in found if job.failed_to is None or not has_reason(job.failed_to)]
        kept_results = [
            KeptResult(job.id, job.result, job.outbox)
            for job in jobs
            if job.result is not None and not _is_gone(job.result, job.outbox)
        ]
        if jobs:
            retention_rows.forget(self._ledger, jobs, kept_results)
            _log.info("ledger_rows_removed", rows=len(jobs), keep_ledger_days=days)
        self._last_job = found[-1] if len(found) == _BATCH else None
        if self._last_job is None:
            bulk_rows.forget(self._ledger, now - days * _DAY_S)
        return len(found) == _BATCH

    def _forget_results(self, now: float) -> bool:
        """Forget results that somebody took away, of jobs whose rows are gone already."""
        if self._retention.ledger_days is None:
            return False
        visited = retention_rows.results_after(self._ledger, self._last_result, _BATCH)
        gone = [one for one in visited if _is_gone(one.result, one.outbox)]
        if gone:
            retention_rows.forget_results(self._ledger, gone)
        self._last_result = visited[-1].id if len(visited) == _BATCH else ""
        return len(visited) == _BATCH

    def _forget_left_in_place(self, now: float) -> bool:
        """Forget originals that were left in their inbox and that somebody has taken away."""
        if self._retention.ledger_days is None:
            return False
        visited = self._ledger.taken_after(self._last_seen, _BATCH)
        gone = [path for path in visited if not path.exists() and is_there(self._root_of(path))]
        if gone:
            self._ledger.forget_taken(gone)
        self._last_seen = visited[-1] if len(visited) == _BATCH else None
        return len(visited) == _BATCH

    def _root_of(self, path: Path) -> Path:
        """The inbox that a path lies in, or the nearest existing folder above it."""
        inboxes = (self._station.inbox, *self._retention.inboxes)
        above = [inbox for inbox in inboxes if path.is_relative_to(inbox)]
        return next(iter(above), None) or next(f for f in path.parents if f.is_dir())


def _is_gone(result: Path, outbox: Path) -> bool:
    """Whether a result was taken away; False while its disk is not mounted."""
    return not is_published(result) and is_there(outbox)
