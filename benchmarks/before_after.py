"""Draw the picture at the head of the README: four photographs, damaged and restored.

    python -m benchmarks.before_after            # writes docs/before-after.webp

The photographs ship with scikit-image and are damaged here, the same way in every run. Each one
goes through a step of the shipped recipes on the shipped network. Nothing is retouched.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from skimage import data

from benchmarks.restoring import Pixels, restore
from benchmarks.scratches import lost_pixels, scratched
from daemon.config.recipe import read_recipe
from daemon.config.steps import Step
from daemon.restorers.dye_fading import Fading, faded
from training.damage import jpeg

ROOT = Path(__file__).parents[1]
PICTURE = ROOT / "docs/before-after.webp"

_SIDE_PX = 400
_GAP_PX = 8
_CAPTION_PX = 40
_NOISE_LEVELS = 25
_SCALE = 4
_WEBP_QUALITY = 88


@dataclass(frozen=True)
class Pair:
    """A photograph before and after one step.

    Attributes:
        caption: Name of the step and what was wrong.
        before: RGB, (400, 400, 3).
        after: The same size.
    """

    caption: str
    before: Pixels
    after: Pixels


def pairs() -> tuple[Pair, ...]:
    """Damage four photographs and restore them."""
    return _noisy(), _small(), _faded(), _scratched()


def draw(found: Sequence[Pair]) -> Image.Image:
    """Put what was given into the upper row and what came of it into the lower one."""
    width = len(found) * (_SIDE_PX + _GAP_PX) - _GAP_PX
    sheet = Image.new("RGB", (width, _CAPTION_PX + 2 * _SIDE_PX + _GAP_PX), "white")
    pen = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(24)
    for column, pair in enumerate(found):
        left = column * (_SIDE_PX + _GAP_PX)
        pen.text((left + 2, 4), pair.caption, (40, 40, 40), font)
        sheet.paste(Image.fromarray(pair.before), (left, _CAPTION_PX))
        sheet.paste(Image.fromarray(pair.after), (left, _CAPTION_PX + _SIDE_PX + _GAP_PX))
    return sheet


def main(arguments: Sequence[str]) -> None:
    """Write the picture."""
    parser = argparse.ArgumentParser(prog="benchmarks.before_after", description=__doc__)
    parser.add_argument("--out", type=Path, default=PICTURE)
    chosen = parser.parse_args(arguments)
    draw(pairs()).save(chosen.out, quality=_WEBP_QUALITY, method=6)


def _noisy() -> Pair:
    truth = _photograph("rocket", (160, 0, 587, 427))
    noise = np.random.default_rng(0).normal(0, _NOISE_LEVELS, truth.shape)
    before = np.clip(np.rint(truth + noise), 0, 255).astype(np.uint8)
    return Pair("denoise: noise", before, restore(_step("denoise"), before)[0])


def _small() -> Pair:
    truth = Image.fromarray(_photograph("coffee", (150, 0, 550, 400)))
    small = truth.reduce(_SCALE)
    step = _step("super-resolve").model_copy(update={"scale": _SCALE})
    after = restore(step, np.asarray(small))[0]
    before = small.resize(truth.size, Image.Resampling.BICUBIC)
    return Pair("super-resolve: 100 px wide", np.asarray(before), after)


def _faded() -> Pair:
    """A print whose cyan has faded most, on yellowed paper."""
    fading = Fading(np.array((0.45, 0.65, 0.75)), np.array((0.03, 0.06, 0.15)))
    before = jpeg(faded(_photograph("astronaut", (56, 0, 376, 320)), fading), 90)
    return Pair("unfade: a faded print", before, restore(_step("unfade"), before)[0])


def _scratched() -> Pair:
    before = scratched(_photograph("cat", (76, 0, 376, 300)), np.random.default_rng(0))
    mask = np.where(lost_pixels(*before.shape[:2]), 255, 0).astype(np.uint8)
    after = restore(_step("inpaint"), before, mask=mask)[0]
    return Pair("inpaint: marked scratches", before, after)


def _photograph(name: str, box: tuple[int, int, int, int]) -> Pixels:
    photograph = Image.fromarray(getattr(data, name)()).convert("RGB").crop(box)
    return np.asarray(photograph.resize((_SIDE_PX, _SIDE_PX), Image.Resampling.LANCZOS))


def _step(recipe: str) -> Step:
    return read_recipe(ROOT / f"recipes/{recipe}.toml").steps[0]


if __name__ == "__main__":
    main(sys.argv[1:])
