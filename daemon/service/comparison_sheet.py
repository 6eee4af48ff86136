"""Sheets that show a photograph beside what recipes made of it."""

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image, ImageChops

from daemon.photo import Limits, Photo, read_header
from daemon.photo.contact_sheet import Row, draw_sheet
from daemon.photo.reading import read_picture, to_eight_bits
from daemon.system.errors import CannotWriteError
from daemon.system.files import place, shown

_PANEL_PX = 480
"""Width of a picture on the sheet."""


def write_comparison(
    photo: Path,
    results: Sequence[tuple[str, Path]],
    target: Path,
    limits: Limits,
    *,
    force: bool = False,
) -> None:
    """Write a sheet as PNG; it appears whole or not at all.

    Args:
        photo: The photograph; of several pages the first is shown.
        results: Caption and file of each result.
        target: The file to write.
        limits: Sizes beyond which nothing is read.
        force: Replace a file that exists.

    Raises:
        PhotoError: The photograph or a result cannot be read.
        CannotWriteError: The target exists already.
        OSError: A file cannot be read or written.
    """
    sheet = _draw([("before", photo), *results], shown(photo.name), limits)
    with tempfile.TemporaryDirectory(prefix=".restored-", dir=target.parent) as scratch:
        part = Path(scratch) / "sheet.png"
        sheet.save(part)
        if force:
            part.replace(target)
        elif not place(part, target):
            raise CannotWriteError(f"{target} exists already; --force replaces it")


def _draw(files: Sequence[tuple[str, Path]], label: str, limits: Limits) -> Image.Image:
    """All pictures in one row; below it, if they are large, the part that has changed most."""
    pictures = [(caption, read_as_rgb(path, limits)) for caption, path in files]
    rows = [Row(label, tuple(pictures))]
    before, afters = pictures[0][1], [picture for _, picture in pictures[1:]]
    largest = max(afters, key=lambda picture: picture.width)
    across, down = largest.width // _PANEL_PX, largest.height // _PANEL_PX
    if across > 1 and down > 0:
        left, top = _most_changed(before, afters, (across, down))
        details = [
            (caption, _detail(picture, (left / across, top / down), largest.size))
            for caption, picture in pictures
        ]
        rows.append(Row("where most has changed, pixel by pixel", tuple(details)))
    return draw_sheet(rows, _PANEL_PX)


def read_as_rgb(path: Path, limits: Limits) -> Image.Image:
    """A photograph or result as RGB of eight bits, its first page; transparent parts on white.

    Raises:
        PhotoError: It cannot be read.
        OSError: The file cannot be opened.
    """
    # A result may be larger than what is taken as a photograph.
    most = max(limits.max_input_megapixels, limits.max_output_megapixels)
    limits = replace(limits, max_input_megapixels=most)
    header = read_header(path, limits)
    picture = read_picture(Photo(path, path.name, "", header), limits)
    image = Image.fromarray(to_eight_bits(picture.pixels)).convert("RGB")
    if picture.alpha is None:
        return image
    paper = Image.new("RGB", image.size, "white")
    paper.paste(image, mask=Image.fromarray(to_eight_bits(picture.alpha)))
    return paper


def _most_changed(
    before: Image.Image, afters: Sequence[Image.Image], cells: tuple[int, int]
) -> tuple[int, int]:
    """Column and row of the cell of a grid in which the results differ most from the photograph."""
    size = (cells[0] * 16, cells[1] * 16)
    small = before.resize(size, Image.Resampling.BILINEAR)
    change = np.zeros(cells[::-1])
    for after in afters:
        difference = ImageChops.difference(small, after.resize(size, Image.Resampling.BILINEAR))
        cell_means = np.asarray(difference, float).reshape(cells[1], 16, cells[0], 16, 3)
        change += cell_means.mean(axis=(1, 3, 4))
    row, column = np.unravel_index(change.argmax(), change.shape)
    return int(column), int(row)


def _detail(
    picture: Image.Image, corner: tuple[float, float], size: tuple[int, int]
) -> Image.Image:
    """The square of a panel's width at a corner, given in shares, in a picture of that size."""
    left, top = (share * side for share, side in zip(corner, size, strict=True))
    x, y = picture.width / size[0], picture.height / size[1]
    box = (left * x, top * y, (left + _PANEL_PX) * x, (top + _PANEL_PX) * y)
    return picture.resize((_PANEL_PX, _PANEL_PX), Image.Resampling.BICUBIC, box=box)
