"""Resolution: of every unit, in every format, and scaled with the picture."""

from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest
import tifffile
from PIL import Image

from daemon.photo.writing import write_picture
from tests.support.photos import cat, read

INCH, CENTIMETRE, NONE = 2, 3, 1


def tiff(path: Path, unit: int) -> Path:
    tifffile.imwrite(path, cat(), resolution=(300, 150), resolutionunit=unit, photometric="rgb")
    return path


def fields(path: Path) -> tuple[float, float, int]:
    with tifffile.TiffFile(path) as file:
        tags = cast("tifffile.TiffPage", file.pages[0]).tags
        across, down = (tags[tag].value for tag in (282, 283))
        return across[0] / across[1], down[0] / down[1], int(tags[296].value)


@pytest.mark.parametrize("unit", [INCH, CENTIMETRE, NONE])
@pytest.mark.parametrize("scale", [1.0, 2.0])
def test_a_tiff_keeps_the_unit_of_its_resolution(tmp_path: Path, unit: int, scale: float) -> None:
    picture = read(tiff(tmp_path / "a.tif", unit))
    picture = replace(picture, metadata=replace(picture.metadata, scale=scale))
    write_picture(picture, tmp_path / "b.tif", format="tiff", quality=95)
    assert fields(tmp_path / "b.tif") == (300 * scale, 150 * scale, unit)


@pytest.mark.parametrize("format", ["png", "jpeg", "webp", "tiff", "jxl", "avif"])
@pytest.mark.parametrize("source", ["tiff", "jpeg"])
def test_an_enlarged_picture_is_as_large_on_paper_in_every_format(
    tmp_path: Path, format: str, source: str
) -> None:
    path = tmp_path / f"a.{source}"
    if source == "tiff":
        tiff(path, INCH)
    else:
        Image.fromarray(cat()).save(path, "JPEG", dpi=(300, 150))
    picture = read(path)
    picture = replace(picture, metadata=replace(picture.metadata, scale=2.0))
    write_picture(picture, tmp_path / f"b.{format}", format=format, quality=95)
    assert read(tmp_path / f"b.{format}").metadata.dpi == pytest.approx((600, 300), abs=0.1)
