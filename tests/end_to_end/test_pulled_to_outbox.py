"""A model's whole way: pulled from a Hub, named in a recipe, at work, in the record; then gone."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from daemon.checkpoints.library import Library
from daemon.cli.main import exit_code
from daemon.config.recipe import recipe_named
from daemon.config.station_setup import known_recipes, make_station
from daemon.jobs.time_estimates import job_times
from tests.support.fake_hub import COMMIT, FakeHub, run_against, serving
from tests.support.station_runs import run_once
from tests.support.tiny_pipelines import save_pixel

REPO = "small/pixels"


def test_a_pulled_checkpoint_restores_a_photograph_and_the_record_names_its_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    root, models = tmp_path / "s", tmp_path / "models"
    monkeypatch.setenv("RESTORED_MODELS_DIR", str(models))
    station = make_station(root)
    (station.recipes / "faces.toml").write_text(
        f'[[steps]]\nkind = "restyle"\nmodel = "{REPO}"\nsteps = 2\nstrength = 0.3\n'
    )
    make_station(root)
    assert exit_code(["--station", str(root), "check"]) == 78
    missing = capsys.readouterr().err
    assert f"{station.recipes / 'faces.toml'}: steps[0].model is '{REPO}'" in missing
    assert f"fetch it with: restored models pull {REPO}@main" in missing

    with serving(FakeHub({REPO: save_pixel(tmp_path / "served")})) as hub:
        done = run_against(hub, models, tmp_path / "hf", "pull", REPO)
        assert done.returncode == 0, done.stderr

    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    Image.fromarray(pixels).save(station.inbox / "faces" / "a.png")
    summary = run_once(root, executor="inline")
    assert (summary.done, summary.failed) == (1, 0)
    record = json.loads((station.outbox / "faces" / "a.png.json").read_text())
    pinned = f"{REPO}@{COMMIT}"
    assert record["steps"][0]["model"] == pinned
    assert record["models"] == {pinned: Library(models).digest(REPO)}

    recipe = recipe_named("faces", known_recipes(station))
    (job_time,) = job_times(station.logs, recipe, Library(models))
    assert job_time.megapixels == pytest.approx(32 * 32 / 1e6), "estimates know the job again"

    damaged = next(models.rglob("*.safetensors"))
    damaged.write_bytes(b"")
    monkeypatch.setenv("RESTORED_DEVICE", "cpu")
    assert exit_code(["--station", str(root), "check"]) == 78
    assert pinned.split("@")[0] in capsys.readouterr().err
