"""Trains the colour network: `python -m training.colour --photos DIR --out RUN --minutes N`.

It goes on from given weights, those that ship unless `--init` names others, and keeps their
palette. RUN holds checkpoint.safetensors (`--resume` goes on from it), log.jsonl, and
best.safetensors: the averaged weights, in the form that ships, that had the least CIEDE2000 on
the sources held out. Every step draws from a random generator of its own, seeded by (seed, step).
"""

import argparse
import copy
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import AdamW, Optimizer

from daemon.checkpoints.library import WEIGHTS
from daemon.config.model_reference import COLOUR
from daemon.models.colour_network import ColourNetwork
from daemon.restorers.print_tone import tone_curve
from training.checkpoint import FILE, Progress, load_checkpoint, save_checkpoint, update_average
from training.colour_examples import ColourBatch, draw_batch
from training.colour_validation import measure_colours
from training.command_line import begin, run_parser
from training.loop import stop_on_sigterm, train_until
from training.optimiser import rate_share, set_rate
from training.photos import Pixels
from training.prefetch import drawn_ahead
from training.run_log import append_line, read_lines
from training.sources import Sources, load_sources, source_paths

BEST = "best.safetensors"

KEPT_PX, SHORTEST_PX = 320, 96
"""Longest side of the photographs in memory, and the least shorter side."""

FROZEN_BLOCKS = 8
"""Blocks of the encoder that are not trained: edges and textures that others learned."""

_CELLS = 640
"""Cells of each picture that the loss looks at: the logits of 128 colours cost most of a step."""

_NEAREST = 5
"""Colours of the palette that share the target of a cell."""

_DROPPED = 0.1
"""Share of the encoder's channels that the decoder does not see in a step."""

_GRADIENT_NORM = 2.0


@dataclass(frozen=True)
class Plan:
    """Settings of a run.

    Attributes:
        total_s: Seconds of training, all sessions together; the rates reach 0 at their end.
        hold: Share of the time until the rates begin to fall.
        lr: Full rate of the decoder.
        encoder_lr: Full rate of the encoder's later blocks. At 2e-4 its features are destroyed
            within 100 steps; 4e-5 is fine.
        batch: Pictures in a step.
        workers: Processes that draw examples ahead; 0: none.
        average: Decay of the averaged weights per step.
        checkpoint_s: Seconds between checkpoints.
        validate_s: Seconds between validations.
        log_steps: Steps averaged into one line of the log.
    """

    total_s: float
    hold: float = 0.3
    lr: float = 1e-3
    encoder_lr: float = 4e-5
    batch: int = 16
    workers: int = 0
    average: float = 0.998
    checkpoint_s: float = 300.0
    validate_s: float = 600.0
    log_steps: int = 20


class Target:
    """Chroma of cells -> shares of the nearest colours of the palette."""

    def __init__(self, palette: Tensor) -> None:
        self._palette = palette
        apart = torch.cdist(palette, palette).sort(1).values[:, 1:4].mean(1)
        self._width = 0.5 * apart

    def __call__(self, chroma: Tensor) -> tuple[Tensor, Tensor]:
        """Indices of the nearest colours and their shares, (N, 2) -> (N, 5) and (N, 5)."""
        distance, index = torch.cdist(chroma, self._palette).topk(_NEAREST, 1, largest=False)
        width = self._width[index[:, :1]]
        return index, (-distance.square() / (2 * width.square())).softmax(1)


@dataclass
class Losses:
    """The sum of the losses since the last line of the log."""

    total: float = 0.0
    steps: int = 0

    def add(self, loss: float) -> None:
        """Add the loss of a step."""
        self.total, self.steps = self.total + loss, self.steps + 1

    def take(self) -> float:
        """Mean since the last call."""
        mean = self.total / max(self.steps, 1)
        self.total, self.steps = 0.0, 0
        return round(mean, 5)


@dataclass
class Run:
    """A colour network in training, with its averaged weights and its optimiser.

    Attributes:
        network: The network in training.
        plan: Settings of the run.
        out: Folder of the run.
        progress: How far it has come.
        device: Where it is trained.
    """

    network: ColourNetwork
    plan: Plan
    out: Path
    progress: Progress
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    def __post_init__(self) -> None:
        self.network.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        freeze(self.network)
        self.average = copy.deepcopy(self.network).requires_grad_(False)
        self.optimisers: dict[str, Optimizer] = {"adamw": _optimiser(self.network, self.plan)}
        self.target = Target(self.network.palette)
        self.losses = Losses()
        self.least = math.inf

    def save(self) -> None:
        """Write the checkpoint."""
        save_checkpoint(self.out, self.progress, self._modules(), self.optimisers)

    def load(self) -> None:
        """Continue from the checkpoint."""
        self.progress = load_checkpoint(self.out, self._modules(), self.optimisers)
        validations = [line["validation"] for line in read_lines(self.out) if "validation" in line]
        self.least = min((one["ciede2000"] for one in validations), default=math.inf)

    def step(self, batch: ColourBatch) -> None:
        """Take one optimiser step, at the rate for the time trained so far."""
        plan = self.plan
        set_rate(self.optimisers, rate_share(self.progress.trained_s, plan.total_s, plan.hold))
        generator = torch.Generator().manual_seed(self.progress.seed * 2**32 + self.progress.step)
        loss = colour_loss(self.network, batch.to(self.device), self.target, generator)
        loss.backward()  # type: ignore[no-untyped-call]
        for group in self.optimisers["adamw"].param_groups:
            nn.utils.clip_grad_norm_(group["params"], _GRADIENT_NORM)
        for optimiser in self.optimisers.values():
            optimiser.step()
            optimiser.zero_grad()
        update_average(self.average, self.network, plan.average)
        self.losses.add(float(loss.detach()))
        self.progress = replace(self.progress, step=self.progress.step + 1)

    def validate(self, held_out: Sequence[Pixels]) -> None:
        """Measure the averaged weights, and keep them if none had nearer colours before."""
        measures = measure_colours(self.average, held_out)
        append_line(self.out, self.progress, {"validation": measures})
        if measures["ciede2000"] < self.least:
            self.least = measures["ciede2000"]
            write_weights(self.average, self.out / BEST)

    def _modules(self) -> dict[str, nn.Module]:
        return {"network": self.network, "average": self.average}


def freeze(network: ColourNetwork) -> None:
    """Keep the early blocks and every filter of single channels of the encoder as they are."""
    network.encoder.stem.requires_grad_(False)
    for number, block in enumerate(network.encoder.blocks):
        if number < FROZEN_BLOCKS:
            block.requires_grad_(False)
        else:
            block.get_submodule("depthwise").requires_grad_(False)


def colour_loss(
    network: ColourNetwork, batch: ColourBatch, target: Target, generator: torch.Generator
) -> Tensor:
    """Cross entropy of random cells, weighted by how rare their colours are.

    Args:
        network: The network in training.
        batch: Examples on the network's device.
        target: Makes shares of the palette of chroma.
        generator: Draws the cells and the channels dropped, on the processor.
    """
    device = batch.grey.device
    grey = batch.grey.contiguous(memory_format=torch.channels_last)
    with torch.autocast(device.type, torch.bfloat16):
        taps = [_dropped(tap, generator) for tap in network.encoder(grey)]
        features = network.decode(grey, taps)
        count = features.shape[2] * features.shape[3]
        cells = torch.randperm(count, generator=generator)[:_CELLS].to(device)
        seen = features.flatten(2)[:, :, cells].transpose(1, 2).flatten(0, 1)
        log_odds = functional.linear(seen, network.head.weight.flatten(1), network.head.bias)
    chroma = batch.chroma.flatten(2)[:, :, cells].transpose(1, 2).flatten(0, 1)
    index, share = target(chroma)
    scores = log_odds.float().log_softmax(1)
    entropy = -(scores.gather(1, index) * share).sum(1)
    return (entropy * network.class_weights[index[:, 0]]).mean()


def train(
    run: Run,
    sources: Sources,
    held_out: Sequence[Pixels],
    now: Callable[[], float] = time.monotonic,
    stop: Callable[[], bool] = lambda: False,
) -> None:
    """Train until the plan's time is over or `stop` returns True, then save.

    A run that was stopped saves at once and is not validated.

    Args:
        run: The run to train.
        sources: Photographs to train on.
        held_out: Photographs of other sources, to validate on.
        now: Clock of the plan's time, in seconds.
        stop: Called before every step.
    """

    def draw(step: int) -> ColourBatch:
        rng = np.random.default_rng((run.progress.seed, step))
        return draw_batch(sources, run.plan.batch, rng)

    batches = drawn_ahead(draw, run.progress.step, run.plan.workers)

    def step() -> None:
        run.step(next(batches))

    def losses() -> dict[str, object]:
        return {"loss": run.losses.take()}

    train_until(run, step, losses, lambda: run.validate(held_out), now=now, stop=stop)


def read_weights(path: Path) -> ColourNetwork:
    """A network with the weights of a file in the form that ships."""
    network = ColourNetwork()
    network.load_state_dict({name: one.float() for name, one in load_file(path).items()})
    return network


def write_weights(network: ColourNetwork, path: Path) -> None:
    """Write weights as they ship: float16, but for the palette and its weights."""
    exact = {"palette", "class_weights"}
    weights = {
        name: (weight.float() if name in exact else weight.half()).cpu().contiguous()
        for name, weight in network.state_dict().items()
    }
    save_file(weights, path, {"format": "pt"})


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    options = _parser().parse_args(arguments)
    begin(options)
    plan = Plan(
        60 * options.minutes,
        options.hold,
        options.lr,
        options.encoder_lr,
        options.batch,
        options.workers,
    )
    device = torch.device(options.device)
    run = Run(read_weights(options.init), plan, options.out, Progress(seed=options.seed), device)
    if options.resume and (options.out / FILE).exists():
        run.load()
    stop = stop_on_sigterm()
    sources, others = (_colourful(options.photos, held_out=held_out) for held_out in (False, True))
    held_out = others.first_of_each(options.validate)
    count = sum(map(len, sources.photographs))
    print(f"{count} photographs of {len(sources.names)} sources, {len(held_out)} held out")
    if run.progress.step == 0:
        run.validate(held_out)
    train(run, sources, held_out, stop=stop)


def _colourful(folders: Sequence[Path], *, held_out: bool) -> Sources:
    loaded = load_sources(source_paths(folders, held_out=held_out), KEPT_PX, SHORTEST_PX)
    kept = {
        name: tuple(one for one in group if not tone_curve(one).is_toned)
        for name, group in zip(loaded.names, loaded.photographs, strict=True)
    }
    kept = {name: group for name, group in kept.items() if group}
    return Sources(tuple(kept), tuple(kept.values()))


def _optimiser(network: ColourNetwork, plan: Plan) -> Optimizer:
    trained = [weight for weight in network.encoder.parameters() if weight.requires_grad]
    inside = {id(weight) for weight in trained}
    rest = [weight for weight in network.parameters() if weight.requires_grad]
    groups = [
        {"params": [one for one in rest if id(one) not in inside], "lr": plan.lr},
        {"params": trained, "lr": plan.encoder_lr, "weight_decay": 0.0},
    ]
    optimiser = AdamW(groups, betas=(0.9, 0.98), weight_decay=0.03)
    for group in optimiser.param_groups:
        group["base_lr"] = group["lr"]
    return optimiser


def _dropped(features: Tensor, generator: torch.Generator) -> Tensor:
    """Features with some channels of each picture left out, as `dropout2d` does."""
    kept = torch.rand(features.shape[:2], generator=generator) >= _DROPPED
    return features * (kept[:, :, None, None] / (1 - _DROPPED)).to(features)


def _parser() -> argparse.ArgumentParser:
    parser = run_parser("colour", __doc__, hold=Plan.hold)
    add = parser.add_argument
    add("--photos", type=Path, nargs="+", required=True, help="folders of photographs")
    add("--init", type=Path, default=WEIGHTS / COLOUR / "colour.safetensors")
    add("--lr", type=float, default=Plan.lr)
    add("--encoder-lr", type=float, default=Plan.encoder_lr)
    add("--batch", type=int, default=Plan.batch)
    add("--validate", type=int, default=60, help="photographs to validate on")
    add("--workers", type=int, default=Plan.workers, help="processes that draw examples")
    add("--device", default="cpu", help="cpu, or cuda")
    return parser


if __name__ == "__main__":
    main()
