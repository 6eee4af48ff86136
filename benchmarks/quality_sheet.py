"""Draw where restored does worst and best beside the other programs: docs/quality.webp.

    .venv-quality/bin/python -m benchmarks.quality_sheet

It takes the photographs from what `benchmarks.quality` has measured, and runs all programs on them
again. Noise, JPEG and enlargement are shown, and therefore run, on the middle of a photograph.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.measurements import OURS, Entry, Measurements, Trials
from benchmarks.quality import DOCS, FILE, GIVEN, TRUTH, damaged, load_photographs
from benchmarks.restoring import Pixels
from benchmarks.trials import Trial, trials
from daemon.executors.process_env import tune_process
from daemon.photo.contact_sheet import Row, draw_sheet

_SET, _LONGEST_PX = "scikit-image", 480
_PANEL_PX = 160
_MARGIN_PX = 16
"""What programs see around the panel."""

_WEBP_QUALITY = 80
_LOCAL = ("Gaussian", "Enlargement", "JPEG")
"""How the names of damage begin whose repair needs no more than the surroundings."""


def extremes(entries: Trials, trial: str) -> dict[str, tuple[str, float]]:
    """Our worst and our best photograph, and our gain there on the best of the others, in dB."""
    programs = entries.get(trial, {})
    ours = programs.get(OURS, Entry())
    others = [entry for name, entry in programs.items() if not name.startswith(OURS)]

    def gain(photograph: str) -> float:
        best = max((one.psnr[photograph] for one in others if photograph in one.psnr), default=0.0)
        return ours.psnr[photograph] - best

    order = sorted(ours.psnr, key=gain)
    chosen = {"worst": order[0], "best": order[-1]} if order else {}
    return {which: (name, gain(name)) for which, name in chosen.items()}


def row(trial: Trial, photograph: Pixels, label: str) -> Row:
    """What every program makes of one photograph, truth last."""
    pair = damaged(trial, photograph)
    if pair is None:
        return Row(label, ())
    truth, given = pair
    if trial.name.startswith(_LOCAL):
        truth, given = _middle(truth, given)
    panels = {GIVEN: given}
    panels |= {name: program(given) for name, program in trial.contenders.items()}
    panels[TRUTH] = truth
    shown = [(name, _panel(result, truth.shape)) for name, result in panels.items()]
    return Row(label, tuple(shown))


def main(arguments: Sequence[str]) -> None:
    """Draw the sheet."""
    parser = argparse.ArgumentParser(prog="benchmarks.quality_sheet", description=__doc__)
    parser.add_argument("--only", default="", help="only damage with this in its heading")
    parser.add_argument("--out", type=Path, default=DOCS / "quality.webp")
    chosen = parser.parse_args(arguments)
    tune_process(None)
    entries = Measurements(FILE).sets[_SET]
    photographs = load_photographs(None, _LONGEST_PX)
    rows = []
    for trial in (one for one in trials() if chosen.only in one.name):
        for which, (name, gain) in extremes(entries, trial.name).items():
            label = f"{trial.name}: {name}, our {which} ({gain:+.2f} dB on the best of the others)"
            rows.append(row(trial, photographs[name], label))
            print(label, flush=True)
    draw_sheet(rows, _PANEL_PX).save(chosen.out, quality=_WEBP_QUALITY, method=6)


def _middle(truth: Pixels, given: Pixels) -> tuple[Pixels, Pixels]:
    """The same middle of both, with a margin, on the grid of JPEG's blocks."""
    scale = truth.shape[0] // given.shape[0]
    side = _PANEL_PX + 2 * _MARGIN_PX
    top, left = (max(0, length - side) // (16 * scale) * 8 * scale for length in truth.shape[:2])
    low, right = top + side, left + side
    small = given[top // scale : low // scale, left // scale : right // scale]
    return truth[top:low, left:right], small


def _panel(pixels: Pixels, shape: tuple[int, ...]) -> Image.Image:
    picture = Image.fromarray(np.ascontiguousarray(pixels))
    if pixels.shape != shape:
        picture = picture.resize((shape[1], shape[0]), Image.Resampling.NEAREST)
    left, top = ((side - min(side, _PANEL_PX)) // 2 for side in picture.size)
    return picture.crop((left, top, left + _PANEL_PX, top + _PANEL_PX))


if __name__ == "__main__":
    main(sys.argv[1:])
