"""Finding models without torch and without the network; their digests and parameter counts."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from daemon.checkpoints import digests
from daemon.checkpoints.library import Library
from daemon.checkpoints.parameters import parameter_counts
from daemon.config.model_reference import Hub, Local, absolute_reference, parse_reference
from daemon.config.recipe import Recipe, read_recipe
from daemon.restorers.registry import check_models
from daemon.system.errors import ConfigError
from tests.support.tiny_pipelines import save_pixel, save_stable


@pytest.fixture(scope="module")
def pixel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_pixel(tmp_path_factory.mktemp("models") / "pixel")


def test_the_form_of_a_reference_says_what_it_is() -> None:
    assert parse_reference("prior") is None
    assert parse_reference("org/name") == Hub("org/name", "main")
    assert parse_reference("org/name@refs/pr/3") == Hub("org/name", "refs/pr/3")
    assert parse_reference("/models/x") == Local(Path("/models/x"))
    single = parse_reference("./dream.safetensors")
    assert isinstance(single, Local)
    assert single.single
    assert single.folder == Path("dream")


@pytest.mark.parametrize(
    "text", ["dream", "", "a/b/c", "org/../etc", "org--x/name", "org/name@", "-a/b", "a/b@c..d"]
)
def test_text_that_is_no_reference_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="allowed: "):
        parse_reference(text)


def test_paths_in_a_recipe_are_relative_to_its_file(tmp_path: Path, pixel: Path) -> None:
    shutil.copytree(pixel, tmp_path / "nets" / "pixel")
    (tmp_path / "recipes").mkdir()
    path = tmp_path / "recipes" / "mine.toml"
    path.write_text('[[steps]]\nkind = "restyle"\nmodel = "../nets/pixel"\n')
    assert read_recipe(path).models == (str(tmp_path / "nets" / "pixel"),)
    assert absolute_reference("org/name", tmp_path) == "org/name"


def test_a_missing_model_says_how_to_fetch_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="restored models pull org/name@v1"):
        Library(tmp_path).checkpoint("org/name@v1")
    with pytest.raises(ConfigError, match="no such folder"):
        Library(tmp_path).checkpoint(str(tmp_path / "none"))
    (tmp_path / "dream.safetensors").touch()
    with pytest.raises(ConfigError, match=r"dream: no such folder, the configuration of the wei"):
        Library(tmp_path).checkpoint(str(tmp_path / "dream.safetensors"))


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


def test_a_digest_changes_with_any_file_and_is_computed_once(
    tmp_path: Path, pixel: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "pixel"
    shutil.copytree(pixel, folder)
    library = Library(tmp_path / "models")
    read: list[str] = []
    real = digests.sha256_of

    def counted(path: Path) -> str:
        read.append(path.name)
        return real(path)

    monkeypatch.setattr(digests, "sha256_of", counted)
    first = library.digest(str(folder))
    assert "diffusion_pytorch_model.safetensors" in read
    read.clear()
    digests._combined_digest.cache_clear()  # as another process would
    assert library.digest(str(folder)) == first
    assert read == []
    config = folder / "scheduler" / "scheduler_config.json"
    config.write_text(config.read_text().replace("epsilon", "sample"))
    assert library.digest(str(folder)) != first
    assert read == ["scheduler_config.json"]
    assert library.checkpoint(str(folder)).traits.prediction == "sample"


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
    with pytest.raises(ConfigError, match=r"diffusion_pytorch_model.safetensors: no readable"):
        parameter_counts(Library().checkpoint(str(folder)))
