"""Contact sheets: labelled rows of pictures such as before, after and truth."""

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont, ImageOps

_GAP_PX = 12
_LABEL_PX = 26
_CAPTION_PX = 16
_GRID_GAP_PX = 4
_CENTRE = (0.5, 0.1)
"""Part of a picture that stays when it is cut, as shares: faces lie above the middle."""

_INK = (40, 40, 40)


@dataclass(frozen=True)
class Row:
    """One row of a sheet.

    Attributes:
        label: What the row shows, such as "denoise  coffee  1.2 s".
        panels: Captions and pictures.
    """

    label: str
    panels: tuple[tuple[str, Image.Image], ...]


def draw_sheet(rows: Sequence[Row], width_px: int = 256) -> Image.Image:
    """Draw rows below each other, with every panel `width_px` wide."""
    font = ImageFont.load_default(14)
    drawn = [[(caption, _fit(image, width_px)) for caption, image in row.panels] for row in rows]
    heights = [max(image.height for _, image in panels) for panels in drawn]
    columns = max(len(panels) for panels in drawn)
    width = columns * (width_px + _GAP_PX) + _GAP_PX
    height = sum(heights) + len(rows) * (2 * _LABEL_PX + _GAP_PX) + _GAP_PX
    sheet = Image.new("RGB", (width, height), "white")
    pen = ImageDraw.Draw(sheet)
    top = _GAP_PX
    for row, panels, row_height in zip(rows, drawn, heights, strict=True):
        pen.text((_GAP_PX, top + 4), row.label, _INK, font)
        for column, (caption, image) in enumerate(panels):
            left = _GAP_PX + column * (width_px + _GAP_PX)
            sheet.paste(image, (left, top + _LABEL_PX))
            pen.text((left, top + _LABEL_PX + row_height + 4), caption, _INK, font)
        top += row_height + 2 * _LABEL_PX + _GAP_PX
    return sheet


def draw_grid(cells: Sequence[Row], panel: tuple[int, int], columns: int = 2) -> Image.Image:
    """Draw cells beside and below each other, every panel of one size.

    Args:
        cells: What to draw, in reading order.
        panel: Width and height of a panel in pixels; pictures of other shapes lose their borders.
        columns: Cells beside each other.
    """
    font, small = ImageFont.load_default(14), ImageFont.load_default(11)
    width, height = panel
    across = max(len(cell.panels) for cell in cells) * (width + _GRID_GAP_PX) + _GAP_PX
    down = height + _LABEL_PX + _CAPTION_PX
    lines = -(-len(cells) // columns)
    sheet = Image.new("RGB", (columns * across + _GAP_PX, lines * down + _GRID_GAP_PX), "white")
    pen = ImageDraw.Draw(sheet)
    for index, cell in enumerate(cells):
        left, top = _GAP_PX + index % columns * across, index // columns * down
        pen.text((left, top + 5), cell.label, _INK, font)
        for number, (caption, image) in enumerate(cell.panels):
            x = left + number * (width + _GRID_GAP_PX)
            fitted = ImageOps.fit(
                image.convert("RGB"), panel, Image.Resampling.LANCZOS, centering=_CENTRE
            )
            sheet.paste(fitted, (x, top + _LABEL_PX))
            pen.text((x, top + _LABEL_PX + height + 1), caption, _INK, small)
    return sheet


def _fit(image: Image.Image, width_px: int) -> Image.Image:
    height = max(1, round(image.height * width_px / image.width))
    return image.convert("RGB").resize((width_px, height), Image.Resampling.LANCZOS)
