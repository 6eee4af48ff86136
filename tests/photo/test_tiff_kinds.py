"""Kinds of TIFF that archives have: each comes out as the colours that it means, or is refused."""

import struct
import zlib
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image

from daemon.photo import Limits, Metadata, Picture, is_truncated, raw_header, read_header
from daemon.photo.profiles import ADOBE_RGB_ICC
from daemon.photo.writing import write_picture
from daemon.system.errors import PhotoError, TruncatedError
from tests.support.photos import cat, read

Order = Literal["<", ">"]
Depth = type[np.uint8] | type[np.uint16]

DEEP = cat().astype(np.uint16) * 257 - (cat() % 2)
GREY = DEEP[..., 1]


def saved(path: Path, codes: NDArray[Any], **options: Any) -> Picture:  # noqa: ANN401
    """Write a TIFF and read it."""
    tifffile.imwrite(path / "a.tif", codes, **options)
    assert not is_truncated(path / "a.tif")
    return read(path / "a.tif")


@pytest.mark.parametrize("compression", [None, "zlib", "lzw", "zstd", "lzma", "packbits"])
@pytest.mark.parametrize("planes", [False, True])
@pytest.mark.parametrize("order", ["<", ">"])
def test_colours_of_16_bits_in_every_arrangement(
    tmp_path: Path, compression: str | None, planes: bool, order: Order
) -> None:
    codes = np.moveaxis(DEEP, 2, 0) if planes else DEEP
    config = "separate" if planes else "contig"
    picture = saved(
        tmp_path,
        codes,
        photometric="rgb",
        planarconfig=config,
        compression=compression,
        byteorder=order,
    )
    assert np.array_equal(picture.pixels, DEEP)
    assert picture.notes == ()


@pytest.mark.parametrize("options", [{"tile": (16, 32)}, {"bigtiff": True}, {"rowsperstrip": 7}])
@pytest.mark.parametrize("order", ["<", ">"])
def test_tiles_strips_and_bigtiff(tmp_path: Path, options: dict[str, Any], order: Order) -> None:
    picture = saved(tmp_path, DEEP, photometric="rgb", byteorder=order, **options)
    assert np.array_equal(picture.pixels, DEEP)
    header = read_header(tmp_path / "a.tif", Limits())
    assert (header.format, header.width, header.height) == ("TIFF", 60, 40)
    content = (tmp_path / "a.tif").read_bytes()
    (tmp_path / "a.tif").write_bytes(content[:-200])
    assert is_truncated(tmp_path / "a.tif")
    with pytest.raises(TruncatedError):
        read(tmp_path / "a.tif")


@pytest.mark.parametrize("compression", ["jpeg", "webp"])
def test_jpeg_and_webp_inside(tmp_path: Path, compression: str) -> None:
    picture = saved(tmp_path, cat(), photometric="rgb", compression=compression)
    assert np.abs(picture.pixels.astype(int) - cat()).mean() < 6


@pytest.mark.parametrize(
    ("codes", "options", "wanted"),
    [
        (GREY, {"photometric": "minisblack"}, GREY),
        (GREY, {"photometric": "miniswhite"}, 65535 - GREY),
        (cat()[..., 1], {"photometric": "miniswhite"}, 255 - cat()[..., 1]),
        (GREY > 30000, {"photometric": "minisblack"}, np.uint8(255) * (GREY > 30000)),
        (GREY > 30000, {"photometric": "miniswhite"}, np.uint8(255) * (GREY <= 30000)),
        (GREY.astype(np.uint32) * 65537, {"photometric": "minisblack"}, GREY),
        (GREY.astype(np.int32), {"photometric": "minisblack"}, GREY),
        (GREY.astype(np.int16) // 2 % 100, {"photometric": "minisblack"}, None),
        ((GREY / 65535).astype(np.float64), {"photometric": "minisblack"}, GREY),
        (GREY >> 4, {"photometric": "minisblack", "bitspersample": 12}, None),
    ],
)
def test_grey_of_every_type(
    tmp_path: Path, codes: NDArray[Any], options: dict[str, Any], wanted: NDArray[Any] | None
) -> None:
    picture = saved(tmp_path, codes, **options)
    assert picture.grey
    if options.get("bitspersample") == 12:
        wanted = np.rint((GREY >> 4) * (65535 / 4095))
    if wanted is None:  # small numbers of 16 bits with a sign are levels of 0 to 255
        wanted = codes.astype(np.uint16) * 257
    assert np.abs(picture.pixels[..., 2].astype(int) - wanted).max() <= 1


def test_levels_that_are_wrongly_marked_as_signed_are_read_as_they_were(tmp_path: Path) -> None:
    smooth = np.tile(np.linspace(0, 255, 60), (40, 1))
    for levels in (smooth.astype(np.uint8), (smooth * 257).astype(np.uint16)):
        marked = levels.view(f"i{levels.itemsize}")
        picture = saved(tmp_path, marked, photometric="minisblack")
        assert np.array_equal(picture.pixels[..., 0], levels)
        assert picture.notes[0].endswith("marked as signed and are not: read as unsigned")
    signed = (smooth * 100 - 9000).astype(np.int16)
    pixels = saved(tmp_path, signed, photometric="minisblack").pixels
    assert (np.diff(pixels[0, :, 0].astype(int)) > 0).all()


def test_half_floats_are_read(tmp_path: Path) -> None:
    picture = saved(tmp_path, (DEEP / 65535).astype(np.float16), photometric="rgb")
    assert np.abs(picture.pixels.astype(int) - DEEP).max() <= 40
    assert picture.notes == ("16-bit float RGB of 0 to 1 read as 16-bit",)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_lab_of_8_and_16_bits(tmp_path: Path, dtype: Depth) -> None:
    # L* 58.3, a* 26.1, b* 53.9 under D50 is sRGB (197, 121, 41).
    unit = 1 if dtype == np.uint8 else 256
    signed = np.array((26.1 * unit, 53.9 * unit)).round().astype(f"i{np.dtype(dtype).itemsize}")
    lab = np.empty((8, 8, 3), dtype)
    lab[..., 0] = round(58.3 / 100 * np.iinfo(dtype).max)
    lab[..., 1:] = signed.view(dtype)
    pixels: NDArray[Any] = saved(tmp_path, lab, photometric="cielab").pixels
    assert pixels.dtype == dtype
    scale = 255 / np.iinfo(dtype).max
    assert np.abs(pixels * scale - (197, 121, 41)).max() <= (2 if dtype == np.uint8 else 0.6)
    write_picture(read(tmp_path / "a.tif"), tmp_path / "b.tif", format="tiff", quality=95)
    result = read(tmp_path / "b.tif")
    assert result.metadata.icc == ADOBE_RGB_ICC
    assert np.abs(result.pixels.astype(int) - pixels).max() <= (1 if dtype == np.uint8 else 40)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("planes", [False, True])
def test_cmyk_is_converted_by_rule_and_extra_inks_are_left_out(
    tmp_path: Path, dtype: Depth, planes: bool
) -> None:
    white = np.iinfo(dtype).max
    inks = np.zeros((8, 8, 5), dtype)
    inks[..., 0], inks[..., 3], inks[..., 4] = white // 2, white // 4, white
    for count, notes in ((4, 0), (5, 1)):
        codes = inks[..., :count]
        codes = np.moveaxis(codes, 2, 0) if planes else codes
        config = "separate" if planes else "contig"
        extras = [0] * (count - 4)
        picture = saved(
            tmp_path, codes, photometric="separated", planarconfig=config, extrasamples=extras
        )
        wanted = np.array([0.5 * 0.75, 0.75, 0.75]) * white
        assert np.abs(picture.pixels[0, 0] - wanted).max() <= 0.006 * white
        assert picture.alpha is None
        assert len(picture.notes) == 1 + notes


def test_kinds_of_opacity_are_told_apart(tmp_path: Path) -> None:
    alpha = np.linspace(0, 65535, 2400).round().astype(np.uint16).reshape(40, 60)
    straight = np.dstack([DEEP, alpha])
    picture = saved(tmp_path, straight, photometric="rgb", extrasamples=["unassalpha"])
    assert np.array_equal(picture.pixels, DEEP)
    assert np.array_equal(picture.alpha, alpha)  # type: ignore[arg-type]
    multiplied = straight.copy()
    multiplied[..., :3] = np.rint(DEEP * (alpha[..., None] / 65535))
    picture = saved(tmp_path, multiplied, photometric="rgb", extrasamples=["assocalpha"])
    assert np.array_equal(picture.alpha, alpha)  # type: ignore[arg-type]
    visible = alpha > 6553
    assert np.abs(picture.pixels.astype(int) - DEEP)[visible].max() <= 6
    picture = saved(tmp_path, straight, photometric="rgb", extrasamples=["unspecified"])
    assert picture.alpha is None
    assert picture.notes == ("1 extra channel left out: no opacity",)


def test_palettes_of_8_and_16_bits(tmp_path: Path) -> None:
    indices = np.arange(256, dtype=np.uint8).reshape(16, 16)
    for colours in (cat(16, 16).reshape(256, 3).astype(np.uint16) * 257, DEEP.reshape(-1, 3)[:256]):
        picture = saved(tmp_path, indices, photometric="palette", colormap=colours.T)
        scale = 257 if picture.pixels.dtype == np.uint8 else 1
        found = picture.pixels.astype(int) * scale
        assert np.array_equal(found, colours.reshape(16, 16, 3))


def test_orientation_is_applied_to_deep_pictures(tmp_path: Path) -> None:
    turned = np.ascontiguousarray(np.rot90(DEEP))
    tags = [(274, "H", 1, 6, True)]
    picture = saved(tmp_path, turned, photometric="rgb", extratags=tags)
    assert np.array_equal(picture.pixels, DEEP)


@pytest.mark.parametrize(
    "raw",
    [
        {"extratags": [(50706, "B", 4, (1, 4, 0, 0), True)]},
        {"photometric": "cfa", "extratags": [(50706, "B", 4, (1, 4, 0, 0), True)]},
    ],
)
def test_without_the_extra_a_raw_file_is_refused_and_its_thumbnail_not_delivered(
    tmp_path: Path, raw: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(raw_header, "find_spec", lambda name: None)
    codes = cat()[..., 0] if "photometric" in raw else cat()
    options = {"photometric": "rgb", **raw}
    tifffile.imwrite(tmp_path / "a.dng", codes, **options)
    with pytest.raises(PhotoError, match="raw file") as caught:
        read_header(tmp_path / "a.dng", Limits())
    assert "raw converter" in caught.value.remedy


def test_a_reduced_first_page_with_the_raw_picture_below_it_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(raw_header, "find_spec", lambda name: None)
    with tifffile.TiffWriter(tmp_path / "a.nef") as tiff:
        tiff.write(cat(30, 20), photometric="rgb", subfiletype=1, subifds=1)
        tiff.write(DEEP[..., 0], photometric="minisblack")
    with pytest.raises(PhotoError, match="raw file"):
        read_header(tmp_path / "a.nef", Limits())


def test_old_subsampled_ycbcr_is_read_by_pillow_and_turned_once(tmp_path: Path) -> None:
    image = Image.fromarray(np.ascontiguousarray(np.rot90(cat()))).convert("YCbCr")
    exif = Image.Exif()
    exif[274] = 6
    image.save(tmp_path / "a.tif", exif=exif)
    assert np.abs(read(tmp_path / "a.tif").pixels.astype(int) - cat()).mean() < 3


def strip_of(path: Path, width: int, height: int, compression: int, content: bytes) -> Path:
    """A TIFF of one strip, bilevel where it is a fax and grey where not."""
    fax = compression == 4
    fields = {256: width, 257: height, 258: 1 if fax else 8, 259: compression, 262: 0 if fax else 1}
    fields |= {273: 8, 277: 1, 278: height, 279: len(content)}
    content += bytes(len(content) % 2)
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in fields.items())
    begin = struct.pack("<4sI", b"II*\0", 8 + len(content)) + content
    path.write_bytes(begin + struct.pack("<H", len(fields)) + entries + bytes(4))
    return path


def test_a_fax_is_read_as_libtiff_reads_it(tmp_path: Path) -> None:
    """Runs of no pixels, which some scanners write: three white, none black, five white."""
    runs = "001" + "1000" + "0000110111" + "001" + "1100" + "0000110111"
    bits = runs + "1" * 3 + "000000000001" * 2
    content = int(bits.ljust(64, "0"), 2).to_bytes(8, "big")
    path = strip_of(tmp_path / "a.tif", 8, 2, 4, content)
    with Image.open(path) as image:
        wanted = np.asarray(image)
    assert np.array_equal(read(path).pixels[..., 0] == 255, wanted)
    assert not wanted.all()


def test_a_strip_that_is_longer_than_it_need_be_is_read(tmp_path: Path) -> None:
    levels = cat(16, 12)[..., 1]
    content = zlib.compress(levels.tobytes() + bytes(40))
    path = strip_of(tmp_path / "a.tif", 16, 12, 8, content)
    assert np.array_equal(read(path).pixels[..., 0], levels)
    path.write_bytes(path.read_bytes().replace(content[10:14], b"\xff\xff\xff\xff"))
    with pytest.raises(PhotoError):
        read(path)


def test_a_result_is_compressed_and_carries_what_it_must(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[271] = "Plate camera"
    exif[0x8769] = {0x9003: "1926:11:23 10:00:00"}
    metadata = Metadata("JPEG", "RGB", None, exif.tobytes(), b"<x/>", (300, 300))
    flat = Picture(np.full((400, 300, 3), 90, np.uint16), False, metadata)
    write_picture(flat, tmp_path / "b.tif", format="tiff", quality=95)
    assert (tmp_path / "b.tif").stat().st_size < 8000
    with tifffile.TiffFile(tmp_path / "b.tif") as tiff:
        tags = tiff.pages[0].tags  # type: ignore[union-attr]
        assert tags[271].value == "Plate camera"
        assert tags[0x8769].value["DateTimeOriginal"] == "1926:11:23 10:00:00"
        assert (tags[282].value, tags[296].value, tags[700].value) == ((300, 1), 2, b"<x/>")


def test_complex_numbers_are_refused_by_what_they_are(tmp_path: Path) -> None:
    with pytest.raises(PhotoError, match="its samples are complex numbers, which are no picture"):
        saved(tmp_path, GREY.astype(np.complex64), photometric="minisblack")
