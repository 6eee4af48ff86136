"""What files say of their colours without a profile: PNG's chunks, DCF's Adobe RGB, 12-bit JPEG."""

import struct
import zlib
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import ExifTags, Image

from daemon.photo.profiles import ADOBE_RGB_ICC
from daemon.photo.writing import write_picture
from tests.support.photos import cat, opened, read

FLAT = np.full((8, 8, 3), (180, 90, 60), np.uint8)
P3_CHRM = (31270, 32900, 68000, 32000, 26500, 69000, 15000, 6000)
SRGB_CHRM = (31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)


def png_with(path: Path, *chunks: tuple[bytes, bytes], levels: np.ndarray = FLAT) -> None:
    """Write a PNG with chunks right behind its header."""
    Image.fromarray(levels).save(path, "PNG")
    content = path.read_bytes()
    more = b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in chunks
    )
    path.write_bytes(content[:33] + more + content[33:])


def gamma(value: float) -> tuple[bytes, bytes]:
    return b"gAMA", struct.pack(">I", round(value * 100_000))


def primaries(*values: int) -> tuple[bytes, bytes]:
    return b"cHRM", struct.pack(">8I", *values)


def matrix(chromaticities: tuple[int, ...]) -> np.ndarray:
    """RGB light to XYZ, columns scaled so that they add up to the white point."""
    points = [v / 100_000 for v in chromaticities]
    white, *colours = zip(points[::2], points[1::2], strict=True)
    columns = np.array([(x / y, 1, (1 - x - y) / y) for x, y in colours]).T
    x, y = white
    return np.asarray(columns * np.linalg.solve(columns, (x / y, 1, (1 - x - y) / y)))


def srgb_levels(light: np.ndarray) -> np.ndarray:
    light = np.clip(light, 0, 1)
    curve = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    return np.asarray(255 * curve)


def srgb_light(levels: np.ndarray) -> np.ndarray:
    codes = levels / 255
    return np.where(codes <= 0.04045, codes / 12.92, ((codes + 0.055) / 1.055) ** 2.4)


def test_light_that_a_png_stores_as_it_is_is_seen_as_it_looks(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    png_with(path, gamma(1.0))
    picture = read(path)
    assert np.abs(picture.pixels - srgb_levels(FLAT / 255)).max() <= 1
    assert picture.notes == ("its gamma (gAMA 1) and primaries became a colour profile",)
    write_picture(picture, tmp_path / "b.png", format="png", quality=95)
    result = opened(tmp_path / "b.png")
    assert np.array_equal(np.asarray(result), FLAT)
    assert np.array_equal(read(tmp_path / "b.png").pixels, picture.pixels)


@pytest.mark.parametrize(
    "chunks",
    [
        (gamma(0.45455),),
        (gamma(0.45455), primaries(*SRGB_CHRM)),
        (gamma(1.0), (b"sRGB", b"\0")),
        (gamma(1.0), (b"cICP", bytes((1, 13, 0, 1)))),
        (primaries(*P3_CHRM),),
    ],
)
def test_what_means_srgb_changes_nothing(
    tmp_path: Path, chunks: tuple[tuple[bytes, bytes], ...]
) -> None:
    png_with(tmp_path / "a.png", *chunks)
    picture = read(tmp_path / "a.png")
    assert np.array_equal(picture.pixels, FLAT)
    assert (picture.metadata.icc, picture.notes) == (None, ())


def test_primaries_of_chrm_and_of_cicp_count(tmp_path: Path) -> None:
    light = matrix(P3_CHRM) @ srgb_light(FLAT[0, 0])
    wanted = srgb_levels(np.linalg.solve(matrix(SRGB_CHRM), light))
    for chunks in ([gamma(0.45455), primaries(*P3_CHRM)], [(b"cICP", bytes((12, 13, 0, 1)))]):
        png_with(tmp_path / "a.png", *chunks)
        picture = read(tmp_path / "a.png")
        assert np.abs(picture.pixels[0, 0] - wanted).max() <= 1
        write_picture(picture, tmp_path / "b.png", format="png", quality=95)
        assert np.array_equal(np.asarray(opened(tmp_path / "b.png")), FLAT)


def test_statements_that_cannot_be_right_are_left_out_with_a_note(tmp_path: Path) -> None:
    for chunks, note in (
        ([gamma(0.00001)], "its gAMA of 1e-05 cannot be right: left out"),
        ([gamma(0.8), primaries(*[1000] * 8)], "its cHRM cannot be right"),
    ):
        png_with(tmp_path / "a.png", *chunks)
        picture = read(tmp_path / "a.png")
        assert picture.notes[0].startswith(note)
        assert np.array_equal(picture.pixels, FLAT)


def test_high_dynamic_range_is_tone_mapped_with_a_note(tmp_path: Path) -> None:
    for transfer, name in ((16, "PQ"), (18, "HLG")):
        png_with(tmp_path / "a.png", (b"cICP", bytes((9, transfer, 0, 1))))
        picture = read(tmp_path / "a.png")
        assert picture.notes[0] == f"high dynamic range ({name}) was tone-mapped"
        assert picture.pixels.dtype == np.uint16


@pytest.mark.parametrize("colour_space", [(0xFFFF, "R03"), (2, None)])
def test_adobe_rgb_told_by_exif_alone_counts(
    tmp_path: Path, colour_space: tuple[int, str | None]
) -> None:
    value, index = colour_space
    exif = Image.Exif()
    exif[ExifTags.IFD.Exif] = {ExifTags.Base.ColorSpace: value}
    if index is not None:
        exif[ExifTags.IFD.Exif][ExifTags.IFD.Interop] = {1: index}
    Image.fromarray(FLAT).save(tmp_path / "a.jpg", quality=100, subsampling=0, exif=exif)
    picture = read(tmp_path / "a.jpg")
    adobe = matrix((31270, 32900, 64000, 33000, 21000, 71000, 15000, 6000))
    light = adobe @ (FLAT[0, 0] / 255) ** (563 / 256)
    wanted = srgb_levels(np.linalg.solve(matrix(SRGB_CHRM), light))
    assert np.abs(picture.pixels[4, 4] - wanted).max() <= 3
    write_picture(picture, tmp_path / "b.png", format="png", quality=95)
    assert opened(tmp_path / "b.png").info["icc_profile"] == ADOBE_RGB_ICC


def test_a_jpeg_of_12_bits_is_read_at_its_full_precision(tmp_path: Path) -> None:
    levels = np.asarray(Image.fromarray(cat(64, 48)).convert("L")).astype(np.uint16) * 16 + 7
    (tmp_path / "a.jpg").write_bytes(imagecodecs.jpeg8_encode(levels, level=100, bitspersample=12))
    picture = read(tmp_path / "a.jpg")
    assert picture.grey
    assert picture.pixels.dtype == np.uint16
    found: NDArray[Any] = picture.pixels
    error = found[..., 0] / 65535 * 4095 - levels
    assert np.abs(error).max() <= 2.5  # under a sixth of a level of 8 bits
    colours = np.tile(np.array((3000, 1500, 700), np.uint16), (16, 16, 1))
    encoded = imagecodecs.jpeg8_encode(colours, level=100, bitspersample=12)
    (tmp_path / "a.jpg").write_bytes(encoded)
    coloured: NDArray[Any] = read(tmp_path / "a.jpg").pixels
    assert np.abs(coloured / 65535 * 4095 - colours).max() <= 4


def test_a_lossless_jpeg_is_read_exactly(tmp_path: Path) -> None:
    levels = (np.arange(64 * 48, dtype=np.uint16) * 21).reshape(48, 64)
    (tmp_path / "a.jpg").write_bytes(imagecodecs.ljpeg_encode(levels, bitspersample=16))
    assert np.array_equal(read(tmp_path / "a.jpg").pixels[..., 1], levels)
