"""Leasing: queued rows become orders for an executor.

Comes in: how much room there is. Goes out: orders, each with a fence never used before. What has
been near a dying process runs with nothing beside it. What a schedule holds back stays queued.
"""

import os
from collections.abc import Sequence

from daemon.delivery import Delivery
from daemon.entries import Entry, photos_of
from daemon.errors import ConfigError
from daemon.fairness import Turns
from daemon.job import Job, Order, job_id, seed_of
from daemon.ledger import Ledger
from daemon.models import model_digest
from daemon.outbox import stands
from daemon.recipe import Recipe, recipe_named
from daemon.timetable import lines

IN_FLIGHT = 192
"""Orders an executor holds at most: enough for full groups of small photographs."""


class Leasing:
    """Chooses what is worked on next."""

    def __init__(self, ledger: Ledger, delivery: Delivery) -> None:
        self._ledger = ledger
        self._delivery = delivery
        self._turns = Turns()

    def orders(self, recipes: Sequence[Recipe], in_flight: int, now: float) -> list[Order]:
        """Lease what there is room for: by priority, shared between recipes, oldest first.

        Args:
            recipes: The recipes as they are now.
            in_flight: Orders the executor already holds.
            now: UTC seconds since the epoch.
        """
        suspects = self._ready(recipes, 1, now, alone=True)
        if suspects and in_flight:
            return []
        room = IN_FLIGHT - in_flight
        if not suspects and room < IN_FLIGHT // 4:
            return []  # one commit serves many leases
        jobs: dict[str, tuple[Entry, Job]] = {}
        for entry in suspects or self._ready(recipes, room, now, alone=False):
            job = self._job(entry, recipes)
            if job is not None:
                jobs.setdefault(job.id, (entry, job))
        if not jobs:
            return []
        leased = self._ledger.lease([(entry.row, key) for key, (entry, _) in jobs.items()])
        return [
            self._order(entry, job, alone=bool(suspects))
            for entry, (_, job) in zip(leased, jobs.values(), strict=True)
        ]

    def _ready(
        self, recipes: Sequence[Recipe], limit: int, now: float, *, alone: bool
    ) -> list[Entry]:
        waiting = lines(self._ledger, recipes, limit, now, alone=alone)
        if alone:
            return self._ledger.entries(sorted(line.rows[0] for line in waiting)[:limit])
        return self._ledger.entries(self._turns.take(waiting, limit, now))

    def _order(self, entry: Entry, job: Job, *, alone: bool) -> Order:
        staging = self._delivery.staging(entry.fence)
        staging.mkdir()
        return Order(job, entry.fence, staging, alone=alone)

    def _job(self, entry: Entry, recipes: Sequence[Recipe]) -> Job | None:
        """What is to be done, or None if that is settled already."""
        try:
            recipe = recipe_named(entry.recipe, recipes)
            weights = tuple(model_digest(model) for model in recipe.models)
        except ConfigError as error:
            self._ledger.fail([(entry.row, str(error))])
            return None
        first = entry.claim.files[0]
        digests = [file.digest for file in entry.claim.files]
        key = job_id(recipe, weights, os.fsencode(first.relative), *digests)
        result = self._ledger.standing(key, entry.claim.folder.outbox)
        if result is not None and stands(result):
            self._delivery.duplicate(entry, key, result)
            return None
        if self._ledger.working_on(key):
            return None
        return Job(key, recipe, photos_of(entry.claim.files), entry.claim.stem, seed_of(key))
