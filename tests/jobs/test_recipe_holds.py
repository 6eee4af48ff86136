"""Recipes whose models are at fault are held back; a bad photograph still fails."""

from pathlib import Path

import pytest

from daemon.checkpoints.library import Library
from daemon.config.recipe import Recipe, read_recipe
from daemon.jobs.recipe_holds import RecipeHolds
from daemon.messages.reports import Failed
from daemon.messages.tasks import Job, RestoreTask

NOW = 1_800_000_000.0
NAN = Failed(1, "model prior: its answer has NaN", model="prior")
UNUSABLE = Failed(1, "model x is damaged", model="x", unusable=True)
ONE, TWO, THREE = 1, 2, 3


@pytest.fixture
def holds() -> RecipeHolds:
    return RecipeHolds(Library())


@pytest.fixture
def recipe(tmp_path: Path) -> Recipe:
    path = tmp_path / "denoise.toml"
    path.write_text('[[steps]]\nkind = "denoise"\n')
    return read_recipe(path)


@pytest.fixture
def task(recipe: Recipe) -> RestoreTask:
    pinned, weights = Library().resolved(recipe)
    return RestoreTask(Job("id", pinned, (), "a", 1, weights), 1, Path())


def allowed(holds: RecipeHolds, now: float) -> list[int]:
    return list(holds.allowed("denoise", [ONE, TWO, THREE], now))


def test_one_photograph_at_which_the_model_fails_twice_is_at_fault(
    holds: RecipeHolds, task: RestoreTask
) -> None:
    assert holds.model_failed("denoise", ONE, task, NAN, NOW) == "try again"
    assert allowed(holds, NOW) == [TWO, THREE]
    assert list(holds.allowed("denoise", [ONE], NOW)) == [ONE]
    assert holds.model_failed("denoise", ONE, task, NAN, NOW) == "photograph"
    assert holds.held == ()


def test_where_others_had_results_the_first_time_is_enough(
    holds: RecipeHolds, task: RestoreTask
) -> None:
    holds.succeeded("denoise", task)
    assert holds.model_failed("denoise", ONE, task, NAN, NOW) == "photograph"
    holds.succeeded("denoise", task)
    assert holds.model_failed("denoise", TWO, task, NAN, NOW) == "photograph"
    assert holds.held == ()


def test_a_second_photograph_in_turn_proves_that_it_is_the_model(
    holds: RecipeHolds, task: RestoreTask
) -> None:
    holds.succeeded("denoise", task)
    assert holds.model_failed("denoise", ONE, task, NAN, NOW) == "photograph"
    assert holds.model_failed("denoise", TWO, task, NAN, NOW) == "model"
    (held,) = holds.held
    assert (held.recipe, held.why, held.since) == ("denoise", NAN.reason, NOW)
    assert allowed(holds, NOW + 59) == []
    assert list(holds.allowed("another", [7, 8], NOW)) == [7, 8]


def test_after_a_wait_one_that_was_not_tried_is_tried_and_the_wait_doubles(
    holds: RecipeHolds, task: RestoreTask
) -> None:
    for row in (ONE, TWO):
        holds.model_failed("denoise", row, task, NAN, NOW)
    assert allowed(holds, NOW + 60) == [THREE]
    holds.started("denoise", NOW + 60)
    assert allowed(holds, NOW + 61) == []
    assert holds.model_failed("denoise", THREE, task, NAN, NOW + 62) == "model"
    assert allowed(holds, NOW + 181) == []
    assert allowed(holds, NOW + 182) == [ONE]
    holds.started("denoise", NOW + 182)
    holds.succeeded("denoise", task)
    assert allowed(holds, NOW + 183) == [ONE, TWO, THREE]


def test_a_model_that_cannot_be_loaded_is_at_fault_at_once(
    holds: RecipeHolds, task: RestoreTask
) -> None:
    assert holds.model_failed("denoise", ONE, task, UNUSABLE, NOW) == "model"
    assert holds.held[0].why == "model x is damaged"
    holds.try_now()
    assert allowed(holds, NOW) == [TWO]


def test_a_recipe_goes_on_when_it_has_changed(
    holds: RecipeHolds, task: RestoreTask, recipe: Recipe, tmp_path: Path
) -> None:
    holds.model_failed("denoise", ONE, task, UNUSABLE, NOW)
    holds.refresh([recipe])
    assert allowed(holds, NOW) == []
    path = tmp_path / "denoise.toml"
    path.write_text('[[steps]]\nkind = "denoise"\nsigma = 20\n')
    holds.refresh([read_recipe(path)])
    assert allowed(holds, NOW) == [ONE, TWO, THREE]
    holds.model_missing("denoise", "no such folder", NOW)
    assert allowed(holds, NOW) == []
    holds.refresh([recipe])  # its model is there
    assert allowed(holds, NOW) == [ONE, TWO, THREE]
