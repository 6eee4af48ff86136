"""Counts of weights, from the headers of safetensors files."""

import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from daemon.checkpoints.library import Library
from daemon.checkpoints.parameter_count import parameter_counts
from daemon.system.errors import ConfigError
from tests.support.tiny_pipelines import save_pixel, save_stable


@pytest.fixture(scope="module")
def pixel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_pixel(tmp_path_factory.mktemp("models") / "pixel")


def test_parameters_are_counted_from_the_headers_of_files(tmp_path: Path, pixel: Path) -> None:
    checkpoint = Library().checkpoint(str(pixel))
    weights = pixel / "unet" / "diffusion_pytorch_model.safetensors"
    assert parameter_counts(checkpoint) == {
        "unet": pytest.approx(weights.stat().st_size / 4, rel=0.2)
    }
    stable = Library().checkpoint(str(save_stable(tmp_path / "stable")))
    assert set(parameter_counts(stable)) == {"unet", "vae", "text_encoder"}
    exact = tmp_path / "exact"
    shutil.copytree(pixel, exact)
    save_file(
        {"a": torch.zeros(3, 5), "ids": torch.zeros(7, dtype=torch.int64)},
        exact / "unet" / "diffusion_pytorch_model.safetensors",
    )
    assert parameter_counts(Library().checkpoint(str(exact))) == {"unet": 15}


def test_a_file_that_is_no_safetensors_is_named(tmp_path: Path, pixel: Path) -> None:
    folder = tmp_path / "torn"
    shutil.copytree(pixel, folder)
    (folder / "unet" / "diffusion_pytorch_model.safetensors").write_bytes(b"torn")
    with pytest.raises(ConfigError, match=r"diffusion_pytorch_model.safetensors: not a readable"):
        parameter_counts(Library().checkpoint(str(folder)))
