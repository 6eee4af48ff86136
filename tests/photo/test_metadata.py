"""EXIF, XMP and resolution: reset where they no longer hold, carried from format to format."""

import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import ExifTags, Image
from PIL.PngImagePlugin import PngInfo

from daemon.photo import (
    Picture,
)
from daemon.photo.writing import write_picture
from tests.support.photos import FORMATS, PNG, cat, read, written

STORED = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, 1),
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: np.rot90(a, -1),
}


@pytest.mark.parametrize("format", ["PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_applied_once_and_reset(
    tmp_path: Path, orientation: int, format: str
) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    exif[ExifTags.Base.Make] = "Plate camera"
    stored = np.ascontiguousarray(STORED[orientation](cat(300, 200)))
    Image.fromarray(stored).save(tmp_path / "turned", format, exif=exif, lossless=True)
    picture = read(tmp_path / "turned")
    assert np.array_equal(picture.pixels, cat(300, 200))
    assert picture.metadata.exif is not None
    again = Image.Exif()
    again.load(picture.metadata.exif)
    assert again[ExifTags.Base.Make] == "Plate camera"
    assert ExifTags.Base.Orientation not in again


def test_orientation_in_xmp_is_applied_and_reset_too(tmp_path: Path) -> None:
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><d tiff:Orientation="3"/></x:xmpmeta>'
    Image.fromarray(cat()[::-1, ::-1]).save(tmp_path / "x.webp", lossless=True, xmp=xmp)
    picture = read(tmp_path / "x.webp")
    assert np.array_equal(picture.pixels, cat())
    assert picture.metadata.xmp == xmp.replace(b'"3"', b'"1"')


def test_a_photograph_with_broken_exif_is_read_all_the_same(tmp_path: Path) -> None:
    broken = b"Exif\0\0MM\0*\0\0\0\x08\xff\xff" + b"\x9a" * 40
    Image.fromarray(cat()).save(tmp_path / "x.png", exif=broken)
    assert np.array_equal(read(tmp_path / "x.png").pixels, cat())


XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><d dc:title="\xc3\x84ltere"/></x:xmpmeta>'


def described(width: int, height: int, orientation: int = 1) -> Image.Exif:
    exif = Image.Exif()
    exif[ExifTags.Base.Make] = "Plate camera"
    exif[ExifTags.Base.Orientation] = orientation
    exif[ExifTags.IFD.Exif] = {
        ExifTags.Base.ExifImageWidth: width,
        ExifTags.Base.ExifImageHeight: height,
        ExifTags.Base.DateTimeOriginal: "1926:11:23 10:00:00",
        ExifTags.Base.MakerNote: b"opaque\0bytes",
    }
    exif[ExifTags.IFD.GPSInfo] = {1: "N", 2: (48.0, 8.0, 14.0)}
    return exif


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("source", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_exif_xmp_and_resolution_survive_from_every_format_to_every_other(
    tmp_path: Path, source: str, format: str
) -> None:
    path = tmp_path / "source"
    extra: dict[str, Any] = {"xmp": XMP}
    exif = described(60, 40, 6)
    if source == "PNG":
        text = PngInfo()
        text.add_itxt("XML:com.adobe.xmp", XMP.decode())
        extra = {"pnginfo": text}
    if source == "TIFF":
        loaded = Image.Exif()
        loaded.load(exif.tobytes())
        loaded[700] = XMP
        exif = loaded
        extra = {}
    Image.fromarray(cat()).save(path, source, exif=exif, dpi=(300, 300), **extra)
    picture = read(path)
    larger = replace(picture, pixels=picture.pixels.repeat(2, axis=0).repeat(2, axis=1))
    image = written(larger, tmp_path, format)
    assert image.size == (80, 120)
    if source != "WEBP" and format != "webp":
        assert image.info["dpi"] == pytest.approx((300, 300), abs=0.1)
    assert image.info["xmp"].rstrip(b"\0") == XMP
    found = image.getexif()
    assert found[ExifTags.Base.Make] == "Plate camera"
    assert found.get(ExifTags.Base.Orientation, 1) == 1
    sub = found.get_ifd(ExifTags.IFD.Exif)
    size = (sub[ExifTags.Base.ExifImageWidth], sub[ExifTags.Base.ExifImageHeight])
    assert size == (80, 120)
    assert sub[ExifTags.Base.DateTimeOriginal] == "1926:11:23 10:00:00"
    assert sub[ExifTags.Base.MakerNote] == b"opaque\0bytes"
    assert found.get_ifd(ExifTags.IFD.GPSInfo)[2] == (48.0, 8.0, 14.0)


def test_metadata_too_long_for_jpeg_is_left_out_with_a_note(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.ImageDescription] = "x" * 70000
    metadata = replace(PNG, exif=exif.tobytes(), xmp=b"<x/>" + b" " * 70000)
    picture = Picture(cat(), False, metadata)
    notes = write_picture(picture, tmp_path / "x.jpg", format="jpeg", quality=95)
    assert notes == (
        "its EXIF is longer than JPEG allows: left out",
        "its XMP is longer than JPEG allows: left out",
    )
    kept = written(picture, tmp_path, "png")
    assert len(kept.getexif()[ExifTags.Base.ImageDescription]) == 70000


def test_a_result_is_written_even_if_its_metadata_cannot_be(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Make] = "Plate camera"
    block = exif.tobytes().replace(struct.pack("<HH", 0x010F, 2), struct.pack("<HH", 0x9999, 4))
    picture = Picture(cat(), False, replace(PNG, exif=block))
    for format in FORMATS:
        assert np.asarray(written(picture, tmp_path, format)).shape == (40, 60, 3)
