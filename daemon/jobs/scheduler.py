"""The scheduler: which queued jobs start next, as tasks for an executor.

Each task has a lease with a fence never used before. A photograph whose content chooses its recipe
is inspected first. Jobs one of which may have killed a process run with nothing beside them in
their worker; only where there is no other worker, everything else waits for them. A job that its
schedule holds back stays queued.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import assert_never

import structlog

from daemon.checkpoints.library import Library
from daemon.config.recipe import Recipe
from daemon.config.step_changes import with_step_changes
from daemon.jobs.failure_reasons import Reason
from daemon.jobs.fair_queue import FairQueue, RecipeQueue
from daemon.jobs.ledger.entries import Entry, photo_of, photos_of
from daemon.jobs.ledger.writer import Ledger
from daemon.jobs.publication import is_published
from daemon.jobs.recipe_holds import RecipeHolds
from daemon.jobs.recipe_selection import NeedsInspection, NoRecipe, select_recipe
from daemon.jobs.staging import Staging
from daemon.jobs.timetable import startable
from daemon.messages.tasks import InspectTask, Job, RestoreTask, Task, job_id, seed_of
from daemon.system.errors import ConfigError, UsageError
from daemon.system.files import shown

_log = structlog.get_logger()

MAX_IN_FLIGHT = 192
"""Tasks for each worker at most: enough for full batches of small photographs."""


@dataclass(frozen=True)
class _AlreadyPublished:
    """A job whose result is in the outbox already."""

    entry: Entry
    job: str
    result: Path


@dataclass(frozen=True)
class _ModelMissing:
    """A job whose recipe has a model that is not on this machine any more."""

    recipe: str
    why: str


@dataclass(frozen=True)
class _RecipeChosen:
    """A job whose recipe, and so its schedule and its queue, are known only now."""


_Plan = Job | NeedsInspection | NoRecipe | _AlreadyPublished | _RecipeChosen | _ModelMissing | None
_Planned = dict[str, tuple[Entry, Job | NeedsInspection]]
"""Plans to be leased, by the ids of the tasks."""


@dataclass
class _Round:
    """Plans for the entries of one turn.

    Attributes:
        planned: To be leased.
        duplicates: Their results stand.
        refused: Rows that no recipe takes, and why.
        chosen: Whether the recipe of one was chosen.
        waiting: How many wait for the same task of another job.
    """

    planned: _Planned = field(default_factory=dict)
    duplicates: list[_AlreadyPublished] = field(default_factory=list)
    refused: list[tuple[int, Reason]] = field(default_factory=list)
    chosen: bool = False
    waiting: int = 0

    @property
    def ended(self) -> bool:
        """Whether jobs end without an executor."""
        return bool(self.duplicates or self.refused)

    @property
    def all_wait(self) -> bool:
        """Whether nothing can be done but to wait."""
        return self.waiting > 0 and not (self.planned or self.ended or self.chosen)


class Scheduler:
    """Leases queued jobs by priority and schedule, shared fairly between recipes."""

    def __init__(
        self,
        ledger: Ledger,
        staging: Staging,
        library: Library,
        wake: Callable[[], None],
        clip: str | None = None,
    ) -> None:
        """Schedule the jobs of one ledger.

        Args:
            ledger: The station's.
            staging: Has a folder made for the results of each lease.
            library: The models of this machine.
            wake: Ends the loop's sleep: a call that ended jobs without an executor, or chose their
                recipes, has left room for more.
            clip: Reference of the CLIP model that scores likeness, if one is set.
        """
        self._ledger = ledger
        self._staging = staging
        self._library = library
        self._wake = wake
        self._clip = clip
        self._fair_queue = FairQueue()
        self._last_now = math.inf
        self._all_wait = False
        self._suspects_leased: tuple[int, ...] = ()
        self._holds = RecipeHolds(library)

    def tasks(
        self,
        recipes: Sequence[Recipe],
        in_flight: int,
        now: float,
        *,
        control: bool = False,
        holds: RecipeHolds | None = None,
        workers: int = 1,
    ) -> list[Task]:
        """Lease what there is room for: by priority, shared between recipes, oldest first.

        Args:
            recipes: The recipes as they are now.
            in_flight: How many tasks the executor holds already.
            now: UTC seconds since the epoch.
            control: Other work goes before suspects with which a worker has died.
            holds: Recipes that are held back, because their models are at fault.
            workers: How many workers the executor has. One of several is kept free for suspects,
                while the others go on.
        """
        self._holds = holds or self._holds
        self._holds.refresh(recipes)
        if now < self._last_now:  # at the start nobody knows what the clock read before
            self._ledger.clock_was_put_back(now)
        self._last_now = now
        pending = in_flight > 0 and any(map(self._ledger.leased, self._suspects_leased))
        if pending and workers == 1:
            return []
        suspects = [] if pending else self._suspects(recipes, now, control=control)
        if suspects and in_flight and workers == 1:
            return []
        room = MAX_IN_FLIGHT * workers - in_flight
        if not suspects and room < MAX_IN_FLIGHT // 4:
            return []  # one commit serves many leases
        found = self._sorted(suspects or self._ready(recipes, room, now), recipes, now)
        self._all_wait = found.all_wait
        self._end_without_work(found)
        if not found.planned:
            return []
        if suspects and workers > 1:
            self._wake()  # the others are leased in the next turn
        return self._leased(found.planned, now, suspects=len(suspects))

    def _sorted(self, entries: Sequence[Entry], recipes: Sequence[Recipe], now: float) -> _Round:
        """Find out what is to be done with each of some entries; nothing is written."""
        found = _Round()
        for entry in entries:
            key, plan = self._plan(entry, recipes)
            match plan:
                case _AlreadyPublished():
                    found.duplicates.append(plan)
                case NoRecipe():
                    found.refused.append((entry.row, Reason(plan.reason)))
                case _RecipeChosen():
                    found.chosen = True
                case _ModelMissing():
                    self._holds.model_missing(plan.recipe, plan.why, now)
                case Job() | NeedsInspection():
                    found.planned.setdefault(key, (entry, plan))
                case None:
                    found.waiting += 1
                case _:
                    assert_never(plan)
        return found

    def _end_without_work(self, found: _Round) -> None:
        """Record jobs that need no executor, and wake the loop if that has left room for more."""
        if found.duplicates:
            self._end_duplicates(found.duplicates)
        if found.refused:
            self._ledger.fail(found.refused)
        if found.ended or found.chosen:
            self._wake()

    def _leased(self, planned: _Planned, now: float, *, suspects: int) -> list[Task]:
        """Lease what was planned, in one commit; `suspects` of it may kill a worker."""
        leased = self._ledger.lease([(entry.row, key) for key, (entry, _) in planned.items()])
        if suspects:
            self._suspects_leased = tuple(entry.fence for entry in leased)
        for recipe in {entry.recipe for entry in leased}:
            self._holds.started(recipe, now)
        return [
            self._task(entry, plan, now, alone=suspects == 1)
            for entry, (_, plan) in zip(leased, planned.values(), strict=True)
        ]

    @property
    def all_wait(self) -> bool:
        """Whether all that could start lately waits for the same task of another job."""
        return self._all_wait

    def _end_duplicates(self, duplicates: Sequence[_AlreadyPublished]) -> None:
        """Record jobs that need no work; only their originals are moved."""
        for one in duplicates:
            photo, result = one.entry.photo_name, shown(one.result)
            _log.info("already_restored", row=one.entry.row, photo=photo, result=result)
        self._ledger.publish([(one.entry.row, one.job, one.result) for one in duplicates])

    def _ready(self, recipes: Sequence[Recipe], limit: int, now: float) -> list[Entry]:
        queues = self._startable(recipes, limit, now, alone=False)
        return self._ledger.entries(self._fair_queue.take(queues, limit, now))

    def _suspects(self, recipes: Sequence[Recipe], now: float, *, control: bool) -> list[Entry]:
        """The group of suspects that runs next: the least suspected, then the oldest."""
        queues = self._startable(recipes, MAX_IN_FLIGHT, now, alone=True)
        found = self._ledger.entries([row for queue in queues for row in queue.rows])
        if not found:
            return []
        first = min(found, key=lambda entry: (entry.deaths, entry.group, entry.row))
        if control and first.deaths and self._startable(recipes, 1, now, alone=False):
            return []
        group = [entry for entry in found if entry.group == first.group]
        return sorted(group, key=lambda entry: entry.row)[:MAX_IN_FLIGHT]

    def _startable(
        self, recipes: Sequence[Recipe], limit: int, now: float, *, alone: bool
    ) -> list[RecipeQueue]:
        """Queued jobs that schedules and held recipes let start."""
        queues = startable(self._ledger, recipes, limit, now, alone=alone)
        allowed = (
            replace(queue, rows=tuple(self._holds.allowed(queue.recipe, queue.rows, now)))
            for queue in queues
        )
        return [queue for queue in allowed if queue.rows]

    def _task(self, entry: Entry, plan: Job | NeedsInspection, now: float, *, alone: bool) -> Task:
        if isinstance(plan, NeedsInspection):
            photo = photo_of(plan.file, entry.claim.beneath)
            clip, digest = plan.clip, plan.clip_digest
            return InspectTask(
                *(photo, plan.features, entry.fence, clip, digest),
                alone=alone,
                suspects=entry.group,
            )
        staging = self._staging.make(entry.fence)
        queued_s = max(0.0, now - entry.queued_at)  # the clock may have been set back
        return RestoreTask(plan, entry.fence, staging, alone, queued_s, suspects=entry.group)

    def _plan(self, entry: Entry, recipes: Sequence[Recipe]) -> tuple[str, _Plan]:
        """Decide what to do with an entry.

        Returns:
            The id of the task, and what it is; None to leave the entry queued until the same task,
            which is in flight for another entry, has ended.
        """
        try:
            clip = self._library.pinned(self._clip) if self._clip else ""
            clip_digest = self._library.digest(clip) if clip else ""
            choice = select_recipe(entry, recipes, self._ledger, clip_digest)
            if isinstance(choice, Recipe) and not entry.recipe:
                return "", _RecipeChosen()
            if isinstance(choice, Recipe):
                choice = with_step_changes(choice, entry.claim.changes)
        except (ConfigError, UsageError) as error:
            choice = NoRecipe(str(error))
        if isinstance(choice, Recipe):
            try:
                return self._job(entry, choice)
            except ConfigError as error:
                return "", _ModelMissing(entry.recipe, str(error))
        if isinstance(choice, NoRecipe):
            return "", choice
        key = f"look/{choice.file.digest}"
        inspection = replace(choice, clip=clip, clip_digest=clip_digest)
        return key, None if self._ledger.is_in_flight(key) else inspection

    def _job(self, entry: Entry, recipe: Recipe) -> tuple[str, Job | _AlreadyPublished | None]:
        pinned, weights = self._library.resolved(recipe)
        digests = [file.digest for file in entry.claim.inputs]
        key = job_id(recipe, weights, entry.claim.place, *digests)
        folder = entry.claim.folder
        # The id of a bulk job's photograph holds its full path: a result in any outbox is its own.
        result = self._ledger.published_result(key, Path("/") if folder.bulk else folder.outbox)
        if result is not None and _stands(result):
            return key, _AlreadyPublished(entry, key, result)
        if self._ledger.is_in_flight(key):
            return key, None
        photos = photos_of(entry.claim.files, entry.claim.beneath)
        return key, Job(key, pinned, photos, entry.claim.stem, seed_of(key), weights)


def _stands(result: Path) -> bool:
    """Whether a result is where it was published; not if its disk cannot be asked now."""
    try:
        return is_published(result)
    except OSError:
        return False
