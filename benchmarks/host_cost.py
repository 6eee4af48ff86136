"""Measures what the restorers' own arithmetic costs, the networks left out.

    python -m benchmarks.host_cost

Each recipe is run with few and with many steps on one thread, and every call is answered at once
with the same tensor. The difference is the cost of a step, in milliseconds of processor time for
each megapixel of the result; what is left is the cost of a photograph. 1024 px are exactly one
tile of the prior, 1536 px are four.
"""

import argparse
import sys
import time
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.measuring import Row, machine, markdown_table, photographs
from daemon.config.recipe import Recipe
from daemon.config.steps import Denoise, Inpaint, Restyle, Step, SuperResolve
from daemon.executors.process_env import tune_process
from daemon.models.calls import DenoiseCall, ModelCall, RestoreCall
from daemon.photo import Metadata, Picture
from daemon.restorers.chain import restore

FEW, MANY = 2, 10
"""Steps of the two runs whose difference is measured."""

STEPS: dict[str, Step] = {
    "restyle": Restyle(strength=0.4),
    "denoise": Denoise(mode="gaussian", sigma=25, realism=1),
    "denoise, blind": Denoise(realism=1),
    "super-resolve": SuperResolve(scale=2, realism=1),
    "super-resolve x4": SuperResolve(scale=4, realism=1),
    "inpaint": Inpaint(realism=1),
}


def cost(step: Step, pixels: NDArray[np.uint8]) -> float:
    """Seconds of this thread's processor time for one photograph, the answers left out."""
    mask = np.zeros(pixels.shape[:2], np.uint8)
    mask[::7] = 255
    picture = Picture(pixels, False, Metadata("PNG", "RGB"), mask=mask)
    answers: dict[tuple[int, ...], Tensor] = {}
    began = time.thread_time()
    generator = restore(Recipe(name="one", steps=(step,)), (picture,), 1)
    unpaid_s = 0.0
    try:
        calls = next(generator)
        while True:
            paused = time.thread_time()
            given = [_answer(call, answers) for call in calls]
            unpaid_s += time.thread_time() - paused
            calls = generator.send(given)
    except StopIteration:
        return time.thread_time() - began - unpaid_s


def _answer(call: ModelCall, answers: dict[tuple[int, ...], Tensor]) -> Tensor:
    match call:
        case DenoiseCall():
            shape = tuple(call.x_t.shape)
        case RestoreCall():
            _, height, width = call.picture.shape
            shape = (3, height * call.degradation.scale, width * call.degradation.scale)
        case other:
            raise TypeError(f"{type(other).__name__} is not asked for here")
    if shape not in answers:
        answers[shape] = torch.rand(shape) * 1.6 - 0.8
    return answers[shape]


def costs(name: str, size_px: int, rounds: int) -> tuple[float, float]:
    """Milliseconds for each step and megapixel, and for each megapixel beside the steps."""
    step = STEPS[name]
    scale = getattr(step, "scale", 1) if isinstance(step, SuperResolve) else 1
    source = photographs()[0]
    pixels = np.resize(source, (size_px // scale, size_px // scale, 3))
    few, many = (
        min(cost(step.model_copy(update={"steps": steps}), pixels) for _ in range(rounds))
        for steps in (FEW, MANY)
    )
    megapixels = size_px**2 / 1e6
    each = (many - few) / (MANY - FEW)
    return 1e3 * each / megapixels, 1e3 * (few - FEW * each) / megapixels


def main(arguments: Sequence[str]) -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description="Measure the arithmetic beside the networks.")
    add = parser.add_argument
    add("--sizes", type=int, nargs="+", default=(1024, 1536), help="sides of the results, in px")
    add("--recipes", nargs="+", default=tuple(STEPS), choices=tuple(STEPS))
    add("--rounds", type=int, default=3, help="runs, of which the quickest counts")
    options = parser.parse_args(arguments)
    tune_process(1)  # as the worker does: freed memory is kept
    torch.set_num_threads(1)
    rows = []
    for size_px in options.sizes:
        for name in options.recipes:
            each, rest = costs(name, size_px, options.rounds)
            row = Row(f"{name}, {size_px} px", f"{each:.1f} ms a step, {rest:.0f} ms beside", "25")
            print(f"{row.what}: {row.measured}", flush=True)
            rows.append(row)
    print(markdown_table(rows))
    print(machine("python -m benchmarks.host_cost"))


if __name__ == "__main__":
    main(sys.argv[1:])
