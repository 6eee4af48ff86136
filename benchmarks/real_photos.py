"""Draw what every shipped recipe makes of real old prints, scans and phone pictures.

    python -m benchmarks.real_photos            # writes docs/real-photos.webp
    python -m benchmarks.real_photos --only tesla --folder RESULTS   # keeps the results

The pictures lie in `daemon/cli/real_photos` with their sources. They have no truth: the sheet is to
be looked at.
"""

import argparse
import csv
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.restoring import Pixels, restore_by
from daemon.config.recipe import Recipe, read_recipe
from daemon.config.steps import Inpaint
from daemon.photo.contact_sheet import Row, draw_grid

ROOT = Path(__file__).parents[1]
PICTURES = ROOT / "daemon/cli/real_photos"
SHEET = ROOT / "docs/real-photos.webp"

WORST_FIRST = (
    "hopper", "plant", "pen", "map", "dahlgren", "mehemet-ali", "tesla-cage", "claudet",
    "tesla-seated", "on-deck", "andersson", "tesla-portrait", "frontispiece", "tesla-lamp",
    "rio-1897", "tesla-laboratory", "tesla-tower", "pug",
)  # fmt: skip
"""Order of the sheet: by eye, what the recipes did worst to comes first."""

_PANEL = (140, 118)
"""Width and height of a picture on the sheet, in pixels."""

_WEBP_QUALITY = 45

Treatment = Callable[[Pixels], Pixels]
"""What makes a column of the sheet from a picture."""


def treatments() -> dict[str, Treatment]:
    """Every shipped recipe that takes one picture and no drawing, by its name."""
    names = (
        "restore", "denoise", "scratches", "unfade", "colorize", "old-photo", "super-resolve",
        "restyle",
    )  # fmt: skip
    found: dict[str, Treatment] = {name: partial(_by, _recipe(name)) for name in names}
    cracks = Recipe(name="cracks", steps=(Inpaint(find="cracks"),))
    return {
        "restore": found["restore"],
        "denoise": found["denoise"],
        "scratches": found["scratches"],
        'find = "cracks"': partial(_by, cracks),
        **{name: found[name] for name in names[3:]},
    }


def read_pictures(only: str = "") -> dict[str, Pixels]:
    """The pictures with this in their name, worst first."""
    with (PICTURES / "SOURCES.tsv").open(encoding="utf-8", newline="") as lines:
        files = {
            Path(row["file"]).stem: row["file"] for row in csv.DictReader(lines, delimiter="\t")
        }
    return {
        name: np.asarray(Image.open(PICTURES / files[name]).convert("RGB"))
        for name in WORST_FIRST
        if only in name
    }


def draw(pictures: dict[str, Pixels], folder: Path | None = None) -> Image.Image:
    """One row a picture, one column a recipe; a folder keeps results, and is asked for them."""
    rows = []
    for name, pixels in pictures.items():
        panels = [("before", Image.fromarray(pixels))]
        for title, treat in treatments().items():
            kept = folder and folder / f"{name}.{title.split()[-1]}.png"
            if kept and kept.exists():
                result = np.asarray(Image.open(kept).convert("RGB"))
            else:
                result = treat(pixels)
                print(name, title, flush=True)
            if kept:
                Image.fromarray(result).save(kept)
            panels.append((title, Image.fromarray(result)))
        rows.append(Row(name, tuple(panels)))
    return draw_grid(rows, _PANEL, columns=1)


def main(arguments: Sequence[str]) -> None:
    """Write the sheet."""
    parser = argparse.ArgumentParser(prog="benchmarks.real_photos", description=__doc__)
    parser.add_argument("--only", default="", help="pictures with this in their name")
    parser.add_argument(
        "--folder", type=Path, help="where results are kept at full size, and found"
    )
    parser.add_argument("--out", type=Path, default=SHEET)
    chosen = parser.parse_args(arguments)
    sheet = draw(read_pictures(chosen.only), chosen.folder)
    sheet.save(chosen.out, quality=_WEBP_QUALITY, method=6)


def _recipe(name: str) -> Recipe:
    return read_recipe(ROOT / f"recipes/{name}.toml")


def _by(recipe: Recipe, pixels: Pixels) -> Pixels:
    return restore_by(recipe, pixels)[0]


if __name__ == "__main__":
    main(sys.argv[1:])
