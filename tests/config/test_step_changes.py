from pathlib import Path

import pytest

from daemon.config.recipe import SHIPPED_RECIPES, Recipe, load_recipes, recipe_named
from daemon.config.step_changes import changes_of_keys, with_step_changes
from daemon.system.errors import UsageError

RECIPES = load_recipes([SHIPPED_RECIPES])


def recipe(name: str) -> Recipe:
    return recipe_named(name, RECIPES)


@pytest.mark.parametrize("shipped", RECIPES, ids=lambda recipe: recipe.name)
def test_a_change_alters_nothing_but_its_key(shipped: Recipe) -> None:
    changed = with_step_changes(shipped, ["0.seed=7"])
    wanted = [step.meaning for step in shipped.steps]
    wanted[0]["seed"] = 7
    assert [step.meaning for step in changed.steps] == wanted
    assert with_step_changes(changed, ["0.seed=9"]).steps[0].seed == 9
    assert changed.source == shipped.source
    assert with_step_changes(shipped, []) is shipped


def test_a_kind_changes_all_its_steps_and_a_number_one(tmp_path: Path) -> None:
    both = Recipe.model_validate({"name": "twice", "steps": [{"kind": "denoise"}] * 2})
    assert [s.seed for s in with_step_changes(both, ["denoise.seed=4"]).steps] == [4, 4]
    assert [s.seed for s in with_step_changes(both, ["1.seed=4"]).steps] == [None, 4]


@pytest.mark.parametrize(
    ("value", "read"), [("gaussian", "gaussian"), ('"blind"', "blind"), (" gaussian ", "gaussian")]
)
def test_a_word_needs_no_quotes(value: str, read: str) -> None:
    changed = with_step_changes(recipe("denoise"), [f"denoise.mode={value}"])
    assert changed.steps[0].mode == read  # type: ignore[union-attr]


def test_a_relative_model_starts_at_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    changed = with_step_changes(recipe("denoise"), ["denoise.model=./mine"])
    assert changed.steps[0].model == str(tmp_path / "mine")


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ("denoise.realsim=1", "steps[0].realsim is not a known key; did you mean realism?"),
        ("denoise.realism=3", "recipe restore: steps[0].realism is 3; allowed: numbers 0 to 1"),
        ("denoise.mode=gausian", "did you mean gaussian?"),
        (
            "denois.realism=1",
            "the steps of recipe restore are 0 (denoise), 1 (inpaint); did you mean denoise?",
        ),
        ("2.realism=1", "the steps of recipe restore are 0 (denoise), 1 (inpaint)"),
        ("realism=1", "write KIND.KEY=VALUE, such as denoise.realism=0.5"),
        ("denoise.prompt=a cat", "'a cat' is no TOML value; write text in \"quotes\""),
        ("denoise.seed=1\nkind = 2", "give one value"),
    ],
)
def test_a_wrong_change_is_refused_in_the_words_for_recipe_files(change: str, why: str) -> None:
    with pytest.raises(UsageError) as refused:
        with_step_changes(recipe("restore"), [change])
    assert why in str(refused.value)


def test_a_shorthand_changes_every_step_that_has_the_key() -> None:
    assert changes_of_keys(recipe("restore"), {"realism": 0.4, "scale": None}) == [
        "0.realism=0.4",
        "1.realism=0.4",
    ]
    with pytest.raises(UsageError, match="--scale: recipe denoise has no step for it; it is for s"):
        changes_of_keys(recipe("denoise"), {"scale": 4})
