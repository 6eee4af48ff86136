"""The restoration trainer: it learns, goes on where it stopped, and writes weights that load."""

import itertools
import json
from pathlib import Path

import pytest
import torch
from PIL import Image
from skimage import data

from daemon.checkpoints.library import WEIGHTS
from daemon.models.restoration import read_weights, write_network
from daemon.models.restoration_network import RestorationNetwork, RestorationTask
from training.checkpoint import Progress
from training.crop_store import CropStore
from training.photos import Pyramid, is_validation
from training.restoration import AVERAGE, NETWORKS, Plan, Run, beginning, main, train
from training.restoration_validation import measure_restoration

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def store() -> CropStore:
    return CropStore([Pyramid("one", (data.astronaut()[:200, 100:300],))], CPU)


def run_for(
    seconds: float, out: Path, store: CropStore, *, total_s: float = 4, resume: bool = False
) -> Run:
    """A run in which every step takes a second, for as many steps."""
    torch.manual_seed(0)
    out.mkdir(exist_ok=True)
    network = RestorationNetwork(("x2", "blind"), channels=8, blocks=1, embedding=8)
    plan = Plan(total_s, log_steps=1, validate_s=100, crops=0.2)
    run = Run(network, plan, out, Progress(seed=5))
    if resume:
        run.load()
    clock = itertools.count()
    left = itertools.count()
    train(
        run,
        store,
        [data.coffee()[:48, :64]],
        now=lambda: float(next(clock)),
        stop=lambda: next(left) >= seconds,
    )
    return run


def test_a_run_in_parts_ends_with_the_weights_of_a_run_in_one(
    tmp_path: Path, store: CropStore
) -> None:
    whole = run_for(4, tmp_path / "whole", store)
    run_for(2, tmp_path / "parts", store)
    resumed = run_for(2, tmp_path / "parts", store, resume=True)
    assert resumed.progress == whole.progress == Progress(4, 4.0, 5)
    for name in ("network", "average", "scales"):
        pairs = zip(
            getattr(whole, name).state_dict().values(),
            getattr(resumed, name).state_dict().values(),
            strict=True,
        )
        assert all(torch.equal(a, b) for a, b in pairs), name
    lines = (tmp_path / "whole/log.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines][:4] == [1, 2, 3, 4]


def test_errors_fall_within_some_steps(tmp_path: Path, store: CropStore) -> None:
    run = run_for(1, tmp_path / "begun", store, total_s=1000)
    before = float(run.scales.absolute[:1])
    run_on = run_for(25, tmp_path / "begun", store, total_s=1000, resume=True)
    assert float(run_on.scales.absolute[:1]) < before


def test_averaged_weights_are_written_as_those_that_ship(tmp_path: Path, store: CropStore) -> None:
    run = run_for(2, tmp_path / "run", store)
    again = RestorationNetwork(("x2", "blind"), channels=8, blocks=1, embedding=8)
    read_weights(again, tmp_path / "run" / AVERAGE)
    for name, weight in run.average.state_dict().items():
        torch.testing.assert_close(again.state_dict()[name], weight, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize(("tasks", "name"), NETWORKS.items())
def test_a_network_that_ships_is_measured_ahead_of_what_it_was_given(
    tasks: tuple[RestorationTask, ...], name: str
) -> None:
    network = RestorationNetwork(tasks)
    read_weights(network, WEIGHTS / "restoration" / f"{name}.safetensors")
    measures = measure_restoration(network, [data.astronaut()[60:188, 160:288]])
    least = {"x2": 30, "x4": 23, "noise15": 33, "noise25": 30, "noise50": 26, "jpeg20": 29}
    least |= {"x4 jpeg": 23, "blur0.8": 34, "blur1.3": 28}
    for task, value in measures.items():
        assert value > least.get(task, 26), task


def test_a_network_begins_with_the_tasks_it_has_in_common_with_the_weights(
    tmp_path: Path, store: CropStore
) -> None:
    tasks: tuple[RestorationTask, ...] = ("noise", "blind", "deblur")
    fewer = beginning(tasks[:2], "", 64, 5)
    assert fewer.tasks == ("noise", "blind")
    write_network(fewer, tmp_path / "fewer.safetensors")
    joined = beginning(tasks, str(tmp_path / "fewer.safetensors"), 64, 5)
    picture = [data.coffee()[100:164, 200:264]]
    before, after = (measure_restoration(network, picture) for network in (fewer, joined))
    assert before.items() <= after.items()
    assert {"blur0.8", "blur1.3 untold"} <= after.keys()
    run = Run(joined, Plan(4, log_steps=1, crops=0.2), tmp_path, Progress(seed=5))
    run.step(store)
    again = RestorationNetwork(tasks)
    run.save()
    read_weights(again, tmp_path / AVERAGE)


def test_the_command_trains_resumes_and_draws(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    photos = tmp_path / "photos"
    photos.mkdir()
    picture = Image.fromarray(data.chelsea()[:240, :320])
    for number in range(12):
        picture.save(photos / f"{number}.png")
    assert is_validation("11.png")
    run = tmp_path / "run"
    command = ["--photos", str(photos), "--out", str(run), "--init", "none", "--crops", "0.2"]
    command += ["--channels", "8", "--blocks", "1", "--tasks", "noise,blind"]
    main([*command, "--minutes", "0.01"])
    main([*command, "--minutes", "0.02", "--resume"])
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    assert {"noise25", "jpeg20"} <= set(lines[-1]["validation"])
    assert lines[-1]["trained_s"] >= 1.2
    assert (run / "curves.png").exists()
    with pytest.raises(SystemExit):
        main([*command, "--tasks", "x2,sharpen"])
