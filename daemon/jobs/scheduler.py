"""Leasing: queued rows become errands for an executor.

Comes in: how much room there is. Goes out: orders, and glances at photographs whose content chooses
the recipe, each with a fence never used before. What has been near a dying process runs with
nothing beside it. What a schedule holds back stays queued.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import structlog

from daemon.checkpoints.library import Library
from daemon.config.recipe import Recipe
from daemon.jobs.fair_queue import FairQueue
from daemon.jobs.ledger.entries import Entry, photo_of, photos_of
from daemon.jobs.ledger.writer import Ledger
from daemon.jobs.outbox import is_published
from daemon.jobs.selection import NeedsInspection, NoRecipe, select_recipe
from daemon.jobs.staging import Staging
from daemon.jobs.timetable import startable
from daemon.messages.tasks import InspectTask, Job, RestoreTask, Task, job_id, seed_of
from daemon.system.errors import ConfigError
from daemon.system.files import shown

_log = structlog.get_logger()

IN_FLIGHT = 192
"""Errands an executor holds at most: enough for full groups of small photographs."""


class Scheduler:
    """Chooses what is worked on next."""

    def __init__(
        self,
        ledger: Ledger,
        staging: Staging,
        library: Library,
        wake: Callable[[], None],
        clip: str | None = None,
    ) -> None:
        """Lease from one ledger.

        Args:
            ledger: The station's.
            staging: The folders that results are written into.
            library: The models of this machine.
            wake: Ends the loop's sleep: what needed no executor left room for more.
            clip: Reference of the CLIP model that says what photographs look like, if one is set.
        """
        self._ledger = ledger
        self._staging = staging
        self._library = library
        self._wake = wake
        self._clip = clip
        self._turns = FairQueue()
        self._asked_at = math.inf

    def tasks(self, recipes: Sequence[Recipe], in_flight: int, now: float) -> list[Task]:
        """Lease what there is room for: by priority, shared between recipes, oldest first.

        Args:
            recipes: The recipes as they are now.
            in_flight: Errands the executor already holds.
            now: UTC seconds since the epoch.
        """
        if now < self._asked_at:  # at the start nobody knows what the clock read before
            self._ledger.clock_was_put_back(now)
        self._asked_at = now
        suspects = self._ready(recipes, 1, now, alone=True)
        if suspects and in_flight:
            return []
        room = IN_FLIGHT - in_flight
        if not suspects and room < IN_FLIGHT // 4:
            return []  # one commit serves many leases
        planned: dict[str, tuple[Entry, Job | NeedsInspection]] = {}
        standing: list[tuple[Entry, str, Path]] = []
        refused: list[tuple[int, str]] = []
        for entry in suspects or self._ready(recipes, room, now, alone=False):
            key, plan = self._plan(entry, recipes)
            if isinstance(plan, Path):
                standing.append((entry, key, plan))
            elif isinstance(plan, NoRecipe):
                refused.append((entry.row, plan.reason))
            elif plan is not None:
                planned.setdefault(key, (entry, plan))
        self._end_duplicates(standing)
        if refused:
            self._ledger.fail(refused)
        if standing or refused:
            self._wake()
        if not planned:
            return []
        leased = self._ledger.lease([(entry.row, key) for key, (entry, _) in planned.items()])
        return [
            self._task(entry, plan, now, alone=bool(suspects))
            for entry, (_, plan) in zip(leased, planned.values(), strict=True)
        ]

    def _end_duplicates(self, found: Sequence[tuple[Entry, str, Path]]) -> None:
        """Results stand already: nothing is computed, the originals go their way.

        Args:
            found: Entries, with the id of the job and its main result.
        """
        for entry, _, result in found:
            shown_result = shown(result)
            _log.info(
                "already_restored", job=entry.row, photo=entry.photo_name, result=shown_result
            )
        if found:
            self._ledger.publish([(entry.row, job, result) for entry, job, result in found])

    def _ready(
        self, recipes: Sequence[Recipe], limit: int, now: float, *, alone: bool
    ) -> list[Entry]:
        waiting = startable(self._ledger, recipes, limit, now, alone=alone)
        if alone:
            return self._ledger.entries(sorted(line.rows[0] for line in waiting)[:limit])
        return self._ledger.entries(self._turns.take(waiting, limit, now))

    def _task(self, entry: Entry, plan: Job | NeedsInspection, now: float, *, alone: bool) -> Task:
        if isinstance(plan, NeedsInspection):
            photo, clip, digest = photo_of(plan.file), plan.clip, plan.clip_digest
            return InspectTask(photo, plan.features, entry.fence, clip, digest, alone=alone)
        staging = self._staging.make(entry.fence)
        queued_s = max(0.0, now - entry.queued_at)  # the clock may have been set back
        return RestoreTask(plan, entry.fence, staging, alone=alone, queued_s=queued_s)

    def _plan(
        self, entry: Entry, recipes: Sequence[Recipe]
    ) -> tuple[str, Job | NeedsInspection | NoRecipe | Path | None]:
        """What is to be done and its id; a result that stands; None if it waits for another."""
        try:
            clip = self._library.pinned(self._clip) if self._clip else ""
            clip_digest = self._library.digest(clip) if clip else ""
            choice = select_recipe(entry, recipes, self._ledger, clip_digest)
            if isinstance(choice, Recipe) and not entry.recipe:
                return "", None  # only now is it known whose schedule and turn it waits for
            if isinstance(choice, Recipe):
                return self._job(entry, choice)
        except ConfigError as error:
            choice = NoRecipe(str(error))
        if isinstance(choice, NoRecipe):
            return "", choice
        key = f"look/{choice.file.digest}"
        asked = replace(choice, clip=clip, clip_digest=clip_digest)
        return key, None if self._ledger.is_in_flight(key) else asked

    def _job(self, entry: Entry, recipe: Recipe) -> tuple[str, Job | Path | None]:
        pinned, weights = self._library.resolved(recipe)
        digests = [file.digest for file in entry.claim.files]
        key = job_id(recipe, weights, entry.claim.place, *digests)
        folder = entry.claim.folder
        # The place in the id of a bulk job's photograph is its own: any result of it will do.
        result = self._ledger.published_result(key, Path("/") if folder.bulk else folder.outbox)
        if result is not None and is_published(result):
            return key, result
        if self._ledger.is_in_flight(key):
            return key, None
        photos = photos_of(entry.claim.files)
        return key, Job(key, pinned, photos, entry.claim.stem, seed_of(key), weights)
