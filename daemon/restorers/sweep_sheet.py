"""Lay a sweep's pictures out on one labelled sheet, for a person to choose from."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from daemon.restorers.chroma import eight_bits

_PANEL_PX = 1024
"""Longest side of a panel; larger pictures are reduced."""

_GAP_PX = 8
_PAPER = (250, 250, 250)
_INK = (20, 20, 20)


def labelled_sheet(
    panels: Sequence[NDArray[np.generic]], labels: Sequence[str]
) -> NDArray[np.uint8]:
    """Lay pictures of one size out in rows, each under its label.

    Args:
        panels: Pictures of one size, (H, W, 3), uint8 or uint16; they are shown at most 1024 px
            wide and high.
        labels: One for each panel.

    Returns:
        The sheet, (H', W', 3), uint8.
    """
    shown = [_panel_image(panel) for panel in panels]
    width, height = shown[0].size
    layout = _layout(width, height, labels)
    sheet = Image.new("RGB", layout.size, _PAPER)
    pen = ImageDraw.Draw(sheet)
    for index, (panel, label) in enumerate(zip(shown, labels, strict=True)):
        left = _GAP_PX + index % layout.columns * layout.cell_width
        top = index // layout.columns * layout.cell_height
        pen.text((left, top + layout.text_height // 8), label, _INK, layout.font)
        sheet.paste(panel, (left, top + layout.text_height))
    return np.asarray(sheet).copy()


def sheet_size(width: int, height: int, labels: Sequence[str]) -> tuple[int, int]:
    """Width and height of the sheet that `labelled_sheet` makes of pictures of this size."""
    return _layout(*_panel_size(width, height), labels).size


@dataclass(frozen=True)
class _Layout:
    """Where panels and labels go; sizes in pixels.

    Attributes:
        font: The labels' font.
        columns: Panels side by side.
        cell_width, cell_height: Size of a panel with its label and gap.
        text_height: Height of a label.
        size: Width and height of the sheet.
    """

    font: ImageFont.FreeTypeFont
    columns: int
    cell_width: int
    cell_height: int
    text_height: int
    size: tuple[int, int]


def _layout(width: int, height: int, labels: Sequence[str]) -> _Layout:
    """Lay panels of a size out in the number of columns that brings the sheet nearest to 4:3."""
    font = _font(max(11, min(28, width // 16)))
    text_height = math.ceil(font.size * 1.6)
    cell_width = max(width, *(math.ceil(font.getlength(label)) for label in labels)) + _GAP_PX
    cell_height = height + text_height + _GAP_PX

    def misfit(columns: int) -> float:
        return abs(
            math.log(columns * cell_width / (-(-len(labels) // columns) * cell_height) * 0.75)
        )

    columns = min(range(1, len(labels) + 1), key=misfit)
    rows = -(-len(labels) // columns)
    size = (columns * cell_width + _GAP_PX, rows * cell_height)
    return _Layout(font, columns, cell_width, cell_height, text_height, size)


def _font(size: int) -> ImageFont.FreeTypeFont:
    """Pillow's own font.

    Raises:
        TypeError: This Pillow was built without FreeType, which draws it.
    """
    font = ImageFont.load_default(size)
    if not isinstance(font, ImageFont.FreeTypeFont):
        raise TypeError("Pillow has no FreeType: the labels of a sweep need it")
    return font


def _panel_size(width: int, height: int) -> tuple[int, int]:
    shrink = min(1, _PANEL_PX / max(width, height))
    return max(1, round(width * shrink)), max(1, round(height * shrink))


def _panel_image(pixels: NDArray[np.generic]) -> Image.Image:
    """A picture in 8 bits, reduced to a panel if it is larger."""
    image = Image.fromarray(eight_bits(pixels))
    size = _panel_size(*image.size)
    return image if size == image.size else image.resize(size, Image.Resampling.LANCZOS)
