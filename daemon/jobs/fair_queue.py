"""Whose turn it is: the choice between recipes that all have photographs to start.

Comes in: what may start, by recipe. Goes out: rows of the ledger in the order in which they start.
Knows no schedule and reads nothing; `now` is passed in.
"""

from collections.abc import Sequence
from dataclasses import dataclass

AGING_S = 600.0
"""A recipe that is passed over for so long rises by one level of priority."""


@dataclass(frozen=True)
class RecipeQueue:
    """What of one recipe may start now.

    Attributes:
        recipe: Its name.
        rows: Rows of the ledger, first come first.
        priority: Higher goes first.
        weight: Share of the starts beside lines of the same priority, above 0.
    """

    recipe: str
    rows: tuple[int, ...]
    priority: int
    weight: float


class FairQueue:
    """Start-time fair queueing within a level of priority; remembers what each recipe has had.

    A start costs a recipe 1/weight. The one that has paid least goes first, and nobody saves up
    turns while nothing of it waits, so who comes new is next at once.

    Source: Goyal, Vin and Cheng, "Start-time Fair Queueing", SIGCOMM 1996.
    """

    def __init__(self) -> None:
        self._paid = 0.0
        self._paid_by: dict[str, float] = {}
        self._passed_over_since: dict[str, float] = {}

    def take(self, lines: Sequence[RecipeQueue], limit: int, now: float) -> list[int]:
        """Choose up to `limit` rows.

        Args:
            lines: Whatever may start now, each recipe once, none of them empty.
            limit: How many are wanted.
            now: UTC seconds since the epoch.
        """
        since = self._passed_over_since
        since = {line.recipe: since.get(line.recipe, now) for line in lines}
        highest = max((line.priority for line in lines), default=0)
        levels: dict[int, list[RecipeQueue]] = {}
        for line in lines:
            # Never above the others: who has waited long shares with them, and pushes nobody out.
            risen = line.priority + max(0, int((now - since[line.recipe]) // AGING_S))
            levels.setdefault(min(highest, risen), []).append(line)
        taken: list[int] = []
        for level in sorted(levels, reverse=True):
            for recipe, row in self._share(levels[level], limit - len(taken)):
                taken.append(row)
                since[recipe] = now
        self._passed_over_since = since
        return taken

    def _share(self, lines: Sequence[RecipeQueue], limit: int) -> list[tuple[str, int]]:
        left = {line.recipe: list(reversed(line.rows)) for line in lines}
        weights = {line.recipe: line.weight for line in lines}
        shared: list[tuple[str, int]] = []
        while left and len(shared) < limit:
            # Of those that have paid alike, who came first.
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
