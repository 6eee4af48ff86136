"""One command trains every network in turn, each for its share, and exports what ships."""

import importlib
import json
import signal
from collections.abc import Iterator
from itertools import count, islice
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.torch import load_file
from skimage import data

from daemon.checkpoints.library import WEIGHTS
from training import all_networks
from training.all_networks import EXPORT, NUMBERS, TURNS, Sitting, main, run_trainer, train_all
from training.prefetch import drawn_ahead
from training.sources import is_held_out


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    """Two photographs of one source, and two of one that is held out."""
    folder = tmp_path / "photographs"
    folder.mkdir()
    names = [f"source{number}" for number in range(60)]
    seen, held_out = (next(one for one in names if is_held_out(one) == part) for part in (0, 1))
    for source in (seen, held_out):
        for name in ("astronaut", "coffee"):
            pixels = getattr(data, name)()[:360, :440]
            Image.fromarray(pixels).save(folder / f"{source}__{name}.png")
    return folder


@pytest.fixture
def terminable() -> Iterator[None]:
    """SIGTERM as it was, after trainers in this process have taken it."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


def here(module: str, arguments: list[str], limit_s: float) -> bool:
    """Run a trainer in this process, which has loaded torch already."""
    importlib.import_module(module).main(arguments)
    return True


def test_a_rehearsal_trains_and_exports_every_network_and_goes_on_with_nothing(
    photographs: Path, tmp_path: Path, terminable: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    command = ["--photos", str(photographs), "--out", str(out), "--rehearse"]
    assert main(command, run=here) == 0
    numbers = json.loads((out / EXPORT / NUMBERS).read_text())
    assert list(numbers) == [turn.name for turn in TURNS]
    for turn in TURNS:
        said = numbers[turn.name]
        assert said["steps"] > 0
        assert said["before"].keys() == said["after"].keys()
        exported, shipped = (
            {name: one.shape for name, one in load_file(path).items()}
            for path in (out / EXPORT / turn.ships_as, WEIGHTS / turn.ships_as)
        )
        assert exported == shipped
    monkeypatch.setattr(all_networks, "TURNS", TURNS[:1])
    assert main(command, run=here) == 0
    again = json.loads((out / EXPORT / NUMBERS).read_text())
    assert {**again, "enlargement": again["enlargement"]["steps"]} == {
        **numbers,
        "enlargement": numbers["enlargement"]["steps"],
    }


def test_turns_share_the_minutes_and_one_that_fails_stops_no_other(tmp_path: Path) -> None:
    asked: list[tuple[str, list[str], float]] = []

    def run(module: str, arguments: list[str], limit_s: float) -> bool:
        asked.append((module, arguments, limit_s))
        return module != "training.damage_network"

    folders = (tmp_path / "a", tmp_path / "b")
    sitting = Sitting(folders, tmp_path, 8.0, "cuda", rehearsed=False)
    assert train_all(sitting, run) == ["damage"]
    assert sum(limit_s for _, _, limit_s in asked) == pytest.approx(480)
    for turn, (module, arguments, limit_s) in zip(TURNS, asked, strict=True):
        assert module == turn.module
        trained = float(arguments[arguments.index("--minutes") + 1])
        assert 0.7 * limit_s < 60 * trained < 0.8 * limit_s
        assert arguments[arguments.index("--device") + 1] == "cuda"
        assert "--resume" in arguments
        assert (str(folders[1]) in arguments) == turn.many_folders


def test_a_rehearsed_turn_has_time_to_start(tmp_path: Path) -> None:
    limits: list[float] = []

    def run(module: str, arguments: list[str], limit_s: float) -> bool:
        limits.append(limit_s)
        return True

    assert main(["--photos", "a", "--out", str(tmp_path), "--rehearse"], run) == 0
    assert min(limits) >= 60


def test_a_trainer_whose_time_is_over_is_told_to_save(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process writes a file on SIGTERM, as a trainer writes its checkpoint."""
    (tmp_path / "slow_trainer.py").write_text(
        "import pathlib, signal, sys\n"
        "def save(number, frame):\n"
        "    pathlib.Path(sys.argv[1]).write_text('saved')\n"
        "    sys.exit(0)\n"
        "signal.signal(signal.SIGTERM, save)\n"
        "signal.pause()\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    saved = tmp_path / "saved"
    limit_s = 0.5
    while not saved.exists():  # on a busy machine the process may not yet listen
        assert limit_s < 60
        run_trainer("slow_trainer", [str(saved)], limit_s)
        limit_s *= 2
    assert saved.read_text() == "saved"
    assert not run_trainer("no_such_trainer", [], 60)


@pytest.mark.parametrize("workers", [0, 2])
def test_examples_drawn_ahead_come_in_order(workers: int) -> None:
    drawn = drawn_ahead(lambda step: (step, np.random.default_rng(step).random()), 5, workers)
    expected = [(step, np.random.default_rng(step).random()) for step in islice(count(5), 4)]
    assert list(islice(drawn, 4)) == expected


def test_every_shipped_network_but_the_prior_has_its_turn() -> None:
    ships = {str(path.relative_to(WEIGHTS)) for path in WEIGHTS.rglob("*.safetensors")}
    assert ships - {turn.ships_as for turn in TURNS} == {
        "prior/diffusion_pytorch_model.safetensors"
    }
