"""Recipes that are held back because their model is at fault, not their photographs.

A model that cannot be loaded, or gives NaN or one colour for whatever it is given, would send every
photograph of its recipe to failed/. They stay queued instead. After a wait, which doubles, one of
them is tried; the rest goes on when that works, or when recipe or model change. Nothing of this is
kept over a restart, which tries anew.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import structlog

from daemon.checkpoints.library import Library
from daemon.config.recipe import Recipe
from daemon.messages.reports import Failed
from daemon.messages.tasks import InspectTask, Task
from daemon.system.clock import is_over
from daemon.system.errors import ConfigError

_log = structlog.get_logger()

_WAIT_S, _LONGEST_WAIT_S = 60.0, 3600.0
"""Seconds from a recipe's hold to the first photograph that is tried, and at most to another."""

Verdict = Literal["photograph", "try again", "model"]
"""Who is at fault, or that the photograph is tried once more before anybody knows."""


@dataclass(frozen=True)
class HeldRecipe:
    """A recipe that is held back.

    Attributes:
        recipe: Its name; "" for photographs whose content is to choose one.
        why: What its model did.
        since: UTC seconds since the epoch.
        wait_s: Seconds from one try to the next.
    """

    recipe: str
    why: str
    since: float
    wait_s: float

    def describe(self) -> str:
        """A line for people."""
        name = self.recipe or "the choice of recipes by content"
        return (
            f"{name} is held back, its photographs stay queued: {self.why}; correct the model or "
            f"the recipe. One photograph is tried every {self.wait_s / 60:.0f} min, and after "
            "`restored retry`"
        )


@dataclass
class _Record:
    """The state of a recipe with the models that it has now.

    Attributes:
        identity: Digests of recipe and models.
        works: It has given a result.
        in_turn: Jobs at which its model failed since its last result.
        held: Set while it is held back.
        again_at: When one of its photographs is tried, UTC seconds since the epoch.
        trying: One has been started since it was held back.
    """

    identity: str
    works: bool = False
    in_turn: set[int] = field(default_factory=set)
    held: HeldRecipe | None = None
    again_at: float = 0.0
    trying: bool = False


class RecipeHolds:
    """Judges failures of models, and holds recipes back.

    Args:
        library: The models of this machine.
    """

    def __init__(self, library: Library) -> None:
        self._library = library
        self._records: dict[str, _Record] = {}

    def succeeded(self, recipe: str, task: Task) -> None:
        """Record a result: the recipe's model works."""
        record = self._record(recipe, identity_of(task))
        if record.held:
            _log.info("recipe_released", recipe=recipe)
        record.works, record.held = True, None
        record.in_turn.clear()

    def model_failed(
        self, recipe: str, row: int, task: Task, failed: Failed, now: float
    ) -> Verdict:
        """Judge a task whose model failed; hold the recipe back if that is the model's fault.

        A second photograph in turn proves that it is the model. The first is tried once more, as
        long as nothing is known; then, or after others had results, it is itself at fault.

        Args:
            recipe: Name of its recipe.
            row: Its job.
            task: What was to be done.
            failed: Why it failed.
            now: UTC seconds since the epoch.
        """
        record = self._record(recipe, identity_of(task))
        again = row in record.in_turn
        record.in_turn.add(row)
        if failed.unusable or len(record.in_turn) > 1:
            self._hold(recipe, record, failed.reason, now)
            return "model"
        return "photograph" if again or record.works else "try again"

    def model_missing(self, recipe: str, why: str, now: float) -> None:
        """Hold a recipe back whose model is not on this machine any more."""
        record = self._record(recipe, "")
        if record.held is None:
            self._hold(recipe, record, why, now)

    def refresh(self, recipes: Sequence[Recipe]) -> None:
        """Release what has changed since it was held back: the recipe, or its models."""
        current = {recipe.name: recipe for recipe in recipes}
        for name, record in list(self._records.items()):
            if record.held and name and self._identity(current.get(name)) != record.identity:
                _log.info("recipe_released", recipe=name)
                del self._records[name]

    def allowed(self, recipe: str, rows: Sequence[int], now: float) -> Sequence[int]:
        """Those of a recipe's queued jobs that may start: all, none, or one that is tried.

        Those at which the model has failed come after the others, which may prove whose fault it
        is.
        """
        record = self._records.get(recipe)
        if record is None:
            return rows
        others = [row for row in rows if row not in record.in_turn] or rows
        if record.held is None:
            return others
        return others[:1] if is_over(record.again_at, now, record.held.wait_s) else ()

    def started(self, recipe: str, now: float) -> None:
        """Record that a job of the recipe was started: no other is while that is being tried."""
        record = self._records.get(recipe)
        if record is not None and record.held is not None:
            record.again_at, record.trying = now + record.held.wait_s, True

    def try_now(self) -> None:
        """Have one photograph of each recipe tried without waiting: a person asked for it."""
        for record in self._records.values():
            record.again_at = 0.0

    @property
    def held(self) -> tuple[HeldRecipe, ...]:
        """The recipes that are held back."""
        return tuple(record.held for record in self._records.values() if record.held)

    def _hold(self, recipe: str, record: _Record, why: str, now: float) -> None:
        if record.held is None:
            record.held = HeldRecipe(recipe, why, now, _WAIT_S)
            what = "correct the model or the recipe; its photographs stay queued"
            _log.error("recipe_held", recipe=recipe, why=why, what_to_do=what)
        elif record.trying:
            wait_s = min(_LONGEST_WAIT_S, 2 * record.held.wait_s)
            record.held = replace(record.held, why=why, wait_s=wait_s)
        record.again_at, record.trying = now + record.held.wait_s, False

    def _record(self, recipe: str, identity: str) -> _Record:
        record = self._records.get(recipe)
        if record is None or record.identity != identity:
            record = self._records[recipe] = _Record(identity)
        return record

    def _identity(self, recipe: Recipe | None) -> str:
        """Digests of a recipe and its models as they are now; "" if a model is missing."""
        if recipe is None:
            return "no such recipe"
        try:
            pinned, weights = self._library.resolved(recipe)
        except ConfigError:
            return ""
        return _identity(pinned, weights)


def identity_of(task: Task) -> str:
    """Digests of the recipe and the models of a task."""
    if isinstance(task, InspectTask):
        return task.clip_digest
    return _identity(task.job.recipe, task.job.weights)


def _identity(recipe: Recipe, weights: Sequence[str]) -> str:
    return " ".join((recipe.digest, *weights))
