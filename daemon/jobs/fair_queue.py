"""Fair queueing: which photographs start next when several recipes have some that may.

It knows no schedule, no clock and no ledger; whoever asks passes all of that in.
"""

from collections.abc import Sequence
from dataclasses import dataclass

AGING_S = 600.0
"""Seconds after which a recipe that is passed over rises by one level of priority."""


@dataclass(frozen=True)
class RecipeQueue:
    """Photographs of one recipe that may start now.

    Attributes:
        recipe: Its name.
        rows: Rows of the ledger, first come first.
        priority: Higher goes first.
        weight: Share of the starts among recipes of the same priority, above 0.
    """

    recipe: str
    rows: tuple[int, ...]
    priority: int
    weight: float


class FairQueue:
    """Start-time fair queueing within a level of priority; remembers what each recipe has had.

    A start costs a recipe 1/weight, and the recipe that has paid least goes first. A recipe saves
    up nothing while none of its photographs wait, so a newcomer is next at once.

    Source: Goyal, Vin and Cheng, "Start-time Fair Queueing", SIGCOMM 1996.
    """

    def __init__(self) -> None:
        self._paid = 0.0
        self._paid_by: dict[str, float] = {}
        self._passed_over_since: dict[str, float] = {}

    def take(self, queues: Sequence[RecipeQueue], limit: int, now: float) -> list[int]:
        """Choose rows in the order in which they start.

        Args:
            queues: Whatever may start now, each recipe once, none of them empty.
            limit: How many rows at most.
            now: UTC seconds since the epoch.
        """
        since = self._passed_over_since
        since = {queue.recipe: since.get(queue.recipe, now) for queue in queues}
        highest = max((queue.priority for queue in queues), default=0)
        levels: dict[int, list[RecipeQueue]] = {}
        for queue in queues:
            # Never above the others: a recipe that has waited long shares with them, no more.
            risen = queue.priority + max(0, int((now - since[queue.recipe]) // AGING_S))
            levels.setdefault(min(highest, risen), []).append(queue)
        taken: list[int] = []
        for level in sorted(levels, reverse=True):
            for recipe, row in self._share(levels[level], limit - len(taken)):
                taken.append(row)
                since[recipe] = now
        self._passed_over_since = since
        return taken

    def _share(self, queues: Sequence[RecipeQueue], limit: int) -> list[tuple[str, int]]:
        """Share out up to `limit` starts by weight; each with the name of its recipe."""
        left = {queue.recipe: list(reversed(queue.rows)) for queue in queues}
        weights = {queue.recipe: queue.weight for queue in queues}
        shared: list[tuple[str, int]] = []
        while left and len(shared) < limit:
            # Among those that have paid alike, first come first.
            paid, row, recipe = min((self._starts_at(name), left[name][-1], name) for name in left)
            shared.append((recipe, row))
            self._paid = paid
            self._paid_by[recipe] = paid + 1 / weights[recipe]
            left[recipe].pop()
            if not left[recipe]:
                del left[recipe]
        return shared

    def _starts_at(self, recipe: str) -> float:
        return max(self._paid, self._paid_by.get(recipe, 0.0))
