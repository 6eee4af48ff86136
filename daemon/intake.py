"""Intake: which recipe each arrival goes to, and what must wait for something else.

Comes in: settled files. Goes out: claims. Halves of pairs, side files and photographs whose side
file is still arriving are remembered here and stay in the inbox until they can be claimed.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from daemon.photo import Limits
from daemon.recipe import Recipe
from daemon.sorting import Folder, Held, Sorting
from daemon.station import Arrival, Claim, Notice


@dataclass(frozen=True)
class Decision:
    """What is to be claimed now.

    Attributes:
        claims: What to claim; no file is in two of them.
        again: Files that changed or vanished while they waited: the inbox shall look at them anew.
    """

    claims: tuple[Claim, ...]
    again: tuple[Path, ...]


class Intake:
    """Sorts arrivals into claims; owned and called by one thread."""

    def __init__(
        self,
        recipes: Sequence[Recipe],
        *,
        limits: Limits,
        pair_wait_s: float,
        wall: Callable[[], float] = time.time,
    ) -> None:
        """Start with nothing held.

        Args:
            recipes: What there is to choose from.
            limits: What is refused.
            pair_wait_s: What waits longer is told of by `waiting`.
            wall: UTC seconds since the epoch.
        """
        self._limits = limits
        self._pair_wait_s = pair_wait_s
        self._wall = wall
        self._folders: dict[str, Folder] = {}
        self._recipes: dict[str, Recipe] = {}
        self.set_recipes(recipes)

    def set_recipes(self, recipes: Sequence[Recipe]) -> None:
        """Use these from now on; what waits is considered anew."""
        self._recipes = {recipe.name: recipe for recipe in recipes}
        for folder in self._folders.values():
            folder.stale = True

    def consider(self, arrivals: Sequence[Arrival], now: float) -> Decision:
        """Sort new arrivals, and whatever waits, into claims.

        Call it now and then without arrivals too: what a photograph waits for may vanish.

        Args:
            arrivals: Files that have just settled.
            now: Monotonic seconds.
        """
        again = self._forget_changed()
        utc = self._wall()
        for arrival in arrivals:
            path = str(arrival.path)
            above, _, name = path.rpartition("/")
            folder = self._folders.setdefault(above, Folder(above))
            folder.held[name] = Held(arrival, path, now, utc)
            folder.stale = True
        claims: list[Claim] = []
        for folder in [folder for folder in self._folders.values() if folder.stale]:
            decided = Sorting(folder, self._recipes, self._limits)
            claims += decided.claims()
            again += decided.vanished
            if not folder.held:
                del self._folders[folder.path]
        return Decision(tuple(claims), tuple(again))

    def waiting(self, now: float, *, at_once: bool = False) -> tuple[Notice, ...]:
        """What waits, and for what.

        Args:
            now: Monotonic seconds.
            at_once: Also what has waited less than `pair_wait_s` and may get on by itself.
        """
        return tuple(
            Notice(held.arrival.path, held.why, held.since_utc)
            for folder in self._folders.values()
            for held in folder.held.values()
            if held.fresh and (at_once or held.astray or now - held.since_s >= self._pair_wait_s)
        )

    def _forget_changed(self) -> list[Path]:
        again: list[Path] = []
        for folder in self._folders.values():
            for name, held in list(folder.held.items()):
                if held.fresh and not held.is_unchanged():
                    del folder.held[name]
                    folder.stale = True
                    again.append(held.arrival.path)
        return again
