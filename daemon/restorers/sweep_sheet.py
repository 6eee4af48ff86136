"""A sheet of labelled pictures, side by side, for a person to choose from."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

_PANEL_PX = 1024
_GAP_PX = 8
_PAPER = (250, 250, 250)
_INK = (20, 20, 20)


def labelled_sheet(
    panels: Sequence[NDArray[np.generic]], labels: Sequence[str]
) -> NDArray[np.uint8]:
    """Lay pictures of one size out in rows, each under its label.

    Args:
        panels: Equal sizes (H, W, 3), uint8 or uint16; shown at most 1024 px wide and high.
        labels: One per panel.

    Returns:
        The sheet, (H', W', 3), uint8.
    """
    shown = [_eight_bit_image(panel) for panel in panels]
    width, height = shown[0].size
    plan = _plan(width, height, labels)
    sheet = Image.new("RGB", plan.size, _PAPER)
    pen = ImageDraw.Draw(sheet)
    for index, (panel, label) in enumerate(zip(shown, labels, strict=True)):
        left = _GAP_PX + index % plan.columns * plan.cell_width
        top = index // plan.columns * plan.cell_height
        pen.text((left, top + plan.text_height // 8), label, _INK, plan.font)
        sheet.paste(panel, (left, top + plan.text_height))
    return np.asarray(sheet).copy()


def sheet_size(width: int, height: int, labels: Sequence[str]) -> tuple[int, int]:
    """Width and height of the sheet that `labelled_sheet` makes of pictures of one size."""
    shrink = min(1, _PANEL_PX / max(width, height))
    panel = (max(1, round(width * shrink)), max(1, round(height * shrink)))
    return _plan(*panel, labels).size


@dataclass(frozen=True)
class _Plan:
    font: ImageFont.FreeTypeFont
    columns: int
    cell_width: int
    cell_height: int
    text_height: int
    size: tuple[int, int]


def _plan(width: int, height: int, labels: Sequence[str]) -> _Plan:
    """Where panels of a size go: in the number of columns that brings the sheet nearest to 4:3."""
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
    return _Plan(font, columns, cell_width, cell_height, text_height, size)


def _font(size: int) -> ImageFont.FreeTypeFont:
    """Pillow's own font.

    Raises:
        TypeError: This Pillow was built without FreeType, which draws it.
    """
    font = ImageFont.load_default(size)
    if not isinstance(font, ImageFont.FreeTypeFont):
        raise TypeError("Pillow has no FreeType: the labels of a sweep need it")
    return font


def _eight_bit_image(pixels: NDArray[np.generic]) -> Image.Image:
    if pixels.dtype != np.uint8:
        pixels = (pixels.astype(np.float32) / 257).round().astype(np.uint8)
    image = Image.fromarray(pixels)
    width, height = image.size
    shrink = min(1, _PANEL_PX / max(width, height))
    if shrink == 1:
        return image
    size = (max(1, round(width * shrink)), max(1, round(height * shrink)))
    return image.resize(size, Image.Resampling.LANCZOS)
