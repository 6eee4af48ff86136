import json
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch
import transformers

from benchmarks.gpu import checkpoints
from benchmarks.gpu.__main__ import main
from benchmarks.gpu.page import Result, page
from benchmarks.gpu.tracing import busy_share


def test_a_rehearsal_runs_through_and_tells_every_number(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told, drawn = tmp_path / "gpu.json", tmp_path / "gpu.md"
    arguments = ["--rehearse", "--parts", "sd15", "--json", str(told), "--out", str(drawn)]
    assert main(arguments) == 0
    results = json.loads(told.read_text())["results"]
    assert [one["what"] for one in results if one["part"] == "SD 1.5, 64 px"] == [
        "engine, 8 pictures",
        "engine, in passes",
        "engine, calls in a pass",
        "engine, device busy",
        "a picture alone",
        "the latecomer",
        "stock, one by one",
        "stock, batches of 8",
    ]
    assert all(one["value"] > 0 for one in results if one["what"] != "engine, device busy")
    assert "| SD 1.5, 64 px | engine, device busy | not measured on a processor |" in (
        drawn.read_text()
    )
    assert "## One step of SD 1.5, 64 px" in drawn.read_text()
    assert "SD 1.5, 64 px: stock, one by one" in capsys.readouterr().out


@pytest.mark.skipif(torch.cuda.is_available(), reason="a card is here")
def test_without_a_card_nothing_is_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--out", str(tmp_path / "gpu.md")]) == 1
    assert "no CUDA device is here" in capsys.readouterr().out
    assert not (tmp_path / "gpu.md").exists()


def test_the_networks_have_the_sizes_of_the_public_checkpoints() -> None:
    images: Any = diffusers  # untyped
    texts: Any = transformers
    with torch.device("meta"):
        networks = [
            images.UNet2DConditionModel(**checkpoints._SD15_UNET),
            images.UNet2DConditionModel(**checkpoints._XL_UNET),
            images.AutoencoderKL(**checkpoints._VAE),
            texts.CLIPTextModel(texts.CLIPTextConfig(**checkpoints._CLIP_L)),
            texts.CLIPTextModelWithProjection(texts.CLIPTextConfig(**checkpoints._CLIP_BIG_G)),
        ]
    sizes = [sum(weight.numel() for weight in one.parameters()) for one in networks]
    assert [round(size / 1e6, 1) for size in sizes] == [859.5, 2567.5, 83.7, 123.1, 694.7]


def test_the_device_is_busy_where_spans_cover_the_time() -> None:
    assert busy_share([(0, 2), (1, 3), (6, 8)]) == 5 / 8
    assert busy_share([]) == 0


def test_the_page_names_what_could_not_be_measured() -> None:
    results = [Result("tests", "left out", None, "not installed: pytest")]
    assert "| tests | left out | not installed: pytest |" in page(results, {}, "command")
