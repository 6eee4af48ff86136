"""Recommended checkpoints: each card is complete, and its steps make a recipe."""

import json
import re
import tomllib
from pathlib import Path

import pytest

from daemon.checkpoints.cards import (
    Card,
    all_cards,
    describe_card,
    expand_card_name,
    find_card,
    recipe_steps,
)
from daemon.checkpoints.library import COMMIT, Library
from daemon.checkpoints.shipped_cards import describe_shipped, shipped_cards
from daemon.checkpoints.traits import PIPELINES
from daemon.cli.main import exit_code
from daemon.config.model_reference import SHIPPED, Hub, parse_reference
from daemon.config.recipe import Recipe, read_recipe
from daemon.restorers.registry import check_models
from daemon.system.errors import ConfigError

RECIPES = ("denoise", "colorize", "super-resolve", "restyle", "interpolate", "generate")


@pytest.mark.parametrize("memory_gb", [8, 24])
@pytest.mark.parametrize("kind", RECIPES)
def test_every_recipe_has_a_free_checkpoint_for_both_sizes_of_card(
    kind: str, memory_gb: int
) -> None:
    assert any(c.free and c.memory_gb == memory_gb and kind in c.kinds for c in all_cards())


@pytest.mark.parametrize("card", all_cards(), ids=lambda card: card.name)
def test_a_card_is_complete_and_invents_no_commit(card: Card) -> None:
    assert isinstance(parse_reference(card.reference), Hub)
    assert card.revision == "main" or COMMIT.fullmatch(card.revision)
    assert card.pipeline in PIPELINES
    assert all((card.about, card.licence, card.verified, card.unverified))
    shown = describe_card(card)
    assert ("NON-COMMERCIAL" in shown) == (not card.free)
    assert f"{card.memory_gb} GB (an estimate, not measured)" in shown
    assert ("unknown; pull says it first" in shown) == (not card.download_gb)
    assert re.search("non-commercial", card.licence, re.IGNORECASE) is None or not card.free


@pytest.mark.parametrize("card", all_cards(), ids=lambda card: card.name)
def test_a_checkpoint_can_do_the_steps_of_its_card(card: Card, tmp_path: Path) -> None:
    net = tmp_path / "net"
    (net / "text_encoder").mkdir(parents=True)
    index = "config.json" if card.pipeline == "UNet2DModel" else "model_index.json"
    (net / index).write_text(json.dumps({"_class_name": card.pipeline}))
    if card.pipeline.startswith("StableDiffusion"):
        for part, key in (("unet", "in_channels"), ("vae", "latent_channels")):
            (net / part).mkdir()
            (net / part / "config.json").write_text(json.dumps({key: 4}))
    for number, step in enumerate(tomllib.loads(recipe_steps(card))["steps"]):
        assert step["model"] == card.reference
        recipe = Recipe.model_validate({"name": f"r{number}", "steps": [step]})
        check_models([recipe.with_models(lambda model: str(net))], Library())


def test_the_name_of_a_card_stands_for_its_checkpoint() -> None:
    assert expand_card_name("sdxl") == "stabilityai/stable-diffusion-xl-base-1.0"
    assert expand_card_name("org/name@v1") == "org/name@v1"
    assert find_card("stabilityai/stable-diffusion-xl-base-1.0").name == "sdxl"
    with pytest.raises(ConfigError, match=r"there are .*sdxl"):
        find_card("dream")


def test_list_prints_the_cards_and_the_steps_for_a_recipe(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RESTORED_MODELS_DIR", str(tmp_path))
    assert exit_code(["models", "list"]) == 0
    printed = capsys.readouterr().out
    assert all(card.name in printed for card in all_cards())
    assert "nothing yet" in printed
    assert "it is estimated, not measured" in printed
    assert exit_code(["models", "list", "flux1-kontext"]) == 0
    printed = capsys.readouterr().out
    assert "NON-COMMERCIAL USE ONLY" in printed
    lines = printed.split("Lines for a recipe:")[1]
    path = tmp_path / "mine.toml"
    path.write_text(lines)
    assert read_recipe(path).models == ("black-forest-labs/FLUX.1-Kontext-dev",)


@pytest.mark.parametrize("name", SHIPPED)
def test_networks_inside_the_package_have_cards_that_are_complete(name: str) -> None:
    (card,) = (card for card in shipped_cards() if card.name == name)
    assert all((card.about, card.licence, card.sources, card.credits, card.numbers, card.limits))
    assert f"{name}: inside the package" in describe_shipped(card)
    assert Library().checkpoint(name).traits.description.startswith("the ")


def test_the_weights_inside_the_package_are_at_most_twenty_megabytes() -> None:
    assert sum(card.size_bytes for card in shipped_cards()) < 20e6


def test_a_network_that_steps_call_by_themselves_is_no_model_of_a_step(tmp_path: Path) -> None:
    path = tmp_path / "r.toml"
    path.write_text('[[steps]]\nkind = "super-resolve"\nmodel = "restoration"\n')
    with pytest.raises(ConfigError, match=r'needs the prior .*restoration.*model = "prior"'):
        check_models([read_recipe(path)], Library())
