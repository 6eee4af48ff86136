"""Reading and writing of photographs beside Pillow alone: seconds of a processor, and their ratio.

    python -m benchmarks.photographs --megapixels 12

Pillow decodes into an array and encodes one with the same options; it looks for no damage, keeps no
metadata and verifies nothing. 16 bits and profiles, which Pillow does not keep, have no ratio.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import imagecodecs
import numpy as np
import skimage.data
from numpy.typing import NDArray
from PIL import Image

from benchmarks.measuring import Row, markdown_table
from daemon.photo import Limits, Photo, Picture, read_header
from daemon.photo.profiles import DISPLAY_P3_ICC
from daemon.photo.reading import read_source
from daemon.photo.writing import write_picture

_REPEATS = 3
_QUALITY = 95

_PILLOW_OPTIONS: dict[str, dict[str, int]] = {
    "jpeg": {"quality": _QUALITY, "subsampling": 0},
    "png": {"compress_level": 4},
}


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megapixels", type=float, default=12.0)
    levels = photograph(parser.parse_args().megapixels)
    with tempfile.TemporaryDirectory() as folder:
        rows = [row for format in ("jpeg", "png") for row in shallow(levels, format, Path(folder))]
        rows += deep(levels, Path(folder))
    print(markdown_table(rows))


def photograph(megapixels: float) -> NDArray[np.uint8]:
    """A photograph of 4:3 with some noise, as cameras have it."""
    side = round((megapixels * 1e6 / 12) ** 0.5)
    image = Image.fromarray(skimage.data.coffee()).resize((4 * side, 3 * side))
    noise = np.random.default_rng(0).normal(0, 3, (3 * side, 4 * side, 1))
    return np.clip(np.asarray(image) + noise, 0, 255).astype(np.uint8)


def shallow(levels: NDArray[np.uint8], format: str, folder: Path) -> list[Row]:
    """Rows for a format of 8 bits, with ratios to Pillow."""
    path, result = folder / f"a.{format}", folder / f"b.{format}"
    options = _PILLOW_OPTIONS[format]
    Image.fromarray(levels).save(path, format, **options)
    picture = read(path)

    def pillow_write() -> None:
        Image.fromarray(levels).save(result, format, **options)

    def own_write() -> None:
        write_picture(picture, result, format=format, quality=_QUALITY)

    reading = ratio(lambda: read(path), lambda: np.asarray(Image.open(path)))
    writing = ratio(own_write, pillow_write)
    return [Row(f"read {format} of 8 bits", reading), Row(f"write {format} of 8 bits", writing)]


def deep(levels: NDArray[np.uint8], folder: Path) -> list[Row]:
    """Rows for 16 bits, without and with a profile."""
    codes = levels.astype(np.uint16) * 257
    path = folder / "deep.png"
    path.write_bytes(imagecodecs.png_encode(codes, level=4))
    picture = read(path)
    Image.fromarray(levels).save(folder / "p3.png", icc_profile=DISPLAY_P3_ICC)
    wide = read(folder / "p3.png")
    changed = np.clip(wide.pixels.astype(np.int16) + 1, 0, 255).astype(np.uint8)
    other = Picture(changed, False, wide.metadata, original=wide.original)
    timed = (
        ("read png of 16 bits", lambda: read(path)),
        ("write png of 16 bits", lambda: write(picture, folder / "c.png", "png")),
        ("write tiff of 16 bits", lambda: write(picture, folder / "c.tif", "tiff")),
        ("read png of 8 bits in Display P3", lambda: read(folder / "p3.png")),
        ("write it, every pixel changed", lambda: write(other, folder / "c.png", "png")),
    )
    return [Row(what, f"{seconds(run):.2f} s") for what, run in timed]


def read(path: Path) -> Picture:
    """Read a photograph as the worker does."""
    source = read_source(Photo(path, path.name, "", read_header(path, Limits())), Limits())
    if not isinstance(source, Picture):
        raise TypeError(f"{path} is no photograph")
    return source


def write(picture: Picture, path: Path, format: str) -> None:
    """Write a result as the worker does."""
    write_picture(picture, path, format=format, quality=_QUALITY)


def ratio(own: Callable[[], object], pillow: Callable[[], object]) -> str:
    """Seconds of ours and of Pillow's, and how many times as long ours takes."""
    ours, theirs = seconds(own), seconds(pillow)
    return f"{ours:.2f} s, Pillow {theirs:.2f} s: {ours / theirs:.2f}"


def seconds(run: Callable[[], object]) -> float:
    """Least processor seconds of some runs; those of other programs do not count."""
    times = []
    for _ in range(_REPEATS):
        began = time.process_time()
        run()
        times.append(time.process_time() - began)
    return min(times)


if __name__ == "__main__":
    main()
