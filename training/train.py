"""Trains the photo prior: `python -m training.train --photos DIR --out DIR --minutes N --resume`.

It writes DIR/checkpoint.safetensors (every 10 minutes, on SIGTERM and at the end), DIR/log.jsonl
and DIR/curves.png. Every step draws from a random generator of its own, seeded by (seed, step), so
that a resumed run draws what an uninterrupted one would have drawn.
"""

import argparse
import copy
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from daemon.models.prior_network import PhotoPrior, read_prior
from training.checkpoint import (
    FILE,
    Progress,
    load_checkpoint,
    save_checkpoint,
    untrained,
    update_average,
)
from training.command_line import run_parser
from training.growth import grow
from training.loop import stop_on_sigterm, train_until
from training.objective import LogVariance, colour_rarity, predict_error
from training.optimiser import make_optimisers, rate_share, set_rate
from training.photos import Pixels, Pyramid, load_pyramids, photo_paths, with_room
from training.plot import draw_curves
from training.run_log import append_line
from training.tasks import CROP_PX, KINDS, Batch, colour_batch, crop_batch
from training.validation import measure_all

_COLOUR_SHARE = 0.3
"""Share of colour in the gradient; fixed, as thumbnails are large but few in a batch."""


@dataclass(frozen=True)
class Plan:
    """Settings of a run; the defaults are those of the shipped weights.

    Attributes:
        total_s: Seconds of training, all sessions together; the rates reach 0 at their end.
        hold: Share of the time until the rates begin to fall.
        muon_lr: Full rate of Muon.
        adamw_lr: Full rate of AdamW.
        ema: Decay of the averaged weights per step.
        rarity: Exponent of the weights of rare colours; 0 weights all colours equally.
        crop_px: Side of the crops; a step has the same number of pixels whatever it is.
        muon: Whether Muon takes the inner convolutions, rather than AdamW.
        weighting: Whether the loss is weighted by a learned log-variance per kind and time.
        checkpoint_s: Seconds between checkpoints.
        validate_s: Seconds between validations.
        log_steps: Steps averaged into one line of the log.
    """

    total_s: float
    hold: float = 0.3
    muon_lr: float = 4e-3
    adamw_lr: float = 1e-3
    ema: float = 0.999
    rarity: float = 0.3
    crop_px: int = CROP_PX
    muon: bool = True
    weighting: bool = True
    checkpoint_s: float = 600.0
    validate_s: float = 1200.0
    log_steps: int = 50


@dataclass
class Losses:
    """Sums of errors by kind since the last line of the log."""

    sums: dict[str, float] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)

    def add(self, kinds: Tensor, errors: Tensor) -> None:
        """Add the error of each picture to its kind."""
        for kind, error in zip(kinds.tolist(), errors.tolist(), strict=True):
            self.sums[KINDS[kind]] = self.sums.get(KINDS[kind], 0.0) + error
            self.counts[KINDS[kind]] = self.counts.get(KINDS[kind], 0) + 1

    def take(self) -> dict[str, float]:
        """Means by kind since the last call."""
        means = {name: round(total / self.counts[name], 5) for name, total in self.sums.items()}
        self.sums, self.counts = {}, {}
        return means


class Run:
    """A network in training, with its averaged weights and its optimisers.

    Args:
        network: The network to train.
        plan: Settings of the run.
        out: Folder of the run.
        seed: Seed of everything that is drawn.
    """

    def __init__(self, network: PhotoPrior, plan: Plan, out: Path, seed: int) -> None:
        self.plan, self.out = plan, out
        self.progress = Progress(seed=seed)
        untyped: Any = network  # torch types no memory_format
        self.network: PhotoPrior = untyped.to(memory_format=torch.channels_last)
        self.average = copy.deepcopy(self.network).requires_grad_(False)
        self.weighting = LogVariance()
        self.optimisers = make_optimisers(
            self.network, self.weighting, plan.muon_lr if plan.muon else None, plan.adamw_lr
        )
        self.losses = Losses()

    def save(self) -> None:
        """Write the checkpoint."""
        save_checkpoint(self.out, self.progress, self._modules(), self.optimisers)

    def load(self) -> None:
        """Continue from the checkpoint."""
        self.progress = load_checkpoint(self.out, self._modules(), self.optimisers)

    def step(self, batches: Sequence[Batch], rarity: Tensor | None) -> None:
        """Take one optimiser step over all batches, at the rate for the time trained so far."""
        plan = self.plan
        set_rate(self.optimisers, rate_share(self.progress.trained_s, plan.total_s, plan.hold))
        for batch in batches:
            is_colour = bool((batch.kinds == KINDS.index("colour")).all())
            errors = predict_error(self.network, batch, rarity if is_colour else None)
            log_variance = self.weighting(batch.t, batch.kinds) * plan.weighting
            weighted = torch.exp(-log_variance) * errors + log_variance
            share = _COLOUR_SHARE if is_colour else 1 - _COLOUR_SHARE
            (share * weighted.mean()).backward()
            self.losses.add(batch.kinds, errors.detach())
        for optimiser in self.optimisers.values():
            optimiser.step()
            optimiser.zero_grad()
        update_average(self.average, self.network, min(plan.ema, self._early_decay()))
        self.progress = replace(self.progress, step=self.progress.step + 1)

    def _early_decay(self) -> float:
        return (1 + self.progress.step) / (10 + self.progress.step)

    def _modules(self) -> dict[str, torch.nn.Module]:
        return {"network": self.network, "average": self.average, "weighting": self.weighting}


def draw_batches(
    pyramids: Sequence[Pyramid], colourful: Sequence[Pyramid], progress: Progress, crop_px: int
) -> list[Batch]:
    """Draw the batches of one step; they depend on seed and step alone."""
    rng = np.random.default_rng((progress.seed, progress.step))
    return [crop_batch(pyramids, rng, crop_px), colour_batch(colourful, rng)]


def train(
    run: Run,
    pyramids: Sequence[Pyramid],
    held_out: Sequence[Pixels],
    now: Callable[[], float] = time.monotonic,
    stop: Callable[[], bool] = lambda: False,
) -> None:
    """Train until the plan's time is over or `stop` returns True, then save.

    A run that was stopped saves at once and is not validated.

    Args:
        run: The run to train.
        pyramids: Photographs to train on.
        held_out: Pictures to validate on.
        now: Clock of the plan's time, in seconds.
        stop: Called before every step.
    """
    plan = run.plan
    colourful = [pyramid for pyramid in pyramids if pyramid.colourful]
    rarity = colour_rarity(colourful, plan.rarity) if plan.rarity else None

    def step() -> None:
        run.step(draw_batches(pyramids, colourful, run.progress, plan.crop_px), rarity)

    def losses() -> dict[str, object]:
        return {"losses": run.losses.take()}

    def validate() -> None:
        append_line(run.out, run.progress, {"validation": measure_all(run.average, held_out)})

    train_until(run, step, losses, validate, now=now, stop=stop)


def held_out_pictures(photos: Path, count: int = 24) -> list[Pixels]:
    """First photographs of the validation split, each at the second level of its pyramid."""
    pyramids = load_pyramids(photo_paths(photos, validation=True))[:count]
    return [pyramid.levels[min(1, len(pyramid.levels) - 1)] for pyramid in pyramids]


def read_weights(path: Path) -> PhotoPrior:
    """A network from a folder in diffusers' layout or from a bare safetensors file."""
    if path.is_dir():
        return read_prior(path)
    network = PhotoPrior()
    network.load_state_dict(load_file(path))
    return network


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    options = _parser().parse_args(arguments)
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    options.out.mkdir(parents=True, exist_ok=True)
    plan = Plan(
        total_s=60 * options.minutes,
        hold=options.hold,
        muon_lr=options.muon_lr,
        adamw_lr=options.adamw_lr,
        rarity=options.rarity,
        crop_px=options.crop_px,
    )
    resumed = options.resume and (options.out / FILE).exists()
    network = untrained(options.out) if resumed else _first_network(options)
    run = Run(network, plan, options.out, options.seed)
    if resumed:
        run.load()
    stop = stop_on_sigterm()
    pyramids = with_room(
        load_pyramids(photo_paths(options.photos, validation=False)), options.crop_px
    )
    pictures = held_out_pictures(options.photos)
    print(
        f"{len(pyramids)} photographs, {len(pictures)} held out, step {run.progress.step}",
        flush=True,
    )
    train(run, pyramids, pictures, stop=stop)
    draw_curves(options.out / "log.jsonl", options.out / "curves.png")


def _first_network(options: argparse.Namespace) -> PhotoPrior:
    """The network at the start of a run: new, or grown from given weights to a given shape."""
    network = PhotoPrior() if options.init is None else read_weights(options.init)
    channels = tuple(options.channels or network.shape.channels)
    blocks = tuple(options.blocks or network.shape.blocks)
    return PhotoPrior(channels, blocks) if options.init is None else grow(network, channels, blocks)


def _parser() -> argparse.ArgumentParser:
    parser = run_parser("train", __doc__, hold=Plan.hold)
    parser.add_argument("--photos", type=Path, required=True, help="folder of photographs")
    parser.add_argument("--init", type=Path, help="weights to start from")
    parser.add_argument(
        "--channels",
        type=int,
        nargs="+",
        help="features at each resolution; not fewer than in --init",
    )
    parser.add_argument(
        "--blocks", type=int, nargs="+", help="blocks at each resolution; not fewer than in --init"
    )
    parser.add_argument("--crop-px", type=int, default=Plan.crop_px)
    parser.add_argument("--muon-lr", type=float, default=Plan.muon_lr)
    parser.add_argument("--adamw-lr", type=float, default=Plan.adamw_lr)
    parser.add_argument("--rarity", type=float, default=Plan.rarity)
    return parser


if __name__ == "__main__":
    main()
