"""Checkpoints in one weights file, with their configuration beside it: loaded, at work, refused."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from skimage import data

from daemon.checkpoints.library import Library
from daemon.checkpoints.parameter_count import parameter_counts
from daemon.cli.main import exit_code
from daemon.models.calls import DecodeCall, DenoiseCall, EmbedCall, Embedding, EncodeCall
from daemon.system.errors import ConfigError
from tests.support.answering import seeded
from tests.support.checkpoints import loaded, tensors, tiny_folder
from tests.support.tiny_single_file import save_single_file


@pytest.fixture(scope="module")
def single(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_single_file(
        tiny_folder("stable-1"), tmp_path_factory.mktemp("one") / "dream.safetensors"
    )


def test_a_single_file_answers_what_its_folder_answers(single: Path) -> None:
    one, folder = loaded(single), loaded(tiny_folder("stable-1"))
    for question in (
        DenoiseCall("m", seeded(4, 8, 8), 0.7, exact=True, reduction=8),
        EncodeCall("m", seeded(3, 64, 64).clamp(-1, 1)),
        DecodeCall("m", seeded(4, 8, 8)),
    ):
        (ours,), (theirs,) = tensors(one, [question]), tensors(folder, [question])
        torch.testing.assert_close(ours, theirs)
    prompts = [model.predict([EmbedCall("m", "the old cat")])[0] for model in (one, folder)]
    tokens = [prompt.tokens for prompt in prompts if isinstance(prompt, Embedding)]
    torch.testing.assert_close(tokens[0], tokens[1])


STEPS = {
    "restyle": 'kind = "restyle"\nprompt = "the old cat"',
    "denoise": 'kind = "denoise"',
    "generate": 'kind = "generate"',
}


@pytest.mark.parametrize("kind", STEPS)
def test_a_recipe_gives_the_same_with_a_single_file_as_with_a_folder(
    single: Path, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RESTORED_DTYPE", "fp32")
    source = tmp_path / ("photo.txt" if kind == "generate" else "photo.png")
    if kind == "generate":
        source.write_text("the red cat\n")
    else:
        Image.fromarray(data.astronaut()[:40, 160:230]).save(source)
    pixels = []
    for model in (single, tiny_folder("stable-1")):
        recipe, out = tmp_path / "mine.toml", tmp_path / model.stem
        recipe.write_text(f"[[steps]]\n{STEPS[kind]}\nmodel = '{model}'\nsteps = 2\nseed = 5\n")
        assert exit_code(["apply", str(recipe), str(source), "-o", str(out)]) == 0
        with Image.open(out / "photo.png") as image:
            pixels.append(np.asarray(image))
    assert np.array_equal(pixels[0], pixels[1])


@pytest.mark.parametrize(
    ("lost", "said"),
    [
        ("model.diffusion_model.out.2.weight", "its unet weights: the file lacks some of them"),
        ("first_stage_model.decoder.conv_in.weight", "its vae weights: the file lacks some"),
        (
            "cond_stage_model.transformer.text_model.final_layer_norm.weight",
            "its text_encoder weights lack .*final_layer_norm.weight",
        ),
    ],
)
def test_a_single_file_that_lacks_weights_is_refused(lost: str, said: str, tmp_path: Path) -> None:
    torn = save_single_file(tiny_folder("stable-1"), tmp_path / "torn.safetensors")
    whole = load_file(torn)
    del whole[lost]
    save_file(whole, torn)
    with pytest.raises(ConfigError, match=rf"torn.safetensors: cannot be loaded: {said}"):
        loaded(torn)


def test_a_component_that_the_file_lacks_is_never_read_from_a_pickle(tmp_path: Path) -> None:
    torn = save_single_file(tiny_folder("stable-1"), tmp_path / "torn.safetensors")
    text = load_file(tiny_folder("stable-1") / "text_encoder/model.safetensors")
    torch.save(text, torn.with_suffix("") / "text_encoder/pytorch_model.bin")
    with pytest.raises(ConfigError, match=r"torn.safetensors: .*pytorch_model.bin can run code"):
        loaded(torn)


def test_the_components_of_a_single_file_are_told_apart(single: Path) -> None:
    folder = parameter_counts(Library().checkpoint(str(tiny_folder("stable-1"))))
    assert parameter_counts(Library().checkpoint(str(single))) == folder


def test_a_digest_of_a_single_file_counts_its_weights_and_its_configuration(tmp_path: Path) -> None:
    file = save_single_file(tiny_folder("stable-1"), tmp_path / "one.safetensors")
    before = Library().digest(str(file))
    config = file.with_suffix("") / "scheduler/scheduler_config.json"
    config.write_text(config.read_text().replace("0.012", "0.013"))
    changed = Library().digest(str(file))
    whole = load_file(file)
    whole["model.diffusion_model.out.2.bias"] += 1
    save_file(whole, file)
    assert len({before, changed, Library().digest(str(file))}) == 3
