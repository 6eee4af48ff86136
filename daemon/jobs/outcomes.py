"""Delivery: what becomes of outcomes, in groups, so that a crash at any point is finished later.

Comes in: outcomes of executors. Goes out: published results, failed/ with reasons, retries. Every
step is recorded in the ledger before the next is done on disk.
"""

import contextlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import structlog

from daemon.config.station import Notice, Station
from daemon.jobs import outbox
from daemon.jobs.ledger.entries import Entry
from daemon.jobs.ledger.writer import Ledger
from daemon.jobs.outbox import Access, Publication
from daemon.jobs.publisher import Publisher, photo_of
from daemon.jobs.reasons import named
from daemon.jobs.record import AGAIN, record_of
from daemon.jobs.stages import JobEnded, StageDuration
from daemon.messages.reports import Failed, Inspected, Outcome, Rejected, Restored, Timing
from daemon.messages.tasks import InspectTask, Job, RestoreTask, Task
from daemon.system.files import shown

_log = structlog.get_logger()


@dataclass(frozen=True)
class RetryPolicy:
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
    """What one group of outcomes came to.

    Attributes:
        ended: Jobs that came to their end.
        took: How long they were in which stage.
        no_space: The disk was full for one of them.
        changed: Jobs whose files changed while they were worked on.
    """

    ended: tuple[JobEnded, ...] = ()
    took: tuple[StageDuration, ...] = ()
    no_space: bool = False
    changed: tuple[Entry, ...] = ()

    @property
    def done(self) -> int:
        """How many results stand."""
        return len(self.ended) - self.failed

    @property
    def failed(self) -> int:
        """How many jobs ended in failed/."""
        return sum(job.how in ("rejected", "failed") for job in self.ended)


class OutcomeHandler:
    """Publishes, rejects and retries; it owns no state but what the ledger keeps."""

    def __init__(
        self, station: Station, ledger: Ledger, access: Access, patience: RetryPolicy
    ) -> None:
        self._station = station
        self._ledger = ledger
        self._access = access
        self._patience = patience
        self._publisher = Publisher(
            station, ledger, access, attempts=patience.attempts, retry_s=patience.retry_s
        )

    def deliver(self, outcomes: Sequence[tuple[Task, Outcome]], now: float) -> Delivered:
        """Carry out what a group of outcomes asks for; stale ones are dropped.

        Args:
            outcomes: With the errands they belong to.
            now: UTC seconds since the epoch.
        """
        publications: list[tuple[int, str]] = []
        failures: list[tuple[int, str]] = []
        at_fault: set[int] = set()
        changed: list[Entry] = []
        took: list[StageDuration] = []
        no_space = False
        for task, outcome in outcomes:
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
            match task, outcome:
                case RestoreTask(), Restored():
                    publication = self._publication(entry, task.job, outcome, now)
                    publications.append((entry.row, publication.dump()))
                    took += _stages(entry.recipe, outcome.timing)
                case InspectTask(), Inspected():
                    self._remember(entry, task, outcome)
                case _, Rejected():
                    if self._still_arriving(entry, outcome, now):
                        self._ledger.give_back(entry.row, not_before=now + self._patience.retry_s)
                    else:
                        failures.append((entry.row, named(outcome.reason, entry.claim)))
                        at_fault.add(entry.row)
                case _, Failed():
                    no_space |= outcome.no_space
                    failures += self._retry(entry, outcome, now)
        self._ledger.intend_publication(publications)
        self._ledger.fail(failures)
        done = self._publisher.finish(now, at_fault)
        no_space |= done.no_space
        return Delivered(done.ended, (*took, *done.took), no_space, tuple(changed))

    def _remember(self, entry: Entry, inspect_task: InspectTask, seen: Inspected) -> None:
        """Keep what was seen; the next lease of the photograph is for its recipe."""
        answers = zip(inspect_task.features, seen.answers, strict=True)
        self._ledger.remember(
            inspect_task.photo.digest, answers, clip_digest=inspect_task.clip_digest
        )
        self._ledger.give_back(entry.row)

    def finish(self, now: float) -> Delivered:
        """Finish whatever the ledger says has been begun; after a crash, too."""
        done = self._publisher.finish(now)
        return Delivered(done.ended, done.took, done.no_space)

    def notices(self) -> tuple[Notice, ...]:
        """What cannot be finished yet, and why."""
        return self._publisher.notices()

    def hand_back(self, fences: Collection[int]) -> None:
        """These were not finished, and nobody is at fault: they are queued again."""
        for fence in fences:
            if entry := self._ledger.leased(fence):
                self._ledger.give_back(entry.row)
            self.discard_staging(fence)

    def died(self, fences: Sequence[int], reason: str) -> None:
        """A worker died: each of these may be the cause and runs alone next."""
        for fence in fences:
            self.discard_staging(fence)
            entry = self._ledger.leased(fence)
            if entry is None:
                continue
            deaths = entry.deaths + 1
            _log.warning("worker_died", job=entry.row, photo=photo_of(entry), deaths=deaths)
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

    def duplicates(self, found: Sequence[tuple[Entry, str, Path]]) -> None:
        """Results stand already: nothing is computed, the originals go their way.

        Args:
            found: Entries, with the id of the job and its main result.
        """
        for entry, _, result in found:
            photo = photo_of(entry)
            _log.info("already_restored", job=entry.row, photo=photo, result=shown(result))
        if found:
            self._ledger.publish([(entry.row, job, result) for entry, job, result in found])

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

    def _retry(self, entry: Entry, outcome: Failed, now: float) -> list[tuple[int, str]]:
        """Give a passing fault back to the queue; return what has failed for good."""
        wait_s = self._patience.retry_s * 2**entry.attempts
        if outcome.no_space:
            self._ledger.give_back(entry.row, not_before=now + self._patience.retry_s)
            return []
        if outcome.passing and entry.attempts + 1 < self._patience.attempts:
            _log.warning("will_retry", job=entry.row, photo=photo_of(entry), why=outcome.reason)
            self._ledger.give_back(entry.row, not_before=now + wait_s, attempt=1)
            return []
        reason = f"{outcome.reason}\n{outcome.trace}" if outcome.trace else outcome.reason
        return [(entry.row, named(reason, entry.claim))]

    def _still_arriving(self, entry: Entry, outcome: Rejected, now: float) -> bool:
        if not outcome.truncated:
            return False
        youngest = max(file.mtime_ns for file in entry.claim.files) / 1e9
        age_s = max(now - youngest, now - entry.queued_at)  # it may be dated in the future
        return age_s < self._patience.arriving_s


def _changed(entry: Entry) -> bool:
    """Whether somebody still wrote to a claimed file after it was hashed."""
    for file in entry.claim.files:
        try:
            stat = file.path.stat()
        except OSError:  # gone, or out of reach: whoever looks again will say so
            return True
        if (stat.st_size, stat.st_mtime_ns) != (file.size_bytes, file.mtime_ns):
            return True
    return False


def _stages(recipe: str, timing: Timing) -> list[StageDuration]:
    return [
        StageDuration("decode", recipe, timing.decode_s),
        StageDuration("restore", recipe, timing.restore_s),
        StageDuration("device", recipe, timing.device_s),
        StageDuration("encode", recipe, timing.encode_s),
    ]
