"""Outcome policy: what is to become of each task that an executor has ended.

A result is to be published, a photograph at fault goes to failed/, a passing fault is retried. The
decision is recorded in the ledger as an intent; the publisher carries it out, after a crash too.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

import structlog

from daemon.checkpoints.library import Library
from daemon.jobs.accounting import StageDuration
from daemon.jobs.failure_reasons import Reason
from daemon.jobs.ledger.entries import Entry
from daemon.jobs.ledger.writer import Ledger
from daemon.jobs.publication import Publication
from daemon.jobs.recipe_holds import RecipeHolds
from daemon.jobs.record import record_of
from daemon.jobs.staging import Staging
from daemon.jobs.worker_deaths import DeathWatch, halves
from daemon.jobs.xmp_sidecars import stage_sidecars
from daemon.messages.reports import (
    ONLY_WORKER,
    Failed,
    Inspected,
    Outcome,
    Rejected,
    Restored,
    Timing,
    WorkerDied,
)
from daemon.messages.tasks import InspectTask, Job, RestoreTask, Task
from daemon.system.errors import photo_message

_log = structlog.get_logger()

_NAMED = 6
"""Photographs that the event of a worker's death names."""


@dataclass(frozen=True)
class RetryPolicy:
    """How often and how long something is tried again.

    Attributes:
        attempts: Tries before a passing fault, or a worker that dies with it alone, counts as
            failed.
        crashes: Times a job may be in flight while the daemon itself is killed, before it lets
            others go first; a claim that is read then fails.
        retry_s: Wait after the first passing fault; it doubles each time.
        arriving_s: A file that ends early and changed within this is still arriving.
    """

    attempts: int = 3
    crashes: int = 5
    retry_s: float = 10
    arriving_s: float = 30


@dataclass
class Decided:
    """Decisions about one group of outcomes; the intents stand in the ledger.

    Attributes:
        publications: Rows to be published, each with its publication as JSON.
        failures: Rows that go to failed/, each with its reason.
        at_fault: Those of them whose photograph itself is at fault.
        changed: Jobs whose files changed while they were worked on; they are queued again.
        durations: How long restored photographs were in which stage.
        no_space: The disk was full for one of them.
    """

    publications: list[tuple[int, str]] = field(default_factory=list)
    failures: list[tuple[int, Reason]] = field(default_factory=list)
    at_fault: set[int] = field(default_factory=set)
    changed: list[Entry] = field(default_factory=list)
    durations: list[StageDuration] = field(default_factory=list)
    no_space: bool = False


class OutcomePolicy:
    """Decides about outcomes.

    Attributes:
        deaths: What is known of workers that died.
        holds: The recipes whose models are at fault.
    """

    def __init__(
        self,
        ledger: Ledger,
        staging: Staging,
        retries: RetryPolicy,
        holds: RecipeHolds | None = None,
    ) -> None:
        self.holds = holds or RecipeHolds(Library())
        self.deaths = DeathWatch(retries.attempts, retries.retry_s)
        self._ledger = ledger
        self._staging = staging
        self._retries = retries

    def decide(
        self,
        outcomes: Sequence[tuple[Task, Outcome]],
        now: float,
        workers: Mapping[int, str] | None = None,
    ) -> Decided:
        """Record what a group of outcomes asks for; stale ones are dropped.

        Args:
            outcomes: With the tasks they belong to.
            now: UTC seconds since the epoch.
            workers: Name of each task's worker, by fence; None where there is only one.
        """
        decided = Decided()
        for task, outcome in outcomes:
            entry = self._ledger.leased(outcome.fence)
            if entry is None or not isinstance(outcome, Restored):
                self._staging.discard(outcome.fence)
            if entry is None:
                continue
            self.deaths.lived(entry.row, (workers or {}).get(outcome.fence, ONLY_WORKER))
            if _has_changed(entry):
                self._ledger.requeue(entry.row)
                self._staging.discard(outcome.fence)
                decided.changed.append(entry)
            else:
                self._decide_one(entry, task, outcome, decided, now)
        self._ledger.intend_publication(decided.publications)
        self._ledger.fail(decided.failures)
        return decided

    def requeue(self, fences: Collection[int]) -> None:
        """Queue again what an executor did not finish; nobody is at fault."""
        for fence in fences:
            if entry := self._ledger.leased(fence):
                self._ledger.requeue(entry.row)
            self._staging.discard(fence)

    def died(self, death: WorkerDied, now: float) -> None:
        """A worker died: what it had in flight runs again in halves, until one is found.

        Args:
            death: The leases it held, and how it ended.
            now: UTC seconds since the epoch.
        """
        suspects: list[Entry] = []
        for fence in death.fences:
            self._staging.discard(fence)
            if entry := self._ledger.leased(fence):
                suspects.append(entry)
        alone = len(death.fences) == 1
        _log.warning(
            "worker_died",
            why=death.reason,
            photos=[entry.photo_name for entry in suspects[:_NAMED]],
            in_flight=len(death.fences),
            outside=death.outside,
            worker=death.worker,
        )
        if alone and suspects:
            self._died_alone(suspects[0], death, now)
        else:
            rows = [entry.row for entry in suspects]
            self.deaths.suspect(rows)
            self._ledger.suspect(halves(rows))

    def _died_alone(self, entry: Entry, death: WorkerDied, now: float) -> None:
        """Fail a photograph that has proved to kill workers; else have it run alone again."""
        deaths = entry.deaths + (not death.outside)
        self.deaths.died_alone(
            entry.row, death.reason, now, outside=death.outside, worker=death.worker
        )
        if not death.outside and self.deaths.is_at_fault(entry.row, deaths):
            why = f"the worker process died {deaths} times with this photograph: {death.reason}"
            self._ledger.fail([(entry.row, Reason(why))])
        else:
            self._ledger.suspect([[entry.row]], death=int(not death.outside))

    def _decide_one(
        self, entry: Entry, task: Task, outcome: Outcome, decided: Decided, now: float
    ) -> None:
        match task, outcome:
            case RestoreTask(), Restored():
                publication = self._publication(entry, task.job, outcome, now)
                decided.publications.append((entry.row, publication.dump()))
                self.holds.succeeded(entry.recipe, task)
                decided.durations += _stages(entry.recipe, outcome.timing)
            case InspectTask(), Inspected():
                self._remember(entry, task, outcome)
            case _, Rejected():
                if self._is_still_arriving(entry, outcome, now):
                    self._ledger.requeue(entry.row, not_before=now + self._retries.retry_s)
                else:
                    why = photo_message(outcome.photo, outcome.why, "")
                    decided.failures.append((entry.row, Reason(why, outcome.remedy)))
                    decided.at_fault.add(entry.row)
            case _, Failed():
                decided.no_space |= outcome.no_space
                decided.failures += self._retry(entry, task, outcome, now)

    def _remember(self, entry: Entry, task: InspectTask, inspected: Inspected) -> None:
        """Keep the answers; the next lease of the photograph is for its recipe."""
        answers = zip(task.features, inspected.answers, strict=True)
        self._ledger.remember(task.photo.digest, answers, clip_digest=task.clip_digest)
        if task.clip:
            self.holds.succeeded(entry.recipe, task)
        self._ledger.requeue(entry.row)

    def _publication(self, entry: Entry, job: Job, outcome: Restored, now: float) -> Publication:
        staging = self._staging.path(outcome.fence)
        sidecars, notes = stage_sidecars(entry.claim, staging, job.recipe.output.metadata)
        outcome = replace(outcome, notes=(*outcome.notes, *notes))
        record = record_of(entry, job, outcome, now)
        if sidecars:
            record = {**record, "sidecars": [one.record() for one in sidecars]}
        return Publication(
            folder=entry.claim.folder.outbox / entry.claim.files[0].relative.parent,
            stem=job.stem,
            key=job.id[:8],
            staging=staging,
            files=(
                *((str(f.path.relative_to(staging)), f.name, f.digest) for f in outcome.files),
                *((one.staged, one.name, one.digest) for one in sidecars),
            ),
            record=record,
        )

    def _retry(
        self, entry: Entry, task: Task, outcome: Failed, now: float
    ) -> list[tuple[int, Reason]]:
        """Give a passing fault back to the queue; return what has failed for good."""
        wait_s = self._retries.retry_s * 2**entry.attempts
        if outcome.no_space:
            self._ledger.requeue(entry.row, not_before=now + self._retries.retry_s)
            return []
        if outcome.passing and entry.attempts + 1 < self._retries.attempts:
            _log.warning("will_retry", row=entry.row, photo=entry.photo_name, why=outcome.reason)
            self._ledger.requeue(entry.row, not_before=now + wait_s, attempt=1)
            return []
        if outcome.model:
            verdict = self.holds.model_failed(entry.recipe, entry.row, task, outcome, now)
            if verdict != "photograph":
                not_before = now + self._retries.retry_s if verdict == "try again" else 0
                self._ledger.requeue(entry.row, not_before=not_before)
                return []
        reason = f"{outcome.reason}\n{outcome.trace}" if outcome.trace else outcome.reason
        return [(entry.row, Reason(reason))]

    def _is_still_arriving(self, entry: Entry, outcome: Rejected, now: float) -> bool:
        if not outcome.truncated:
            return False
        youngest = max(file.mtime_ns for file in entry.claim.files) / 1e9
        age_s = max(now - youngest, now - entry.queued_at)  # it may be dated in the future
        return age_s < self._retries.arriving_s


def _has_changed(entry: Entry) -> bool:
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
