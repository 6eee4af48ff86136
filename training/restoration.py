"""Trains a restoration network: `python -m training.restoration --photos DIR --out RUN`.

    python -m training.restoration --photos DIR --out RUN --tasks x2,x3,x4 --minutes 60
    python -m training.restoration --photos DIR --out RUN --tasks noise,blind,deblur --minutes 60
    python -m training.restoration ... --minutes 90 --resume

It goes on from the weights that ship, unless `--init` names others or is `none`. RUN holds
checkpoint.safetensors (`--resume` goes on from it), log.jsonl, curves.png, and
average.safetensors: the averaged weights in the form that ships. All damage is made on the device
that trains, in batches; step N of a seed draws the same wherever and whenever it runs. `--minutes`
counts the time of the process on a CPU, so that other work takes no steps away, and wall time on a
GPU.
"""

import argparse
import copy
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from daemon.checkpoints.library import WEIGHTS
from daemon.config.model_reference import RESTORATION
from daemon.models.restoration import write_network
from daemon.models.restoration_network import TASKS, RestorationNetwork, RestorationTask
from training.checkpoint import FILE, Progress, load_checkpoint, save_checkpoint, update_average
from training.command_line import begin, run_parser
from training.crop_store import CropStore
from training.loop import stop_on_sigterm
from training.optimiser import make_optimisers, rate_share, set_rate
from training.photos import Pixels, load_pyramids, photo_paths
from training.plot import draw_curves
from training.restoration_examples import BINS, CROPS, Examples, SmallPictures, draw_examples
from training.restoration_validation import measure_restoration
from training.run_log import append_line
from training.torch_damage import Damager
from training.train import held_out_pictures

AVERAGE = "average.safetensors"

NETWORKS: Mapping[tuple[RestorationTask, ...], str] = {
    ("x2", "x3", "x4"): "enlargement",
    ("noise", "blind", "deblur"): "repair",
}
"""Names of the networks that ship, by their tasks; a network for each group learns faster."""

_STEPS_PER_SEED = 10_000_000
_FLOOR = 1e-6
"""Square of the Charbonnier loss's rounding, in units of [-1, 1]."""


@dataclass(frozen=True)
class Plan:
    """Settings of a run.

    Attributes:
        total_s: Seconds of training, all sessions together; the rates reach 0 at their end.
        hold: Share of the time until the rates begin to fall.
        squared_from: Share of the time from which errors are squared: absolute errors learn
            faster, squared ones end at the mean rather than the median.
        muon_lr, adamw_lr: Full rates of the trunk's convolutions and of the rest.
        average: Decay of the averaged weights per step.
        crops: Times the crops of a step; 12 fills an H100.
        small: What small pictures have gone through.
        checkpoint_s, validate_s: Seconds between checkpoints and between validations.
        log_steps: Steps averaged into one line of the log.
    """

    total_s: float
    hold: float = 0.3
    squared_from: float = 0.75
    muon_lr: float = 1e-2
    adamw_lr: float = 1.6e-3
    average: float = 0.999
    crops: float = 1.0
    small: SmallPictures = field(default_factory=SmallPictures)
    checkpoint_s: float = 300.0
    validate_s: float = 900.0
    log_steps: int = 100


class ErrorScales(nn.Module):
    """Running means of the errors of each kind of example, so that all kinds weigh alike."""

    absolute: Tensor
    squared: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("absolute", torch.full((BINS,), 0.05))
        self.register_buffer("squared", torch.full((BINS,), 0.005))

    def forward(self, means: Sequence[Tensor], examples: Examples, *, squared: bool) -> Tensor:
        """Loss of a step: errors over their running means, which learn of it."""
        pairs = zip(means, examples.clean, strict=True)
        squares = [(mean - clean).square() for mean, clean in pairs]
        absolute = torch.cat([(one + _FLOOR).sqrt().mean((1, 2, 3)) for one in squares])
        square = torch.cat([one.mean((1, 2, 3)) for one in squares])
        _follow(self.absolute, absolute.detach(), examples.bins)
        _follow(self.squared, square.detach(), examples.bins)
        error, scale = (square, self.squared) if squared else (absolute, self.absolute)
        return (error / scale[examples.bins]).mean()


def _follow(scale: Tensor, errors: Tensor, bins: Tensor) -> None:
    """Move running means a little towards the errors of this step."""
    total = torch.zeros_like(scale).index_add_(0, bins, errors)
    count = torch.zeros_like(scale).index_add_(0, bins, torch.ones_like(errors))
    scale.copy_(torch.where(count > 0, scale.lerp(total / count.clamp(min=1), 0.02), scale))


@dataclass
class Run:
    """A restoration network in training, with its averaged weights and its optimisers.

    Attributes:
        network: The network in training.
        plan: Settings of the run.
        out: Folder of the run.
        progress: How far it has come.
        device: Where it is trained.
    """

    network: RestorationNetwork
    plan: Plan
    out: Path
    progress: Progress
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    def __post_init__(self) -> None:
        self.network.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = copy.deepcopy(self.network).requires_grad_(False)
        self.scales = ErrorScales().to(self.device)
        plan = self.plan
        self.optimisers = make_optimisers(self.network, nn.Module(), plan.muon_lr, plan.adamw_lr)
        self.crops = {task: max(1, round(CROPS[task] * plan.crops)) for task in self.network.tasks}
        self._loss = torch.zeros((), device=self.device)

    def save(self) -> None:
        """Write the checkpoint, and the averaged weights as they ship."""
        save_checkpoint(self.out, self.progress, self._modules(), self.optimisers)
        write_network(self.average, self.out / AVERAGE)

    def load(self) -> None:
        """Continue from the checkpoint."""
        self.progress = load_checkpoint(self.out, self._modules(), self.optimisers)

    def step(self, store: CropStore) -> None:
        """Take one optimiser step, at the rate for the time trained so far."""
        plan, progress = self.plan, self.progress
        set_rate(self.optimisers, rate_share(progress.trained_s, plan.total_s, plan.hold))
        damager = Damager(progress.seed * _STEPS_PER_SEED + progress.step, self.device)
        examples = draw_examples(store, self.crops, damager, plan.small)
        with torch.autocast(self.device.type, torch.bfloat16):
            means = self.network(examples.batches)
        squared = progress.trained_s > plan.squared_from * plan.total_s
        loss = self.scales(means, examples, squared=squared)
        loss.backward()
        for optimiser in self.optimisers.values():
            optimiser.step()
            optimiser.zero_grad()
        decay = min(plan.average, (1 + progress.step) / (10 + progress.step))
        update_average(self.average, self.network, decay)
        self._loss += loss.detach()
        self.progress = replace(progress, step=progress.step + 1)

    def log(self) -> None:
        """Append the mean loss since the last line: the only time that a step's result is read."""
        loss = float(self._loss) / self.plan.log_steps
        append_line(self.out, self.progress, {"losses": {"all": round(loss, 5)}})
        self._loss.zero_()

    def validate(self, held_out: Sequence[Pixels]) -> None:
        """Measure the averaged weights on held-out photographs."""
        measures = measure_restoration(self.average, held_out)
        append_line(self.out, self.progress, {"validation": measures})

    def _modules(self) -> dict[str, nn.Module]:
        return {"network": self.network, "average": self.average, "scales": self.scales}


def train(
    run: Run,
    store: CropStore,
    held_out: Sequence[Pixels],
    now: Callable[[], float] = time.process_time,
    stop: Callable[[], bool] = lambda: False,
) -> None:
    """Train until the plan's time is over or `stop` returns True, then save.

    A run that was stopped saves at once and is not validated. Validations cost no training time.

    Args:
        run: The run to train.
        store: Photographs to train on.
        held_out: Other photographs, to validate on.
        now: Clock of the plan's time, in seconds.
        stop: Called before every step.
    """
    plan = run.plan
    last = now()
    saved = validated = run.progress.trained_s
    while run.progress.trained_s < plan.total_s and not stop():
        run.step(store)
        moment = now()
        trained = run.progress.trained_s + moment - last
        run.progress = replace(run.progress, trained_s=trained)
        if run.progress.step % plan.log_steps == 0:
            run.log()
        if trained - saved >= plan.checkpoint_s:
            run.save()
            saved = trained
        if trained - validated >= plan.validate_s:
            run.validate(held_out)
            validated, moment = trained, now()
        last = moment
    run.save()
    if not stop():
        run.validate(held_out)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    options = _parser().parse_args(arguments)
    begin(options)
    device = torch.device(options.device)
    network = beginning(options.tasks, options.init, options.channels, options.blocks)
    small = SmallPictures(options.blurred, options.compressed)
    plan = Plan(
        60 * options.minutes,
        options.hold,
        options.squared_from,
        options.muon_lr,
        options.adamw_lr,
        crops=options.crops,
        small=small,
    )
    run = Run(network, plan, options.out, Progress(seed=options.seed), device)
    if options.resume and (options.out / FILE).exists():
        run.load()
    stop = stop_on_sigterm()
    paths = photo_paths(options.photos, validation=False)
    store = CropStore(load_pyramids(paths, os.cpu_count() or 2), device)
    held_out = held_out_pictures(options.photos)
    if run.progress.step == 0:
        run.validate(held_out)
    now = time.process_time if device.type == "cpu" else time.monotonic
    train(run, store, held_out, now, stop=stop)
    draw_curves(options.out / "log.jsonl", options.out / "curves.png")


def beginning(
    tasks: tuple[RestorationTask, ...], init: str, channels: int, blocks: int
) -> RestorationNetwork:
    """The network to begin with: fresh, from a file, or that which ships for these tasks.

    Tasks that the weights know and the network does not are left out.
    """
    network = RestorationNetwork(tasks, channels, blocks)
    if init == "none":
        return network
    name = next((name for served, name in NETWORKS.items() if set(tasks) <= set(served)), "")
    weights = load_file(init or WEIGHTS / RESTORATION / f"{name}.safetensors")
    if "deblur" in tasks:
        weights = _with_deblur(weights)
    left_out = [
        f"{part}.{task}." for part in ("stems", "heads") for task in TASKS if task not in tasks
    ]
    network.load_state_dict(
        {key: weight for key, weight in weights.items() if not key.startswith(tuple(left_out))}
    )
    return network


def _with_deblur(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """The weights, with a stem and a head for `deblur` if they have none.

    It begins as what it is most like: it is told a level as `noise` is, and adds to the picture
    what is missing as `blind` does.
    """
    result = dict(weights)
    for part, like in (("stems", "noise"), ("heads", "blind")):
        for name in ("weight", "bias"):
            key = f"{part}.deblur.{name}"
            result.setdefault(key, weights[f"{part}.{like}.{name}"])
    return result


def _tasks(text: str) -> tuple[RestorationTask, ...]:
    tasks = tuple(task for task in CROPS if task in text.split(","))
    if not tasks or len(tasks) != len(text.split(",")):
        raise argparse.ArgumentTypeError(f"{text!r}: name some of {', '.join(CROPS)}")
    return tasks


def _parser() -> argparse.ArgumentParser:
    parser = run_parser("restoration", __doc__, hold=Plan.hold, threads=1)
    add = parser.add_argument
    add("--photos", type=Path, required=True, help="folder of photographs")
    add(
        "--tasks",
        type=_tasks,
        default="x2,x3,x4",
        help="x2,x3,x4, or noise,blind,deblur",
    )
    add("--init", default="", help="weights to begin with; none: from nothing")
    add("--channels", type=int, default=64, help="features of the trunk")
    add("--blocks", type=int, default=5, help="blocks of the trunk")
    add("--blurred", type=float, default=0.0, help="share of small pictures from blurred ones")
    add("--compressed", type=float, default=0.17, help="share of small pictures that are JPEG")
    add("--squared-from", type=float, default=Plan.squared_from)
    add("--muon-lr", type=float, default=Plan.muon_lr)
    add("--adamw-lr", type=float, default=Plan.adamw_lr)
    add("--crops", type=float, default=1.0, help="times the crops of a step; 12 on an H100")
    add("--device", default="cpu", help="cpu, or cuda")
    return parser


if __name__ == "__main__":
    main()
