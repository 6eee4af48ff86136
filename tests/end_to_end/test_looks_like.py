"""Recipes chosen by what a photograph looks like to a CLIP model."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skimage.data
from PIL import Image

from daemon.checkpoints.digests import LOCK
from daemon.checkpoints.library import Library
from daemon.config.content_features import Feature, likeness_probability
from daemon.config.station_setup import find_station
from daemon.jobs import scheduler
from daemon.jobs.ledger.reader import LedgerReader
from daemon.messages.tasks import InspectTask
from daemon.service.daemon import RunSummary
from daemon.system.errors import ConfigError
from tests.support.station_runs import run_once, write_settings
from tests.support.tiny_clip import save_clip
from tests.support.tiny_pipelines import save_stable

PHRASES = ("an old photograph", "the blue cat")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_clip(tmp_path_factory.mktemp("models") / "clip")


def drop_astronaut(root: Path) -> None:
    Image.fromarray(skimage.data.astronaut()[:64, :64]).save(root / "inbox/astronaut.png")


def recipe(looks_like: str, unlike: str) -> str:
    return (
        f'[match]\nlooks_like = "{looks_like}"\nunlike = ["{unlike}"]\n'
        '[[steps]]\nkind = "denoise"\n'
    )


def test_what_a_photograph_looks_like_chooses_its_recipe_and_is_remembered(
    root: Path, folder: Path
) -> None:
    write_settings(root, clip_model=str(folder))
    (root / "recipes/a.toml").write_text(recipe(*PHRASES))
    (root / "recipes/b.toml").write_text(recipe(*reversed(PHRASES)))
    drop_astronaut(root)
    assert run_once(root, executor="inline") == RunSummary(done=1)
    record = json.loads((root / "outbox/astronaut.png.json").read_text())
    ledger = LedgerReader(find_station(root).ledger)
    answers = ledger.answers(
        record["inputs"][0]["sha256"], clip_digest=Library().digest(str(folder))
    )
    ledger.close()
    assert set(answers) == {Feature.likeness(phrase) for phrase in PHRASES}
    probability = likeness_probability(answers, PHRASES[0], (PHRASES[1],))
    assert record["recipe"] == ("a" if probability >= 0.5 else "b")
    assert not np.isclose(probability, 0.5, atol=1e-3)


def test_a_pulled_clip_model_is_pinned_in_every_inspection(
    tmp_path: Path, root: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = "3" * 40
    pulled = tmp_path / "models/org--clip" / commit
    shutil.copytree(folder, pulled)
    (pulled / LOCK).write_text("{}")
    (pulled.parent / "revisions.json").write_text(json.dumps({"main": commit}))
    write_settings(root, clip_model="org/clip", models_dir=str(tmp_path / "models"))
    (root / "recipes/a.toml").write_text(recipe(*PHRASES))
    drop_astronaut(root)
    inspect_tasks: list[InspectTask] = []

    def noted_task(*args: Any, **kwargs: Any) -> InspectTask:  # noqa: ANN401
        inspect_tasks.append(InspectTask(*args, **kwargs))
        return inspect_tasks[-1]

    monkeypatch.setattr(scheduler, "InspectTask", noted_task)
    run_once(root, executor="inline")
    assert [inspect_task.clip for inspect_task in inspect_tasks] == [f"org/clip@{commit}"]
    assert inspect_tasks[0].clip_digest == Library(tmp_path / "models").digest("org/clip")


def test_a_clip_model_that_is_no_clip_model_is_refused_at_the_start(
    tmp_path: Path, root: Path
) -> None:
    write_settings(root, clip_model=str(save_stable(tmp_path / "stable")))
    with pytest.raises(ConfigError, match=r"clip_model is .*stable.*, not a CLIP model"):
        run_once(root, executor="inline")
