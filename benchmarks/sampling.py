"""Measures the samplers' constants: `python -m benchmarks.sampling --photos DIR [PART...]`.

It uses the validation split of the photographs (see training/README.md) and prints Markdown tables:
what realism trades, what steps, angles and fresh noise do, what the frames between two photographs
look like, and what restyling makes of blocks.

Gradient energy is the mean square of the differences between neighbouring pixels' luminance. It
stands for sharpness and is given in per cent of the true picture's.
"""

import argparse
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from statistics import mean
from unittest.mock import patch

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from benchmarks.restoring import Pixels, restore
from daemon.config.steps import (
    Denoise,
    Interpolate,
    Restyle,
    SamplerName,
    SpacingName,
    Step,
    SuperResolve,
)
from daemon.restorers import denoise, interpolate, super_resolve
from training.damage import jpeg, reduce
from training.train import held_out_pictures
from training.validation import psnr

_SIDE_PX = 160
_BLOCK_PX = 8
_BICUBIC = Image.Resampling.BICUBIC


@dataclass(frozen=True)
class Damage:
    """A kind of damage and the step that undoes it.

    Attributes:
        name: Name in the tables.
        apply: Damages clean pixels.
        step: Makes the step from a realism and a number of evaluations.
    """

    name: str
    apply: Callable[[Pixels], Pixels]
    step: Callable[[float, int | None], Step]


def _restyle(strength: float, realism: float, count: int | None) -> Step:
    return Restyle(strength=strength, steps=count)


DAMAGES = (
    Damage(
        "noise, sigma 25",
        lambda truth: _noisy(truth, 25),
        lambda r, n: Denoise(mode="gaussian", sigma=25, realism=r, steps=n),
    ),
    Damage("blind, JPEG 20", lambda truth: jpeg(truth, 20), lambda r, n: _blind(r, n)),
    Damage("blind, noise 15", lambda truth: _noisy(truth, 15), lambda r, n: _blind(r, n)),
    Damage("x2", lambda truth: reduce(truth, 2, _BICUBIC), lambda r, n: _larger(2, r, n)),
    Damage("x4", lambda truth: reduce(truth, 4, _BICUBIC), lambda r, n: _larger(4, r, n)),
)


RESTYLES = tuple(
    Damage(f"restyle {strength:g}", np.copy, partial(_restyle, strength))
    for strength in (0.2, 0.3, 0.4, 0.5, 0.6)
)
"""Photographs that are only taken to noise and back: what is lost of them is the sampler's."""

SAMPLER_GRID: tuple[tuple[SamplerName, SpacingName], ...] = (
    ("ancestral", "even"),
    ("ancestral", "late"),
    ("dpmpp-2m", "even"),
    ("dpmpp-2m", "late"),
    ("dpmpp-2m-sde", "late"),
)


def dial(pictures: Sequence[Pixels]) -> Iterator[str]:
    """PSNR and gradient energy by realism."""
    realisms = (0.0, 0.25, 0.5, 0.75, 1.0)
    yield f"| damage | {' | '.join(f'r. {realism:g}' for realism in realisms)} |"
    yield "|---" * (1 + len(realisms)) + "|"
    for damage in DAMAGES:
        cells = [_cell(damage, pictures, realism, None) for realism in realisms]
        yield f"| {damage.name} | {' | '.join(cells)} |"


def steps(pictures: Sequence[Pixels]) -> Iterator[str]:
    """Samples of realism 1 by number of evaluations."""
    counts = (4, 8, 12, 24)
    yield f"| sample of | {' | '.join(f'{count} steps' for count in counts)} |"
    yield "|---" * (1 + len(counts)) + "|"
    for damage in DAMAGES:
        cells = [_cell(damage, pictures, 1.0, count) for count in counts]
        yield f"| {damage.name} | {' | '.join(cells)} |"


def starts(pictures: Sequence[Pixels]) -> Iterator[str]:
    """Samples of realism 1 by the angle to which noise is added to the mean."""
    angles = (0.4, 0.6, 0.8, 1.0, 1.2, 1.4)
    yield f"| sample of | {' | '.join(f'from {angle:g}' for angle in angles)} |"
    yield "|---" * (1 + len(angles)) + "|"
    for damage in DAMAGES[1:]:
        cells = []
        for angle in angles:
            with (
                patch.object(denoise, "BLIND_START", angle),
                patch.dict(super_resolve.STARTS, {"prior": angle}),
            ):
                cells.append(_cell(damage, pictures, 1.0, None))
        yield f"| {damage.name} | {' | '.join(cells)} |"


def excesses(pictures: Sequence[Pixels]) -> Iterator[str]:
    """Enlargements of realism 1 by the factor of each step's fresh noise."""
    factors = (1.0, 1.01, 1.02, 1.03)
    yield f"| sample of | {' | '.join(f'excess {factor:g}' for factor in factors)} |"
    yield "|---" * (1 + len(factors)) + "|"
    for damage in DAMAGES[-2:]:
        cells = []
        for factor in factors:
            with patch.object(super_resolve, "S_NOISE", factor):
                cells.append(_cell(damage, pictures, 1.0, None))
        yield f"| {damage.name} | {' | '.join(cells)} |"


def samplers(pictures: Sequence[Pixels]) -> Iterator[str]:
    """Samples of realism 1, and photographs restyled, by sampler and spacing."""
    yield f"| sample of | {' | '.join(f'{one}, {spacing}' for one, spacing in SAMPLER_GRID)} |"
    yield "|---" * (1 + len(SAMPLER_GRID)) + "|"
    for damage in (*DAMAGES, *RESTYLES):
        cells = [
            _cell(replace_step(damage, sampler=sampler, spacing=spacing), pictures, 1.0, None)
            for sampler, spacing in SAMPLER_GRID
        ]
        yield f"| {damage.name} | {' | '.join(cells)} |"


def replace_step(damage: Damage, **keys: object) -> Damage:
    """The same damage, undone by a step with other keys."""
    return replace(damage, step=lambda r, n: damage.step(r, n).model_copy(update=keys))


def middles(pictures: Sequence[Pixels]) -> Iterator[str]:
    """The frame half-way between two photographs, beside their cross-fade."""
    yield "| strength, steps | energy, % of the ends' | least | cross-fade | dB from the fade |"
    yield "|---|---|---|---|---|"
    pairs = list(pairwise(pictures))
    fades = [((a.astype(np.float64) + b) / 2).round().astype(np.uint8) for a, b in pairs]
    ends = [(energy(a) + energy(b)) / 2 for a, b in pairs]
    faded = mean(100 * energy(fade) / end for fade, end in zip(fades, ends, strict=True))
    for strength in (0.3, 0.4, 0.5, 0.6, 0.7):
        step = Interpolate(frames=3, strength=strength)
        frames = [restore(step, a, b)[1] for a, b in pairs]
        shares = [100 * energy(frame) / end for frame, end in zip(frames, ends, strict=True)]
        apart = mean(psnr(frame, fade) for frame, fade in zip(frames, fades, strict=True))
        title = f"{strength:g}, {interpolate.STEPS}"
        yield f"| {title} | {mean(shares):.0f} | {min(shares):.0f} | {faded:.0f} | {apart:.1f} |"


def strokes(pictures: Sequence[Pixels]) -> Iterator[str]:
    """Blocks of 8 px, restyled: gradients within the blocks and across their borders."""
    yield "| strength, sampler | inside, % of the truth's | across, % | dB from the truth |"
    yield "|---|---|---|---|"
    blocks = [_blocks(one) for one in pictures]
    yield _stroke_row("the blocks", pictures, blocks)
    for strength in (0.3, 0.4, 0.5, 0.6):
        for sampler, spacing in SAMPLER_GRID:
            step = Restyle(strength=strength, sampler=sampler, spacing=spacing)
            results = [restore(step, one)[0] for one in blocks]
            yield _stroke_row(f"{strength:g}, {sampler}, {spacing}", pictures, results)


PARTS = {
    function.__name__: function
    for function in (dial, steps, starts, excesses, samplers, middles, strokes)
}


def energy(pixels: Pixels) -> float:
    """Mean square of the differences of neighbouring pixels' luminance."""
    across, down = _differences(pixels)
    return float(np.square(across).mean() + np.square(down).mean())


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sampling", description=__doc__)
    parser.add_argument("--photos", type=Path, required=True, help="folder of photographs")
    parser.add_argument(
        "--count", type=int, default=12, help="number of squares to measure, at most"
    )
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument(
        "parts", nargs="*", default=list(PARTS), help=f"what to measure: {', '.join(PARTS)}"
    )
    options = parser.parse_args(arguments)
    if unknown := set(options.parts) - set(PARTS):
        parser.error(f"no part {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    torch.set_num_threads(options.threads)
    pictures = held_out_pictures(options.photos)
    squares = [_middle(one) for one in pictures if min(one.shape[:2]) >= _SIDE_PX][: options.count]
    for name in options.parts:
        began = time.monotonic()
        print(f"\n## {name}\n", flush=True)
        for line in PARTS[name](squares):
            print(line, flush=True)
        print(f"\n{time.monotonic() - began:.0f} s")


def _cell(damage: Damage, pictures: Sequence[Pixels], realism: float, count: int | None) -> str:
    step = damage.step(realism, count)
    results = [restore(step, damage.apply(truth))[0] for truth in pictures]
    decibels = mean(psnr(one, truth) for one, truth in zip(results, pictures, strict=True))
    shares = [
        100 * energy(one) / energy(truth) for one, truth in zip(results, pictures, strict=True)
    ]
    return f"{decibels:.2f} dB, {mean(shares):.0f} %"


def _stroke_row(title: str, truths: Sequence[Pixels], results: Sequence[Pixels]) -> str:
    inside, across = [], []
    for truth, result in zip(truths, results, strict=True):
        (own_in, own_across), (true_in, true_across) = _by_blocks(result), _by_blocks(truth)
        inside.append(100 * own_in / true_in)
        across.append(100 * own_across / true_across)
    apart = mean(psnr(one, truth) for one, truth in zip(results, truths, strict=True))
    return f"| {title} | {mean(inside):.0f} | {mean(across):.0f} | {apart:.2f} |"


def _by_blocks(pixels: Pixels) -> tuple[float, float]:
    """Mean squares of horizontal differences, within the blocks and across their borders."""
    squares = np.square(_differences(pixels)[0])
    border = np.arange(squares.shape[1]) % _BLOCK_PX == _BLOCK_PX - 1
    return float(squares[:, ~border].mean()), float(squares[:, border].mean())


def _differences(pixels: Pixels) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    light = pixels.astype(np.float64) @ np.array([0.299, 0.587, 0.114])
    return np.diff(light, axis=1), np.diff(light, axis=0)


def _blocks(truth: Pixels) -> Pixels:
    height, width = truth.shape[:2]
    small = Image.fromarray(truth).reduce(_BLOCK_PX)
    return np.asarray(small.resize((width, height), Image.Resampling.NEAREST))


def _noisy(truth: Pixels, sigma: float) -> Pixels:
    noisy = truth + sigma * np.random.default_rng(0).standard_normal(truth.shape)
    return np.clip(np.rint(noisy), 0, 255).astype(np.uint8)


def _blind(realism: float, count: int | None) -> Denoise:
    return Denoise(mode="blind", realism=realism, steps=count)


def _larger(scale: int, realism: float, count: int | None) -> SuperResolve:
    return SuperResolve.model_validate({"scale": scale, "realism": realism, "steps": count})


def _middle(pixels: Pixels) -> Pixels:
    """The square in the middle, whose side is a multiple of the blocks and of every scale."""
    top, left = ((length - _SIDE_PX) // 2 for length in pixels.shape[:2])
    return np.ascontiguousarray(pixels[top : top + _SIDE_PX, left : left + _SIDE_PX])


if __name__ == "__main__":
    main()
