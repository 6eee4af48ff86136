"""Decoding: every mode and format, depth, opacity, pages, side files."""

import struct
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import ExifTags, Image

from daemon.photo import Limits, read_header
from daemon.photo.reading import read_picture
from daemon.system.errors import PhotoError
from tests.support.photos import cat, photo_at, read


@pytest.mark.parametrize("format", ["PNG", "TIFF", "BMP", "WEBP"])
def test_colours_are_read_exactly_from_every_lossless_format(tmp_path: Path, format: str) -> None:
    path = tmp_path / "cat"
    Image.fromarray(cat()).save(path, format, lossless=True)
    picture = read(path)
    assert np.array_equal(picture.pixels, cat())
    assert (picture.grey, picture.alpha, picture.notes) == (False, None, ())
    header = read_header(path, Limits())
    assert (header.format, header.width, header.height, header.mode) == (format, 60, 40, "RGB")


def test_jpeg_is_read_as_pillow_decodes_it_whatever_its_name(tmp_path: Path) -> None:
    path = tmp_path / "cat.png"
    Image.fromarray(cat()).save(path, "JPEG", quality=95)
    assert np.array_equal(read(path).pixels, np.asarray(Image.open(path)))
    assert read(path).metadata.format == "JPEG"


GREY = np.asarray(Image.fromarray(cat()).convert("L"))


@pytest.mark.parametrize(
    ("mode", "format"),
    [
        *(("L", format) for format in ("PNG", "JPEG", "TIFF", "BMP", "GIF")),
        *((mode, "PNG") for mode in ("LA", "P", "RGB")),
        *(("LA", "TIFF"), ("RGB", "TIFF"), ("RGBA", "WEBP")),
    ],
)
def test_grey_is_grey_in_whatever_mode_it_is_stored(tmp_path: Path, mode: str, format: str) -> None:
    path = tmp_path / "grey"
    Image.fromarray(GREY).convert(mode).save(path, format, lossless=True)
    picture = read(path)
    assert picture.grey
    assert picture.pixels.shape == (40, 60, 3)
    wanted = np.asarray(Image.open(path)) if format == "JPEG" else GREY
    assert np.array_equal(picture.pixels[..., 1], wanted)
    assert np.array_equal(picture.pixels[..., 0], picture.pixels[..., 2])


def test_one_bit_pixels_become_black_and_white(tmp_path: Path) -> None:
    bits = GREY > 100
    for format in ("PNG", "TIFF", "BMP"):
        Image.fromarray(bits).save(tmp_path / "bits", format)
        picture = read(tmp_path / "bits")
        assert picture.grey
        assert np.array_equal(picture.pixels[..., 0], bits * 255)


def test_palettes_become_colours_with_their_transparency(tmp_path: Path) -> None:
    indexed = Image.fromarray(cat()).quantize(16)
    wanted = np.asarray(indexed.convert("RGB"))
    indexed.save(tmp_path / "plain", "PNG")
    assert np.array_equal(read(tmp_path / "plain").pixels, wanted)
    indexed.save(tmp_path / "holes", "PNG", transparency=bytes([0, 128] + [255] * 14))
    picture = read(tmp_path / "holes")
    assert np.array_equal(picture.pixels, wanted)
    assert picture.alpha is not None
    lookup = np.array([0, 128] + [255] * 14)
    assert np.array_equal(picture.alpha, lookup[np.asarray(indexed)])


def test_a_transparent_colour_becomes_opacity(tmp_path: Path) -> None:
    levels = cat().copy()
    levels[:5] = (1, 2, 3)
    Image.fromarray(levels).save(tmp_path / "key", "PNG", transparency=(1, 2, 3))
    alpha = read(tmp_path / "key").alpha
    assert alpha is not None
    assert (alpha[:5] == 0).all()
    assert (alpha[5:] == 255).mean() > 0.99
    Image.fromarray(GREY).save(tmp_path / "grey", "PNG", transparency=int(GREY[0, 0]))
    alpha = read(tmp_path / "grey").alpha
    assert alpha is not None
    assert np.array_equal(alpha == 0, GREY[0, 0] == GREY)
    Image.fromarray(GREY > 100).save(tmp_path / "bits", "PNG", transparency=0)
    alpha = read(tmp_path / "bits").alpha
    assert alpha is not None
    assert np.array_equal(alpha == 0, GREY <= 100)


@pytest.mark.parametrize(("mode", "format"), [("RGBA", "PNG"), ("RGBA", "TIFF"), ("LA", "PNG")])
def test_opacity_is_kept_apart_from_colours(tmp_path: Path, mode: str, format: str) -> None:
    opacity = np.linspace(0, 255, 2400).reshape(40, 60).astype(np.uint8)
    image = Image.fromarray(cat()).convert(mode)
    image.putalpha(Image.fromarray(opacity))
    image.save(tmp_path / "alpha", format)
    picture = read(tmp_path / "alpha")
    assert np.array_equal(picture.alpha, opacity)  # type: ignore[arg-type]
    wanted = np.asarray(Image.fromarray(cat()).convert(mode[:-1]).convert("RGB"))
    assert np.array_equal(picture.pixels, wanted)


def test_cmyk_ycbcr_and_lab_become_the_same_colours(tmp_path: Path) -> None:
    flat = np.full((8, 8, 3), (200, 120, 40), np.uint8)
    rgb = Image.fromarray(flat)
    for mode in ("CMYK", "YCbCr"):
        rgb.convert(mode).save(tmp_path / mode, "TIFF")
        assert np.abs(read(tmp_path / mode).pixels.astype(int) - flat).max() <= 2
    assert "CMYK without a colour profile" in read(tmp_path / "CMYK").notes[0]
    rgb.convert("CMYK").save(tmp_path / "jpeg", "JPEG", quality=100)
    assert np.abs(read(tmp_path / "jpeg").pixels.astype(int) - flat).max() <= 4
    # sRGB (200, 120, 40) is L* 58.3, a* 26.1, b* 53.9 under D50.
    lab = np.full((8, 8, 3), (round(58.3 * 2.55), 26, 54), np.uint8)
    Image.frombytes("LAB", (8, 8), lab.tobytes()).save(tmp_path / "LAB", "TIFF")
    assert np.abs(read(tmp_path / "LAB").pixels.astype(int) - flat).max() <= 4


DEEP = (np.arange(2400, dtype=np.uint32) * 27).astype(np.uint16).reshape(40, 60)


@pytest.mark.parametrize("format", ["PNG", "TIFF"])
def test_sixteen_bit_grey_keeps_all_its_bits(tmp_path: Path, format: str) -> None:
    Image.fromarray(DEEP).save(tmp_path / "deep", format)
    picture = read(tmp_path / "deep")
    assert picture.grey
    assert picture.pixels.dtype == np.uint16
    for channel in range(3):
        assert np.array_equal(picture.pixels[..., channel], DEEP)


def test_sixteen_bit_grey_in_the_other_byte_order_is_the_same(tmp_path: Path) -> None:
    Image.frombytes("I;16B", (60, 40), DEEP.astype(">u2").tobytes()).save(tmp_path / "b", "TIFF")
    assert np.array_equal(read(tmp_path / "b").pixels[..., 0], DEEP)


def test_sixteen_bit_grey_in_which_0_is_white_is_inverted(tmp_path: Path) -> None:
    Image.fromarray(DEEP).save(tmp_path / "negative", "TIFF", tiffinfo={262: 0})
    assert np.array_equal(read(tmp_path / "negative").pixels[..., 0], 65535 - DEEP)


@pytest.mark.parametrize(
    ("values", "level", "message"),
    [
        (np.full((4, 4), 0.5, np.float32), 32768, "0 to 1"),
        (np.full((4, 4), 51.0, np.float32), 13107, "0 to 255"),
        (np.full((4, 4), 300.0, np.float32), 300, "0 to 65535"),
        (np.full((4, 4), 51, np.int32), 13107, "0 to 255"),
        (np.full((4, 4), 300, np.int32), 300, "0 to 65535"),
    ],
)
def test_numbers_of_32_bits_become_16_with_a_note_on_the_range(
    tmp_path: Path, values: NDArray[np.generic], level: int, message: str
) -> None:
    Image.fromarray(values).save(tmp_path / "wide", "TIFF")
    picture = read(tmp_path / "wide")
    assert (picture.pixels == level).all()
    assert message in picture.notes[0]


def test_numbers_out_of_every_known_range_are_stretched_and_nan_is_0(tmp_path: Path) -> None:
    values = np.array([[-1e6, 0, 1e6, np.nan]], np.float32)
    Image.fromarray(values).save(tmp_path / "odd", "TIFF")
    assert read(tmp_path / "odd").pixels[0, :, 0].tolist() == [0, 32768, 65535, 32768]


def test_pixels_that_are_no_numbers_are_counted_and_a_picture_of_them_is_refused(
    tmp_path: Path,
) -> None:
    values = np.array([[0.5, np.nan, np.inf, -np.inf]], np.float32)
    Image.fromarray(values).save(tmp_path / "odd", "TIFF")
    (note,) = read(tmp_path / "odd").notes
    assert note.endswith("read as 16-bit; 3 pixels are no finite numbers, read as 0")
    Image.fromarray(values[:, 1:]).save(tmp_path / "odd", "TIFF")
    with pytest.raises(PhotoError, match="no pixel is a finite number"):
        read(tmp_path / "odd")


def deep_png(colour_type: int, channels: int) -> bytes:
    """A 16-bit PNG of 2x2, as Pillow cannot write it."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        sum_ = zlib.crc32(kind + body)
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", sum_)

    rows = (b"\0" + bytes(range(4 * channels))) * 2
    head = struct.pack(">IIBBBBB", 2, 2, 16, colour_type, 0, 0, 0)
    body = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def test_sixteen_bit_colours_and_opacity_are_read_whole(tmp_path: Path) -> None:
    for colour_type, channels in ((2, 3), (6, 4), (4, 2)):
        (tmp_path / "deep.png").write_bytes(deep_png(colour_type, channels))
        picture = read(tmp_path / "deep.png")
        levels = np.frombuffer(bytes(range(4 * channels)), ">u2").reshape(2, channels)
        colours = np.broadcast_to(levels[:, : channels - (channels != 3)], (2, 3))
        assert picture.notes == ()
        assert np.array_equal(picture.pixels, np.stack([colours, colours]))
        if channels != 3:
            assert np.array_equal(picture.alpha, np.stack([levels[:, -1]] * 2))  # type: ignore[arg-type]


def test_the_first_of_many_frames_is_read_with_a_note(tmp_path: Path) -> None:
    frames = [Image.new("L", (9, 7), level) for level in (10, 200, 90)]
    for name in ("a.tif", "a.gif", "a.png"):
        frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:])
        picture = read(tmp_path / name)
        assert (picture.pixels == 10).all()
        message = "the first of 3 pages or frames was restored; 2 more pages were left out"
        assert picture.notes == (message,)


def test_one_pixel_is_a_photograph(tmp_path: Path) -> None:
    for format in ("PNG", "JPEG", "TIFF", "BMP", "GIF", "WEBP"):
        Image.new("RGB", (1, 1), (0, 0, 0)).save(tmp_path / "dot", format)
        assert read(tmp_path / "dot").pixels.tolist() == [[[0, 0, 0]]]


def test_masks_and_hints_are_read_upright(tmp_path: Path) -> None:
    path, mask, hints = (tmp_path / name for name in ("a.png", "a.mask.png", "a.hints.png"))
    Image.fromarray(cat()).save(path)
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    painted = np.zeros((40, 60), np.uint8)
    painted[:10] = 255
    Image.fromarray(np.ascontiguousarray(np.rot90(painted, 1))).save(mask, exif=exif)
    hints_drawn = np.zeros((40, 60, 4), np.uint8)
    hints_drawn[5, 6] = (250, 10, 20, 255)
    Image.fromarray(hints_drawn).save(hints)
    picture = read_picture(photo_at(path, mask=mask, hints=hints), Limits())
    assert np.array_equal(picture.mask, painted)  # type: ignore[arg-type]
    assert np.array_equal(picture.hints, hints_drawn)  # type: ignore[arg-type]


def test_masks_of_any_mode_are_luminance_and_transparency_counts_as_black(tmp_path: Path) -> None:
    path, mask = tmp_path / "a.png", tmp_path / "a.mask.png"
    Image.fromarray(cat()).save(path)
    for image, level in (
        (Image.new("RGBA", (3, 3), (255, 255, 255, 128)), 128),
        (Image.new("1", (3, 3), 1), 255),
        (Image.fromarray(np.full((3, 3), 32896, np.uint16)), 128),
        (Image.new("RGB", (3, 3), (0, 255, 0)), 150),
    ):
        image.save(mask)
        picture = read_picture(photo_at(path, mask=mask), Limits())
        assert picture.mask is not None
        assert (picture.mask == level).all()
        assert picture.mask.dtype == np.uint8


def test_an_unreadable_side_file_is_named(tmp_path: Path) -> None:
    path, side = tmp_path / "a.png", tmp_path / "a.hints.png"
    Image.fromarray(cat()).save(path)
    side.write_bytes(b"nothing of the kind")
    for photo in (photo_at(path, mask=side), photo_at(path, hints=side)):
        with pytest.raises(PhotoError, match=r"a.hints.png: starts with"):
            read_picture(photo, Limits())


def test_a_side_file_in_the_work_folder_is_named_as_it_was_dropped(tmp_path: Path) -> None:
    path, side = tmp_path / "0-0-a.png", tmp_path / "0-1-a.mask.png"
    Image.fromarray(cat()).save(path)
    side.write_bytes(b"nothing of the kind")
    for photo in (
        replace(photo_at(path, mask=side), mask_label="album/a.mask.png"),
        replace(photo_at(path, hints=side), hints_label="album/a.mask.png"),
    ):
        with pytest.raises(PhotoError, match=r"^album/a\.mask\.png: starts with"):
            read_picture(photo, Limits())
