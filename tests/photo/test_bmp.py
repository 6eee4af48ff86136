"""BMP: bits of every channel anywhere, and colour profiles."""

import io
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from daemon.photo import Limits, read_header
from daemon.photo.colour import ColourSpace
from daemon.photo.profiles import DISPLAY_P3_ICC, Curve, Primaries, rgb_profile
from daemon.system.errors import TruncatedError
from tests.support.photos import cat, read

CAT = cat(23, 16)
OPACITY = np.tile(np.arange(23, dtype=np.uint8) * 11, (16, 1))
WINDOWS_555, GIMP_4444, DEEP = (
    (31 << 10, 31 << 5, 31),
    (3840, 240, 15, 15 << 12),
    (*(1023 << 20, 1023 << 10, 1023),),
)


def bit_fields(
    masks: tuple[int, ...], bits: int, *, compression: int = 3, length: int = 56, top: bool = False
) -> tuple[bytes, np.ndarray[tuple[int, ...], np.dtype[np.float64]]]:
    """A BMP with these bits for each channel, and its colours of 0 to 1."""
    levels = np.dstack([CAT, OPACITY])[..., : len(masks)] / 255
    numbers, colours = np.zeros(CAT.shape[:2], np.uint64), []
    for channel, mask in enumerate(masks):
        lowest = (mask & -mask).bit_length() - 1
        codes = np.rint(levels[..., channel] * (mask >> lowest)).astype(np.uint64)
        numbers |= codes << np.uint64(lowest)
        colours.append(codes / (mask >> lowest))
    rows = numbers.astype(f"<u{bits // 8}")
    rows = np.pad(rows, ((0, 0), (0, 23 % (32 // bits) and 1)))
    height = -16 if top else 16
    head = struct.pack(
        "<IiiHHIIiiII", length, 23, height, 1, bits, compression, 0, 11811, 11811, 0, 0
    )
    head += struct.pack("<4I", *masks, *[0] * (4 - len(masks)))
    head = head.ljust(max(length, 40 + 4 * len(masks)), b"\0")
    pixels = (rows if top else rows[::-1]).tobytes()
    whole = struct.pack("<2sIII", b"BM", 14 + len(head) + len(pixels), 0, 14 + len(head))
    return whole + head + pixels, np.dstack(colours)


@pytest.mark.parametrize("top", [False, True])
@pytest.mark.parametrize(
    ("masks", "bits", "compression", "length"),
    [
        (WINDOWS_555, 16, 3, 40),
        ((63 << 10, 1 << 9, 511), 16, 3, 56),
        (GIMP_4444, 16, 3, 124),
        (GIMP_4444, 16, 6, 40),
        (DEEP, 32, 3, 40),
        ((255 << 8, 255, 255 << 24), 32, 3, 108),
        ((255 << 24, 255 << 8, 255, 255 << 16), 32, 6, 40),
    ],
)
def test_bit_fields_anywhere(
    tmp_path: Path, masks: tuple[int, ...], bits: int, compression: int, length: int, *, top: bool
) -> None:
    content, colours = bit_fields(masks, bits, compression=compression, length=length, top=top)
    (tmp_path / "a.bmp").write_bytes(content)
    header = read_header(tmp_path / "a.bmp", Limits())
    assert (header.format, header.width, header.height) == ("BMP", 23, 16)
    picture = read(tmp_path / "a.bmp")
    white = 255 if picture.pixels.dtype == np.uint8 else 65535
    assert (white == 65535) is any(mask.bit_count() > 8 for mask in masks)
    visible = np.ones((16, 23), bool)
    if len(masks) == 4:
        assert picture.alpha is not None
        assert np.array_equal(picture.alpha, np.rint(colours[..., 3] * white))
        visible = picture.alpha != 0
    wanted = np.rint(colours[..., :3] * white)
    assert np.array_equal(picture.pixels[visible], wanted[visible])
    assert picture.metadata.dpi == pytest.approx((300, 300), abs=0.1)
    (tmp_path / "b.bmp").write_bytes(content[:-1])
    with pytest.raises(TruncatedError):
        read(tmp_path / "b.bmp")


def with_profile(kind: bytes, profile: bytes) -> bytes:
    file = io.BytesIO()
    Image.fromarray(CAT).save(file, "BMP")
    plain = file.getvalue()
    pixels = plain[54:]
    head = bytearray(plain[14:54].ljust(124, b"\0"))
    struct.pack_into("<I", head, 0, 124)
    head[56:60] = kind
    struct.pack_into("<II", head, 112, 124 + len(pixels), len(profile))
    size = 138 + len(pixels) + len(profile)
    return struct.pack("<2sIII", b"BM", size, 0, 138) + bytes(head) + pixels + profile


def test_the_profile_of_a_bmp_counts(tmp_path: Path) -> None:
    (tmp_path / "a.bmp").write_bytes(with_profile(b"DEBM", DISPLAY_P3_ICC))
    picture = read(tmp_path / "a.bmp")
    assert picture.metadata.icc == DISPLAY_P3_ICC
    assert picture.original is not None
    assert np.array_equal(picture.original.codes, CAT)
    assert not np.array_equal(picture.pixels, CAT)


def test_a_profile_in_another_file_is_said_to_be_left_out(tmp_path: Path) -> None:
    (tmp_path / "a.bmp").write_bytes(with_profile(b"KNIL", b"C:\\colours.icc\0"))
    picture = read(tmp_path / "a.bmp")
    assert np.array_equal(picture.pixels, CAT)
    assert picture.notes == ("its colour profile is in another file: left out",)


def calibrated(gamma: float, blue_gamma: float | None = None) -> bytes:
    """A BMP of version 4 with the primaries of Display P3 under D65, and a gamma."""
    pixels = np.pad(CAT[::-1, :, ::-1], ((0, 0), (0, 1), (0, 0))).reshape(16, -1)[:, :72]
    points = ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060))
    luminances = (0.22897, 0.69174, 0.07929)
    ends = b"".join(
        struct.pack("<3i", *(round(v * (1 << 30)) for v in (x / y * Y, Y, (1 - x - y) / y * Y)))
        for (x, y), Y in zip(points, luminances, strict=True)
    )
    gammas = (gamma, gamma, blue_gamma or gamma)
    head = struct.pack("<IiiHHIIiiII", 108, 23, 16, 1, 24, 0, 0, 2835, 2835, 0, 0)
    head += bytes(16) + bytes(4) + ends + struct.pack("<3I", *(round(g * 65536) for g in gammas))
    whole = struct.pack("<2sIII", b"BM", 14 + len(head) + pixels.size, 0, 14 + len(head))
    return whole + head + pixels.tobytes()


@pytest.mark.parametrize("gamma", [1.8, 1 / 1.8])
def test_end_points_and_gamma_of_a_calibrated_bmp_count(tmp_path: Path, gamma: float) -> None:
    (tmp_path / "a.bmp").write_bytes(calibrated(gamma))
    picture = read(tmp_path / "a.bmp")
    assert picture.original is not None
    assert np.array_equal(picture.original.codes, CAT)
    primaries = Primaries((0.3127, 0.3290), (0.68, 0.32), (0.265, 0.69), (0.15, 0.06))
    space = ColourSpace("rgb", rgb_profile("wanted", primaries, Curve((1.8,))))
    assert np.abs(picture.pixels.astype(int) - space.to_levels(CAT, np.uint8)).max() <= 1


def test_a_calibration_that_makes_no_sense_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "a.bmp").write_bytes(calibrated(1.8, blue_gamma=2.4))
    picture = read(tmp_path / "a.bmp")
    assert np.array_equal(picture.pixels, CAT)
    assert picture.original is None
