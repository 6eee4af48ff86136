"""Pulling from a Hub on loopback, by the command and with the real huggingface_hub."""

import fcntl
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from daemon.checkpoints.digests import LOCK
from daemon.checkpoints.hub import RemoteFile, files_to_fetch
from daemon.checkpoints.library import Library
from daemon.system.errors import ConfigError
from tests.support.fake_hub import COMMIT, FakeHub, run_against, serving
from tests.support.tiny_pipelines import save_pixel, save_stable

REPO = "small/pixels"
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_pixel(tmp_path_factory.mktemp("hub") / "pixels")


@pytest.fixture
def hub(checkpoint: Path, tmp_path: Path) -> Iterator[FakeHub]:
    served = tmp_path / "served"
    shutil.copytree(checkpoint, served)
    with serving(FakeHub({REPO: served})) as served_hub:
        yield served_hub


@pytest.fixture
def run(hub: FakeHub, tmp_path: Path) -> Run:
    """`restored models ...` against the Hub on loopback."""
    return partial(run_against, hub, tmp_path / "models", tmp_path / "hf")


def test_a_pulled_model_is_pinned_found_verified_and_removed(
    run: Run, hub: FakeHub, checkpoint: Path, tmp_path: Path
) -> None:
    (hub.repositories[REPO] / "unet" / "diffusion_pytorch_model.bin").write_bytes(b"pickle")
    (hub.repositories[REPO] / "unet" / "diffusion_pytorch_model.fp16.safetensors").write_bytes(b"x")
    (hub.repositories[REPO] / "everything.safetensors").write_bytes(b"x")
    (hub.repositories[REPO] / "pipeline.py").write_text("raise SystemExit")
    done = run("pull", REPO)
    assert done.returncode == 0, done.stderr
    assert f'model = "{REPO}@{COMMIT}"' in done.stdout
    library = Library(tmp_path / "models")
    found = library.checkpoint(REPO)
    assert library.pinned(REPO) == f"{REPO}@{COMMIT}"
    assert library.checkpoint(f"{REPO}@{COMMIT[:9]}").folder == found.folder
    assert {path.name for path in found.folder.rglob("*") if path.is_file()} == {
        *("model_index.json", "config.json", "scheduler_config.json", LOCK),
        "diffusion_pytorch_model.safetensors",
    }
    weights = "unet/diffusion_pytorch_model.safetensors"
    assert (found.folder / weights).read_bytes() == (checkpoint / weights).read_bytes()
    assert not list(found.folder.parent.glob(".*"))
    digest = library.digest(REPO)
    assert digest == library.digest(f"{REPO}@{COMMIT}")

    assert run("verify").returncode == 0
    content = bytearray((found.folder / weights).read_bytes())
    content[-1] ^= 1
    (found.folder / weights).write_bytes(content)
    damaged = run("verify", REPO)
    assert damaged.returncode == 78
    assert f"{weights} is not what was pulled" in damaged.stderr
    assert library.digest(REPO) != digest

    listed = run("list").stdout
    assert f"{REPO}@{COMMIT}  (main)" in listed
    assert run("remove", REPO).returncode == 0
    assert list((tmp_path / "models").iterdir()) == []


def test_a_second_pull_fetches_nothing_and_a_moved_branch_is_followed(
    run: Run, hub: FakeHub, tmp_path: Path
) -> None:
    run("pull", REPO)
    hub.requests.clear()
    assert run("pull", REPO).returncode == 0
    assert hub.sent_files() == []
    other = "d" * 40
    hub.commits["main"] = other
    assert run("pull", f"{REPO}@main").returncode == 0
    library = Library(tmp_path / "models")
    assert library.pinned(REPO) == f"{REPO}@{other}"
    assert library.checkpoint(f"{REPO}@{COMMIT}").folder.name == COMMIT


def test_the_rest_of_an_interrupted_removal_is_no_model_and_is_pulled_anew(
    run: Run, tmp_path: Path
) -> None:
    run("pull", REPO)
    (tmp_path / "models" / REPO.replace("/", "--") / COMMIT / LOCK).unlink()
    assert run("verify", REPO).returncode == 78
    again = run("pull", REPO)
    assert again.returncode == 0, again.stderr
    assert run("verify", REPO).returncode == 0


def test_a_second_pull_at_the_same_time_is_told_to_wait(run: Run, tmp_path: Path) -> None:
    part = tmp_path / "models" / REPO.replace("/", "--") / f".{COMMIT}.part"
    part.mkdir(parents=True)
    with (part / "lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        second = run("pull", REPO)
    assert second.returncode == 75
    assert f"another pull of {REPO}@{COMMIT} is at work; wait for it" in second.stderr
    assert run("pull", REPO).returncode == 0


def test_content_that_arrives_changed_never_becomes_a_model(
    run: Run, hub: FakeHub, tmp_path: Path
) -> None:
    hub.corrupted.add("unet/diffusion_pytorch_model.safetensors")
    done = run("pull", REPO)
    assert done.returncode == 75
    assert "diffusion_pytorch_model.safetensors is not what the Hub has; pull again" in done.stderr
    with pytest.raises(ConfigError, match=f"restored models pull {REPO}@main"):
        Library(tmp_path / "models").checkpoint(REPO)
    hub.corrupted.clear()
    assert run("pull", REPO).returncode == 0


def test_a_model_that_no_step_can_use_is_refused_before_its_weights_are_fetched(
    run: Run, hub: FakeHub
) -> None:
    index = hub.repositories[REPO] / "model_index.json"
    index.write_text(json.dumps({"_class_name": "AudioLDMPipeline"}))
    done = run("pull", REPO)
    assert done.returncode == 78
    assert "AudioLDMPipeline, which no step can use" in done.stderr
    assert not any(name.endswith(".safetensors") for name in hub.sent_files())


@pytest.mark.parametrize(
    ("reference", "code", "why"),
    [
        ("small/other", 78, "the Hub has no small/other"),
        (f"{REPO}@nowhere", 78, "has no revision 'nowhere'"),
        ("small/gated", 78, "accepted its licence"),
        ("./folder", 78, "is not on the Hub"),
    ],
)
def test_a_model_that_cannot_be_pulled_is_refused_with_what_to_do(
    run: Run, hub: FakeHub, reference: str, code: int, why: str
) -> None:
    hub.gated.add("small/gated")
    done = run("pull", reference)
    assert done.returncode == code, done.stderr
    assert why in done.stderr
    assert "Traceback" not in done.stderr


def test_a_hub_that_does_not_answer_is_a_passing_error(tmp_path: Path) -> None:
    with serving(FakeHub({})) as gone:
        address = gone.address
    environment = os.environ | {"HF_ENDPOINT": address, "RESTORED_MODELS_DIR": str(tmp_path)}
    environment.pop("HF_HUB_OFFLINE", None)
    command = [sys.executable, "-m", "daemon", "models", "pull", REPO]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 75
    assert f"{address} does not answer for {REPO}" in done.stderr


def remote(*names: str) -> list[RemoteFile]:
    return [RemoteFile(name, 1, None) for name in names]


def test_pickles_are_refused_by_name() -> None:
    names = ("model_index.json", "unet/config.json", "unet/diffusion_pytorch_model.bin")
    with pytest.raises(ConfigError, match=r"diffusion_pytorch_model.bin and no .*run code"):
        files_to_fetch(REPO, remote(*names))
    with pytest.raises(ConfigError, match="not in diffusers' layout"):
        files_to_fetch(REPO, remote("dream.safetensors"))


def test_only_the_files_that_are_loaded_are_fetched(tmp_path: Path) -> None:
    folder = save_stable(tmp_path / "stable")
    saved = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
    copies = {
        *("unet/diffusion_pytorch_model.bin", "unet/diffusion_pytorch_model.fp16.safetensors"),
        *("v1-5-pruned.safetensors", "v1-5-pruned.ckpt", "text_encoder/model.fp16.safetensors"),
        *("vae/flax_model.safetensors", "README.md", "transformer/transformer/x.safetensors"),
    }
    assert {one.name for one in files_to_fetch(REPO, remote(*saved, *copies))} == saved
    shards = {"unet/diffusion_pytorch_model-00001-of-00002.safetensors"}
    assert shards <= {one.name for one in files_to_fetch(REPO, remote(*saved, *shards))}
