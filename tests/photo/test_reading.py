"""Reading: every mode and format, orientation, what travels along, side files, limits."""

import io
import os
import struct
import subprocess
import sys
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import skimage.data
from numpy.typing import NDArray
from PIL import ExifTags, Image

from daemon.photo import Limits, Photo, Picture, digest_file, read_header
from daemon.photo.reading import read_picture
from daemon.system.errors import PhotoError, TruncatedError

Levels = NDArray[np.uint8]


def photo_at(path: Path, *, mask: Path | None = None, hints: Path | None = None) -> Photo:
    return Photo(path, path.name, "", read_header(path, Limits()), mask, hints)


def read(path: Path) -> Picture:
    return read_picture(photo_at(path), Limits())


def cat(width: int = 60, height: int = 40) -> Levels:
    whole = skimage.data.chelsea()
    return np.asarray(Image.fromarray(whole).resize((width, height)))


def test_importing_the_package_imports_neither_pillow_nor_numpy() -> None:
    code = "import sys, daemon.photo; print(*{'PIL', 'numpy', 'torch'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


@pytest.mark.parametrize("format", ["PNG", "TIFF", "BMP", "WEBP"])
def test_colours_come_out_exactly_of_every_lossless_format(tmp_path: Path, format: str) -> None:
    path = tmp_path / "cat"
    Image.fromarray(cat()).save(path, format, lossless=True)
    picture = read(path)
    assert np.array_equal(picture.pixels, cat())
    assert (picture.grey, picture.alpha, picture.notes) == (False, None, ())
    header = read_header(path, Limits())
    assert (header.format, header.width, header.height, header.mode) == (format, 60, 40, "RGB")


def test_jpeg_comes_out_as_pillow_decodes_it_whatever_its_name(tmp_path: Path) -> None:
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


def test_one_bit_becomes_black_and_white(tmp_path: Path) -> None:
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
    ("values", "level", "said"),
    [
        (np.full((4, 4), 0.5, np.float32), 32768, "0 to 1"),
        (np.full((4, 4), 51.0, np.float32), 13107, "0 to 255"),
        (np.full((4, 4), 300.0, np.float32), 300, "0 to 65535"),
        (np.full((4, 4), 51, np.int32), 13107, "0 to 255"),
        (np.full((4, 4), 300, np.int32), 300, "0 to 65535"),
    ],
)
def test_numbers_of_32_bits_become_16_and_the_range_is_said(
    tmp_path: Path, values: NDArray[np.generic], level: int, said: str
) -> None:
    Image.fromarray(values).save(tmp_path / "wide", "TIFF")
    picture = read(tmp_path / "wide")
    assert (picture.pixels == level).all()
    assert said in picture.notes[0]


def test_numbers_out_of_every_range_are_stretched_and_no_number_is_black(tmp_path: Path) -> None:
    values = np.array([[-1e6, 0, 1e6, np.nan]], np.float32)
    Image.fromarray(values).save(tmp_path / "odd", "TIFF")
    assert read(tmp_path / "odd").pixels[0, :, 0].tolist() == [0, 32768, 65535, 32768]


def deep_png(colour_type: int, channels: int) -> bytes:
    """A 16-bit PNG of 2x2, as Pillow cannot write it."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        sum_ = zlib.crc32(kind + body)
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", sum_)

    rows = (b"\0" + bytes(range(4 * channels))) * 2
    head = struct.pack(">IIBBBBB", 2, 2, 16, colour_type, 0, 0, 0)
    body = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def test_sixteen_bit_colours_are_named_when_only_eight_are_read(tmp_path: Path) -> None:
    for colour_type, channels, note in ((2, 3, "RGB"), (6, 4, "RGB"), (4, 2, "grey with opacity")):
        (tmp_path / "deep.png").write_bytes(deep_png(colour_type, channels))
        assert read(tmp_path / "deep.png").notes == (f"16-bit {note} read as 8-bit",)


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


def test_broken_exif_costs_a_note_and_not_the_photograph(tmp_path: Path) -> None:
    broken = b"Exif\0\0MM\0*\0\0\0\x08\xff\xff" + b"\x9a" * 40
    Image.fromarray(cat()).save(tmp_path / "x.png", exif=broken)
    assert np.array_equal(read(tmp_path / "x.png").pixels, cat())


def test_the_first_of_many_frames_is_read_and_said(tmp_path: Path) -> None:
    frames = [Image.new("L", (9, 7), level) for level in (10, 200, 90)]
    for name in ("a.tif", "a.gif", "a.png"):
        frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:])
        picture = read(tmp_path / name)
        assert (picture.pixels == 10).all()
        said = "the first of 3 pages or frames was restored; 2 more pages were left out"
        assert picture.notes == (said,)


def test_one_pixel_is_a_photograph(tmp_path: Path) -> None:
    for format in ("PNG", "JPEG", "TIFF", "BMP", "GIF", "WEBP"):
        Image.new("RGB", (1, 1), (0, 0, 0)).save(tmp_path / "dot", format)
        assert read(tmp_path / "dot").pixels.tolist() == [[[0, 0, 0]]]


@pytest.mark.parametrize("name", [b"caf\xe9\xff.png", b"n" * 251 + b".png", "Ä ö\n.png".encode()])
def test_names_are_bytes(tmp_path: Path, name: bytes) -> None:
    path = tmp_path / os.fsdecode(name)
    Image.fromarray(cat()).save(path, "PNG")
    assert np.array_equal(read(path).pixels, cat())
    path.write_bytes(b"no picture at all")
    with pytest.raises(PhotoError) as caught:
        read_header(path, Limits())
    str(caught.value).encode()


def test_limits_name_the_setting_that_raises_them(tmp_path: Path) -> None:
    path = tmp_path / "cat.png"
    Image.fromarray(cat()).save(path)
    with pytest.raises(PhotoError, match=r"cat.png: 60x40 are 0.0 megapixels.*max_input_megapix"):
        read_header(path, Limits(max_input_megapixels=0.002))
    with pytest.raises(
        PhotoError, match=r"cat.png: 0.0 MB; allowed: at most 0.001 MB.*max_file_mb"
    ):
        read_header(path, Limits(max_file_mb=0.001))
    photo = photo_at(path)
    with pytest.raises(PhotoError, match="max_input_megapixels"):
        read_picture(photo, Limits(max_input_megapixels=0.002))


def test_a_decompression_bomb_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    path = tmp_path / "bomb.png"
    Image.new("1", (20000, 20000)).save(path)
    with pytest.raises(PhotoError, match=r"bomb.png: 20000x20000 are 400.0 megapixels; allowed"):
        read_header(path, Limits())
    for format in ("GIF", "WEBP", "BMP", "TIFF"):
        file = io.BytesIO()
        Image.new("RGB", (300, 300)).save(file, format)
        path.write_bytes(file.getvalue())
        with pytest.raises(PhotoError, match=r"allowed: at most 0.08; raise the setting max_input"):
            read_header(path, Limits(max_input_megapixels=0.08))


def test_a_200_megapixel_photograph_within_the_limits_is_let_in(tmp_path: Path) -> None:
    path = tmp_path / "large.png"
    Image.new("1", (20000, 10000)).save(path)
    assert read_header(path, Limits()).megapixels == 200


def test_what_is_no_picture_is_refused_with_its_first_bytes(tmp_path: Path) -> None:
    path = tmp_path / "letter.jpg"
    for content, said in (
        (b"", "0 bytes"),
        (b"Dear photographer,", "Dear pho"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "<svg xml"),
        (b"%PDF-1.7 and so on and on", "%PDF-1.7"),
        (b"P6 1 1 255 abc", "P6 1 1 2"),
    ):
        path.write_bytes(content)
        with pytest.raises(PhotoError, match=r"^letter.jpg: ") as caught:
            read_header(path, Limits())
        assert said in str(caught.value)
        assert not isinstance(caught.value, TruncatedError)


def test_a_missing_file_is_no_fault_of_the_photograph(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_header(tmp_path / "gone.png", Limits())


def test_masks_and_hints_are_read_upright(tmp_path: Path) -> None:
    path, mask, hints = (tmp_path / name for name in ("a.png", "a.mask.png", "a.hints.png"))
    Image.fromarray(cat()).save(path)
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    painted = np.zeros((40, 60), np.uint8)
    painted[:10] = 255
    Image.fromarray(np.ascontiguousarray(np.rot90(painted, 1))).save(mask, exif=exif)
    dabs = np.zeros((40, 60, 4), np.uint8)
    dabs[5, 6] = (250, 10, 20, 255)
    Image.fromarray(dabs).save(hints)
    picture = read_picture(photo_at(path, mask=mask, hints=hints), Limits())
    assert np.array_equal(picture.mask, painted)  # type: ignore[arg-type]
    assert np.array_equal(picture.hints, dabs)  # type: ignore[arg-type]


def test_masks_of_any_mode_are_luminance_and_transparent_counts_as_black(tmp_path: Path) -> None:
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
        replace(photo_at(path, mask=side), mask_place="album/a.mask.png"),
        replace(photo_at(path, hints=side), hints_place="album/a.mask.png"),
    ):
        with pytest.raises(PhotoError, match=r"^a\.mask\.png: starts with"):
            read_picture(photo, Limits())


def test_digest_is_sha256_of_the_content(tmp_path: Path) -> None:
    (tmp_path / "abc").write_bytes(b"abc")
    wanted = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert digest_file(tmp_path / "abc") == wanted
