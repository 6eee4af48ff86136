"""Conditions of steps: what they say, and what recipes that have none are worth."""

from pathlib import Path

import pytest

from daemon.config.conditions import Condition
from daemon.config.content_features import BLOCKS, BLUR, COLOUR, FADED, NOISE
from daemon.config.recipe import read_recipe
from daemon.system.errors import ConfigError

ANSWERS = {COLOUR: 3.0, NOISE: 5.0, BLOCKS: 0.3, FADED: 0.5, BLUR: 0.8}


@pytest.mark.parametrize(
    ("keys", "why"),
    [
        ({"grey": True}, None),
        ({"grey": False}, "3.0 levels of colour; grey = false, and up to 7 is grey"),
        ({"noise_above": 4}, None),
        ({"noise_above": 5}, "5.0 levels of noise, not above 5"),
        ({"blocks_above": 0.6}, "edges of blocks of 0.30 levels, not above 0.6"),
        ({"faded_above": 0.4}, None),
        ({"faded_above": 0.5}, "50% of its contrast lost, not above 50%"),
        ({"blur_above": 0.7}, None),
        ({"blur_above": 0.8}, "edges blurred by 0.8 px, not above 0.8"),
        ({"megapixels_below": 2}, None),
        ({"megapixels_below": 1.5}, "1.50 megapixels, not below 1.5"),
        ({"grey": True, "noise_above": 8}, "5.0 levels of noise, not above 8"),
    ],
)
def test_all_that_a_condition_says_must_hold(keys: dict[str, float], why: str | None) -> None:
    assert Condition.model_validate(keys).mismatch(ANSWERS, 1.5) == why


def test_a_table_is_a_list_of_one(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('[[steps]]\nkind = "denoise"\nwhen = { grey = true }\n')
    assert read_recipe(path).steps[0].when == (Condition(grey=True),)


def test_a_recipe_without_conditions_keeps_its_digest(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('[[steps]]\nkind = "denoise"\n')
    without = read_recipe(path)
    assert "when" not in without.steps[0].meaning
    path.write_text('[[steps]]\nkind = "denoise"\nwhen = { grey = true }\n')
    assert read_recipe(path).digest != without.digest


@pytest.mark.parametrize(
    ("step", "says"),
    [
        ('kind = "denoise"\nwhen = {}', "says nothing; set one of grey, noise_above"),
        ('kind = "denoise"\nwhen = { noise = 3 }', "did you mean noise_above"),
        ('kind = "denoise"\nwhen = { noise_above = -1 }', "allowed: numbers 0 to 255"),
        ('kind = "interpolate"\nwhen = { grey = true }', "interpolate always runs; leave when out"),
    ],
)
def test_a_wrong_condition_is_refused_with_what_is_allowed(
    tmp_path: Path, step: str, says: str
) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(f"[[steps]]\n{step}\n")
    with pytest.raises(ConfigError, match=r"mine\.toml") as refused:
        read_recipe(path)
    assert says in str(refused.value)
