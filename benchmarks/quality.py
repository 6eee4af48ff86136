"""Compares the shipped networks with what a user would pick offline: PSNR, SSIM, seconds.

    python -m venv .venv-quality
    .venv-quality/bin/pip install -c constraints.txt -e . -r benchmarks/requirements-quality.txt
    .venv-quality/bin/python -m benchmarks.quality                  # scikit-image's photographs
    .venv-quality/bin/python -m benchmarks.quality --photos FOLDER  # any others

It damages clean photographs, and writes tables and a sheet of the photographs where restored does
best and worst beside the others. All programs get the same 8-bit pixels. Only restored, the
non-local means, BM3D and FFDNet are told the strength of the noise.
"""

import argparse
import math
import shlex
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, median

import numpy as np
from PIL import Image
from skimage import data
from skimage.color import deltaE_ciede2000, rgb2lab
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from benchmarks.contenders import (
    Contender,
    cleaners,
    colorizers,
    denoisers,
    enlargers,
    fillers,
    finders,
    refreshers,
)
from benchmarks.measuring import machine
from benchmarks.restoring import Pixels
from benchmarks.scratches import scratched, worn
from daemon.executors.process_env import tune_process
from daemon.photo.contact_sheet import Row, draw_sheet
from daemon.restorers.dye_fading import faded
from training.damage import jpeg
from training.fading import random_fading, scanned
from training.validation import colourfulness

PUBLIC = ("astronaut", "chelsea", "coffee", "rocket", "camera", "coins", "moon")
DOCS = Path(__file__).parents[1] / "docs"

_THUMBNAIL_PX = 256
_PANEL_PX = 160
_GREY = 5.0


@dataclass(frozen=True)
class Trial:
    """One kind of damage and the programs that repair it.

    Attributes:
        name: Heading of its table.
        damage: Makes the damaged picture from the true one and a random generator.
        contenders: Programs by name; "restored..." are ours, with their realism as "r.".
        prepare: Makes the true picture from a photograph; None leaves the photograph out.
        colour: Whether the table has columns for colourfulness and the difference of colours.
    """

    name: str
    damage: Callable[[Pixels, np.random.Generator], Pixels]
    contenders: Mapping[str, Contender]
    prepare: Callable[[Pixels], Pixels | None] = lambda pixels: pixels
    colour: bool = False


@dataclass(frozen=True)
class Score:
    """How good one result is.

    Attributes:
        psnr: Against the true picture, in dB.
        ssim: Against the true picture.
        seconds: Time that the program took; NaN if none did.
        result: The picture.
        ciede2000: Mean difference of its colours from the true ones; 1 can just be seen. NaN where
            the table does not show it.
    """

    psnr: float
    ssim: float
    seconds: float
    result: Pixels
    ciede2000: float = math.nan


def trials() -> list[Trial]:
    """All kinds of damage, each with its contenders."""
    noise = [
        Trial(f"Gaussian noise, sigma {sigma}", _noise(sigma), denoisers(sigma))
        for sigma in (15, 25, 50)
    ]
    scale = [Trial(f"Enlargement x{scale}", _reduced(scale), enlargers(scale)) for scale in (2, 4)]
    return [
        *noise,
        *scale,
        Trial("JPEG quality 20", _jpeg, cleaners()),
        Trial("Scratches, dust and a tear, with their mask", scratched, fillers()),
        Trial("Scratches and dust, to be found", worn, finders()),
        Trial("Faded colours and a cast", _faded, refreshers(), _coloured, colour=True),
        Trial("Colour from grey, 256 px", _grey, colorizers(), _coloured_thumbnail, colour=True),
    ]


def main(arguments: Sequence[str]) -> None:
    """Measure and write the page and the sheet."""
    options = _parser().parse_args(arguments)
    tune_process(None)
    photographs = _photographs(options.photos, options.longest)
    parts, rows = [], []
    for trial in (one for one in trials() if options.only in one.name):
        scores = {
            name: measured
            for name, pixels in photographs.items()
            if (measured := _scores(trial, pixels, options.without)) is not None
        }
        part = f"## {trial.name}\n\n{_table(scores, colour=trial.colour)}\n"
        print(part, flush=True)
        parts.append(part)
        rows += _extremes(trial.name, scores)
    command = shlex.join(["python", "-m", "benchmarks.quality", *arguments])
    options.sheet.parent.mkdir(parents=True, exist_ok=True)
    draw_sheet(rows, _PANEL_PX).save(options.sheet, quality=88)
    head = (
        "# Quality\n\n"
        f"Measured {machine(command)} Means over {len(photographs)} photographs, longest side "
        f"{options.longest} px: {', '.join(photographs)}. {options.remark}\n\n"
    )
    options.out.write_text(head + "\n".join(parts) + _commentary(options.out), encoding="utf-8")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Measure quality against other programs.")
    add = parser.add_argument
    add("--photos", type=Path, help="a folder of clean photographs instead of scikit-image's")
    add("--longest", type=int, default=480, help="longest side in px that they are reduced to")
    add(
        "--only",
        default="",
        help="measure only tables with this in their heading, such as Scratches",
    )
    add("--without", nargs="*", default=[], help="names of contenders to leave out")
    add("--remark", default="", help="what else the machine was doing")
    add("--out", type=Path, default=DOCS / "quality.md")
    add("--sheet", type=Path, default=DOCS / "quality.webp")
    return parser


def _commentary(page: Path) -> str:
    """The part of the page that people wrote, below the tables."""
    text = page.read_text("utf-8") if page.exists() else ""
    _, heading, commentary = text.partition("\n## What we see\n")
    return heading + commentary


def _photographs(folder: Path | None, longest: int) -> dict[str, Pixels]:
    if folder is None:
        found = {name: Image.fromarray(np.asarray(getattr(data, name)())) for name in PUBLIC}
    else:
        found = {path.stem: Image.open(path) for path in sorted(folder.iterdir())}
    return {name: _reduce_to(picture.convert("RGB"), longest) for name, picture in found.items()}


def _reduce_to(picture: Image.Image, longest: int) -> Pixels:
    """Reduce to a longest side, and crop to multiples of 8, which every scale divides."""
    picture.thumbnail((longest, longest), Image.Resampling.LANCZOS, reducing_gap=None)
    width, height = picture.width // 8 * 8, picture.height // 8 * 8
    return np.asarray(picture.crop((0, 0, width, height)))


def _scores(trial: Trial, photograph: Pixels, without: Sequence[str]) -> dict[str, Score] | None:
    truth = trial.prepare(photograph)
    if truth is None:
        return None
    given = trial.damage(truth, np.random.default_rng(0))
    scores = {}
    if given.shape == truth.shape:
        scores["given"] = _score(truth, given, math.nan, colour=trial.colour)
    for name, contender in trial.contenders.items():
        if name not in without:
            began = time.perf_counter()
            result = contender(given)
            seconds = time.perf_counter() - began
            scores[name] = _score(truth, result, seconds, colour=trial.colour)
    return scores | {"truth": Score(math.inf, 1.0, math.nan, truth, 0.0)}


def _score(truth: Pixels, result: Pixels, seconds: float, *, colour: bool) -> Score:
    psnr = float(peak_signal_noise_ratio(truth, result, data_range=255))
    ssim = float(structural_similarity(truth, result, channel_axis=2, data_range=255))
    return Score(psnr, ssim, seconds, result, ciede2000(truth, result) if colour else math.nan)


def ciede2000(truth: Pixels, result: Pixels) -> float:
    """Mean CIEDE2000 difference of two pictures' colours."""
    return float(deltaE_ciede2000(rgb2lab(truth), rgb2lab(result)).mean())


def _table(scores: Mapping[str, Mapping[str, Score]], *, colour: bool) -> str:
    rows = list(scores.values())
    titles = ["program", "PSNR, dB", "least", "SSIM", "seconds, median"]
    titles += ["CIEDE2000", "colourfulness"] * colour
    lines = [f"| {' | '.join(titles)} |", "|---" * len(titles) + "|"]
    for name in rows[0]:
        column = [row[name] for row in rows]
        values = [
            "" if name == "truth" else f"{mean(one.psnr for one in column):.2f}",
            "" if name == "truth" else f"{min(one.psnr for one in column):.2f}",
            "" if name == "truth" else f"{mean(one.ssim for one in column):.3f}",
            "" if name in ("truth", "given") else f"{median(one.seconds for one in column):.2f}",
        ]
        if colour:
            values.append(f"{mean(one.ciede2000 for one in column):.2f}" if name != "truth" else "")
            values.append(f"{mean(colourfulness(one.result) for one in column):.1f}")
        if name != "truth" or colour:
            lines.append(f"| {name} | {' | '.join(values)} |")
    return "\n".join(lines)


def _extremes(title: str, scores: Mapping[str, Mapping[str, Score]]) -> list[Row]:
    """Sheet rows of the photographs where restored gains most and least on the best other."""

    def gain(name: str) -> float:
        row = scores[name]
        ours = next(score for known, score in row.items() if known.startswith("restored"))
        rest = [
            score.psnr
            for known, score in row.items()
            if known != "truth" and not known.startswith("restored")
        ]
        return ours.psnr - max(rest)

    order = sorted(scores, key=gain)
    chosen = {"worst": order[0], "best": order[-1]}
    return [
        Row(
            f"{title}: {name}, our {which} ({gain(name):+.2f} dB on the best of the others)",
            tuple(
                (known, Image.fromarray(_middle(score.result)))
                for known, score in scores[name].items()
            ),
        )
        for which, name in chosen.items()
    ]


def _middle(pixels: Pixels) -> Pixels:
    top, left = (max(0, side - _PANEL_PX) // 2 for side in pixels.shape[:2])
    return pixels[top : top + _PANEL_PX, left : left + _PANEL_PX]


def _noise(sigma: float) -> Callable[[Pixels, np.random.Generator], Pixels]:
    def damage(truth: Pixels, rng: np.random.Generator) -> Pixels:
        noisy = truth + sigma * rng.standard_normal(truth.shape)
        return np.clip(np.rint(noisy), 0, 255).astype(np.uint8)

    return damage


def _reduced(scale: int) -> Callable[[Pixels, np.random.Generator], Pixels]:
    def damage(truth: Pixels, rng: np.random.Generator) -> Pixels:
        height, width = truth.shape[:2]
        size = (width // scale, height // scale)
        return np.asarray(Image.fromarray(truth).resize(size, Image.Resampling.BICUBIC))

    return damage


def _jpeg(truth: Pixels, rng: np.random.Generator) -> Pixels:
    return jpeg(truth, 20)


def _grey(truth: Pixels, rng: np.random.Generator) -> Pixels:
    grey = np.asarray(Image.fromarray(truth).convert("L"))
    return np.repeat(grey[..., None], 3, axis=2)


def _faded(truth: Pixels, rng: np.random.Generator) -> Pixels:
    return scanned(faded(truth, random_fading(rng)), rng)


def _coloured(pixels: Pixels) -> Pixels | None:
    return pixels if colourfulness(pixels) > _GREY else None


def _coloured_thumbnail(pixels: Pixels) -> Pixels | None:
    picture = Image.fromarray(pixels)
    picture.thumbnail((_THUMBNAIL_PX, _THUMBNAIL_PX), Image.Resampling.BICUBIC, reducing_gap=None)
    return _coloured(np.asarray(picture))


if __name__ == "__main__":
    main(sys.argv[1:])
