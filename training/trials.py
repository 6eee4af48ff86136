"""Compares settings at equal time: `python -m training.trials --photos DIR --out DIR --minutes 10`.

It trains each arm for the same seconds of one core's time, from random weights or grown from those
of --init, and prints a Markdown table of the validation split. By core time rather than wall time,
other work on the machine takes steps from no arm. Arms that differ only in colour are to be
compared by the colour columns.
"""

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch

from daemon.models.prior_network import PhotoPrior
from training.growth import grow
from training.photos import load_pyramids, photo_paths, with_room
from training.train import Plan, Run, held_out_pictures, read_weights, train

_COLUMNS = ("noise15", "noise25", "noise50", "x2", "x4", "jpeg20", "colour", "colourfulness")

_LARGEST_CROP_PX = 96

_WARM_MUON_LR, _WARM_ADAMW_LR = 2e-3, 5e-4
"""Rates for trained weights, which the rates for random ones would destroy."""


@dataclass(frozen=True)
class Arm:
    """The settings of one trial.

    Attributes:
        title: Title in the table.
        channels: Features at each resolution.
        blocks: Blocks at each resolution.
        changes: Fields of `Plan` that differ.
    """

    title: str
    channels: tuple[int, ...] = (32, 64, 128, 192)
    blocks: tuple[int, ...] = (2, 2, 2, 2)
    changes: dict[str, object] = field(default_factory=dict)


ARMS = {
    "shipped": Arm("as shipped: 32-64-128-192, two blocks, 64 px, Muon"),
    "wide": Arm("48-96-192-256", channels=(48, 96, 192, 256)),
    "one-block": Arm("one block", blocks=(1, 1, 1, 1)),
    "wide-one-block": Arm(
        "48-96-192-256, one block", channels=(48, 96, 192, 256), blocks=(1, 1, 1, 1)
    ),
    "fine": Arm("48-64-96-128, three blocks above", (48, 64, 96, 128), (3, 3, 2, 2)),
    "crops-96": Arm("96-px crops", changes={"crop_px": _LARGEST_CROP_PX}),
    "adamw": Arm("AdamW alone, 4e-4", changes={"muon": False, "adamw_lr": 4e-4}),
    "unweighted": Arm("no learned loss weights", changes={"weighting": False}),
    "grown": Arm("64-96-128-192, blocks 3-2-2-2", (64, 96, 128, 192), (3, 2, 2, 2)),
    "deeper": Arm("32-64-128-192, blocks 7-5-2-2", blocks=(7, 5, 2, 2)),
    "rarity-0": Arm("all colours weighted equally", changes={"rarity": 0.0}),
    "rarity-0.6": Arm("rare colours to the power 0.6", changes={"rarity": 0.6}),
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m training.trials", description=__doc__)
    parser.add_argument("--photos", type=Path, required=True, help="folder of photographs")
    parser.add_argument("--out", type=Path, required=True, help="folder for the runs")
    parser.add_argument(
        "--minutes", type=float, default=10, help="minutes of core time for each arm"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "arms", nargs="*", default=list(ARMS), help=f"what to train: {', '.join(ARMS)}"
    )
    parser.add_argument("--init", type=Path, help="weights that every arm is grown from")
    options = parser.parse_args(arguments)
    if unknown := set(options.arms) - set(ARMS):
        parser.error(f"no arm {', '.join(sorted(unknown))}; there are {', '.join(ARMS)}")
    torch.set_num_threads(1)
    pyramids = with_room(
        load_pyramids(photo_paths(options.photos, validation=False)), _LARGEST_CROP_PX
    )
    pictures = held_out_pictures(options.photos)
    print(f"| arm | M parameters | steps | {' | '.join(_COLUMNS)} |")
    print("|---|" + "---|" * (2 + len(_COLUMNS)), flush=True)
    for name in options.arms:
        arm = ARMS[name]
        out = options.out / name
        out.mkdir(parents=True, exist_ok=True)
        torch.manual_seed(options.seed)
        plan = Plan(total_s=60 * options.minutes, validate_s=float("inf"), ema=0.99)
        if options.init is None:
            network: PhotoPrior = PhotoPrior(channels=arm.channels, blocks=arm.blocks)
        else:
            network = grow(read_weights(options.init), arm.channels, arm.blocks)
            plan = replace(plan, muon_lr=_WARM_MUON_LR, adamw_lr=_WARM_ADAMW_LR)
        run = Run(network, replace(plan, **arm.changes), out, options.seed)  # type: ignore[arg-type]
        train(run, pyramids, pictures, now=time.process_time)
        numbers = json.loads((out / "log.jsonl").read_text().splitlines()[-1])["validation"]
        size = sum(weight.numel() for weight in network.parameters()) / 1e6
        cells = [arm.title, f"{size:.2f}", str(run.progress.step)]
        cells += [f"{numbers[column]:.2f}" for column in _COLUMNS]
        print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
