"""Whole pipelines in recipes: through `restored apply`, a station, and the engine's groups."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import skimage.data
import torch
from PIL import Image

from daemon.cli.main import exit_code
from daemon.config.recipe import read_recipe
from daemon.config.station_setup import make_station
from daemon.engine.activity import Activity
from daemon.engine.backend import torch_backend
from daemon.engine.device import ForwardPass
from daemon.engine.engine import Engine
from daemon.messages.reports import HandedBack, Restored
from daemon.messages.tasks import Compute, ModelOptions
from daemon.models.calls import PipelineCall, Reply
from daemon.models.pipeline import Pipeline
from daemon.service.daemon import RunSummary
from tests.support import tiny_flux, tiny_pipelines
from tests.support.engine_fakes import running_engine, task_for
from tests.support.fakes import everything_below
from tests.support.station_runs import run_once

STEP: dict[str, tuple[Callable[[Path], Path], str]] = {
    "restyle-sd3": (tiny_pipelines.save_sd3, 'kind = "restyle"\nprompt = "an old photo"'),
    "restyle-flux": (tiny_flux.save_flux, 'kind = "restyle"\nstrength = 0.6'),
    "restyle-klein": (tiny_flux.save_klein, 'kind = "restyle"\nprompt = "make it blue"'),
    "denoise-pix2pix": (tiny_pipelines.save_pix2pix, 'kind = "denoise"'),
    "colorize-klein": (tiny_flux.save_klein, 'kind = "colorize"'),
    "enlarge-sd": (tiny_pipelines.save_upscale, 'kind = "super-resolve"\nscale = 2'),
    "enlarge-ldm": (tiny_pipelines.save_ldm, 'kind = "super-resolve"\nscale = 4'),
}


@pytest.fixture(scope="module")
def recipes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("wholes")
    found = {}
    for name, (save, step) in STEP.items():
        folder = root / save.__name__
        if not folder.exists():
            save(folder)
        found[name] = root / f"{name}.toml"
        found[name].write_text(f'[[steps]]\nmodel = "./{folder.name}"\nsteps = 2\n{step}\n')
    return found


@pytest.fixture(autouse=True)
def exact(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RESTORED_DTYPE", "fp32")


def photograph(path: Path, left: int = 0, grey: bool = False) -> Path:
    picture = Image.fromarray(skimage.data.astronaut()[40:80, 200 + left : 256 + left])
    (picture.convert("L") if grey else picture).save(path)
    return path


@pytest.mark.parametrize("name", STEP)
def test_apply_puts_a_photograph_through_a_pipeline_and_repeats_itself(
    name: str, recipes: dict[str, Path], tmp_path: Path
) -> None:
    photo = photograph(tmp_path / "scan.png", grey="colorize" in name)
    for folder in ("one", "two"):
        to = str(tmp_path / folder)
        assert exit_code(["apply", str(recipes[name]), str(photo), "-o", to, "--record"]) == 0
    scale = read_recipe(recipes[name]).steps[0].model_dump().get("scale", 1)
    made = Image.open(tmp_path / "one/scan.png")
    assert made.size == (56 * scale, 40 * scale)
    assert (tmp_path / "one/scan.png").read_bytes() == (tmp_path / "two/scan.png").read_bytes()
    record = json.loads((tmp_path / "one/scan.png.json").read_text())
    assert len(next(iter(record["models"].values()))) == 64
    original = Image.open(photo)
    if scale > 1:
        back = np.asarray(made.convert("RGB").reduce(scale), float)
        assert np.abs(back - np.asarray(original.convert("RGB"), float)).mean() < 1
        assert record["measures"][0]["name"] == "residual"
    elif "colorize" in name:
        assert np.array_equal(np.asarray(made.convert("L")), np.asarray(original))
    else:
        assert made.tobytes() != original.convert("RGB").tobytes()


def test_a_station_drains_with_the_original_kept_and_finishes_later(
    recipes: dict[str, Path], tmp_path: Path
) -> None:
    root = tmp_path / "station"
    make_station(root)
    (root / "restored.toml").write_text("settle_s = 0\nmin_free_mb = 0\ndtype = 'fp32'\n")
    model = recipes["denoise-pix2pix"].parent / "save_pix2pix"
    (root / "recipes/clean.toml").write_text(
        f'[[steps]]\nkind = "denoise"\nsteps = 2\nmodel = "{model}"\n'
    )
    (root / "inbox/clean").mkdir()
    original = photograph(root / "inbox/clean/scan.png").read_bytes()
    assert run_once(root, executor="inline") == RunSummary(done=1)
    assert everything_below(root / "archive") == {"clean/scan.png": original}
    record = json.loads((root / "outbox/clean/scan.png.json").read_text())
    assert list(record["models"]) == [str(model)]


def test_photographs_of_one_size_and_recipe_share_a_batch(
    recipes: dict[str, Path], tmp_path: Path
) -> None:
    recipe = read_recipe(recipes["denoise-pix2pix"])
    compute = Compute(device="cpu", threads=1, options=ModelOptions(dtype="fp32"))
    passes: list[ForwardPass] = []
    with running_engine(torch_backend(compute), compute=compute, passes=passes) as (
        engine,
        recorder,
    ):
        for fence in (1, 2, 3):
            path = photograph(tmp_path / f"{fence}.png", left=fence)
            engine.submit(task_for(recipe, path, tmp_path / f"staged{fence}", fence))
        recorder.wait_until(lambda: len(recorder.fences()) == 3)
        assert all(isinstance(recorder.of(fence), Restored) for fence in (1, 2, 3))
    together = {tuple(sorted(fence for fence, _, _ in one.members)) for one in passes}
    assert max(map(len, together)) > 1, together
    assert {one.key.operation for one in passes} == {"pipeline"}


def test_a_batch_that_does_not_fit_is_halved(
    recipes: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = read_recipe(recipes["denoise-pix2pix"])
    compute = Compute(device="cpu", threads=1, options=ModelOptions(dtype="fp32"))
    sizes: list[int] = []
    run = Pipeline.predict

    def short_of_memory(self: Pipeline, calls: Sequence[PipelineCall]) -> list[Reply]:
        sizes.append(len(calls))
        if len(calls) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return run(self, calls)

    monkeypatch.setattr(Pipeline, "predict", short_of_memory)
    with running_engine(torch_backend(compute), compute=compute) as (engine, recorder):
        for fence in range(1, 9):
            path = photograph(tmp_path / f"{fence}.png", left=fence)
            engine.submit(task_for(recipe, path, tmp_path / f"staged{fence}", fence))
        recorder.wait_until(lambda: len(recorder.fences()) == 8)
        assert all(isinstance(recorder.of(fence), Restored) for fence in range(1, 9))
    assert max(sizes) > 2, "nothing was refused"


def test_a_stop_ends_a_pipeline_at_its_next_step_and_hands_the_photograph_back(
    recipes: dict[str, Path], tmp_path: Path
) -> None:
    recipe = read_recipe(recipes["denoise-pix2pix"])
    endless = recipe.steps[0].model_copy(update={"steps": 1000})
    recipe = recipe.model_copy(update={"steps": (endless,)})
    compute = Compute(device="cpu", threads=1, options=ModelOptions(dtype="fp32"))
    path = photograph(tmp_path / "scan.png")
    steps: list[Engine] = []

    class Stopping(Activity):
        def tick(self) -> None:
            super().tick()
            steps.append(engine)
            if len(steps) == 4:
                engine.stop(0)

    with running_engine(torch_backend(compute), compute=compute, activity=Stopping()) as (
        engine,
        recorder,
    ):
        engine.submit(task_for(recipe, path, tmp_path / "staged", 7))
        recorder.wait_until(lambda: recorder.fences() == [7])
    assert recorder.reports == [HandedBack((7,))]
    assert len(steps) == 4


def test_check_says_what_a_step_needs_and_what_the_model_is(
    recipes: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "station"
    make_station(root)
    model = recipes["restyle-sd3"].parent / "save_sd3"
    (root / "recipes/big.toml").write_text(
        f'[[steps]]\nkind = "super-resolve"\nmodel = "{model}"\n'
    )
    make_station(root)
    assert exit_code(["--station", str(root), "check"]) == 78
    said = capsys.readouterr().err
    assert f"{root / 'recipes/big.toml'}: steps[0].model" in said
    assert "an upscaling checkpoint; this is a text-to-image checkpoint" in said
