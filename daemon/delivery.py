"""Delivery: what becomes of outcomes, in groups, so that a crash at any point is finished later.

Comes in: outcomes of executors. Goes out: published results, failed/ with reasons, retries. Every
step is recorded in the ledger before the next is done on disk.
"""

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import structlog

from daemon import outbox
from daemon.admission import named
from daemon.entries import ClaimedFile, Entry, Original
from daemon.files import NO_SPACE, shown
from daemon.job import Failed, Job, Outcome, Rejected, Restored
from daemon.job_log import JobLog
from daemon.ledger import Ledger
from daemon.outbox import Access, Publication
from daemon.record import AGAIN, reason_of, record_of
from daemon.station import Station

_log = structlog.get_logger()


@dataclass(frozen=True)
class Patience:
    """How often and how long something is tried again.

    Attributes:
        attempts: Tries before a passing fault, or a dying worker, counts as failed.
        crashes: Times a job may be in flight while the daemon itself is killed.
        retry_s: Wait after the first passing fault; it doubles each time.
        arriving_s: A file that ends early and changed within this is still arriving.
    """

    attempts: int = 3
    crashes: int = 5
    retry_s: float = 10
    arriving_s: float = 30


@dataclass(frozen=True)
class Delivered:
    """What one group of outcomes came to."""

    done: int = 0
    failed: int = 0
    no_space: bool = False
    changed: tuple[Entry, ...] = ()


class Delivery:
    """Publishes, rejects and retries; it owns no state but what the ledger keeps."""

    def __init__(
        self, station: Station, ledger: Ledger, access: Access, patience: Patience
    ) -> None:
        self._station = station
        self._ledger = ledger
        self._access = access
        self._patience = patience
        self._job_log = JobLog(station.logs)
        self._publish_after = 0.0

    def deliver(self, outcomes: Sequence[tuple[Job, Outcome]], now: float) -> Delivered:
        """Carry out what a group of outcomes asks for; stale ones are dropped.

        Args:
            outcomes: With the jobs they belong to.
            now: UTC seconds since the epoch.
        """
        publications: list[tuple[int, str]] = []
        failures: list[tuple[int, str]] = []
        changed: list[Entry] = []
        no_space = False
        for job, outcome in outcomes:
            entry = self._ledger.leased(outcome.fence)
            if entry is None:
                self.discard_staging(outcome.fence)
                continue
            if not isinstance(outcome, Restored):
                self.discard_staging(outcome.fence)
            if _changed(entry):
                self._ledger.give_back(entry.row)
                changed.append(entry)
                self.discard_staging(outcome.fence)
                continue
            match outcome:
                case Restored():
                    publication = self._publication(entry, job, outcome, now)
                    publications.append((entry.row, publication.dump()))
                case Rejected():
                    if self._still_arriving(entry, outcome, now):
                        self._ledger.give_back(entry.row, not_before=now + self._patience.retry_s)
                    else:
                        failures.append((entry.row, named(outcome.reason, entry.claim)))
                case Failed():
                    no_space |= outcome.no_space
                    failures += self._retry(entry, outcome, now)
        self._ledger.intend_publication(publications)
        self._ledger.fail(failures)
        ended = self.finish(now)
        return Delivered(ended.done, ended.failed, no_space or ended.no_space, tuple(changed))

    def finish(self, now: float) -> Delivered:
        """Finish whatever the ledger says has been begun; after a crash, too."""
        no_space = self._publish(now)
        done = self._retire(now)
        failed = self._reject(now)
        return Delivered(done, failed, no_space)

    def died(self, fences: Sequence[int], reason: str) -> None:
        """A worker died: each of these may be the cause and runs alone next."""
        for fence in fences:
            self.discard_staging(fence)
            entry = self._ledger.leased(fence)
            if entry is None:
                continue
            deaths = entry.deaths + 1
            _log.warning("worker_died", job=entry.row, photo=_photo(entry), deaths=deaths)
            if entry.alone and deaths >= self._patience.attempts:
                why = f"the worker process died {deaths} times with this photograph: {reason}"
                self._ledger.fail([(entry.row, why)])
            else:
                self._ledger.give_back(entry.row, death=1)

    def crashed(self) -> None:
        """The daemon itself was killed: what was in flight is suspect, and runs again."""
        for entry in self._ledger.in_state("leased"):
            self.discard_staging(entry.fence)
            if entry.crashes >= self._patience.crashes:
                why = f"the daemon was killed {entry.crashes + 1} times with this in flight"
                self._ledger.fail([(entry.row, why)])
            else:
                self._ledger.give_back(entry.row, crash=1)

    def staging(self, fence: int) -> Path:
        """The staging folder of a lease."""
        return self._station.staged / str(fence)

    def discard_staging(self, fence: int) -> None:
        """Remove what a lease staged, unless it is about to be published."""
        if not self._ledger.publishing(fence):
            outbox.discard(self.staging(fence))

    def discard_stale(self) -> None:
        """After a crash: remove what no lease will publish, and give up on lost originals.

        A file in the work folder that the ledger does not know goes to failed/, not to oblivion.
        """
        for staging in self._station.staged.iterdir():
            if staging.name.isdecimal():
                self.discard_staging(int(staging.name))
        known = self._ledger.claimed_paths()
        why = {"why": "found in the work folder with no entry in the ledger", "what_to_do": AGAIN}
        for group in self._station.work.iterdir():
            for path in group.iterdir() if group.is_dir() else ():
                if path not in known:
                    _log.warning("lost_original", photo=shown(path.name))
                    target = self._station.failed / "lost" / path.name
                    outbox.reject(path, target, group.name, why, self._access)
            with contextlib.suppress(OSError):
                group.rmdir()

    def duplicate(self, entry: Entry, job: str, result: Path) -> None:
        """Its result stands already: nothing is computed, the original goes its way."""
        _log.info("already_restored", job=entry.row, photo=_photo(entry), result=shown(result))
        self._ledger.publish([(entry.row, job, result)])

    def _publication(self, entry: Entry, job: Job, outcome: Restored, now: float) -> Publication:
        staging = self.staging(outcome.fence)
        return Publication(
            folder=entry.claim.folder.outbox / entry.claim.files[0].relative.parent,
            stem=job.stem,
            key=job.id[:8],
            staging=staging,
            files=tuple(
                (str(f.path.relative_to(staging)), f.name, f.digest) for f in outcome.files
            ),
            record=record_of(entry, job, outcome, now),
        )

    def _publish(self, now: float) -> bool:
        entries = self._ledger.in_state("publishing")
        if not entries or now < self._publish_after:
            return False
        publications = [Publication.load(entry.publication) for entry in entries]
        results = outbox.publish(publications, self._access)
        good: list[tuple[int, str, Path]] = []
        no_space = False
        for entry, publication, result in zip(entries, publications, results, strict=True):
            if isinstance(result, OSError):
                no_space |= self._not_published(entry, result)
                continue
            good.append((entry.row, entry.id, result))
            _log.info(
                "restored",
                job=entry.row,
                recipe=entry.recipe,
                photo=_photo(entry),
                seconds=publication.record.get("seconds"),
                result=shown(result),
            )
            self._job_log.append({**publication.record, "result": shown(result)}, now)
        self._ledger.publish(good)
        for publication, result in zip(publications, results, strict=True):
            if isinstance(result, Path):
                outbox.discard(publication.staging)
        self._publish_after = now + self._patience.retry_s if len(good) < len(entries) else 0
        return no_space

    def _not_published(self, entry: Entry, error: OSError) -> bool:
        """Wait and try again, with a limit unless the disk is full; says whether it is."""
        _log.warning("not_published", job=entry.row, photo=_photo(entry), why=str(error))
        if error.errno in NO_SPACE:
            return True
        self._ledger.count_attempt(entry.row)
        if entry.attempts + 1 >= self._patience.attempts:
            self._ledger.fail([(entry.row, f"the result could not be published: {error}")])
        return False

    def _retire(self, now: float) -> int:
        entries = self._ledger.in_state("published")
        archived: list[Original] = []
        for entry in entries:
            if entry.claim.folder.originals != "leave":
                for position in range(len(entry.claim.files)):
                    archived += self._retire_file(entry, position, now)
                _remove_if_empty(entry)
        if entries:
            self._ledger.end([(entry.row, None) for entry in entries], "done", now, archived)
        return len(entries)

    def _retire_file(self, entry: Entry, position: int, now: float) -> list[Original]:
        """Move or remove one original; what is in the archive now, for its catalogue."""
        folder, file = entry.claim.folder, entry.claim.files[position]
        target, key = folder.archive / file.relative, entry.id[:8]
        keep = folder.originals == "archive"
        path = outbox.retire(file.path, target, key, self._access, keep=keep)
        if path is None and keep:
            path = outbox.retired(target, key, file.digest)
        if path is None:
            return []
        stat = path.stat()
        return [Original(path, entry.row, position, stat.st_size, stat.st_mtime_ns, now)]

    def _reject(self, now: float) -> int:
        entries = self._ledger.in_state("failing")
        ended: list[tuple[int, Path | None]] = []
        for entry in entries:
            why = reason_of(entry, now)
            kept = [self._reject_file(entry, file, why) for file in entry.claim.files]
            ended.append((entry.row, kept[0]))
            _remove_if_empty(entry)
            _log.warning("failed", job=entry.row, photo=_photo(entry), why=entry.reason)
            self._job_log.append(why, now)
        if ended:
            self._ledger.end(ended, "failed", now)
        return len(ended)

    def _reject_file(self, entry: Entry, file: ClaimedFile, why: Mapping[str, object]) -> Path:
        """The photograph takes its reason with it; its other half and side files just follow."""
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

    def _retry(self, entry: Entry, outcome: Failed, now: float) -> list[tuple[int, str]]:
        """Give a passing fault back to the queue; return what has failed for good."""
        wait_s = self._patience.retry_s * 2**entry.attempts
        if outcome.no_space:
            self._ledger.give_back(entry.row, not_before=now + self._patience.retry_s)
            return []
        if outcome.passing and entry.attempts + 1 < self._patience.attempts:
            _log.warning("will_retry", job=entry.row, photo=_photo(entry), why=outcome.reason)
            self._ledger.give_back(entry.row, not_before=now + wait_s, attempt=1)
            return []
        reason = f"{outcome.reason}\n{outcome.trace}" if outcome.trace else outcome.reason
        return [(entry.row, named(reason, entry.claim))]

    def _still_arriving(self, entry: Entry, outcome: Rejected, now: float) -> bool:
        if not outcome.truncated:
            return False
        youngest = max(file.mtime_ns for file in entry.claim.files) / 1e9
        return now - youngest < self._patience.arriving_s


def _changed(entry: Entry) -> bool:
    """Whether somebody still wrote to a claimed file after it was hashed."""
    for file in entry.claim.files:
        try:
            stat = file.path.stat()
        except FileNotFoundError:
            return True
        if (stat.st_size, stat.st_mtime_ns) != (file.size_bytes, file.mtime_ns):
            return True
    return False


def _photo(entry: Entry) -> str:
    return shown(entry.claim.files[0].relative)


def _remove_if_empty(entry: Entry) -> None:
    """Remove the claim's work folder once the last of its group has left."""
    if entry.claim.folder.originals != "leave":
        with contextlib.suppress(OSError):
            entry.claim.files[0].path.parent.rmdir()
