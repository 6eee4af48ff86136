"""Measures how the engine batches the steps of a Stable Diffusion, against diffusers itself.

    python -m benchmarks.batching                       # two minutes on two cores
    python -m benchmarks.batching --photographs 8 --steps 50 --pixels 4194304

A small Stable Diffusion with random weights is made on the spot. Photographs are restyled by it;
one more comes while they are being sampled. Beside them stand diffusers' own image-to-image
pipeline, picture by picture, and in one batch of one strength, which knows all of them beforehand.
"""

import argparse
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean
from typing import Any

import torch
from PIL import Image

from benchmarks.measuring import Row, crop, machine, markdown_table, photographs
from benchmarks.tiny_stable import save_tiny_stable
from daemon.config.recipe import Recipe
from daemon.config.steps import Restyle
from daemon.engine.device import ForwardPass
from daemon.engine.engine import Engine
from daemon.engine.hardware import pick_device
from daemon.executors.process_env import tune_process
from daemon.messages.reports import ModelLoaded, Report, Restored
from daemon.messages.tasks import Compute, Job, ModelOptions, RestoreTask, job_id, seed_of
from daemon.photo import Header, Photo

STRENGTH = 0.6
PROMPT = "an old photograph"


@dataclass(frozen=True)
class Plan:
    """What is measured.

    Attributes:
        checkpoint: Folder of the Stable Diffusion.
        folder: Where photographs and results go.
        count: Photographs in flight when the newcomer comes.
        steps: Their steps.
        newcomer_steps: Its steps.
        size_px: Side of all of them.
        pixels: Pixels of a pass; None takes the device's own number.
        dtype: Precision of the weights.
    """

    checkpoint: Path
    folder: Path
    count: int
    steps: int
    newcomer_steps: int
    size_px: int
    pixels: int | None
    dtype: Any = "auto"

    def task(self, number: int, steps: int, name: str, guidance: float) -> RestoreTask:
        """A photograph to be restyled."""
        step = Restyle(
            strength=STRENGTH,
            steps=steps,
            model=str(self.checkpoint),
            prompt=PROMPT,
            guidance=guidance,
        )
        recipe = Recipe(name=name, steps=(step,))
        path = self.folder / f"{name}-{number}.png"
        Image.fromarray(crop(photographs(), self.size_px, number)).save(path, compress_level=1)
        header = Header("PNG", self.size_px, self.size_px, "RGB")
        key = job_id(recipe, (), bytes(path), str(number))
        photo = Photo(path, path.name, str(number), header)
        job = Job(key, recipe, (photo,), path.stem, seed_of(key), ("0" * 64,) * len(recipe.models))
        staging = self.folder / f"staging-{name}-{number}"
        staging.mkdir()
        return RestoreTask(job, number, staging)


@dataclass
class Observed:
    """What an engine did.

    Attributes:
        passes: Its passes.
        ended_s: When each task ended, in seconds after the first was submitted.
        newcomer_s: When the newcomer was submitted.
    """

    passes: list[ForwardPass]
    ended_s: dict[int, float]
    newcomer_s: float = 0.0


NEWCOMER = 1000


def by_engine(plan: Plan, name: str, *, newcomer: bool = False) -> Observed:
    """Let the engine restyle the photographs, and one more that comes at a quarter of the way."""
    observed = Observed([], {})
    done, under_way = threading.Event(), threading.Event()
    wanted = plan.count + newcomer
    began = 0.0

    def on_report(report: Report) -> None:
        if isinstance(report, ModelLoaded):
            return
        if not isinstance(report, Restored):
            raise RuntimeError(f"a photograph was not restored: {report}")
        observed.ended_s[report.fence] = time.monotonic() - began
        if len(observed.ended_s) == wanted:
            done.set()

    def on_pass(one: ForwardPass) -> None:
        observed.passes.append(one)
        if sum(p.key.operation == "predict" for p in observed.passes) >= plan.steps // 4:
            under_way.set()

    compute = Compute(options=ModelOptions(dtype=plan.dtype))
    engine = Engine(compute, on_report, on_pass=on_pass, pixels=plan.pixels)
    engine.load((str(plan.checkpoint),))
    thread = threading.Thread(target=engine.run, name="engine", daemon=True)
    thread.start()
    tasks = [plan.task(k, plan.steps, name, 1.0) for k in range(plan.count)]
    late = plan.task(NEWCOMER, plan.newcomer_steps, name, 5.0) if newcomer else None
    began = time.monotonic()
    for task in tasks:
        engine.submit(task)
    if late is not None:
        under_way.wait()
        observed.newcomer_s = time.monotonic() - began
        engine.submit(late)
    while not done.wait(1.0):
        if not thread.is_alive():
            raise RuntimeError("the engine ended early")
    engine.stop(0)
    thread.join()
    return observed


def by_diffusers(plan: Plan, batch: int) -> float:
    """Seconds that diffusers' own pipeline takes for the photographs in batches of a size."""
    import diffusers

    libraries: Any = diffusers  # untyped
    device = pick_device("auto")
    dtype = torch.float32 if device == "cpu" else torch.float16
    pipeline = libraries.StableDiffusionImg2ImgPipeline.from_pretrained(
        plan.checkpoint, torch_dtype=dtype, safety_checker=None
    ).to(device)
    pipeline.set_progress_bar_config(disable=True)
    pictures = [
        Image.fromarray(crop(photographs(), plan.size_px, number)) for number in range(plan.count)
    ]
    # The pipeline runs `strength` of the steps that it is given.
    arguments = {"strength": STRENGTH, "num_inference_steps": round(plan.steps / STRENGTH)}
    began = time.monotonic()
    for first in range(0, plan.count, batch):
        part = pictures[first : first + batch]
        results = pipeline(
            prompt=[PROMPT] * len(part), image=part, guidance_scale=1.0, **arguments
        ).images
        for number, result in enumerate(results, first):
            result.save(plan.folder / f"diffusers-{batch}-{number}.png", compress_level=1)
    return time.monotonic() - began


def rows_of_table(plan: Plan) -> list[Row]:
    """Measure everything."""
    by_engine(replace(plan, count=1, steps=2), "warm")  # warms what is cached
    alone, joined = by_engine(plan, "alone"), by_engine(plan, "joined", newcomer=True)
    one_by_one, in_one = by_diffusers(plan, 1), by_diffusers(plan, plan.count)
    others_s = max(alone.ended_s.values())
    others_joined_s = max(s for fence, s in joined.ended_s.items() if fence != NEWCOMER)
    latency_s = joined.ended_s[NEWCOMER] - joined.newcomer_s
    what = f"{plan.count} photographs of {plan.size_px} px, {plan.steps} steps"
    steps = [one for one in joined.passes if one.key.operation == "predict"]
    its = [one for one in steps if any(m.fence == NEWCOMER for m in one.members)]
    shared = sum(len(one.members) > 1 for one in its)
    rows = [sum(1 + (m.fence == NEWCOMER) for m in one.members) for one in steps]
    sizes = ", ".join(f"{size}: {count}" for size, count in sorted(Counter(rows).items()))
    kinds = Counter(one.key.operation for one in joined.passes)
    return [
        Row(f"wall time, {what}: engine", f"{others_s:.2f} s"),
        Row("diffusers, one by one", f"{one_by_one:.2f} s ({one_by_one / others_s:.2f}x)"),
        Row("diffusers, one batch", f"{in_one:.2f} s ({in_one / others_s:.2f}x)"),
        Row(
            f"a guided newcomer of {plan.newcomer_steps} steps at a quarter: its latency",
            f"{latency_s:.2f} s",
        ),
        Row("its steps that shared a pass", f"{shared} of {len(its)}"),
        Row("the others with it against without it", f"{others_joined_s / others_s:.2f}x"),
        Row("passes by operation", ", ".join(f"{k} {n}" for k, n in sorted(kinds.items()))),
        Row("rows in a pass of the UNet: passes of each size", sizes),
        Row("mean rows in a pass, cap", f"{mean(rows):.2f}, {steps[0].cap}"),
    ]


def main(arguments: Sequence[str]) -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description="Measure the batching of a Stable Diffusion.")
    add = parser.add_argument
    add("--photographs", type=int, default=4, help="photographs in flight")
    add("--steps", type=int, default=120, help="their steps")
    add("--newcomer-steps", type=int, default=30, help="steps of the one that comes later")
    add("--size", type=int, default=128, help="side of the photographs in pixels")
    add("--width", type=int, default=32, help="features of the networks")
    add("--pixels", type=int, default=None, help="pixels of a pass")
    add("--dtype", default="fp32", choices=("auto", "bf16", "fp16", "fp32"))
    options = parser.parse_args(arguments)
    tune_process(None)
    with tempfile.TemporaryDirectory(prefix="restored-batching-") as folder:
        scratch = Path(folder)
        checkpoint = save_tiny_stable(scratch / "stable", options.size, options.width)
        plan = Plan(
            checkpoint,
            scratch,
            options.photographs,
            options.steps,
            options.newcomer_steps,
            options.size,
            options.pixels,
            options.dtype,
        )
        rows = rows_of_table(plan)
    print(markdown_table(rows))
    print(machine("python -m benchmarks.batching"))


if __name__ == "__main__":
    main(sys.argv[1:])
