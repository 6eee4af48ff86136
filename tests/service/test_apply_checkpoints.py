"""The whole product on tiny checkpoints: `restored apply` with a recipe that names a folder."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage import data

from daemon.cli.main import exit_code
from daemon.config.recipe import read_recipe
from daemon.engine.backend import torch_backend
from daemon.engine.device import ForwardPass
from daemon.messages.reports import HandedBack, Restored
from daemon.messages.tasks import Compute, ModelOptions
from tests.support.checkpoints import TEXTUAL, tiny_folder
from tests.support.engine_fakes import running_engine, task_for
from tests.support.tiny_pipelines import save_pixel

STEPS = {
    "denoise": 'kind = "denoise"\nrealism = 0.5',
    "super-resolve": 'kind = "super-resolve"',
    "colorize": 'kind = "colorize"',
    "restyle": 'kind = "restyle"',
    "interpolate": 'kind = "interpolate"\nframes = 3',
}


def recipe(folder: Path, model: object, kind: str, extra: str = "") -> Path:
    path = folder / "mine.toml"
    path.write_text(f"[[steps]]\n{STEPS[kind]}\nsteps = 2\nmodel = {str(model)!r}\n{extra}\n")
    return path


def photographs(folder: Path, count: int) -> list[Path]:
    paths = [folder / f"photo-{number}.png" for number in range(count)]
    for number, path in enumerate(paths):
        Image.fromarray(data.astronaut()[:40, 160 + number : 230 + number]).save(path)
    return paths


@pytest.mark.parametrize("kind", STEPS)
@pytest.mark.parametrize("name", ["pixel-epsilon", "stable-2", "stable-xl"])
def test_a_recipe_restores_photographs_with_a_checkpoint(
    tmp_path: Path, name: str, kind: str
) -> None:
    extra = 'prompt = "a photo of the old cat"' if name in TEXTUAL else ""
    path = recipe(tmp_path, tiny_folder(name), kind, extra)
    photos = photographs(tmp_path, 2)
    out = tmp_path / "out"
    arguments = ["apply", str(path), *map(str, photos), "-o", str(out), "--record"]
    assert exit_code(arguments) == 0
    suffix = ".webp" if kind == "interpolate" else ".png"
    result = out / f"photo-0{suffix}"
    scale = 2 if kind == "super-resolve" else 1
    with Image.open(result) as image:
        assert image.size == (70 * scale, 40 * scale)
    record = json.loads((out / f"photo-0{suffix}.json").read_text())
    assert record["steps"][0]["model"] == str(tiny_folder(name))
    assert len(next(iter(record["models"].values()))) == 64


def test_the_same_photograph_and_recipe_repeat_the_result(tmp_path: Path) -> None:
    path = recipe(tmp_path, tiny_folder("stable-1"), "restyle")
    (photo,) = photographs(tmp_path, 1)
    pixels = []
    for name in ("one", "two"):
        assert exit_code(["apply", str(path), str(photo), "-o", str(tmp_path / name)]) == 0
        with Image.open(tmp_path / name / "photo-0.png") as image:
            pixels.append(np.asarray(image))
    assert np.array_equal(pixels[0], pixels[1])


def test_a_missing_model_folder_is_a_configuration_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (photo,) = photographs(tmp_path, 1)
    path = recipe(tmp_path, "./nowhere", "restyle")
    assert exit_code(["apply", str(path), str(photo), "-o", str(tmp_path / "out")]) == 78
    assert "nowhere" in capsys.readouterr().err


def test_a_prompt_for_a_checkpoint_without_text_encoder_is_a_configuration_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (photo,) = photographs(tmp_path, 1)
    path = recipe(tmp_path, tiny_folder("pixel-v"), "restyle", 'prompt = "a cat"')
    assert exit_code(["apply", str(path), str(photo), "-o", str(tmp_path / "out")]) == 78
    said = capsys.readouterr().err
    assert f"{path}: steps[0]" in said
    assert "reads no text" in said
    assert not (tmp_path / "out").exists()


def test_a_checkpoint_that_cannot_be_loaded_fails_the_photograph_with_its_reason(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = save_pixel(tmp_path / "net")
    (folder / "unet/diffusion_pytorch_model.safetensors").write_bytes(b"no weights")
    (photo,) = photographs(tmp_path, 1)
    path = recipe(tmp_path, "./net", "restyle")
    assert exit_code(["apply", str(path), str(photo), "-o", str(tmp_path / "out")]) == 65
    assert "not a readable safetensors file" in capsys.readouterr().err
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("name", ["pixel-v", "stable-xl"])
def test_recipes_of_one_checkpoint_share_forward_passes(tmp_path: Path, name: str) -> None:
    compute = Compute(device="cpu", threads=1, options=ModelOptions(dtype="fp32"))
    passes: list[ForwardPass] = []
    (path,) = photographs(tmp_path, 1)
    with running_engine(torch_backend(compute), compute=compute, passes=passes) as (
        engine,
        recorder,
    ):
        for fence, kind in enumerate(("restyle", "denoise", "super-resolve"), start=1):
            made = read_recipe(recipe(tmp_path, tiny_folder(name), kind))
            named = made.model_copy(update={"name": kind})
            engine.submit(task_for(named, path, tmp_path / f"staged{fence}", fence))
        recorder.wait_until(lambda: len(recorder.fences()) == 3)
        assert all(isinstance(recorder.of(fence), Restored) for fence in (1, 2, 3))
    shared = [one for one in passes if len({kind for _, kind, _ in one.members}) > 1]
    assert {one.key.operation for one in shared} >= {"predict"}
    assert any(len({t for _, _, t in one.members}) > 1 for one in shared), "at times of their own"


def test_a_stop_hands_back_what_is_in_flight_and_leaves_nothing(tmp_path: Path) -> None:
    compute = Compute(device="cpu", threads=1, options=ModelOptions(dtype="fp32"))
    made = read_recipe(recipe(tmp_path, tiny_folder("stable-1"), "restyle"))
    endless = made.steps[0].model_copy(update={"steps": 1000})
    made = made.model_copy(update={"steps": (endless,)})
    staged = tmp_path / "staged"
    (path,) = photographs(tmp_path, 1)

    class Watching(list[ForwardPass]):
        def append(self, one: ForwardPass) -> None:
            super().append(one)
            if len(self) == 5:
                engine.stop(0)

    passes = Watching()
    with running_engine(torch_backend(compute), compute=compute, passes=passes) as (
        engine,
        recorder,
    ):
        engine.submit(task_for(made, path, staged, 7))
        recorder.wait_until(lambda: recorder.fences() == [7])
    assert recorder.reports[-1] == HandedBack((7,))
    assert len(passes) < 10
    assert list(staged.iterdir()) == []
