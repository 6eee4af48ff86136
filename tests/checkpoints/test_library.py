"""Finding models without torch and without the network, and pinning them."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from daemon.checkpoints import digests
from daemon.checkpoints.library import Library
from daemon.config.recipe import Recipe
from daemon.system.errors import ConfigError
from tests.support.tiny_pipelines import save_pixel


@pytest.fixture(scope="module")
def pixel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_pixel(tmp_path_factory.mktemp("models") / "pixel")


def test_a_missing_model_says_how_to_fetch_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="restored models pull org/name@v1"):
        Library(tmp_path).checkpoint("org/name@v1")
    with pytest.raises(ConfigError, match="no such folder"):
        Library(tmp_path).checkpoint(str(tmp_path / "none"))
    (tmp_path / "dream.safetensors").touch()
    with pytest.raises(ConfigError, match=r"dream: no such folder, the configuration of the wei"):
        Library(tmp_path).checkpoint(str(tmp_path / "dream.safetensors"))


def test_models_are_pinned_before_their_digests_are_taken(tmp_path: Path, pixel: Path) -> None:
    models, commits = tmp_path / "models", ("1" * 40, "2" * 40)
    for commit in commits:
        shutil.copytree(pixel, models / "org--net" / commit)
        (models / "org--net" / commit / digests.LOCK).write_text("{}")
    (models / "org--net" / commits[1] / "scheduler/note.txt").write_text("another commit")
    known = models / "org--net/revisions.json"
    known.write_text(json.dumps({"main": commits[0]}))

    class Pulling(Library):
        """Another process pulls as soon as it is asked for a digest."""

        def digest(self, reference: str) -> str:
            known.write_text(json.dumps({"main": commits[1]}))
            return super().digest(reference)

    steps = [{"kind": "restyle", "model": m} for m in ("org/net", "org/net@main", "prior")]
    recipe = Recipe.model_validate({"name": "r", "steps": steps})
    pinned, weights = Pulling(models).resolved(recipe)
    assert pinned.models == (f"org/net@{commits[0]}", "prior")
    assert weights == tuple(Library(models).digest(model) for model in pinned.models)


def test_the_digest_is_stable_and_needs_no_torch() -> None:
    code = (
        "import sys; from daemon.checkpoints.library import Library;"
        "print(Library().digest('prior'));"
        "assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == Library().digest("prior")
    assert len(Library().digest("prior")) == 64


def test_an_unknown_model_is_refused_with_the_allowed_references() -> None:
    with pytest.raises(ConfigError, match="is 'dream'; allowed: \"prior\", a Hub id"):
        Library().checkpoint("dream")
