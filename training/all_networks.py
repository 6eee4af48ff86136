"""Trains every network in turn: `python -m training.all_networks --photos DIRS --out OUT`.

    python -m training.all_networks --photos DIR DIR2 --out OUT --minutes 8 --device cuda
    python -m training.all_networks --photos DIR DIR2 --out OUT --rehearse

Each network goes on from the weights that ship, in a process of its own, for its share of the
minutes, with its own trainer. It is stopped when its share is over, reading photographs and
validations included. The same command again goes on with what has not had its minutes; more
minutes go on with all. OUT/NAME is the run of a network; OUT/export has weights as the package
has them, and numbers.json: what each network reached on held-out photographs before and after.
`--rehearse` does all of it in seconds on the processor, with tiny batches.
"""

import argparse
import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from training.run_log import read_lines

EXPORT = "export"
NUMBERS = "numbers.json"

_TRAINED = 0.75
"""Share of a network's minutes that it trains; the rest is for photographs and validations."""

_SAVING_S = 60.0
"""Seconds that a trainer that was told to stop has for its checkpoint."""

_REHEARSED_MINUTES = 0.04
_REHEARSED_LIMIT_S = 300.0
"""Seconds of a rehearsed turn at most: to start and to read takes longer there than to train."""


@dataclass(frozen=True)
class Turn:
    """One network's part of a sitting.

    Attributes:
        name: Folder of its run.
        module: Its trainer.
        share: Its share of the minutes; those of all turns add up to 1.
        options: What its trainer is told on a GPU.
        tiny: What it is told instead in a rehearsal.
        many_folders: Whether the trainer takes several folders of photographs.
        weights: File in the run's folder that is in the form that ships.
        ships_as: Path of that file in the package's folder of weights.
    """

    name: str
    module: str
    share: float
    options: tuple[str, ...]
    tiny: tuple[str, ...]
    many_folders: bool
    weights: str
    ships_as: str


_ENLARGEMENT, _REPAIR = (("--tasks", tasks) for tasks in ("x2,x3,x4", "noise,blind,deblur"))
_SMALL_BATCH = ("--batch", "2", "--validate", "1")
_LARGE_BATCH = ("--batch", "64", "--validate", "12", "--workers", "14", "--threads", "1")

TURNS = (
    Turn(
        "enlargement",
        "training.restoration",
        0.35,
        (*_ENLARGEMENT, "--crops", "12", "--blurred", "0"),
        (*_ENLARGEMENT, "--crops", "0.1"),
        many_folders=False,
        weights="average.safetensors",
        ships_as="restoration/enlargement.safetensors",
    ),
    Turn(
        "repair",
        "training.restoration",
        0.3,
        (*_REPAIR, "--crops", "12"),
        (*_REPAIR, "--crops", "0.1"),
        many_folders=False,
        weights="average.safetensors",
        ships_as="restoration/repair.safetensors",
    ),
    Turn(
        "damage",
        "training.damage_network",
        0.2,
        _LARGE_BATCH,
        _SMALL_BATCH,
        many_folders=True,
        weights="best.safetensors",
        ships_as="damage/damage.safetensors",
    ),
    Turn(
        "colour",
        "training.colour",
        0.15,
        _LARGE_BATCH,
        _SMALL_BATCH,
        many_folders=True,
        weights="best.safetensors",
        ships_as="colour/colour.safetensors",
    ),
)


@dataclass(frozen=True)
class Sitting:
    """What all turns share.

    Attributes:
        photos: Folders of photographs; the restoration networks use the first.
        out: Folder of all runs.
        minutes: Wall-clock minutes of all turns together, earlier sittings included.
        device: `cpu` or `cuda`.
        rehearsed: Whether the turns are tiny.
    """

    photos: tuple[Path, ...]
    out: Path
    minutes: float
    device: str
    rehearsed: bool

    def limit_s(self, turn: Turn) -> float:
        """Seconds that a turn may last."""
        return _REHEARSED_LIMIT_S if self.rehearsed else 60 * turn.share * self.minutes

    def command(self, turn: Turn) -> list[str]:
        """Arguments of a turn's trainer."""
        photos = self.photos if turn.many_folders else self.photos[:1]
        trained = turn.share * self.minutes * _TRAINED
        return [
            *("--photos", *map(str, photos)),
            *("--out", str(self.out / turn.name)),
            *("--minutes", f"{trained:.4f}"),
            *("--device", self.device),
            *(turn.tiny if self.rehearsed else turn.options),
            "--resume",
        ]


RunTrainer = Callable[[str, list[str], float], bool]
"""Runs a trainer's module with arguments for so many seconds at most; whether it went well."""


def run_trainer(module: str, arguments: list[str], limit_s: float) -> bool:
    """Run a trainer in a process of its own, and stop it by SIGTERM when its time is over."""
    trainer = subprocess.Popen([sys.executable, "-m", module, *arguments])
    try:
        return trainer.wait(limit_s) == 0
    except subprocess.TimeoutExpired:
        trainer.send_signal(signal.SIGTERM)
    try:
        return trainer.wait(_SAVING_S) == 0
    except subprocess.TimeoutExpired:
        trainer.kill()
        trainer.wait()
        return False


def train_all(sitting: Sitting, run: RunTrainer = run_trainer) -> list[str]:
    """Give every network its turn, and export what each has reached.

    Args:
        sitting: What all turns share.
        run: Runs a trainer.

    Returns:
        Names of the networks whose trainer failed; the others had their turn all the same.
    """
    failed = []
    for turn in TURNS:
        limit_s = sitting.limit_s(turn)
        print(f"{turn.name}: {limit_s:.0f} s at most", flush=True)
        if not run(turn.module, sitting.command(turn), limit_s):
            failed.append(turn.name)
        _export(sitting.out, turn)
    return failed


def _export(out: Path, turn: Turn) -> None:
    """Copy a turn's weights as they ship, and write its first and last validation beside them."""
    weights = out / turn.name / turn.weights
    if not weights.exists():
        return
    target = out / EXPORT / turn.ships_as
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(weights, target)
    path = out / EXPORT / NUMBERS
    numbers = json.loads(path.read_text("utf-8")) if path.exists() else {}
    lines = read_lines(out / turn.name)
    measured = [line for line in lines if "validation" in line]
    numbers[turn.name] = {
        "steps": lines[-1]["step"] if lines else 0,
        "trained_s": lines[-1]["trained_s"] if lines else 0.0,
        "before": measured[0]["validation"] if measured else {},
        "after": measured[-1]["validation"] if measured else {},
    }
    path.write_text(json.dumps(numbers, indent=2) + "\n", "utf-8")


def main(arguments: Sequence[str] | None = None, run: RunTrainer = run_trainer) -> int:
    """Run the command line; the exit status is 1 if a trainer failed."""
    parser = argparse.ArgumentParser(prog="python -m training.all_networks", description=__doc__)
    add = parser.add_argument
    add("--photos", type=Path, nargs="+", required=True, help="folders of photographs")
    add("--out", type=Path, required=True, help="folder of the runs")
    add("--minutes", type=float, default=8, help="minutes of all networks together")
    add("--device", default="cuda", help="cuda, or cpu")
    add("--rehearse", action="store_true", help="all of it in seconds, on the processor")
    options = parser.parse_args(arguments)
    rehearsed = options.rehearse
    minutes = _REHEARSED_MINUTES if rehearsed else options.minutes
    device = "cpu" if rehearsed else options.device
    failed = train_all(Sitting(tuple(options.photos), options.out, minutes, device, rehearsed), run)
    if failed:
        print(f"failed: {', '.join(failed)}; their runs are in {options.out}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
