"""The publisher: carries out what the ledger says is intended, after a crash too.

It publishes results with their records, moves originals to archive/ or failed/, and records each
end. An entry that the file system refuses waits and is tried again; it holds up no other.
"""

import contextlib
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import structlog

from daemon.config.station import Notice, Station
from daemon.jobs import outbox
from daemon.jobs.accounting import Delivered, JobEnded, StageDuration
from daemon.jobs.folded_names import FoldedNames
from daemon.jobs.job_log import JobLog
from daemon.jobs.ledger.entries import ClaimedFile, Entry, Original
from daemon.jobs.ledger.writer import Ledger
from daemon.jobs.outbox import Access, Publication
from daemon.jobs.record import reason_of
from daemon.system.clock import is_over
from daemon.system.files import NO_SPACE, as_text, shown

_log = structlog.get_logger()


@dataclass(frozen=True)
class _Stuck:
    """An entry that the file system refused: when to try again, and what people are told."""

    again_at: float
    notice: Notice


class Publisher:
    """Carries out intents; it remembers only what it could not do yet."""

    def __init__(
        self, station: Station, ledger: Ledger, access: Access, *, attempts: int, retry_s: float
    ) -> None:
        """Publish for one station.

        Args:
            station: Has the job log.
            ledger: Holds the intents.
            access: Permissions of what is written.
            attempts: Tries before a result that cannot be published counts as failed.
            retry_s: Seconds between tries.
        """
        self._ledger = ledger
        self._access = access
        self._attempts = attempts
        self._retry_s = retry_s
        self._job_log = JobLog(station.logs)
        self._names = FoldedNames()
        self._stuck: dict[int, _Stuck] = {}

    def finish(self, now: float, at_fault: Collection[int] = ()) -> Delivered:
        """Carry out every intent in the ledger.

        Args:
            now: UTC seconds since the epoch.
            at_fault: Rows that fail because the photograph itself is at fault.
        """
        took, no_space = self._publish(now)
        archived: list[Original] = []
        done, full = self._each("published", partial(self._retire, archived), now)
        if done:
            ended = [(entry.row, where) for entry, where in done]
            self._ledger.end(ended, "done", now, archived)
        failed, also_full = self._each("failing", self._reject, now)
        if failed:
            self._ledger.end([(entry.row, where) for entry, where in failed], "failed", now)
        jobs = [JobEnded(e.recipe, "restored" if e.fence else "duplicate") for e, _ in done]
        for entry, _ in failed:
            own_fault = entry.row in at_fault or not entry.fence
            jobs.append(JobEnded(entry.recipe, "rejected" if own_fault else "failed"))
        return Delivered(tuple(jobs), tuple(took), no_space or full or also_full)

    def notices(self) -> tuple[Notice, ...]:
        """Files that cannot be moved or published yet, and why."""
        return tuple(stuck.notice for stuck in self._stuck.values())

    def _publish(self, now: float) -> tuple[list[StageDuration], bool]:
        entries = [e for e in self._ledger.in_state("publishing") if self._is_due(e, now)]
        if not entries:
            return [], False
        began = time.monotonic()
        publications = [Publication.load(entry.publication) for entry in entries]
        results = outbox.publish(publications, self._access, self._names)
        good: list[tuple[int, str, Path]] = []
        recipes: list[str] = []
        no_space = False
        for entry, publication, result in zip(entries, publications, results, strict=True):
            if isinstance(result, OSError):
                no_space |= self._not_published(entry, result, now)
                continue
            good.append((entry.row, entry.id, result))
            recipes.append(entry.recipe)
            _log.info(
                "restored",
                job=entry.row,
                recipe=entry.recipe,
                photo=entry.photo_name,
                seconds=publication.record.get("seconds"),
                result=shown(result),
            )
            self._job_log.append({**publication.record, "result": as_text(result)}, now)
            self._stuck.pop(entry.row, None)
        self._ledger.publish(good)
        for publication, result in zip(publications, results, strict=True):
            if isinstance(result, Path):
                outbox.discard(publication.staging)
        seconds = time.monotonic() - began
        return [StageDuration("publish", recipe, seconds) for recipe in recipes], no_space

    def _not_published(self, entry: Entry, error: OSError, now: float) -> bool:
        """Have a publication tried again, a limited number of times unless the disk is full.

        Returns:
            Whether the disk is full.
        """
        _log.warning("not_published", job=entry.row, photo=entry.photo_name, why=str(error))
        if self._wait(entry, error, now):
            return True
        self._ledger.count_attempt(entry.row)
        if entry.attempts + 1 >= self._attempts:
            self._ledger.fail([(entry.row, f"the result could not be published: {error}")])
            del self._stuck[entry.row]
        return False

    def _each(
        self,
        state: Literal["published", "failing"],
        end: Callable[[Entry, float], Path | None],
        now: float,
    ) -> tuple[list[tuple[Entry, Path | None]], bool]:
        """End each entry of a state; those that the file system refuses wait.

        Returns:
            The entries that ended, each with where a failed one went, and whether the disk is full.
        """
        ended: list[tuple[Entry, Path | None]] = []
        no_space = False
        for entry in self._ledger.in_state(state):
            if not self._is_due(entry, now):
                continue
            try:
                ended.append((entry, end(entry, now)))
                self._stuck.pop(entry.row, None)
            except OSError as error:
                photo = entry.photo_name
                _log.warning("original_not_moved", job=entry.row, photo=photo, why=str(error))
                no_space |= self._wait(entry, error, now)
        return ended, no_space

    def _retire(self, archived: list[Original], entry: Entry, now: float) -> None:
        """Archive or remove the originals of a finished job, or leave them in their place."""
        if entry.claim.folder.originals == "leave":
            return
        kept = [self._retire_file(entry, n, now) for n in range(len(entry.claim.files))]
        archived += [original for some in kept for original in some]
        _remove_if_empty(entry)

    def _retire_file(self, entry: Entry, position: int, now: float) -> list[Original]:
        """Move or remove one original; returns what is in the archive now."""
        folder, file = entry.claim.folder, entry.claim.files[position]
        target, key = folder.archive / file.relative, entry.id[:8]
        keep = folder.originals == "archive"
        path = outbox.retire(file.path, target, key, self._access, keep=keep)
        if path is None and keep:
            path = outbox.find_archived(target, key, file.digest)
        if path is None:
            return []
        stat = path.stat()
        return [Original(path, entry.row, position, stat.st_size, stat.st_mtime_ns, now)]

    def _reject(self, entry: Entry, now: float) -> Path:
        """Move the originals to failed/, with the reason; returns where the first of them is."""
        why = reason_of(entry, now)
        kept = [self._reject_file(entry, file, why) for file in entry.claim.files]
        _remove_if_empty(entry)
        _log.warning("failed", job=entry.row, photo=entry.photo_name, why=entry.reason)
        self._job_log.append(why, now)
        return kept[0]

    def _reject_file(self, entry: Entry, file: ClaimedFile, why: Mapping[str, object]) -> Path:
        """Move one original; the reason goes beside the first, and only there."""
        folder = entry.claim.folder
        target = folder.failed / file.relative
        source = None if folder.originals == "leave" else file.path
        key = f"{entry.row:08x}"
        if file is entry.claim.files[0]:
            return outbox.reject(source, target, key, why, self._access)
        if source is None:
            return target
        kept = outbox.retire(source, target, key, self._access, keep=True)
        return kept or target

    def _is_due(self, entry: Entry, now: float) -> bool:
        stuck = self._stuck.get(entry.row)
        return stuck is None or is_over(stuck.again_at, now, self._retry_s)

    def _wait(self, entry: Entry, error: OSError, now: float) -> bool:
        """Have an entry tried again later; returns whether the disk is full."""
        what = f"{error.strerror or error}: {shown(error.filename or '')}; it is tried again"
        notice = Notice(entry.claim.folder.path / entry.claim.files[0].relative, what, now)
        self._stuck[entry.row] = _Stuck(now + self._retry_s, notice)
        return error.errno in NO_SPACE


def _remove_if_empty(entry: Entry) -> None:
    """Remove the claim's work folder once the last of its group has left."""
    if entry.claim.folder.originals != "leave":
        with contextlib.suppress(OSError):
            entry.claim.files[0].path.parent.rmdir()
