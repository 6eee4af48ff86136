"""Digests of checkpoints: each file is read once."""

import shutil
from pathlib import Path

import pytest

from daemon.checkpoints import digests
from daemon.checkpoints.library import Library
from daemon.system.files import sha256_of
from tests.support.tiny_pipelines import save_pixel


@pytest.fixture(scope="module")
def pixel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_pixel(tmp_path_factory.mktemp("models") / "pixel")


def test_a_digest_changes_with_any_file_and_is_computed_once(
    tmp_path: Path, pixel: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "pixel"
    shutil.copytree(pixel, folder)
    library = Library(tmp_path / "models")
    read: list[str] = []

    def counted(path: Path) -> str:
        read.append(path.name)
        return sha256_of(path)

    monkeypatch.setattr(digests, "sha256_of", counted)
    first = library.digest(str(folder))
    assert "diffusion_pytorch_model.safetensors" in read
    read.clear()
    digests._combined_digest.cache_clear()  # as another process would
    assert library.digest(str(folder)) == first
    assert read == []
    config = folder / "scheduler" / "scheduler_config.json"
    config.write_text(config.read_text().replace("epsilon", "sample"))
    changed = library.digest(str(folder))
    assert changed != first
    assert read == ["scheduler_config.json"]
    read.clear()
    config = folder / "unet" / "config.json"
    config.write_text(config.read_text().replace('"sample_size": 32', '"sample_size": 64'))
    assert library.digest(str(folder)) not in (first, changed)
    assert read == ["config.json"]
    assert library.checkpoint(str(folder)).traits.side_px == 64


@pytest.mark.parametrize("content", ["[" * 200_000, "[]", '{"files": [{}]}'])
def test_a_damaged_memory_of_digests_is_done_without(tmp_path: Path, content: str) -> None:
    (tmp_path / "digests.json").write_text(content)
    assert digests.read_digests(tmp_path / "digests.json") == {}
