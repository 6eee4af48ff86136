"""The manuals of recipes and settings: current, complete, and valid in every example."""

import re
import shutil
import tomllib
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel

from daemon.config.key_descriptions import Key, keys_of
from daemon.config.output import Output
from daemon.config.recipe import Match, Recipe, read_recipe
from daemon.config.reference import PAGES, key_lists, main, stale_pages
from daemon.config.schedule import Schedule
from daemon.config.settings import Settings, Watch, load_settings
from daemon.config.steps import BaseStep, Step
from daemon.photo.prompts import PromptTable
from daemon.restorers.registry import STEP_KINDS

DOCS = Path(__file__).parents[2] / "docs"
RECIPES = (DOCS / "recipes.md").read_text("utf-8")
SETTINGS = (DOCS / "settings.md").read_text("utf-8")
STEP_CLASSES: Sequence[type[BaseStep]] = get_args(get_args(Step)[0])
MODELS = (Recipe, BaseStep, *STEP_CLASSES, Match, Output, Schedule, Settings, Watch)
HAS_A_SECTION = {"kind", "match", "output", "schedule"}
"""Keys of recipes and steps that stand in no list."""


def examples(page: str) -> list[str]:
    return re.findall(r"^```toml\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)


def test_the_lists_of_keys_are_current() -> None:
    stale = [path.name for path in stale_pages(DOCS)]
    assert stale == [], "run: python -m daemon.config.reference --write docs"


def test_every_list_of_keys_stands_once_in_the_manuals() -> None:
    names = re.findall(r"^<!-- keys: (.+) -->$", RECIPES + SETTINGS, re.MULTILINE)
    assert sorted(names) == sorted(key_lists())


def test_a_stale_page_is_found_and_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in PAGES:
        shutil.copy(DOCS / name, tmp_path)
    assert main([str(tmp_path)]) == 0
    page = tmp_path / "settings.md"
    page.write_text(SETTINGS.replace("default `2`", "default `3`"))
    assert main([str(tmp_path)]) == 1
    assert "settings.md: stale; run with --write" in capsys.readouterr().out
    assert main([str(tmp_path), "--write"]) == 0
    assert page.read_text("utf-8") == SETTINGS


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_every_key_says_its_meaning_what_is_allowed_and_gives_another_value(model: Any) -> None:  # noqa: ANN401
    keys = {key.name: key for key in keys_of(model)}
    unlisted = HAS_A_SECTION | ({"steps"} if model is Recipe else set())
    assert set(model.model_fields) - unlisted == set(keys)
    for key in keys.values():
        assert key.meaning.endswith("."), key.name
        assert key.allowed, key.name
        assert key.example != key.default, key.name
        assert key.required or key.default or "Not set: " in key.meaning, key.name


def needed_by(kind: str, key: str) -> str:
    """What an example of a key needs beside it."""
    if kind == "denoise" and key == "blur_px":
        return 'mode = "deblur"\n'
    if kind == "inpaint" and key in ("sensitivity", "tone", "mask_only"):
        return "find = true\n"
    if key in ("quality", "lossless", "chroma", "progressive", "compression"):
        return 'format = "same"\n'
    return 'looks_like = "a cat"\n' if key in ("unlike", "looks_like_above") else ""


def valid(file: Path, key: Key, text: str) -> None:
    file.write_text(text)
    assert f"{key.name} = {key.example}\n" in text
    read_recipe(file)


@pytest.mark.parametrize("step", STEP_CLASSES, ids=lambda step: step.__name__)
def test_every_example_of_a_key_of_a_step_is_valid(tmp_path: Path, step: type[BaseStep]) -> None:
    kind = step.model_fields["kind"].default
    always_runs = step.model_fields["kind"].default in ("generate", "interpolate")
    for key in keys_of(step):
        if key.name == "when" and always_runs:
            continue
        line = f"{key.name} = {key.example}\n{needed_by(kind, key.name)}"
        valid(tmp_path / "own.toml", key, f'[[steps]]\nkind = "{kind}"\n{line}')


@pytest.mark.parametrize("table", ["match", "output", "schedule"])
def test_every_example_of_a_key_of_a_table_is_valid(tmp_path: Path, table: str) -> None:
    models: dict[str, type[BaseModel]] = {"match": Match, "output": Output, "schedule": Schedule}
    for key in keys_of(models[table]):
        line = f"[{table}]\n{key.name} = {key.example}\n{needed_by('', key.name)}"
        valid(tmp_path / "own.toml", key, f'[[steps]]\nkind = "denoise"\n{line}')


@pytest.mark.parametrize("key", keys_of(Settings), ids=lambda key: key.name)
def test_every_example_of_a_setting_is_valid(tmp_path: Path, key: Key) -> None:
    file = tmp_path / "restored.toml"
    file.write_text(f"{key.name} = {key.example}\n")
    assert load_settings(file).model_fields_set == {key.name}


def test_every_example_in_the_manuals_is_valid(tmp_path: Path) -> None:
    recipes = [text for text in examples(RECIPES) if "[[steps]]" in text]
    prompts = [text for text in examples(RECIPES) if "[[steps]]" not in text]
    assert (len(recipes), len(prompts), len(examples(SETTINGS))) == (20, 1, 1)
    for text in recipes:
        (tmp_path / "own.toml").write_text(text)
        read_recipe(tmp_path / "own.toml")
    PromptTable.model_validate(tomllib.loads(prompts[0]))
    (tmp_path / "restored.toml").write_text(examples(SETTINGS)[0])
    assert load_settings(tmp_path / "restored.toml").watch[0].recipe == "old-photo"


def test_every_kind_of_step_has_a_section_and_says_how_often_it_calls_its_network() -> None:
    kinds = [step.model_fields["kind"].default for step in STEP_CLASSES]
    table = RECIPES.split("network calls for a sample |\n")[1].split("\n\n")[0]
    rows = re.findall(r"^\| `([\w-]+)` \| .* \| .* \| (.+) \|$", table, re.MULTILINE)
    assert sorted(kind for kind, _ in rows) == sorted(kinds)
    for kind, calls in rows:
        assert f"\n### {kind}\n" in RECIPES
        if calls.isdecimal():
            module = import_module(f"daemon.restorers.{kind.replace('-', '_')}")
            assert int(calls) == module.STEPS


def test_every_key_of_a_prompt_file_is_explained() -> None:
    section = RECIPES.split("\n### generate\n")[1].split("\n## ")[0]
    assert re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE) == list(PromptTable.model_fields)


MODEL_NAMES = {
    "prior": "`prior`",
    "pixel": "a pixel model",
    "latent": "a Stable Diffusion",
    "latent-inpaint": "a Stable Diffusion for inpainting",
    "inpaint": "an inpainting pipeline",
    "edit": "an edit pipeline",
    "image": "an image-to-image pipeline",
    "upscale": "an upscaling pipeline",
    "text": "a text-to-image pipeline",
}


def test_the_models_of_every_step_and_the_keys_they_refuse_are_those_of_the_registry() -> None:
    section = RECIPES.split("\n## Models for a step\n")[1].split("\n## ")[0]
    rows = re.findall(r"^\| `([\w-]+)` \| (.+?) \|(.*)\|$", section, re.MULTILINE)
    assert sorted(kind for kind, _, _ in rows) == sorted(STEP_KINDS)
    for kind, models, refused in rows:
        row = STEP_KINDS[kind]
        named = models.removesuffix(", which it does not use").split(", ")
        assert set(named) == {MODEL_NAMES[use] for use in row.restorers}
        said = dict(part.split(": ") for part in refused.strip().split("; ") if part)
        assert {name: re.findall(r"`(\w+)`", keys) for name, keys in said.items()} == {
            MODEL_NAMES[use]: list(keys) for use, keys in row.meaningless.items()
        }
