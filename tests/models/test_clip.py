"""CLIP models: their logits, and what of a picture they see."""

import shutil
from pathlib import Path

import pytest
import torch
from transformers import AutoTokenizer, CLIPModel

from daemon.checkpoints.library import Library
from daemon.models.calls import ClipCall
from daemon.models.clip import Clip
from daemon.models.registry import Placement, load_model
from daemon.system.errors import ConfigError
from tests.support.tiny_clip import SIDE, save_clip

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


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ("{", "not a readable checkpoint"),
        ("[" * 100_000, "not a readable checkpoint"),
        ("[1]", "not a table of settings"),
        ('{"image_mean": "grey"}', "image_mean is 'grey'; it must be three numbers"),
        ('{"image_std": [0.2, 0.0, 0.2]}', "image_std is .*three numbers above 0"),
        ('{"image_mean": [0.5]}', "image_mean is .*three numbers"),
        ('{"image_std": [0.2, 0.2, 1e999]}', "image_std is .*three numbers"),
        ('{"image_mean": [0.5, NaN, 0.5]}', "image_mean is .*three numbers"),
    ],
)
def test_a_damaged_preprocessor_configuration_is_named_with_what_is_expected(
    folder: Path, tmp_path: Path, content: str, named: str
) -> None:
    copy = Path(shutil.copytree(folder, tmp_path / "clip"))
    file = copy / "preprocessor_config.json"
    file.write_text(content)
    checkpoint = Library().checkpoint(str(copy))
    with pytest.raises(ConfigError, match=f"preprocessor_config.json: .*{named}"):
        Clip(Placement(checkpoint, "cpu"))
