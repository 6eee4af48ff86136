"""Compares the shipped networks with what a user would pick offline: PSNR, SSIM, seconds, MB.

    python -m venv .venv-quality
    .venv-quality/bin/pip install -c constraints.txt -e . -r benchmarks/requirements-quality.txt
    .venv-quality/bin/python -m benchmarks.quality --programs others   # once, the other programs
    python -m benchmarks.quality                                       # restored, and the page
    python -m benchmarks.quality --photos PHOTOS                       # on the validation split
    python -m benchmarks.quality --programs none                       # the page alone

It damages clean photographs and gives every program the same 8-bit pixels. What it measures goes
into `benchmarks/quality.json`, and the page is written from that file. Only restored's "gaussian"
mode, the non-local means, BM3D and FFDNet are told the strength of the noise.
"""

import argparse
import math
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
from PIL import Image
from skimage import data
from skimage.color import deltaE_ciede2000, rgb2lab
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from benchmarks.contenders import Contender, package_of, weights_of
from benchmarks.measurements import OURS, Entry, Measurements, table
from benchmarks.restoring import Pixels
from benchmarks.trials import Trial, trials
from daemon import __version__
from daemon.executors.process_env import tune_process
from training.photos import photo_paths
from training.validation import colourfulness

PUBLIC = ("astronaut", "chelsea", "coffee", "rocket", "camera", "coins", "moon")
"""Photographs inside scikit-image."""

DOCS = Path(__file__).parents[1] / "docs"
FILE = Path(__file__).with_name("quality.json")

GIVEN, TRUTH = "given", "truth"
"""Rows that no program made."""

_SETS = ("scikit-image", "validation")
_LONGEST_PX = {"scikit-image": 480, "validation": 320}
_VALIDATION_COUNT = 10


def main(arguments: Sequence[str]) -> None:
    """Measure the chosen programs, and write the page."""
    options = _parser().parse_args(arguments)
    tune_process(None)
    measured = Measurements(options.json)
    if options.programs != "none":
        name = _SETS[options.photos is not None]
        photographs = load_photographs(options.photos, _LONGEST_PX[name])
        for trial in (one for one in trials() if options.only in one.name):
            for program, contender in _chosen(trial, options.programs, options.without).items():
                entry = _measure(trial, program, contender, photographs)
                measured.add(name, trial.name, program, entry)
                print(name, trial.name, program, round(mean_of(entry.psnr), 2), flush=True)
    _write_page(options.out, measured)


def load_photographs(folder: Path | None, longest_px: int) -> dict[str, Pixels]:
    """Photographs of scikit-image, or ten of a folder's validation split, by name."""
    if folder is None:
        found = {name: Image.fromarray(np.asarray(getattr(data, name)())) for name in PUBLIC}
    else:
        paths = photo_paths(folder, validation=True)
        chosen = paths[:: max(1, len(paths) // _VALIDATION_COUNT)][:_VALIDATION_COUNT]
        found = {path.stem: Image.open(path) for path in chosen}
    return {name: _reduce_to(one.convert("RGB"), longest_px) for name, one in found.items()}


def damaged(trial: Trial, photograph: Pixels) -> tuple[Pixels, Pixels] | None:
    """The true and the damaged picture, the same in every run; None where it cannot be judged."""
    truth = trial.prepare(photograph)
    return None if truth is None else (truth, trial.damage(truth, np.random.default_rng(0)))


def ciede2000(truth: Pixels, result: Pixels) -> float:
    """Mean CIEDE2000 difference of two pictures' colours."""
    return float(deltaE_ciede2000(rgb2lab(truth), rgb2lab(result)).mean())


def mean_of(values: Mapping[str, float]) -> float:
    """The mean of a measure over photographs; NaN without any."""
    return sum(values.values()) / len(values) if values else math.nan


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="benchmarks.quality")
    add = parser.add_argument
    add("--photos", type=Path, help="measure on the validation split of this folder")
    add("--programs", choices=("restored", "others", "none"), default="restored")
    add("--only", default="", help="measure only damage with this in its heading, such as JPEG")
    add("--without", nargs="*", default=[], help="names of programs to leave out")
    add("--json", type=Path, default=FILE, help="what is measured")
    add("--out", type=Path, default=DOCS / "quality.md")
    return parser


def _chosen(trial: Trial, programs: str, without: Sequence[str]) -> dict[str, Contender]:
    ours = programs == OURS
    found = {
        name: contender
        for name, contender in trial.contenders.items()
        if name.startswith(OURS) == ours and name not in without
    }
    return {GIVEN: lambda given: given, TRUTH: lambda given: given} | found if ours else found


def _measure(
    trial: Trial, program: str, contender: Contender, photographs: Mapping[str, Pixels]
) -> Entry:
    psnr, ssim, difference, colours, cpu_s = ({} for _ in range(5))
    for name, photograph in photographs.items():
        pair = damaged(trial, photograph)
        if pair is None:
            continue
        truth, given = pair
        result, seconds = (truth, 0.0) if program == TRUTH else _timed(contender, given)
        if result.shape != truth.shape:
            continue
        if program not in (GIVEN, TRUTH):
            cpu_s[name] = round(seconds, 3)
        if program != TRUTH:
            psnr[name] = round(float(peak_signal_noise_ratio(truth, result, data_range=255)), 3)
            similar = structural_similarity(truth, result, channel_axis=2, data_range=255)
            ssim[name] = round(float(similar), 4)
        if trial.colour:
            colours[name] = round(colourfulness(result), 2)
            difference[name] = round(ciede2000(truth, result), 3)
    return Entry(
        psnr,
        ssim,
        difference,
        colours,
        cpu_s,
        weights_of(trial.name, program),
        version=_version_of(program),
        day=time.strftime("%Y-%m-%d", time.gmtime()),
    )


def _timed(contender: Callable[[Pixels], Pixels], given: Pixels) -> tuple[Pixels, float]:
    """The result, and the processor seconds of all threads of this process."""
    began = time.process_time()
    result = contender(given)
    return result, time.process_time() - began


def _version_of(program: str) -> str:
    if program.startswith(OURS):
        return __version__
    package = package_of(program)
    try:
        return f"{package} {version(package)}" if package else ""
    except PackageNotFoundError:
        return ""


def _reduce_to(picture: Image.Image, longest: int) -> Pixels:
    """Reduce to a longest side, and crop to multiples of 8, which every scale divides."""
    picture.thumbnail((longest, longest), Image.Resampling.LANCZOS, reducing_gap=None)
    width, height = picture.width // 8 * 8, picture.height // 8 * 8
    return np.asarray(picture.crop((0, 0, width, height)))


def _write_page(page: Path, measured: Measurements) -> None:
    parts = []
    for trial in trials():
        order = [GIVEN, *trial.contenders, *_former(measured, trial), TRUTH]
        parts.append(f"## {trial.name}\n\n{table(measured.sets, trial.name, order)}\n")
    head, parted, commentary = _written(page)
    page.write_text(head + "\n" + "\n".join(parts) + parted + commentary, encoding="utf-8")


def _former(measured: Measurements, trial: Trial) -> list[str]:
    """Programs that were measured and that this version cannot run any more."""
    known = {GIVEN, TRUTH, *trial.contenders}
    return [name for name in measured.sets[_SETS[0]].get(trial.name, {}) if name not in known]


def _written(page: Path) -> tuple[str, str, str]:
    """What people wrote: above the first table, the heading below the last one, the rest."""
    text = page.read_text("utf-8") if page.exists() else "# Quality\n\n\n## What we see\n"
    head = text.partition("\n## ")[0]
    _, heading, commentary = text.partition("\n## What we see\n")
    return head, heading, commentary


if __name__ == "__main__":
    main(sys.argv[1:])
