"""Trains the damage network: `python -m training.damage_network --photos DIR --out RUN`.

It goes on from given weights, those that ship unless `--init` names others. RUN holds
checkpoint.safetensors (`--resume` goes on from it), log.jsonl, and best.safetensors: the averaged
weights, in the form that ships, that had the least loss on prints of the sources held out. Every
step draws from a random generator of its own, seeded by (seed, step).
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
from daemon.config.model_reference import DAMAGE
from daemon.models.damage_network import DamageNetwork
from training.checkpoint import FILE, Progress, load_checkpoint, save_checkpoint, update_average
from training.command_line import begin, run_parser
from training.damage_examples import DAMAGED, EITHER, DamageBatch, draw_batch
from training.loop import stop_on_sigterm, train_until
from training.optimiser import rate_share, set_rate
from training.prefetch import drawn_ahead
from training.run_log import append_line, read_lines
from training.sources import Sources, load_sources, source_paths

BEST = "best.safetensors"

KEPT_PX, SHORTEST_PX = 512, 200
"""Longest side of the photographs in memory, and the least shorter side."""

_GRADIENT_NORM = 1.0
_ENTROPY_WEIGHT = 4.0
_DICE_PIXELS = 50.0
_FOCUS = 0.25


@dataclass(frozen=True)
class Plan:
    """Settings of a run.

    Attributes:
        total_s: Seconds of training, all sessions together; the rates reach 0 at their end.
        hold: Share of the time until the rates begin to fall.
        lr: Full rate.
        batch: Crops in a step.
        workers: Processes that draw examples ahead; 0: none.
        average: Decay of the averaged weights per step.
        checkpoint_s: Seconds between checkpoints.
        validate_s: Seconds between validations.
        log_steps: Steps averaged into one line of the log.
    """

    total_s: float
    hold: float = 0.2
    lr: float = 5e-4
    batch: int = 10
    workers: int = 0
    average: float = 0.995
    checkpoint_s: float = 300.0
    validate_s: float = 300.0
    log_steps: int = 50


@dataclass
class Run:
    """A damage network in training, with its averaged weights and its optimiser.

    Attributes:
        network: The network in training.
        plan: Settings of the run.
        out: Folder of the run.
        progress: How far it has come.
        device: Where it is trained.
    """

    network: DamageNetwork
    plan: Plan
    out: Path
    progress: Progress
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    def __post_init__(self) -> None:
        self.network.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = copy.deepcopy(self.network).requires_grad_(False)
        optimiser = AdamW(self.network.parameters(), lr=self.plan.lr, weight_decay=1e-4)
        for group in optimiser.param_groups:
            group["base_lr"] = group["lr"]
        self.optimisers: dict[str, Optimizer] = {"adamw": optimiser}
        self.losses: list[float] = []
        self.least = math.inf

    def save(self) -> None:
        """Write the checkpoint."""
        save_checkpoint(self.out, self.progress, self._modules(), self.optimisers)

    def load(self) -> None:
        """Continue from the checkpoint."""
        self.progress = load_checkpoint(self.out, self._modules(), self.optimisers)
        validations = [line["validation"] for line in read_lines(self.out) if "validation" in line]
        self.least = min((one["loss"] for one in validations), default=math.inf)

    def step(self, batch: DamageBatch) -> None:
        """Take one optimiser step, at the rate for the time trained so far."""
        plan = self.plan
        set_rate(self.optimisers, rate_share(self.progress.trained_s, plan.total_s, plan.hold))
        given = batch.to(self.device)
        loss = damage_loss(log_odds_of(self.network, given.pictures), given.labels)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.network.parameters(), _GRADIENT_NORM)
        for optimiser in self.optimisers.values():
            optimiser.step()
            optimiser.zero_grad()
        update_average(self.average, self.network, plan.average)
        self.losses.append(float(loss.detach()))
        self.progress = replace(self.progress, step=self.progress.step + 1)

    def validate(self, held_out: Sequence[DamageBatch]) -> None:
        """Measure the averaged weights, and keep them if none had a lower loss before."""
        measures = measure_damage(self.average, held_out, self.device)
        append_line(self.out, self.progress, {"validation": measures})
        if measures["loss"] < self.least:
            self.least = measures["loss"]
            write_weights(self.average, self.out / BEST)

    def take_loss(self) -> float:
        """Mean loss since the last call."""
        mean = round(float(np.mean(self.losses)), 5)
        self.losses = []
        return mean

    def _modules(self) -> dict[str, nn.Module]:
        return {"network": self.network, "average": self.average}


def log_odds_of(network: DamageNetwork, pictures: Tensor) -> Tensor:
    """Log-odds of damage in mixed precision, (B, 3, H, W) in [-1, 1] -> (B, H, W)."""
    with torch.autocast(pictures.device.type, torch.bfloat16):
        log_odds = network(pictures.contiguous(memory_format=torch.channels_last))
    result: Tensor = log_odds[:, 0].float()
    return result


def damage_loss(log_odds: Tensor, labels: Tensor) -> Tensor:
    """Cross entropy that leans to what is hard, and the dice loss.

    Args:
        log_odds: (B, H, W).
        labels: As `DamageBatch` has them; where either answer is right nothing is lost.

    Source: V-Net's dice loss, arXiv:1606.04797; the weight of hard pixels after the focal loss,
    arXiv:1708.02002, with a floor.
    """
    known = (labels != EITHER).float()
    target = (labels == DAMAGED).float()
    likely = log_odds.sigmoid()
    entropy = functional.binary_cross_entropy_with_logits(log_odds, target, reduction="none")
    focus = (_FOCUS + (likely.detach() - target).abs()) * known
    both = (likely * target * known).sum()
    total = ((likely + target) * known).sum()
    dice = 1 - (2 * both + _DICE_PIXELS) / (total + _DICE_PIXELS)
    return _ENTROPY_WEIGHT * (entropy * focus).sum() / known.sum().clamp(min=1) + dice


@torch.no_grad()
def measure_damage(
    network: DamageNetwork, batches: Sequence[DamageBatch], device: torch.device
) -> dict[str, float]:
    """Loss, and what is found from probability 0.5 on.

    Returns:
        "loss"; "recall" and "precision" over pixels; "marked": the share of crops without damage
        in which any pixel is found.
    """
    losses, hits, found, damaged, marked = [], 0.0, 0.0, 0.0, []
    for batch in batches:
        given = batch.to(device)
        log_odds = log_odds_of(network, given.pictures)
        losses.append(float(damage_loss(log_odds, given.labels)))
        target, known = given.labels == DAMAGED, given.labels != EITHER
        positive = (log_odds > 0) & known
        hits += float((positive & target).sum())
        found += float(positive.sum())
        damaged += float(target.sum())
        whole = ~target.flatten(1).any(1)
        marked += positive.flatten(1).any(1)[whole].tolist()
    return {
        "loss": round(float(np.mean(losses)), 5),
        "recall": round(hits / max(damaged, 1), 4),
        "precision": round(hits / max(found, 1), 4),
        "marked": round(float(np.mean(marked)) if marked else 0.0, 4),
    }


def train(
    run: Run,
    sources: Sources,
    held_out: Sequence[DamageBatch],
    now: Callable[[], float] = time.monotonic,
    stop: Callable[[], bool] = lambda: False,
) -> None:
    """Train until the plan's time is over or `stop` returns True, then save.

    A run that was stopped saves at once and is not validated.

    Args:
        run: The run to train.
        sources: Photographs to train on.
        held_out: Prints of photographs of other sources, to validate on.
        now: Clock of the plan's time, in seconds.
        stop: Called before every step.
    """

    def draw(step: int) -> DamageBatch:
        rng = np.random.default_rng((run.progress.seed, step))
        return draw_batch(sources, run.plan.batch, rng)

    batches = drawn_ahead(draw, run.progress.step, run.plan.workers)

    def step() -> None:
        run.step(next(batches))

    def losses() -> dict[str, object]:
        return {"loss": run.take_loss()}

    train_until(run, step, losses, lambda: run.validate(held_out), now=now, stop=stop)


def held_out_batches(sources: Sources, count: int, batch: int) -> list[DamageBatch]:
    """Batches of prints to validate on, the same in every run."""
    return [draw_batch(sources, batch, np.random.default_rng((1, k))) for k in range(count)]


def read_weights(path: Path) -> DamageNetwork:
    """A network with the weights of a file in the form that ships."""
    network = DamageNetwork()
    network.load_state_dict({name: one.float() for name, one in load_file(path).items()})
    return network


def write_weights(network: DamageNetwork, path: Path) -> None:
    """Write weights as they ship, in float16."""
    state = network.state_dict()
    save_file({name: one.half().cpu().contiguous() for name, one in state.items()}, path)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    options = _parser().parse_args(arguments)
    begin(options)
    plan = Plan(60 * options.minutes, options.hold, options.lr, options.batch, options.workers)
    device = torch.device(options.device)
    run = Run(read_weights(options.init), plan, options.out, Progress(seed=options.seed), device)
    if options.resume and (options.out / FILE).exists():
        run.load()
    stop = stop_on_sigterm()
    sources, others = (
        load_sources(source_paths(options.photos, held_out=part), KEPT_PX, SHORTEST_PX)
        for part in (False, True)
    )
    held_out = held_out_batches(others, options.validate, plan.batch)
    count = sum(map(len, sources.photographs))
    print(f"{count} photographs of {len(sources.names)} sources, {len(others.names)} held out")
    if run.progress.step == 0:
        run.validate(held_out)
    train(run, sources, held_out, stop=stop)


def _parser() -> argparse.ArgumentParser:
    parser = run_parser("damage_network", __doc__, hold=Plan.hold)
    add = parser.add_argument
    add("--photos", type=Path, nargs="+", required=True, help="folders of photographs")
    add("--init", type=Path, default=WEIGHTS / DAMAGE / "damage.safetensors")
    add("--lr", type=float, default=Plan.lr)
    add("--batch", type=int, default=Plan.batch)
    add("--validate", type=int, default=12, help="batches to validate on")
    add("--workers", type=int, default=Plan.workers, help="processes that draw examples")
    add("--device", default="cpu", help="cpu, or cuda")
    return parser


if __name__ == "__main__":
    main()
