"""Writing: pixels, modes, depth, opacity, animations, limits of formats, full disks."""

import errno
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image

from daemon.photo import Metadata, Picture, verify_file
from daemon.photo.output_formats import Chroma, Compression, EncoderOptions
from daemon.photo.writing import write_animation, write_picture
from daemon.system.errors import PhotoError
from tests.support.photos import FORMATS, PNG, cat, opened, read, written


def grey(levels: NDArray[Any]) -> Picture:
    pixels = np.repeat(levels[..., None], 3, axis=2)
    return Picture(pixels, True, replace(PNG, mode="L"))


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
    for format in ("png", "tiff"):
        write_picture(picture, tmp_path / "x", format=format, quality=95, depth=8)
        assert np.asarray(opened(tmp_path / "x"))[0, :, 1].tolist() == wanted
    assert np.asarray(written(grey(levels), tmp_path, "webp"))[0, :, 1].tolist() == wanted
    notes = write_picture(picture, tmp_path / "x.webp", format="webp", quality=100)
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


def test_a_format_without_opacity_is_flattened_on_white_with_a_note(tmp_path: Path) -> None:
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


def test_an_encoder_does_as_the_options_say(tmp_path: Path) -> None:
    picture, path = Picture(cat(), False, PNG), tmp_path / "x.jpg"
    samplings: dict[Chroma, tuple[int, int]] = {"4:4:4": (1, 1), "4:2:0": (2, 2)}
    for chroma, sampling in samplings.items():
        options = EncoderOptions(50, chroma=chroma, progressive=chroma == "4:2:0")
        write_picture(picture, path, format="jpeg", options=options)
        image = opened(path)
        assert image.layer[0][1:3] == sampling
        assert ("progressive" in image.info) == options.progressive
    path = tmp_path / "x.webp"
    write_picture(picture, path, format="webp", options=EncoderOptions(50, lossless=True))
    assert np.array_equal(np.asarray(opened(path)), cat())


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize(("compression", "code"), [("none", 1), ("deflate", 8), ("zstd", 50000)])
def test_a_tiff_is_compressed_as_asked_for_and_reads_back(
    tmp_path: Path, dtype: type[np.generic], compression: Compression, code: int
) -> None:
    pixels = cat() if dtype == np.uint8 else cat().astype(np.uint16) * 257 + 3
    path = tmp_path / "x.tif"
    options = EncoderOptions(compression=compression)
    write_picture(Picture(pixels, False, PNG), path, format="tiff", options=options)
    with tifffile.TiffFile(path) as tiff:
        page = tiff.pages.first
        assert (page.compression, page.predictor) == (code, 1 if compression == "none" else 2)
        assert np.array_equal(page.asarray(), pixels)
    assert np.array_equal(read(path).pixels, pixels)


def test_a_tiff_that_might_pass_four_gigabytes_is_big(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture, path = Picture(cat(), False, PNG), tmp_path / "x.tif"
    for limit, is_big in ((cat().nbytes, False), (cat().nbytes - 1, True)):
        monkeypatch.setattr("daemon.photo.writers.tiff._LARGEST_CLASSIC", limit)
        write_picture(picture, path, format="tiff")
        with tifffile.TiffFile(path) as tiff:
            assert tiff.is_bigtiff == is_big
        assert np.array_equal(read(path).pixels, cat())
        verify_file(path, 60, 40)


def test_a_side_too_long_for_the_format_is_refused_with_others_that_hold_it(
    tmp_path: Path,
) -> None:
    for format, side in (("webp", 16384), ("jpeg", 65501)):
        picture = Picture(np.zeros((1, side, 3), np.uint8), False, PNG)
        path = tmp_path / f"long.{format}"
        with pytest.raises(PhotoError) as caught:
            write_picture(picture, path, format=format, quality=95)
        assert caught.value.photo == ""
        assert (
            caught.value.why == f"the result has {side}x1 pixels; {format} allows {side - 1} a side"
        )
        assert caught.value.remedy == 'set output.format of the recipe to "png" or "tiff"'
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
    with pytest.raises(ValueError, match="'bmp' is none of png, jpeg, webp, tiff, jxl, avif"):
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


def test_a_written_file_is_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    real = os.fsync

    def watched(fd: int) -> None:
        synced.append(os.fstat(fd).st_size)
        real(fd)

    monkeypatch.setattr(os, "fsync", watched)
    path = tmp_path / "x.png"
    write_picture(Picture(cat(), False, PNG), path, format="png", quality=95)
    assert synced == [path.stat().st_size]


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
