"""Embedded colour profiles: into sRGB by their definition, and back into the result."""

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageCms

from daemon.photo import (
    Metadata,
    Picture,
)
from daemon.photo.writing import write_picture
from tests.support.photos import FORMATS, Levels, cat, opened, read, written


def matrix_profile(gamma: float, primaries: list[tuple[float, float, float]]) -> bytes:
    """A version 2 RGB profile by hand: columns X, Y, Z under D50 and one gamma for all."""

    def fixed(value: float) -> bytes:
        return struct.pack(">i", round(value * 65536))

    tags = [(b"desc", b"desc\0\0\0\0" + struct.pack(">I", 5) + b"test\0" + b"\0" * 78)]
    tags += [(b"cprt", b"text\0\0\0\0none\0"), (b"wtpt", xyz(0.9642, 1.0, 0.8249))]
    tags += [(n, xyz(*p)) for n, p in zip((b"rXYZ", b"gXYZ", b"bXYZ"), primaries, strict=True)]
    curve = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256))
    tags += [(name, curve) for name in (b"rTRC", b"gTRC", b"bTRC")]
    return assemble_profile(b"RGB ", tags)


def grey_profile(gamma: float) -> bytes:
    curve = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256))
    tags = [(b"desc", b"desc\0\0\0\0" + struct.pack(">I", 5) + b"test\0" + b"\0" * 78)]
    tags += [(b"cprt", b"text\0\0\0\0none\0"), (b"wtpt", xyz(0.9642, 1.0, 0.8249))]
    return assemble_profile(b"GRAY", [*tags, (b"kTRC", curve)])


def xyz(*values: float) -> bytes:
    return b"XYZ \0\0\0\0" + b"".join(struct.pack(">i", round(v * 65536)) for v in values)


def assemble_profile(space: bytes, tags: list[tuple[bytes, bytes]]) -> bytes:
    table, body, offset = b"", b"", 132 + 12 * len(tags)
    for name, content in tags:
        padded = content + b"\0" * (-len(content) % 4)
        table += name + struct.pack(">II", offset + len(body), len(content))
        body += padded
    head = struct.pack(">I4sI4s4s4s", 0, b"lcms", 0x02100000, b"mntr", space, b"XYZ ")
    head += struct.pack(">6H", 2026, 1, 1, 0, 0, 0) + b"acsp" + b"\0" * 28
    head += struct.pack(">3i", 63190, 65536, 54061)
    content = head.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + body
    return struct.pack(">I", len(content)) + content[4:]


# ProPhoto-like: far wider than sRGB.
WIDE = [(0.7977, 0.2880, 0.0), (0.1352, 0.7119, 0.0), (0.0313, 0.0001, 0.8249)]


WIDE_ICC = matrix_profile(1.8, WIDE)


SRGB_ICC = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def wide_to_srgb(levels: Levels) -> NDArray[np.float64]:
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
    assert np.abs(picture.pixels.astype(float) - wide_to_srgb(flat)).max() <= (
        4 if format == "JPEG" else 1.6
    )
    assert np.abs(flat - wide_to_srgb(flat)).max() > 20
    assert picture.metadata.icc == WIDE_ICC


@pytest.mark.parametrize("format", FORMATS)
def test_a_wide_photograph_goes_back_into_its_profile(tmp_path: Path, format: str) -> None:
    soft = (100 + cat().astype(int) // 4).astype(np.uint8)
    Image.fromarray(soft).save(tmp_path / "wide.png", icc_profile=WIDE_ICC)
    image = written(read(tmp_path / "wide.png"), tmp_path, format)
    assert image.info["icc_profile"] == WIDE_ICC
    error = np.abs(np.asarray(image).astype(int) - soft)
    assert np.percentile(error, 99) <= (8 if format == "jpeg" else 2)


def test_an_srgb_profile_changes_no_level_and_is_kept(tmp_path: Path) -> None:
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


def test_sixteen_bit_grey_keeps_its_profile_and_every_bit(tmp_path: Path) -> None:
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
def test_a_profile_that_does_not_suit_the_pixels_is_left_out_with_a_note(
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


def test_a_profile_whose_primaries_have_no_light_is_left_out(tmp_path: Path) -> None:
    """A JPEG 2000 of Exiv2's suite has such a one; its picture came out as noise."""
    broken = matrix_profile(1.8, [(0.0, 0.0, 0.0), (-0.5, 0.0, 0.0), (0.0, 0.0, 0.0)])
    Image.fromarray(cat()).save(tmp_path / "a.png", icc_profile=broken)
    picture = read(tmp_path / "a.png")
    assert np.array_equal(picture.pixels, cat())
    assert picture.notes == ("the embedded colour profile is broken (it has no greys): left out",)
