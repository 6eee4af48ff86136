"""CMYK with a profile: printed colours outside sRGB come out in Adobe RGB."""

import struct
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image

from daemon.photo.notes import NoteKind, note_of
from daemon.photo.profiles import ADOBE_RGB, ADOBE_RGB_ICC
from daemon.photo.writing import write_picture
from tests.support.photos import opened, read

CYAN_LAB = (62.0, -50.0, -45.0)
"""What full cyan is in this test's print, and outside sRGB: its red would be below 0."""


def lab_of(inks: tuple[int, ...]) -> tuple[float, float, float]:
    """The Lab of each corner of the inks' cube: cyan or white, less by black."""
    lightness, a, b = CYAN_LAB if inks[0] else (100.0, 0.0, 0.0)
    share = 0.0 if inks[3] or any(inks[1:3]) else 1.0
    return lightness * share, a * share, b * share


def ink_profile() -> bytes:
    """A printer's profile by hand: one table with two points for each ink."""
    ramp = bytes(range(256))
    corners = b"".join(
        bytes((round(lightness * 2.55), round(a) + 128, round(b) + 128))
        for lightness, a, b in map(lab_of, product((0, 1), repeat=4))
    )
    identity = struct.pack(">9i", *(65536 * (k % 4 == 0) for k in range(9)))
    lut = b"mft1\0\0\0\0" + bytes((4, 3, 2, 0)) + identity + ramp * 4 + corners + ramp * 3
    tags = [
        (b"desc", b"desc\0\0\0\0" + struct.pack(">I", 5) + b"inks\0" + bytes(78)),
        (b"cprt", b"text\0\0\0\0none\0"),
        (b"wtpt", b"XYZ \0\0\0\0" + struct.pack(">3i", 63190, 65536, 54061)),
        (b"A2B0", lut),
    ]
    table, body = b"", b""
    for name, content in tags:
        table += name + struct.pack(">II", 132 + 12 * len(tags) + len(body), len(content))
        body += content + b"\0" * (-len(content) % 4)
    head = struct.pack(">I4sI4s4s4s", 0, b"lcms", 0x02100000, b"prtr", b"CMYK", b"Lab ")
    head += struct.pack(">6H", 2026, 1, 1, 0, 0, 0) + b"acsp" + bytes(28)
    head += struct.pack(">3i", 63190, 65536, 54061)
    content = head.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + body
    return struct.pack(">I", len(content)) + content[4:]


def adobe_levels(lab: tuple[float, float, float]) -> NDArray[np.float64]:
    """Lab under D50 in Adobe RGB's levels of 0 to 255, by the definitions."""
    lightness, a, b = lab
    middle = (lightness + 16) / 116
    ratios = np.array([middle + a / 500, middle, middle - b / 200])
    ratios = np.where(ratios > 6 / 29, ratios**3, 3 * (6 / 29) ** 2 * (ratios - 4 / 29))
    xyz_d50 = ratios * (0.9642, 1.0, 0.8249)
    bradford = np.array(
        [[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]]
    )
    d50 = bradford @ (0.9642, 1.0, 0.8249)
    d65 = bradford @ (0.3127 / 0.3290, 1.0, (1 - 0.3127 - 0.3290) / 0.3290)
    xyz = np.linalg.inv(bradford) @ (d65 / d50 * (bradford @ xyz_d50))
    points = (ADOBE_RGB.red, ADOBE_RGB.green, ADOBE_RGB.blue)
    columns = np.array([(x / y, 1, (1 - x - y) / y) for x, y in points]).T
    white = np.linalg.inv(bradford) @ d65
    light = np.linalg.solve(columns * np.linalg.solve(columns, white), xyz)
    return np.asarray(255 * np.clip(light, 0, 1) ** (256 / 563))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_printed_cyan_keeps_its_colour(
    tmp_path: Path, dtype: type[np.uint8] | type[np.uint16]
) -> None:
    inks = np.zeros((12, 16, 4), dtype)
    inks[:, :8, 0] = np.iinfo(dtype).max
    tifffile.imwrite(tmp_path / "a.tif", inks, photometric="separated", iccprofile=ink_profile())
    picture = read(tmp_path / "a.tif")
    assert picture.notes == ()
    assert (picture.pixels[6, 2, 0], picture.pixels[6, 12, 1]) == (0, np.iinfo(dtype).max)
    notes = write_picture(picture, tmp_path / "b.png", format="png", quality=95, depth=8)
    assert notes == ("CMYK of inks became Adobe RGB",)
    assert [note_of(note).kind for note in notes] == [NoteKind.COLOUR]
    image = opened(tmp_path / "b.png")
    assert image.info["icc_profile"] == ADOBE_RGB_ICC
    found = np.asarray(image)[6, 2]
    assert np.abs(found - adobe_levels(CYAN_LAB)).max() <= 2
    assert (np.asarray(image)[6, 12] >= 254).all()


def test_a_profile_that_is_asked_for_needs_no_note(tmp_path: Path) -> None:
    inks = np.full((12, 16, 4), (255, 0, 0, 0), np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", inks, photometric="separated", iccprofile=ink_profile())
    picture = read(tmp_path / "a.tif")
    assert write_picture(picture, tmp_path / "b.png", format="png", profile="srgb") == ()


def test_lab_says_what_it_became(tmp_path: Path) -> None:
    Image.new("LAB", (16, 12), (140, 90, 100)).save(tmp_path / "a.tif")
    notes = write_picture(read(tmp_path / "a.tif"), tmp_path / "b.png", format="png")
    assert notes == ("Lab became Adobe RGB",)


def test_a_jpeg_of_inks_is_converted_by_its_profile(tmp_path: Path) -> None:
    inks = np.zeros((16, 16, 4), np.uint8)
    inks[..., 0] = 255
    Image.frombytes("CMYK", (16, 16), inks.tobytes()).save(
        tmp_path / "a.jpg", quality=100, icc_profile=ink_profile()
    )
    write_picture(read(tmp_path / "a.jpg"), tmp_path / "b.png", format="png", quality=95)
    found = np.asarray(opened(tmp_path / "b.png"))[8, 8]
    assert np.abs(found - adobe_levels(CYAN_LAB)).max() <= 3
