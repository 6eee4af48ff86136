"""CLIP models: their logits, and recipes chosen by what a photograph looks like."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skimage.data
import torch
from PIL import Image
from transformers import AutoTokenizer, CLIPModel

from daemon.checkpoints.digests import LOCK
from daemon.checkpoints.library import Library
from daemon.config.features import Feature, likeness_probability
from daemon.config.setup import find_station, make_station
from daemon.jobs import scheduler
from daemon.jobs.ledger.reader import LedgerReader
from daemon.messages.tasks import InspectTask
from daemon.models.calls import ClipCall
from daemon.models.clip import Clip
from daemon.models.registry import Placement, load_model
from daemon.service.daemon import RunSummary
from daemon.system.errors import ConfigError
from tests.support.station_runs import run_once
from tests.support.tiny_clip import SIDE, save_clip
from tests.support.tiny_pipelines import save_stable

PHRASES = ("an old photograph", "the blue cat")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_clip(tmp_path_factory.mktemp("models") / "clip")


def pictures(*sizes: tuple[int, int]) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.rand(3, *size, generator=generator) * 2 - 1 for size in sizes]


def test_its_logits_are_those_of_transformers_alone_and_in_a_batch(
    folder: Path,
) -> None:
    checkpoint = Library().checkpoint(str(folder))
    assert (checkpoint.traits.family, checkpoint.traits.uses) == ("clip", ("likeness",))
    model = load_model(Placement(checkpoint, "cpu"))
    calls = [ClipCall("clip", image, PHRASES) for image in pictures((40, 64), (SIDE, SIDE))]
    assert calls[0].key == calls[1].key
    together = model.predict(calls)
    alone = [model.predict([call])[0] for call in calls]
    for batched, single in zip(together, alone, strict=True):
        assert torch.allclose(batched, single, atol=1e-5)  # type: ignore[arg-type]
    assert torch.allclose(together[1], reference(folder, calls[1].image), atol=0.02)  # type: ignore[arg-type]
    assert not torch.allclose(together[0], together[1], atol=0.02)  # type: ignore[arg-type]


def reference(folder: Path, image: torch.Tensor) -> torch.Tensor:
    """What transformers answers to a picture of just the right size."""
    mean = torch.tensor((0.48145466, 0.4578275, 0.40821073))[:, None, None]
    deviation = torch.tensor((0.26862954, 0.26130258, 0.27577711))[:, None, None]
    words = AutoTokenizer.from_pretrained(folder)(list(PHRASES), padding=True, return_tensors="pt")
    with torch.inference_mode():
        pixels = (((image + 1) / 2 - mean) / deviation)[None]
        logits: torch.Tensor = CLIPModel.from_pretrained(folder)(
            **words, pixel_values=pixels
        ).logits_per_image[0]
    return logits


def test_only_the_central_square_of_a_wide_picture_counts(folder: Path) -> None:
    clip = Clip(Placement(Library().checkpoint(str(folder)), "cpu"))
    (middle,) = pictures((SIDE, SIDE))
    wide = torch.ones(3, SIDE, 3 * SIDE)
    wide[:, :, SIDE : 2 * SIDE] = middle
    logits = clip.predict([ClipCall("clip", wide, PHRASES), ClipCall("clip", middle, PHRASES)])
    assert torch.allclose(logits[0], logits[1], atol=1e-4)


def test_a_folder_without_weights_is_named(folder: Path, tmp_path: Path) -> None:
    torn = tmp_path / "torn"
    shutil.copytree(folder, torn)
    (torn / "model.safetensors").unlink()
    with pytest.raises(ConfigError, match=r"model .*torn: cannot be loaded: "):
        Clip(Placement(Library().checkpoint(str(torn)), "cpu"))


def recipe(looks_like: str, unlike: str) -> str:
    return (
        f'[match]\nlooks_like = "{looks_like}"\nunlike = ["{unlike}"]\n'
        '[[steps]]\nkind = "denoise"\n'
    )


def test_what_a_photograph_looks_like_chooses_its_recipe_and_is_remembered(
    tmp_path: Path, folder: Path
) -> None:
    root = tmp_path / "station"
    make_station(root)
    (root / "restored.toml").write_text(f'settle_s = 0\nmin_free_mb = 0\nclip_model = "{folder}"\n')
    (root / "recipes/a.toml").write_text(recipe(*PHRASES))
    (root / "recipes/b.toml").write_text(recipe(*reversed(PHRASES)))
    Image.fromarray(skimage.data.astronaut()[:64, :64]).save(root / "inbox/astronaut.png")
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
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, commit = tmp_path / "station", "3" * 40
    pulled = tmp_path / "models/org--clip" / commit
    shutil.copytree(folder, pulled)
    (pulled / LOCK).write_text("{}")
    (pulled.parent / "revisions.json").write_text(json.dumps({"main": commit}))
    make_station(root)
    (root / "restored.toml").write_text(
        "settle_s = 0\nmin_free_mb = 0\nclip_model = 'org/clip'\n"
        f"models_dir = '{tmp_path / 'models'}'\n"
    )
    (root / "recipes/a.toml").write_text(recipe(*PHRASES))
    Image.fromarray(skimage.data.astronaut()[:64, :64]).save(root / "inbox/astronaut.png")
    inspect_tasks: list[InspectTask] = []

    def noting(*args: Any, **kwargs: Any) -> InspectTask:  # noqa: ANN401
        inspect_tasks.append(InspectTask(*args, **kwargs))
        return inspect_tasks[-1]

    monkeypatch.setattr(scheduler, "InspectTask", noting)
    run_once(root, executor="inline")
    assert [inspect_task.clip for inspect_task in inspect_tasks] == [f"org/clip@{commit}"]
    assert inspect_tasks[0].clip_digest == Library(tmp_path / "models").digest("org/clip")


def test_a_clip_model_that_is_no_clip_model_is_refused_at_the_start(tmp_path: Path) -> None:
    root = tmp_path / "station"
    make_station(root)
    stable = save_stable(tmp_path / "stable")
    (root / "restored.toml").write_text(f'clip_model = "{stable}"\n')
    with pytest.raises(ConfigError, match=r"clip_model is .*stable.*, not a CLIP model"):
        run_once(root, executor="inline")
