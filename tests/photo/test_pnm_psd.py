"""Portable maps and Photoshop files, made here byte by byte."""

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from daemon.photo import Limits, read_header
from daemon.photo.profiles import DISPLAY_P3_ICC
from daemon.system.errors import PhotoError, TruncatedError
from tests.support.photos import cat, read

CAT = cat(24, 16)
DEEP = CAT.astype(np.uint16) * 257 - (CAT % 2)
GREY = DEEP[..., 1]


def text(codes: NDArray[np.generic]) -> bytes:
    return b" ".join(b"%d" % code for code in codes.ravel())


@pytest.mark.parametrize(
    ("content", "wanted"),
    [
        (b"P6\n24 16\n255\n" + CAT.tobytes(), CAT),
        (b"P6 # made by hand\n24\n# size\n16 65535\n" + DEEP.astype(">u2").tobytes(), DEEP),
        (b"P5 24 16 65535\n" + GREY.astype(">u2").tobytes(), GREY),
        (b"P5 24 16 255\n" + CAT[..., 1].tobytes(), CAT[..., 1]),
        (b"P5 24 16 100\n" + (CAT[..., 1] // 3).tobytes(), None),
        (b"P3 24 16 255\n" + text(CAT), CAT),
        (b"P2 24 16 65535 " + text(GREY) + b"\n", GREY),
        (b"P4 24 16\n" + np.packbits(GREY < 30000, axis=1).tobytes(), 255 * (GREY >= 30000)),
        (b"P1 24 16\n" + text(GREY < 30000).replace(b" ", b""), 255 * (GREY >= 30000)),
    ],
)
def test_portable_maps(tmp_path: Path, content: bytes, wanted: NDArray[np.generic] | None) -> None:
    path = tmp_path / "a.ppm"
    path.write_bytes(content)
    header = read_header(path, Limits())
    assert (header.format, header.width, header.height) == ("PPM", 24, 16)
    picture = read(path)
    if wanted is None:
        wanted = np.rint((CAT[..., 1] // 3) * 2.55)
    wanted = np.dstack([wanted] * 3) if wanted.ndim == 2 else wanted
    assert np.array_equal(picture.pixels, wanted)
    assert picture.notes == ()


@pytest.mark.parametrize("order", ["<", ">"])
def test_a_float_map_is_read_from_the_bottom(tmp_path: Path, order: str) -> None:
    codes = (CAT[::-1] / 255).astype(f"{order}f4")
    scale = b"-1.0" if order == "<" else b"1.0"
    (tmp_path / "a.pfm").write_bytes(b"PF\n24 16\n" + scale + b"\n" + codes.tobytes())
    picture = read(tmp_path / "a.pfm")
    assert picture.original is not None
    assert np.allclose(picture.original.codes, CAT / 255)


@pytest.mark.parametrize("start", [b"P6 24 16 255\n", b"P5 24 16 65535\n", b"P3 24 16 255\n"])
def test_portable_maps_cut_short_are_refused(tmp_path: Path, start: bytes) -> None:
    (tmp_path / "a.ppm").write_bytes(start + b"1 " * 300)
    with pytest.raises(TruncatedError):
        read(tmp_path / "a.ppm")


def test_a_second_map_is_left_out_with_a_note(tmp_path: Path) -> None:
    one = b"P6 24 16 255\n" + CAT.tobytes()
    (tmp_path / "a.ppm").write_bytes(one + one)
    assert read(tmp_path / "a.ppm").notes == ("further pictures in the file were left out",)


@pytest.mark.parametrize(
    "start",
    [
        b"P6\n# Grandma, 1911\n24 16\n#  on the stairs\n255\n",
        b"P7\n# Grandma, 1911\nWIDTH 24\nHEIGHT 16\n# on the stairs\nDEPTH 3\nMAXVAL 255\nENDHDR\n",
    ],
)
def test_comments_of_a_map_are_carried(tmp_path: Path, start: bytes) -> None:
    (tmp_path / "a.ppm").write_bytes(start + CAT.tobytes())
    assert read(tmp_path / "a.ppm").metadata.comments == (b"Grandma, 1911", b"on the stairs")


def resource(number: int, content: bytes) -> bytes:
    return (
        struct.pack(">4sHHI", b"8BIM", number, 0, len(content)) + content + bytes(len(content) % 2)
    )


def psd(
    planes: NDArray[np.generic],
    mode: int,
    *,
    compression: int = 0,
    resources: bytes = b"",
    layers: int = 0,
    palette: bytes = b"",
    large: bool = False,
) -> bytes:
    count, height, width = planes.shape
    bits = 8 * planes.dtype.itemsize
    head = struct.pack(">4sH6xHIIHH", b"8BPS", 1 + large, count, height, width, bits, mode)
    block = struct.pack(">h", layers) + bytes(2)
    wide = ">Q" if large else ">I"
    part = struct.pack(wide, len(block) + struct.calcsize(wide)) + struct.pack(wide, len(block))
    stored = planes.astype(planes.dtype.newbyteorder(">")).tobytes()
    if compression == 1:
        rows = [stored[i : i + 2] for i in range(0, len(stored), 2)]
        row = [b"".join(b"\1" + two for two in rows)]
        packed = len(stored) // (count * height) // 2 * 3
        lengths = struct.pack(">I" if large else ">H", packed) * (count * height)
        stored = lengths + row[0]
    elif compression == 2:
        stored = zlib.compress(stored)
    palette_part = struct.pack(">I", len(palette)) + palette
    resource_part = struct.pack(">I", len(resources)) + resources
    layer_part = part + block
    return (
        head + palette_part + resource_part + layer_part + struct.pack(">H", compression) + stored
    )


def planar(codes: NDArray[np.generic]) -> NDArray[np.generic]:
    return np.moveaxis(codes, 2, 0)


@pytest.mark.parametrize("compression", [0, 1, 2])
@pytest.mark.parametrize("large", [False, True])
def test_psd_of_8_and_16_bits(tmp_path: Path, compression: int, large: bool) -> None:
    for codes in (CAT, DEEP):
        path = tmp_path / "a.psd"
        path.write_bytes(psd(planar(codes), 3, compression=compression, large=large))
        header = read_header(path, Limits())
        assert (header.format, header.width, header.height) == ("PSD", 24, 16)
        picture = read(path)
        assert np.array_equal(picture.pixels, codes)
        assert picture.notes == ()


@pytest.mark.parametrize("large", [False, True])
def test_what_lies_behind_the_picture_of_a_psd_does_not_matter(tmp_path: Path, large: bool) -> None:
    path = tmp_path / "a.psd"
    path.write_bytes(psd(planar(CAT), 3, compression=1, large=large) + b"AXS!\xf9\xff" * 20)
    assert np.array_equal(read(path).pixels, CAT)


def test_psd_of_other_colour_modes(tmp_path: Path) -> None:
    path = tmp_path / "a.psd"
    path.write_bytes(psd(GREY[None], 1))
    assert np.array_equal(read(path).pixels[..., 0], GREY)
    inks = np.dstack([CAT, CAT[..., 0]])
    path.write_bytes(psd(planar(255 - inks), 4))
    original = read(path).original
    assert original is not None
    assert np.array_equal(original.codes, inks)
    palette = np.arange(256, dtype=np.uint8)
    colours = np.stack([palette, palette[::-1], palette]).tobytes()
    path.write_bytes(psd(CAT[None, ..., 0], 2, palette=colours))
    assert np.array_equal(read(path).pixels[..., 1], 255 - CAT[..., 0])
    lab = np.full((3, 4, 4), 128, np.uint8)
    path.write_bytes(psd(lab, 9))
    assert abs(int(read(path).pixels[0, 0, 0]) - 119) <= 1


def test_psd_with_transparency_and_a_selection(tmp_path: Path) -> None:
    opacity = np.full((16, 24, 1), 102, np.uint8)
    blended = np.rint(CAT * 0.4 + 255 * 0.6).astype(np.uint8)
    path = tmp_path / "a.psd"
    path.write_bytes(psd(planar(np.dstack([blended, opacity])), 3, layers=-1))
    picture = read(path)
    assert picture.alpha is not None
    assert (picture.alpha == 102).all()
    assert np.abs(picture.pixels.astype(int) - CAT).max() <= 2
    path.write_bytes(psd(planar(np.dstack([CAT, opacity])), 3, layers=1))
    picture = read(path)
    assert picture.alpha is None
    assert picture.notes == ("1 extra channel left out: no opacity",)


def test_psd_carries_its_profile_and_xmp(tmp_path: Path) -> None:
    packet = b"<x:xmpmeta xmlns:x='adobe:ns:meta/'/>"
    blocks = resource(1039, DISPLAY_P3_ICC) + resource(1060, packet)
    path = tmp_path / "a.psd"
    path.write_bytes(psd(planar(CAT), 3, resources=blocks))
    picture = read(path)
    assert picture.metadata.icc == DISPLAY_P3_ICC
    assert picture.metadata.xmp == packet


def test_psd_without_a_merged_picture_is_refused(tmp_path: Path) -> None:
    block = resource(1057, struct.pack(">IB", 1, 0))
    path = tmp_path / "a.psd"
    path.write_bytes(psd(planar(CAT), 3, resources=block))
    with pytest.raises(
        PhotoError, match='without its merged picture; save it again with "Maximize'
    ):
        read_header(path, Limits())


@pytest.mark.parametrize("compression", [0, 1, 2])
def test_psd_cut_short_is_refused(tmp_path: Path, compression: int) -> None:
    path = tmp_path / "a.psd"
    path.write_bytes(psd(planar(CAT), 3, compression=compression)[:-200])
    with pytest.raises(PhotoError):
        read(path)
