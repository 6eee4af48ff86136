"""Reading and writing beside Pillow: `python -m benchmarks.files [--megapixels 16] [--rounds 5]`.

Prints how long a JPEG and a PNG of 8 bits take to be read into an array and to be written, here and
by Pillow alone, as ratios. A file that is written here is also synced, which Pillow's is not.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import skimage.data
from numpy.typing import NDArray
from PIL import Image

from benchmarks.measuring import Row, markdown_table
from daemon.photo import Limits, Photo, read_header
from daemon.photo.reading import read_picture
from daemon.photo.writing import write_picture

_AIM = "at most 1.15"
_QUALITY = 95


def seconds(action: Callable[[], object], rounds: int) -> float:
    """The shortest of several runs."""
    best = float("inf")
    for _ in range(rounds):
        began = time.perf_counter()
        action()
        best = min(best, time.perf_counter() - began)
    return best


def photograph(megapixels: float) -> Image.Image:
    """A photograph of about this size, tiled from a smaller one."""
    tile = skimage.data.astronaut()
    count = max(1, round((megapixels * 1e6 / (tile.shape[0] * tile.shape[1])) ** 0.5))
    return Image.fromarray(np.tile(tile, (count, count, 1)))


def rows(image: Image.Image, folder: Path, rounds: int) -> list[Row]:
    """Ratios of reading and writing."""
    files: dict[str, tuple[str, dict[str, Any]]] = {
        "JPEG": ("a.jpg", {"quality": 92}),
        "progressive JPEG": ("p.jpg", {"quality": 92, "progressive": True}),
        "grey JPEG": ("g.jpg", {"quality": 92}),
        "PNG": ("a.png", {}),
    }
    found = []
    for what, (name, options) in files.items():
        path = folder / name
        (image.convert("L") if what.startswith("grey") else image).save(path, **options)
        photo = Photo(path, name, "", read_header(path, Limits()))
        theirs = seconds(partial(_by_pillow, path), rounds)
        ours = seconds(partial(read_picture, photo, Limits()), rounds)
        found.append(Row(f"read a {what}", _ratio(ours, theirs), _AIM))
    picture = read_picture(photo, Limits())
    plain: dict[str, dict[str, Any]] = {"jpeg": {"quality": _QUALITY, "subsampling": 0}, "png": {}}
    for format, options in plain.items():
        target = folder / f"b.{format}"
        image = Image.fromarray(picture.pixels)
        theirs = seconds(partial(image.save, target, **options), rounds)
        ours = seconds(
            partial(write_picture, picture, target, format=format, quality=_QUALITY), rounds
        )
        found.append(Row(f"write a {format.upper()}", _ratio(ours, theirs), _AIM))
    return found


def _by_pillow(path: Path) -> NDArray[np.uint8]:
    with Image.open(path) as image:
        return np.asarray(image)


def _ratio(ours: float, theirs: float) -> str:
    return f"{ours / theirs:.2f} ({ours:.2f} s, Pillow {theirs:.2f} s)"


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--megapixels", type=float, default=16)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = rows(photograph(given.megapixels), Path(folder), given.rounds)
    sys.stdout.write(markdown_table(found) + "\n")


if __name__ == "__main__":
    main()
