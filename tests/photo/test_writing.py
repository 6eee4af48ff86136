"""Writing: pixels, modes, metadata, colour profiles there and back, formats' limits, full disks."""

import errno
import io
import os
import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skimage.data
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageCms
from PIL.PngImagePlugin import PngInfo

from daemon.photo import (
    Limits,
    Metadata,
    Photo,
    Picture,
    output_format,
    read_header,
    verify_file,
)
from daemon.photo.reading import read_picture
from daemon.photo.writing import write_animation, write_picture
from daemon.system.errors import CannotWriteError, PhotoError

Levels = NDArray[np.uint8]
FORMATS = ("png", "jpeg", "webp", "tiff")
PNG = Metadata("PNG", "RGB")
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><d dc:title="\xc3\x84ltere"/></x:xmpmeta>'


def cat(width: int = 60, height: int = 40) -> Levels:
    whole = skimage.data.chelsea()
    return np.asarray(Image.fromarray(whole).resize((width, height)))


def grey(levels: NDArray[Any]) -> Picture:
    pixels = np.repeat(levels[..., None], 3, axis=2)
    return Picture(pixels, True, replace(PNG, mode="L"))


def read(path: Path) -> Picture:
    return read_picture(Photo(path, path.name, "", read_header(path, Limits())), Limits())


def opened(path: Path) -> Any:  # noqa: ANN401 - attributes differ by format
    return Image.open(io.BytesIO(path.read_bytes()))


def written(picture: Picture, folder: Path, format: str, quality: int = 100) -> Any:  # noqa: ANN401
    path = folder / f"result.{format}"
    write_picture(picture, path, format=format, quality=quality)
    verify_file(path, picture.pixels.shape[1], picture.pixels.shape[0])
    return opened(path)


@pytest.mark.parametrize("format", FORMATS)
def test_colours_are_written_as_they_are(tmp_path: Path, format: str) -> None:
    image = written(Picture(cat(), False, PNG), tmp_path, format)
    assert (image.format, image.mode) == (format.upper(), "RGB")
    allowed = 14 if format == "jpeg" else 0
    assert np.abs(np.asarray(image).astype(int) - cat()).max() <= allowed


@pytest.mark.parametrize("format", FORMATS)
def test_grey_is_written_as_grey(tmp_path: Path, format: str) -> None:
    levels = cat()[..., 1]
    image = written(grey(levels), tmp_path, format)
    assert image.mode == ("RGB" if format == "webp" else "L")
    assert np.abs(np.asarray(image.convert("L")).astype(int) - levels).max() <= 4
    if format != "jpeg":
        assert np.array_equal(np.asarray(image.convert("L")), levels)


@pytest.mark.parametrize("format", ["png", "tiff"])
def test_sixteen_bit_grey_is_written_exactly(tmp_path: Path, format: str) -> None:
    levels = (np.arange(2400, dtype=np.uint32) * 27).astype(np.uint16).reshape(40, 60)
    image = written(grey(levels), tmp_path, format)
    assert image.mode == "I;16"
    assert np.array_equal(np.asarray(image), levels)
    assert np.array_equal(read(tmp_path / f"result.{format}").pixels[..., 2], levels)


def test_sixteen_bits_are_rounded_where_only_eight_can_be_written(tmp_path: Path) -> None:
    levels = np.array([[0, 128, 129, 257, 32767, 65406, 65407, 65535]], np.uint16)
    wanted = [0, 0, 1, 1, 127, 254, 255, 255]
    deep = np.repeat(levels[..., None], 3, axis=2)
    picture = Picture(deep, False, PNG)
    assert np.asarray(written(picture, tmp_path, "png"))[0, :, 1].tolist() == wanted
    assert np.asarray(written(grey(levels), tmp_path, "webp"))[0, :, 1].tolist() == wanted
    notes = write_picture(picture, tmp_path / "x.png", format="png", quality=95)
    assert notes == ("16-bit written as 8-bit",)


@pytest.mark.parametrize("format", ["png", "webp", "tiff"])
@pytest.mark.parametrize("is_grey", [False, True])
def test_opacity_is_kept_where_the_format_has_it(
    tmp_path: Path, format: str, is_grey: bool
) -> None:
    alpha = np.linspace(0, 255, 2400).reshape(40, 60).astype(np.uint8)
    picture = grey(cat()[..., 1]) if is_grey else Picture(cat(), False, PNG)
    image = written(replace(picture, alpha=alpha), tmp_path, format)
    assert image.mode == ("LA" if is_grey and format != "webp" else "RGBA")
    assert np.array_equal(np.asarray(image.getchannel("A")), alpha)
    assert np.array_equal(np.asarray(image.convert("RGB")), picture.pixels)


def test_opacity_is_flattened_on_white_and_said_where_there_is_none(tmp_path: Path) -> None:
    black = np.zeros((8, 8, 3), np.uint8)
    alpha = np.full((8, 8), 51, np.uint8)
    picture = Picture(black, False, PNG, alpha)
    path = tmp_path / "x.jpg"
    notes = write_picture(picture, path, format="jpeg", quality=100)
    assert notes == ("JPEG has no transparency: flattened on white",)
    assert (np.asarray(opened(path)) == 204).all()
    write_picture(replace(picture, grey=True), path, format="jpeg", quality=100)
    assert opened(path).mode == "L"
    assert (np.asarray(opened(path)) == 204).all()


def test_jpeg_subsamples_colour_only_below_90(tmp_path: Path) -> None:
    picture = Picture(cat(), False, PNG)
    for quality, sampling in ((95, (1, 1)), (90, (1, 1)), (89, (2, 2))):
        image = written(picture, tmp_path, "jpeg", quality)
        assert image.layer[0][1:3] == sampling


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


def test_metadata_too_long_for_jpeg_is_left_out_and_said(tmp_path: Path) -> None:
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


def test_metadata_that_cannot_be_written_costs_a_note_and_not_the_result(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Make] = "Plate camera"
    block = exif.tobytes().replace(struct.pack("<HH", 0x010F, 2), struct.pack("<HH", 0x9999, 4))
    picture = Picture(cat(), False, replace(PNG, exif=block))
    for format in FORMATS:
        assert np.asarray(written(picture, tmp_path, format)).shape == (40, 60, 3)


def matrix_profile(gamma: float, primaries: list[tuple[float, float, float]]) -> bytes:
    """A version 2 RGB profile by hand: columns X, Y, Z under D50 and one gamma for all."""

    def fixed(value: float) -> bytes:
        return struct.pack(">i", round(value * 65536))

    tags = [(b"desc", b"desc\0\0\0\0" + struct.pack(">I", 5) + b"test\0" + b"\0" * 78)]
    tags += [(b"cprt", b"text\0\0\0\0none\0"), (b"wtpt", xyz(0.9642, 1.0, 0.8249))]
    tags += [(n, xyz(*p)) for n, p in zip((b"rXYZ", b"gXYZ", b"bXYZ"), primaries, strict=True)]
    curve = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256))
    tags += [(name, curve) for name in (b"rTRC", b"gTRC", b"bTRC")]
    return assembled(b"RGB ", tags)


def grey_profile(gamma: float) -> bytes:
    curve = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256))
    tags = [(b"desc", b"desc\0\0\0\0" + struct.pack(">I", 5) + b"test\0" + b"\0" * 78)]
    tags += [(b"cprt", b"text\0\0\0\0none\0"), (b"wtpt", xyz(0.9642, 1.0, 0.8249))]
    return assembled(b"GRAY", [*tags, (b"kTRC", curve)])


def xyz(*values: float) -> bytes:
    return b"XYZ \0\0\0\0" + b"".join(struct.pack(">i", round(v * 65536)) for v in values)


def assembled(space: bytes, tags: list[tuple[bytes, bytes]]) -> bytes:
    table, body, offset = b"", b"", 132 + 12 * len(tags)
    for name, content in tags:
        padded = content + b"\0" * (-len(content) % 4)
        table += name + struct.pack(">II", offset + len(body), len(content))
        body += padded
    head = struct.pack(">I4sI4s4s4s", 0, b"lcms", 0x02100000, b"mntr", space, b"XYZ ")
    head += struct.pack(">6H", 2026, 1, 1, 0, 0, 0) + b"acsp" + b"\0" * 28
    head += struct.pack(">3i", 63190, 65536, 54061)
    whole = head.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + body
    return struct.pack(">I", len(whole)) + whole[4:]


# ProPhoto-like: far wider than sRGB.
WIDE = [(0.7977, 0.2880, 0.0), (0.1352, 0.7119, 0.0), (0.0313, 0.0001, 0.8249)]
WIDE_ICC = matrix_profile(1.8, WIDE)
SRGB_ICC = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def by_hand(levels: Levels) -> NDArray[np.float64]:
    """Wide levels to sRGB levels by the definition: gamma, matrix, sRGB's curve."""
    linear = (levels / 255) ** 1.8 @ np.array(WIDE)
    to_srgb = np.array(
        [
            [3.1338561, -1.6168667, -0.4906146],
            [-0.9787684, 1.9161415, 0.0334540],
            [0.0719453, -0.2289914, 1.4052427],
        ]
    )
    light = np.clip(linear @ to_srgb.T, 0, 1)
    encoded = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    return np.asarray(encoded * 255)


@pytest.mark.parametrize("format", ["PNG", "TIFF", "JPEG", "WEBP"])
def test_a_wide_profile_is_converted_to_srgb_by_its_definition(tmp_path: Path, format: str) -> None:
    flat = np.full((8, 8, 3), (150, 120, 100), np.uint8)
    extra: dict[str, Any] = {"lossless": True} if format == "WEBP" else {"quality": 100}
    extra = {} if format == "TIFF" else extra
    Image.fromarray(flat).save(tmp_path / "wide", format, icc_profile=WIDE_ICC, **extra)
    picture = read(tmp_path / "wide")
    # 8 bits in and out and JPEG's own rounding; unconverted the red would be 26 levels off.
    assert np.abs(picture.pixels.astype(float) - by_hand(flat)).max() <= (
        4 if format == "JPEG" else 1.6
    )
    assert np.abs(flat - by_hand(flat)).max() > 20
    assert picture.metadata.icc == WIDE_ICC


@pytest.mark.parametrize("format", FORMATS)
def test_a_wide_photograph_goes_back_into_its_profile(tmp_path: Path, format: str) -> None:
    soft = (100 + cat().astype(int) // 4).astype(np.uint8)
    Image.fromarray(soft).save(tmp_path / "wide.png", icc_profile=WIDE_ICC)
    image = written(read(tmp_path / "wide.png"), tmp_path, format)
    assert image.info["icc_profile"] == WIDE_ICC
    error = np.abs(np.asarray(image).astype(int) - soft)
    assert np.percentile(error, 99) <= (8 if format == "jpeg" else 2)


def test_an_srgb_profile_changes_no_level_and_stays(tmp_path: Path) -> None:
    Image.fromarray(cat()).save(tmp_path / "srgb.png", icc_profile=SRGB_ICC)
    picture = read(tmp_path / "srgb.png")
    assert np.array_equal(picture.pixels, cat())
    image = written(picture, tmp_path, "png")
    assert image.info["icc_profile"] == SRGB_ICC
    assert np.array_equal(np.asarray(image), cat())


def test_a_grey_profile_is_converted_there_and_back(tmp_path: Path) -> None:
    icc = grey_profile(1.0)
    levels = np.tile(np.arange(256, dtype=np.uint8), (8, 1))
    Image.fromarray(levels).save(tmp_path / "linear.png", icc_profile=icc)
    picture = read(tmp_path / "linear.png")
    assert picture.grey
    # Linear light of a half is level 188 of sRGB.
    assert abs(int(picture.pixels[0, 128, 0]) - 188) <= 1
    image = written(picture, tmp_path, "png")
    assert image.mode == "L"
    assert image.info["icc_profile"] == icc
    assert np.abs(np.asarray(image).astype(int) - levels)[:, 64:].max() <= 1


def test_a_grey_profile_is_left_out_of_a_coloured_result(tmp_path: Path) -> None:
    metadata = Metadata("PNG", "L", grey_profile(1.0))
    picture = Picture(cat(), False, metadata)
    notes = write_picture(picture, tmp_path / "x.png", format="png", quality=95)
    assert notes == ("the embedded grey profile cannot hold colours: the result is sRGB",)
    image = opened(tmp_path / "x.png")
    assert "icc_profile" not in image.info
    assert np.array_equal(np.asarray(image), cat())


def test_deep_grey_keeps_its_profile_and_every_bit(tmp_path: Path) -> None:
    levels = (np.arange(2400, dtype=np.uint32) * 27).astype(np.uint16).reshape(40, 60)
    for format in ("png", "tiff"):
        icc = grey_profile(1.0)
        Image.fromarray(levels).save(tmp_path / "deep", format, icc_profile=icc)
        image = written(read(tmp_path / "deep"), tmp_path, format)
        assert np.array_equal(np.asarray(image), levels)
        assert image.info["icc_profile"] == icc


def test_grey_pixels_with_a_colour_profile_keep_their_profile(tmp_path: Path) -> None:
    levels = np.full((8, 8), 120, np.uint8)
    Image.fromarray(np.dstack([levels] * 3)).save(tmp_path / "a.png", icc_profile=WIDE_ICC)
    picture = read(tmp_path / "a.png")
    assert picture.grey
    image = written(picture, tmp_path, "png")
    assert (image.mode, image.info["icc_profile"]) == ("RGB", WIDE_ICC)
    assert np.abs(np.asarray(image).astype(int) - 120).max() <= 1


@pytest.mark.parametrize(
    ("icc", "note"),
    [
        (b"no profile at all", "profile is broken"),
        (WIDE_ICC[:200], "profile is broken"),
        (grey_profile(2.2), "profile is for GRAY, the pixels are RGB"),
    ],
)
def test_a_profile_that_does_not_fit_is_left_out_and_said(
    tmp_path: Path, icc: bytes, note: str
) -> None:
    Image.fromarray(cat()).save(tmp_path / "a.jpg", quality=95, icc_profile=icc)
    picture = read(tmp_path / "a.jpg")
    assert note in picture.notes[0]
    assert picture.metadata.icc is None
    assert np.array_equal(picture.pixels, np.asarray(opened(tmp_path / "a.jpg")))


def test_cmyk_is_written_as_srgb_without_its_profile(tmp_path: Path) -> None:
    Image.fromarray(cat()).convert("CMYK").save(tmp_path / "a.tif", icc_profile=SRGB_ICC)
    picture = read(tmp_path / "a.tif")
    assert picture.notes == ("the embedded profile is for RGB, the pixels are CMYK: left out",)
    image = written(picture, tmp_path, "tiff")
    assert image.mode == "RGB"
    assert "icc_profile" not in image.info


@pytest.mark.parametrize(
    ("choice", "source", "wanted"),
    [
        ("png", "JPEG", ("png", ".png")),
        ("jpeg", "PNG", ("jpeg", ".jpg")),
        ("same", "JPEG", ("jpeg", ".jpg")),
        ("same", "PNG", ("png", ".png")),
        ("same", "WEBP", ("webp", ".webp")),
        ("same", "TIFF", ("tiff", ".tif")),
        ("same", "GIF", ("png", ".png")),
        ("same", "BMP", ("png", ".png")),
    ],
)
def test_same_is_the_format_of_the_input_where_it_can_be_written(
    choice: str, source: str, wanted: tuple[str, str]
) -> None:
    assert output_format(choice, Metadata(source, "RGB")) == wanted


def test_a_side_too_long_for_the_format_says_which_to_use(tmp_path: Path) -> None:
    for format, side in (("webp", 16384), ("jpeg", 65536)):
        picture = Picture(np.zeros((1, side, 3), np.uint8), False, PNG)
        path = tmp_path / f"long.{format}"
        with pytest.raises(PhotoError, match=rf"long.{format}: {side}x1 pixels.*png.*tiff"):
            write_picture(picture, path, format=format, quality=95)
        assert not path.exists()
        assert written(picture, tmp_path, "png").size == (side, 1)


@pytest.mark.parametrize("format", FORMATS)
def test_one_pixel_can_be_written(tmp_path: Path, format: str) -> None:
    image = written(Picture(np.full((1, 1, 3), 77, np.uint8), False, PNG), tmp_path, format)
    assert np.abs(np.asarray(image).astype(int) - 77).max() <= 1


def test_formats_may_be_named_in_capitals_and_others_are_refused(tmp_path: Path) -> None:
    picture = Picture(cat(), False, PNG)
    for name in ("a", "b"):
        write_picture(picture, tmp_path / name, format="PNG" if name == "a" else "png", quality=9)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    with pytest.raises(ValueError, match="'bmp' is none of png, jpeg, webp, tiff"):
        write_picture(picture, tmp_path / "c", format="bmp", quality=95)


def test_an_animation_has_its_frames_and_their_time(tmp_path: Path) -> None:
    pictures = [Picture(np.full((20, 30, 3), v, np.uint8), False, PNG) for v in (0, 100, 200)]
    path = tmp_path / "x.webp"
    write_animation(pictures, path, frame_ms=120)
    image = opened(path)
    assert (image.n_frames, image.size, image.info["loop"]) == (3, (30, 20), 0)
    for index, level in enumerate((0, 100, 200)):
        image.seek(index)
        image.load()
        assert image.info["duration"] == 120
        assert np.abs(np.asarray(image.convert("RGB")).astype(int) - level).max() <= 3
    verify_file(path, 30, 20)


@pytest.mark.parametrize("format", FORMATS)
def test_a_full_disk_keeps_its_error_number(tmp_path: Path, format: str) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    noise = np.random.default_rng(0).integers(0, 256, (300, 300, 3), np.uint8)
    link = tmp_path / "full"
    link.symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space") as caught:
        write_picture(Picture(noise, False, PNG), link, format=format, quality=95)
    assert caught.value.errno == errno.ENOSPC


def test_what_was_written_is_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    real = os.fsync

    def watched(fd: int) -> None:
        synced.append(os.fstat(fd).st_size)
        real(fd)

    monkeypatch.setattr(os, "fsync", watched)
    path = tmp_path / "x.png"
    write_picture(Picture(cat(), False, PNG), path, format="png", quality=95)
    assert synced == [path.stat().st_size]


def test_verifying_refuses_what_does_not_decode_to_its_size(tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    write_picture(Picture(cat(), False, PNG), path, format="png", quality=95)
    verify_file(path, 60, 40)
    with pytest.raises(CannotWriteError, match=r"x.png: decodes to 60x40 pixels, expected 60x41"):
        verify_file(path, 60, 41)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CannotWriteError, match=r"does not decode again: x.png"):
        verify_file(path, 60, 40)
    damaged = bytearray(whole)
    damaged[len(whole) // 2] ^= 0xFF
    path.write_bytes(damaged)
    with pytest.raises(CannotWriteError):
        verify_file(path, 60, 40)


def test_an_animation_keeps_the_opacity_of_its_frames(tmp_path: Path) -> None:
    alphas = [np.full((8, 8), level, np.uint8) for level in (40, 200)]
    pixels = np.full((8, 8, 3), 90, np.uint8)
    path = tmp_path / "film.webp"
    frames = [Picture(pixels, False, Metadata("PNG", "RGBA"), alpha=alpha) for alpha in alphas]
    write_animation(frames, path, frame_ms=50)
    with Image.open(path) as film:
        for number, alpha in enumerate(alphas):
            film.seek(number)
            assert np.asarray(film.convert("RGBA"))[..., 3].tolist() == alpha.tolist()
