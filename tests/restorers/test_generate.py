"""Generate: from a file of prompts in an inbox to pictures, by tiny real pipelines."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from daemon.checkpoints.library import Library
from daemon.cli.main import exit_code
from daemon.config.recipe import read_recipe
from daemon.config.station_setup import known_recipes, make_station, open_station
from daemon.intake.retry import retry_failed
from daemon.restorers.registry import check_models
from daemon.service.component_settings import inbox_folders
from daemon.service.daemon import RunSummary
from daemon.system.errors import ConfigError
from tests.support import tiny_flux, tiny_pipelines
from tests.support.fakes import everything_below
from tests.support.station_runs import run_once

PROMPTS = "the red cat\n# a comment\n\nan old photo\nthe blue cat\n"


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("models")
    tiny_pipelines.save_stable(root / "stable")
    tiny_flux.save_flux(root / "flux")
    tiny_pipelines.save_upscale(root / "upscale")
    return root


@pytest.fixture
def root(tmp_path: Path, models: Path) -> Path:
    root = tmp_path / "station"
    make_station(root)
    (root / "restored.toml").write_text("settle_s = 0\nmin_free_mb = 0\ndtype = 'fp32'\n")
    (root / "recipes/dream.toml").write_text(recipe(models))
    (root / "inbox/dream").mkdir()
    return root


def recipe(models: Path, model: str = "stable", extra: str = "", more: str = "") -> str:
    step = f'[[steps]]\nkind = "generate"\nmodel = "{models / model}"\nsteps = 2\n{extra}\n'
    return f"{step}\n{more}"


def record_of(root: Path, name: str) -> dict[str, Any]:
    record: dict[str, Any] = json.loads((root / "outbox/dream" / f"{name}.json").read_text())
    return record


def test_every_line_of_a_text_becomes_a_picture_and_the_record_has_prompts_and_seeds(
    root: Path,
) -> None:
    (root / "inbox/dream/ideas.txt").write_text(PROMPTS)
    assert run_once(root, executor="inline") == RunSummary(done=1)
    names = ["ideas.png", "ideas-2.png", "ideas-3.png"]
    outputs = record_of(root, "ideas.png")["outputs"]
    assert [one["file"] for one in outputs] == names
    assert [one["prompt"] for one in outputs] == ["the red cat", "an old photo", "the blue cat"]
    assert len({one["seed"] for one in outputs}) == 3
    pictures = [(root / "outbox/dream" / name).read_bytes() for name in names]
    assert len(set(pictures)) == 3
    for name in names:
        with Image.open(root / "outbox/dream" / name) as picture:
            assert picture.size == (64, 64), "the size the model was trained on"
    assert everything_below(root / "archive") == {"dream/ideas.txt": PROMPTS.encode()}
    assert everything_below(root / "inbox") == {}
    assert everything_below(root / ".restored/work") == {}
    inputs = record_of(root, "ideas.png")["inputs"]
    assert (inputs[0]["format"], inputs[0]["pictures"]) == ("PROMPTS", 3)


def test_the_seed_of_the_record_makes_the_same_picture_again(root: Path) -> None:
    (root / "inbox/dream/ideas.txt").write_text(PROMPTS)
    run_once(root, executor="inline")
    second = record_of(root, "ideas.png")["outputs"][1]
    text = f'prompt = "an old photo"\nseed = {second["seed"]}\ncount = 2\nsize = [64, 64]\n'
    (root / "inbox/dream/again.toml").write_text(text)
    assert run_once(root, executor="inline") == RunSummary(done=1)
    first, other = (np.asarray(Image.open(root / f"outbox/dream/again{n}.png")) for n in ("", "-2"))
    alike = np.asarray(Image.open(root / "outbox/dream/ideas-2.png"))
    assert np.abs(first.astype(int) - alike).max() <= 1
    assert np.abs(other.astype(int) - alike).max() > 1


def test_a_bad_file_fails_with_line_key_and_value_and_may_be_retried(root: Path) -> None:
    bad = 'prompt = "the cat"\ncount = 0\n'
    (root / "inbox/dream/bad.toml").write_text(bad)
    (root / "inbox/dream/photo.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    assert run_once(root, executor="inline") == RunSummary(failed=2)
    why = json.loads((root / "failed/dream/bad.toml.error.json").read_text())["why"]
    assert why == "dream/bad.toml: line 2: count is 0; allowed: whole numbers 1 to 256"
    assert (root / "failed/dream/bad.toml").read_text() == bad
    refused = json.loads((root / "failed/dream/photo.png.error.json").read_text())["why"]
    assert "its name ends with none of .txt, .toml" in refused
    (root / "failed/dream/photo.png").unlink()
    (root / "failed/dream/photo.png.error.json").unlink()
    (root / "failed/dream/bad.toml").write_text('prompt = "the cat"\n')
    station, settings = open_station(root)
    retry_failed(station, inbox_folders(station, settings), known_recipes(station), [])
    assert run_once(root, executor="inline") == RunSummary(done=1)


def test_later_steps_apply_and_sizes_that_are_no_multiple_are_kept(
    root: Path, models: Path
) -> None:
    more = '[[steps]]\nkind = "super-resolve"\nscale = 2\nrealism = 0\n'
    extra = 'size = [75, 66]\nprompt = "oil"\nnegative_prompt = "blue"\nguidance = 3.0\n'
    (root / "recipes/dream.toml").write_text(recipe(models, extra=extra, more=more))
    (root / "inbox/dream/ideas.txt").write_text("the cat\nthe red cat\n")
    assert run_once(root, executor="inline") == RunSummary(done=1)
    outputs = record_of(root, "ideas.png")["outputs"]
    assert [(one["width"], one["height"]) for one in outputs] == [(150, 132)] * 2
    assert [one["prompt"] for one in outputs] == ["the cat, oil", "the red cat, oil"]
    assert {one["negative"] for one in outputs} == {"blue"}


def test_apply_writes_every_picture_and_refuses_photographs(
    tmp_path: Path,
    models: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("RESTORED_DTYPE", "fp32")
    dream = tmp_path / "dream.toml"
    dream.write_text(recipe(models, "flux", "size = [64, 64]"))
    (tmp_path / "ideas.txt").write_text("the cat\nthe red cat\n")
    Image.new("RGB", (8, 8)).save(tmp_path / "photo.png")
    out = tmp_path / "out"
    inputs = [str(tmp_path / "ideas.txt"), str(tmp_path / "photo.png")]
    assert exit_code(["apply", str(dream), *inputs, "-o", str(out), "--record"]) == 65
    assert "recipe dream takes files of prompts" in capsys.readouterr().err
    assert sorted(p.name for p in out.iterdir()) == ["ideas-2.png", "ideas.png", "ideas.png.json"]
    outputs = json.loads((out / "ideas.png.json").read_text())["outputs"]
    assert [one["prompt"] for one in outputs] == ["the cat", "the red cat"]
    assert exit_code(["apply", "denoise", str(tmp_path / "ideas.txt"), "-o", str(out)]) == 65
    assert "recipe denoise takes photographs" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[[steps]]\nkind = "denoise"\n[[steps]]\nkind = "generate"\n', "must be the first step"),
        ('[[steps]]\nkind = "generate"\n[[steps]]\nkind = "interpolate"\n', "no step may take two"),
        ('[match]\ngrey = true\n[[steps]]\nkind = "generate"\n', "need a photograph"),
        (
            '[match]\nsuffixes = [".png"]\n[[steps]]\nkind = "generate"\n',
            "match.suffixes contains '.png', but generate reads .txt, .toml",
        ),
        (
            '[match]\nsuffixes = [".txt"]\n[[steps]]\nkind = "denoise"\n',
            "match.suffixes contains '.txt', but denoise reads .jpg",
        ),
    ],
)
def test_a_recipe_that_makes_no_sense_is_refused(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "dream.toml").write_text(text)
    with pytest.raises(ConfigError, match=said):
        read_recipe(tmp_path / "dream.toml")


@pytest.mark.parametrize(
    ("model", "what"), [("prior", "the prior inside the package"), ("upscale", "an upscaling")]
)
def test_a_model_that_reads_no_text_is_refused(
    tmp_path: Path, models: Path, model: str, what: str
) -> None:
    name = model if model == "prior" else str(models / model)
    (tmp_path / "dream.toml").write_text(f'[[steps]]\nkind = "generate"\nmodel = "{name}"\n')
    recipe = read_recipe(tmp_path / "dream.toml")
    with pytest.raises(
        ConfigError, match=f"generate needs a text-to-image checkpoint; this is {what}"
    ):
        check_models([recipe], Library())
