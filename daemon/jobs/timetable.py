"""The timetable: which queued jobs the schedules of their recipes let start now.

It also tells until when the others wait. It only reads the ledger. Jobs of a recipe that is gone
are never held back: they start, and fail with the reason.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from daemon.config.recipe import Recipe
from daemon.config.schedule import Schedule
from daemon.jobs.fair_queue import RecipeQueue
from daemon.jobs.ledger.reader import LedgerReader
from daemon.system.clock import instant_in_words

_ALWAYS = Schedule()


@dataclass(frozen=True)
class HeldBack:
    """Queued jobs of one recipe that its schedule does not let start yet.

    Attributes:
        recipe: Its name.
        jobs: How many.
        until: When they may start, UTC seconds since the epoch; infinite if never.
        zone: Time zone of the schedule.
    """

    recipe: str
    jobs: int
    until: float
    zone: ZoneInfo

    def describe(self, now: float) -> str:
        """A line for people, such as "denoise: 120 wait for 22:00 CET"."""
        if math.isinf(self.until):
            return f"{self.recipe}: {self.jobs} wait for a time that the clock never reads"
        verb = "waits" if self.jobs == 1 else "wait"
        return (
            f"{self.recipe}: {self.jobs} {verb} for {instant_in_words(self.until, now, self.zone)}"
        )


def opening_in_words(held: Sequence[HeldBack], now: float) -> str:
    """When the first of these jobs may start: "22:00 CET"; "" where there are none, or never."""
    first = min(held, key=lambda line: line.until, default=None)
    if first is None or math.isinf(first.until):
        return ""
    return instant_in_words(first.until, now, first.zone)


def startable(
    ledger: LedgerReader, recipes: Sequence[Recipe], limit: int, now: float, *, alone: bool
) -> list[RecipeQueue]:
    """The jobs that may start now, by recipe.

    Args:
        ledger: The station's.
        recipes: The recipes as they are now.
        limit: How many of each recipe at most.
        now: UTC seconds since the epoch.
        alone: Those that must run alone, or those that need not.
    """
    found = []
    for name, schedule in _queued(ledger, recipes):
        if schedule.is_open(now):
            released = schedule.last_firing(now)
            rows = ledger.ready(name, released, limit, now, alone=alone)
            if rows:
                found.append(RecipeQueue(name, rows, schedule.priority, schedule.weight))
    return found


def held_back(ledger: LedgerReader, recipes: Sequence[Recipe], now: float) -> tuple[HeldBack, ...]:
    """The jobs that wait for their schedules, by recipe and by when they may start."""
    found = []
    for name, schedule in _queued(ledger, recipes):
        released = schedule.last_firing(now)
        waits = []
        if not schedule.is_open(now):
            early = ledger.queued_between(name, -math.inf, released)
            waits.append((early, schedule.next_opening(now)))
        if math.isfinite(released):
            late = ledger.queued_between(name, released, math.inf)
            fires = schedule.next_firing(now)
            waits.append((late, schedule.next_opening(fires) if math.isfinite(fires) else fires))
        found += [HeldBack(name, jobs, at, schedule.zone) for jobs, at in waits if jobs]
    return tuple(found)


def _queued(ledger: LedgerReader, recipes: Sequence[Recipe]) -> Iterator[tuple[str, Schedule]]:
    schedules = {recipe.name: recipe.schedule for recipe in recipes}
    return ((name, schedules.get(name, _ALWAYS)) for name in ledger.recipes_queued())
