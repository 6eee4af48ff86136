"""OpenEXR: light of halves and floats, tone-mapped."""

import struct
from pathlib import Path

import numpy as np
import OpenEXR
import pytest
from numpy.typing import NDArray

from daemon.photo import Limits, openexr_header, read_header
from daemon.photo.profiles import DISPLAY_P3, SRGB_CURVE, rgb_profile
from daemon.system.errors import PhotoError
from tests.support.photos import cat, read

HEIGHT, WIDTH = 24, 32
CAT = cat(WIDTH, HEIGHT)
NOTE = "high dynamic range (OpenEXR) was tone-mapped"


def light(levels: NDArray[np.uint8]) -> NDArray[np.float32]:
    unit = levels.astype(np.float32) / 255
    return np.where(unit <= 0.04045, unit / 12.92, ((unit + 0.055) / 1.055) ** 2.4).astype("f4")


def exr(path: Path, channels: dict[str, NDArray[np.generic]], **header: object) -> Path:
    says = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage, **header}
    OpenEXR.File(says, channels).write(str(path))
    return path


def planes(pixels: NDArray[np.float32], kind: str = "f4") -> dict[str, NDArray[np.generic]]:
    return {name: pixels[..., i].astype(kind) for i, name in enumerate("RGB")}


@pytest.mark.parametrize("kind", ["f2", "f4"])
def test_light_below_the_knee_comes_out_as_the_levels_it_was(tmp_path: Path, kind: str) -> None:
    path = exr(tmp_path / "a.exr", planes(light(CAT), kind))
    header = read_header(path, Limits())
    assert (header.format, header.width, header.height) == ("EXR", WIDTH, HEIGHT)
    picture = read(path)
    assert picture.pixels.dtype == np.uint16
    assert picture.notes == (NOTE,)
    below = (light(CAT) < 0.45).all(axis=2)
    off = np.abs(picture.pixels.astype(int) - CAT.astype(int) * 257)[below]
    assert off.max() <= (130 if kind == "f2" else 2)


def test_highlights_are_compressed_and_not_clipped(tmp_path: Path) -> None:
    ramp = np.repeat(np.linspace(0.05, 6, 64, dtype="f4")[None, :, None], 8, 0).repeat(3, 2)
    pixels = read(exr(tmp_path / "a.exr", planes(ramp))).pixels[0, :, 0].astype(int)
    assert (np.diff(pixels) > 0).all()


def test_luminance_alone_is_grey(tmp_path: Path) -> None:
    picture = read(exr(tmp_path / "a.exr", {"Y": light(CAT[..., 1])}))
    assert picture.grey
    below = light(CAT[..., 1]) < 0.45
    off = np.abs(picture.pixels[..., 0].astype(int) - CAT[..., 1].astype(int) * 257)[below]
    assert off.max() <= 2


def subsampled(path: Path, luminance: NDArray[np.float32], chroma: tuple[float, float]) -> Path:
    """A file of floats in luminance and one chroma, which the library reads and does not write."""
    height, width = luminance.shape
    kinds = ((b"BY", 2), (b"RY", 2), (b"Y", 1))
    channels = b"".join(name + b"\0" + struct.pack("<iIii", 2, 0, n, n) for name, n in kinds)
    window = struct.pack("<4i", 0, 0, width - 1, height - 1)
    attributes = (
        (b"channels", b"chlist", channels + b"\0"),
        (b"compression", b"compression", b"\0"),
        (b"dataWindow", b"box2i", window),
        (b"displayWindow", b"box2i", window),
        (b"lineOrder", b"lineOrder", b"\0"),
        (b"pixelAspectRatio", b"float", struct.pack("<f", 1)),
        (b"screenWindowCenter", b"v2f", bytes(8)),
        (b"screenWindowWidth", b"float", struct.pack("<f", 1)),
    )
    head = b"\x76\x2f\x31\x01\2\0\0\0"
    for name, kind, value in attributes:
        head += name + b"\0" + kind + b"\0" + struct.pack("<I", len(value)) + value
    red, blue = (np.full(width // 2, one, "<f4").tobytes() for one in chroma)
    table, rows = [], b""
    for y in range(height):
        row = (blue + red if y % 2 == 0 else b"") + luminance[y].astype("<f4").tobytes()
        table.append(len(head) + 1 + 8 * height + len(rows))
        rows += struct.pack("<iI", y, len(row)) + row
    path.write_bytes(head + b"\0" + struct.pack(f"<{height}Q", *table) + rows)
    return path


def test_luminance_and_chroma_give_the_colours_back(tmp_path: Path) -> None:
    red, green, blue = 0.1, 0.2, 0.3
    luminance = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    chroma = (red / luminance - 1, blue / luminance - 1)
    found = read(subsampled(tmp_path / "a.exr", np.full((4, 6), luminance, "f4"), chroma)).pixels
    colour = np.full((4, 6, 3), (red, green, blue), "f4")
    wanted = read(exr(tmp_path / "b.exr", planes(colour))).pixels
    assert np.abs(found.astype(int) - wanted).max() <= 8


def test_a_bright_picture_within_white_is_left_as_it_is(tmp_path: Path) -> None:
    bright = np.full((HEIGHT, WIDTH, 3), 0.9, "f4")
    picture = read(exr(tmp_path / "a.exr", planes(bright)))
    assert picture.notes == (NOTE,)
    assert abs(int(picture.pixels[0, 0, 0]) - 62530) < 40


def test_opacity_is_taken_out_of_the_colours(tmp_path: Path) -> None:
    alpha = np.full((HEIGHT, WIDTH), 0.5, "f4")
    alpha[:4] = 0
    path = exr(tmp_path / "a.exr", {**planes(light(CAT) * alpha[..., None]), "A": alpha})
    picture = read(path)
    assert picture.alpha is not None
    assert set(np.unique(picture.alpha)) == {0, 32768}
    plain = read(exr(tmp_path / "b.exr", planes(light(CAT))))
    off = np.abs(picture.pixels.astype(int) - plain.pixels)[4:]
    assert off.max() <= 700


def test_primaries_become_a_profile(tmp_path: Path) -> None:
    points = DISPLAY_P3.points
    path = exr(tmp_path / "a.exr", planes(light(CAT)), chromaticities=(*points[2:], *points[:2]))
    icc = read(path).metadata.icc
    assert icc is not None
    wanted = rgb_profile("OpenEXR", DISPLAY_P3, SRGB_CURVE)
    assert len(icc) == len(wanted)
    assert sum(one != other for one, other in zip(icc, wanted, strict=True)) <= 8


def test_other_channels_are_left_out_with_a_note(tmp_path: Path) -> None:
    path = exr(tmp_path / "a.exr", {**planes(light(CAT)), "Z": light(CAT[..., 0])})
    assert read(path).notes == (NOTE, "1 extra channel left out: no opacity")


def test_what_is_no_picture_is_refused_by_its_channels(tmp_path: Path) -> None:
    path = exr(tmp_path / "a.exr", {"Z": light(CAT[..., 0])})
    with pytest.raises(PhotoError, match="without colours; its channels are Z"):
        read_header(path, Limits())


def test_without_the_extra_it_is_refused_and_the_extra_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = exr(tmp_path / "a.exr", planes(light(CAT)))
    monkeypatch.setattr(openexr_header, "find_spec", lambda name: None)
    with pytest.raises(PhotoError, match="needs the extra `exr`"):
        read_header(path, Limits())


def test_a_cut_or_damaged_file_is_refused(tmp_path: Path) -> None:
    path = exr(tmp_path / "a.exr", planes(light(CAT)))
    whole = path.read_bytes()
    for content in (whole[:-20], whole[:200], whole[:40], whole[:330] + bytes(len(whole) - 330)):
        path.write_bytes(content)
        with pytest.raises(PhotoError):
            read(path)


def test_channels_that_would_take_all_memory_are_refused(tmp_path: Path) -> None:
    many = {f"layer{i}.X": light(CAT[..., 0]) for i in range(20)}
    path = exr(tmp_path / "a.exr", {**planes(light(CAT)), **many})
    with pytest.raises(PhotoError, match="23 channels have 92 bytes at a pixel"):
        read_header(path, Limits())
