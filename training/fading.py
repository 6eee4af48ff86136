"""Fits the estimate of how faded a photograph is: `python -m training.fading --photos DIR`.

It fades the photographs of the training split, fits the numbers to them and writes these to
daemon/restorers/dye_fading.json. It prints PSNR and CIEDE2000 of the validation split before and
after. Least squares in closed form and fixed seeds: the same photographs give the same numbers.
"""

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import mean

import numpy as np
from numpy.random import Generator
from PIL import Image
from skimage.color import deltaE_ciede2000, rgb2lab

from daemon.restorers.dye_fading import (
    COEFFICIENTS,
    COPY_PX,
    Fading,
    Floats,
    Regression,
    apply_tables,
    estimate_fading,
    faded,
    features,
    quantiles,
    small_copy,
    unfading_tables,
)
from training.damage import jpeg
from training.photos import Pixels, photo_paths, to_grey_pixels
from training.validation import psnr

RIDGE = 300.0
"""Weight of the squared coefficients. Between 3 and 300 the validation split gains 0.1 dB."""

_FADES = 12
_GREY_SHARE = 0.1
_DUSTY_SHARE = 0.3
_SPECKS = 6
_GREY_CHROMA = 4.0
_DIGITS = 5
_EQUAL_DB = 60.0
"""PSNR that counts for a photograph that is unchanged."""


def random_fading(rng: Generator) -> Fading:
    """Random fading: each dye has lost up to 70 % of its density, and the paper is stained."""
    contrast = rng.uniform(0.35, 0.95) + rng.uniform(-0.25, 0.25, 3)
    return Fading(np.clip(contrast, 0.3, 1.0), rng.uniform(0, 0.2, 3))


def scanned(pixels: Pixels, rng: Generator) -> Pixels:
    """A scan of a picture: noise, sometimes dust, and JPEG."""
    noisy = pixels + rng.uniform(0, 3) * rng.standard_normal(pixels.shape)
    result = np.clip(np.rint(noisy), 0, 255).astype(np.uint8)
    if rng.random() < _DUSTY_SHARE:
        for y, x in rng.integers(0, np.maximum(1, np.array(pixels.shape[:2]) - 1), (_SPECKS, 2)):
            result[y : y + 2, x : x + 2] = rng.choice((0, 255))
    return jpeg(result, int(rng.integers(80, 96)))


def fit(photographs: Sequence[Pixels], rng: Generator) -> Regression:
    """Regress contrast and stain on the quantiles of faded and unfaded photographs."""
    inputs, targets = [], []
    for photograph in photographs:
        for pixels, fading in _examples(photograph, rng):
            inputs.append(_quantiles(pixels))
            targets.append(np.concatenate((-np.log(fading.contrast), fading.stain)))
    measured = np.stack(inputs)
    values = features(measured)
    scale = Regression(values.mean(axis=0), values.std(axis=0) + 1e-6, np.empty(0))
    terms = scale.terms(measured)
    penalty = RIDGE * np.eye(terms.shape[1])
    penalty[-1, -1] = 0  # the constant is free
    weights = np.linalg.solve(terms.T @ terms + penalty, terms.T @ np.stack(targets))
    return Regression(scale.mean, scale.deviation, weights)


def write(regression: Regression, path: Path) -> None:
    """Write a regression as JSON, with five digits of each number."""
    parts = {name: getattr(regression, name) for name in ("mean", "deviation", "weights")}
    lines = [
        f' "{name}": {json.dumps(_short(values))}'.replace("], [", "],\n  [")
        for name, values in parts.items()
    ]
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


def judge(photographs: Sequence[Pixels], rng: Generator) -> str:
    """Mean PSNR and CIEDE2000, as JSON: faded, unfaded again, and unfaded without having faded."""
    scores: dict[str, list[tuple[float, float]]] = {"faded": [], "undone": [], "unfaded": []}
    for truth in photographs:
        for _ in range(4):
            given = scanned(faded(truth, random_fading(rng)), rng)
            scores["faded"].append(_distance(truth, given))
            scores["undone"].append(_distance(truth, _undone(given)))
        scores["unfaded"].append(_distance(truth, _undone(truth)))
    return json.dumps(
        {
            name: [round(mean(one), 2) for one in zip(*of, strict=True)]
            for name, of in scores.items()
        }
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m training.fading", description=__doc__)
    parser.add_argument("--photos", type=Path, required=True, help="folder of photographs")
    parser.add_argument("--out", type=Path, default=COEFFICIENTS, help="file to write")
    options = parser.parse_args(arguments)
    fitted_to, held_out = (
        list(_coloured(photo_paths(options.photos, validation=side))) for side in (False, True)
    )
    write(fit(fitted_to, np.random.default_rng(1)), options.out)
    print(f"{len(fitted_to)} photographs, {options.out}")
    if options.out == COEFFICIENTS and held_out:
        print(f"PSNR, CIEDE2000 over {len(held_out)}:", judge(held_out, np.random.default_rng(0)))


def _examples(photograph: Pixels, rng: Generator) -> Iterator[tuple[Pixels, Fading]]:
    yield photograph, Fading(np.ones(3), np.zeros(3))
    for _ in range(_FADES):
        fading, pixels = random_fading(rng), photograph
        if rng.random() < _GREY_SHARE:
            fading, pixels = fading.without_cast(), to_grey_pixels(photograph)
        yield scanned(faded(pixels, fading), rng), fading


def _quantiles(pixels: Pixels) -> Floats:
    found = quantiles(small_copy(pixels))
    if found is None:
        raise ValueError("a photograph without pixels")
    return found


def _undone(given: Pixels) -> Pixels:
    fading = estimate_fading(_quantiles(given))
    if fading is None:
        return given
    return apply_tables(given, unfading_tables(fading, 255))


def _distance(truth: Pixels, result: Pixels) -> tuple[float, float]:
    difference = deltaE_ciede2000(rgb2lab(truth), rgb2lab(result))
    return min(psnr(truth, result), _EQUAL_DB), float(difference.mean())


def _coloured(paths: Sequence[Path]) -> Iterator[Pixels]:
    """The photographs, reduced; those without colour are left out, as they show no cast."""
    for path in paths:
        with Image.open(path) as opened:
            picture = opened.convert("RGB")
        picture.thumbnail((COPY_PX, COPY_PX), Image.Resampling.LANCZOS, reducing_gap=None)
        pixels = np.asarray(picture)
        if np.abs(pixels - pixels.mean(axis=2, keepdims=True)).mean() >= _GREY_CHROMA:
            yield pixels


def _short(values: Floats) -> object:
    return json.loads(
        json.dumps(values.tolist()), parse_float=lambda text: float(f"{float(text):.{_DIGITS}g}")
    )


if __name__ == "__main__":
    main()
