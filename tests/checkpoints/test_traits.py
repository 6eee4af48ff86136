"""What kind of model a checkpoint is, read from its JSON files."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from daemon.checkpoints.library import Library
from daemon.config.recipe import read_recipe
from daemon.restorers.registry import check_models
from daemon.system.errors import ConfigError


def test_the_native_size_follows_from_the_autoencoder_whatever_it_calls_its_levels(
    tmp_path: Path,
) -> None:
    def side(vae: Mapping[str, object], network: Mapping[str, object], pipeline: str) -> int:
        folder = tmp_path / pipeline
        for part, config in (("vae", vae), ("transformer", network)):
            (folder / part).mkdir(parents=True)
            (folder / part / "config.json").write_text(json.dumps(config))
        (folder / "model_index.json").write_text(json.dumps({"_class_name": pipeline}))
        return Library().checkpoint(str(folder)).traits.side_px

    assert side({"dim_mult": [1, 2, 4, 4]}, {}, "QwenImagePipeline") == 1024
    assert side({"block_out_channels": [128, 256, 512, 512]}, {}, "FluxPipeline") == 1024
    deep = {"encoder_block_out_channels": [128, 256, 512, 512, 1024, 1024]}
    assert side(deep, {"sample_size": 32}, "SanaPipeline") == 1024


def test_a_network_that_no_step_can_use_is_named(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}))
    with pytest.raises(ConfigError, match=r"holds a bert, which no step can use"):
        Library().checkpoint(str(tmp_path))


def test_a_model_that_a_step_cannot_use_is_named_with_what_the_step_needs(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    (tmp_path / "net").mkdir()
    (tmp_path / "net" / "model_index.json").write_text(
        json.dumps({"_class_name": "StableDiffusion3Pipeline"})
    )
    path.write_text('[[steps]]\nkind = "super-resolve"\nmodel = "./net"\n')
    with pytest.raises(ConfigError) as raised:
        check_models([read_recipe(path)], Library())
    message = str(raised.value)
    assert f"{path}: steps[0].model" in message
    assert "super-resolve needs" in message
    assert "this is a text-to-image checkpoint (StableDiffusion3Pipeline)" in message
