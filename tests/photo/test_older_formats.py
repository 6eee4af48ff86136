"""Targa, Silicon Graphics, PCX, PAM and bitmaps without their first header, made byte by byte."""

import io
import struct
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from daemon.photo import Limits, read_header
from daemon.photo.input_formats import format_of
from daemon.system.errors import PhotoError, TruncatedError
from tests.support.photos import cat, read

CAT = cat(24, 16)
DEEP = CAT.astype(np.uint16) * 257 - (CAT % 2)
OPACITY = np.tile(np.arange(24, dtype=np.uint8) * 11, (16, 1))
FOOTER = b"TRUEVISION-XFILE.\0"


def tga(
    pixels: NDArray[np.uint8],
    kind: int,
    *,
    flags: int = 0x20,
    name: bytes = b"",
    palette: bytes = b"",
) -> bytes:
    """A Targa picture of these stored pixels, (H, W, bytes)."""
    height, width, size = pixels.shape
    colours = (0, len(palette) // 3, 24) if palette else (0, 0, 0)
    head = struct.pack("<BBBHHB", len(name), bool(palette), kind, *colours)
    head += struct.pack("<HHHHBB", 0, 0, width, height, size * 8, flags)
    return head + name + palette + pixels.tobytes()


def packed(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The same pixels in packets, one of repeated pixels and one of others in turn."""
    rows = bytearray()
    for row in pixels:
        for begin in range(0, len(row), 3):
            part = row[begin : begin + 3]
            if (part == part[0]).all():
                rows += bytes((127 + len(part),)) + part[0].tobytes()
            else:
                rows += bytes((len(part) - 1,)) + part.tobytes()
    return np.frombuffer(rows, np.uint8)


def stored(content: bytes, path: Path) -> Path:
    path.write_bytes(content)
    return path


BGR = np.ascontiguousarray(CAT[..., ::-1])
BGRA = np.dstack([BGR, OPACITY])
GREY = CAT[..., 1:2]


@pytest.mark.parametrize(
    ("flags", "pixels"),
    [(0x20, BGR), (0, BGR[::-1]), (0x30, BGR[:, ::-1]), (0x10, BGR[::-1, ::-1])],
)
def test_targa_is_read_from_every_corner(
    tmp_path: Path, flags: int, pixels: NDArray[np.uint8]
) -> None:
    picture = read(stored(tga(pixels, 2, flags=flags, name=b"Our cat"), tmp_path / "a.tga"))
    assert np.array_equal(picture.pixels, CAT)
    assert picture.metadata.comments == (b"Our cat",)
    assert picture.notes == ()


def test_packed_targa_is_read_and_refused_without_its_end(tmp_path: Path) -> None:
    pixels = np.concatenate([np.zeros((16, 6, 3), np.uint8), BGR[:, 6:]], axis=1)
    whole = tga(pixels, 10)[:18] + packed(pixels).tobytes()
    assert read_header(stored(whole, tmp_path / "a.tga"), Limits()).format == "TGA"
    assert np.array_equal(read(tmp_path / "a.tga").pixels, pixels[..., ::-1])
    with pytest.raises(TruncatedError):
        read(stored(whole[:-2], tmp_path / "b.tga"))


def test_targa_of_grey_palettes_and_sixteen_bits(tmp_path: Path) -> None:
    palette = bytes(range(30))
    indices = (CAT[..., :1] // 26).astype(np.uint8)
    numbers = (CAT[..., 0].astype("<u2") >> 3 << 10) | 31
    kinds = {
        "grey": (tga(GREY, 3), np.repeat(GREY, 3, axis=2)),
        "palette": (
            tga(indices, 1, palette=palette),
            np.frombuffer(palette, np.uint8).reshape(-1, 3)[indices[..., 0], ::-1],
        ),
        "bits": (
            tga(numbers[..., None].view(np.uint8), 2),
            np.dstack([np.rint((CAT[..., 0] >> 3) * (255 / 31)), 0 * GREY, 0 * GREY + 255]),
        ),
    }
    for name, (content, wanted) in kinds.items():
        assert np.array_equal(read(stored(content, tmp_path / f"{name}.tga")).pixels, wanted), name


@pytest.mark.parametrize("said", [None, 0, 3])
@pytest.mark.parametrize("bits", [0, 8])
def test_the_opacity_of_targa_counts_where_it_is_said(
    tmp_path: Path, bits: int, said: int | None
) -> None:
    content = tga(BGRA, 2, flags=0x20 | bits)
    if said is not None:
        area = bytearray(495)
        area[43:48], area[494] = b"Hallo", said
        content += bytes(area) + struct.pack("<II", len(content), 0) + FOOTER
    picture = read(stored(content, tmp_path / "a.tga"))
    counts = said == 3 or (said is None and bits == 8)
    assert (picture.alpha is not None) is counts
    assert picture.notes == (() if counts else ("1 extra channel left out: no opacity",))
    assert picture.metadata.comments == (() if said is None else (b"Hallo",))
    if picture.alpha is not None:
        assert np.array_equal(picture.alpha, OPACITY)


def test_an_opacity_that_hides_everything_is_none(tmp_path: Path) -> None:
    picture = read(
        stored(tga(BGRA * np.array([1, 1, 1, 0], np.uint8), 2, flags=0x28), tmp_path / "a.tga")
    )
    assert picture.alpha is None
    assert picture.notes == ()


@pytest.mark.parametrize(
    "content",
    [
        b"\0\0\2\0\1\0\x20\x20\0\0\1\0\0\0" + bytes(100),  # a cursor of Windows
        tga(BGR, 2)[:-1],
        tga(BGR, 2) + bytes(5000),
        tga(BGR, 2, flags=0xC0),
        tga(BGR, 7),
        bytes(2000),
    ],
)
def test_what_only_resembles_targa_is_none(content: bytes) -> None:
    assert format_of(io.BytesIO(content)) is None


def sgi(codes: NDArray[np.generic], *, compressed: bool, name: bytes = b"") -> bytes:
    """A picture of Silicon Graphics; packed rows end with a packet of no pixels."""
    height, width, channels = codes.shape
    size = codes.dtype.itemsize
    head = struct.pack(">HBB4H", 474, compressed, size, 3, width, height, channels)
    head = (head + struct.pack(">II4x80s", 0, 255, name)).ljust(512, b"\0")
    planes = np.moveaxis(codes[::-1], 2, 0).astype(f">u{size}")
    if not compressed:
        return head + planes.tobytes()
    rows = []
    for row in planes.reshape(-1, width):
        control = np.array([3, 0x80 | (width - 3), 0], f">u{size}")
        same = control[:1].tobytes() + row[:1].tobytes()
        rows.append(same + control[1:2].tobytes() + row[3:].tobytes() + control[2:].tobytes())
    begins = 512 + 8 * len(rows) + np.cumsum([0, *map(len, rows)])[:-1]
    table = np.concatenate([begins, [len(row) for row in rows]]).astype(">u4").tobytes()
    return head + table + b"".join(rows)


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize(
    "codes", [CAT, DEEP, GREY, DEEP[..., :1], np.dstack([CAT, OPACITY]), np.dstack([GREY, OPACITY])]
)
def test_pictures_of_silicon_graphics(
    tmp_path: Path, codes: NDArray[np.generic], *, compressed: bool
) -> None:
    codes = codes.copy()
    codes[:, :3] = codes[:, :1]
    path = stored(sgi(codes, compressed=compressed, name=b"Our cat"), tmp_path / "a.sgi")
    assert read_header(path, Limits()).format == "SGI"
    picture = read(path)
    colours = codes.shape[2] - (codes.shape[2] in (2, 4))
    wanted = codes[..., :colours]
    visible = np.ones(wanted.shape[:2], bool) if picture.alpha is None else picture.alpha != 0
    wanted = np.repeat(wanted, 3, axis=2) if colours == 1 else wanted
    assert picture.pixels.dtype == codes.dtype
    assert np.array_equal(picture.pixels[visible], wanted[visible])
    assert picture.metadata.comments == (b"Our cat",)
    if codes.shape[2] in (2, 4):
        assert picture.alpha is not None
        assert np.array_equal(picture.alpha, codes[..., -1])
    with pytest.raises(TruncatedError):
        read(stored(path.read_bytes()[:-9], tmp_path / "b.sgi"))


def test_a_picture_that_needs_a_palette_of_another_file_is_refused(tmp_path: Path) -> None:
    content = bytearray(sgi(GREY, compressed=False))
    content[107] = 1
    with pytest.raises(PhotoError, match="needs one in another file"):
        read(stored(bytes(content), tmp_path / "a.sgi"))


@pytest.mark.parametrize(
    ("codes", "white", "kind"),
    [
        (CAT, 255, b"RGB"),
        (DEEP, 65535, b"RGB"),
        (np.dstack([CAT, OPACITY]), 255, b"RGB_ALPHA"),
        (GREY, 255, b"GRAYSCALE"),
        ((GREY > 99).astype(np.uint8), 1, b"BLACKANDWHITE"),
    ],
)
def test_arbitrary_maps(
    tmp_path: Path, codes: NDArray[np.generic], white: int, kind: bytes
) -> None:
    head = b"P7\n# ours\nWIDTH 24\nHEIGHT 16\nDEPTH %d\nMAXVAL %d\nTUPLTYPE %s\nENDHDR\n"
    content = (
        head % (codes.shape[2], white, kind)
        + codes.astype(">u2" if white > 255 else "u1").tobytes()
    )
    picture = read(stored(content, tmp_path / "a.pam"))
    alpha = codes[..., 3] if codes.shape[2] == 4 else None
    wanted = codes[..., :3] * (255 if white == 1 else 1)
    visible = np.ones(codes.shape[:2], bool) if alpha is None else alpha != 0
    wanted = np.broadcast_to(wanted, (16, 24, 3))
    assert np.array_equal(picture.pixels[visible], wanted[visible])
    assert (picture.alpha is None) is (alpha is None)
    if alpha is not None and picture.alpha is not None:
        assert np.array_equal(picture.alpha, alpha)
    with pytest.raises(TruncatedError):
        read(stored(content[:-1], tmp_path / "b.pam"))


@pytest.mark.parametrize("format", ["PCX", "DIB"])
@pytest.mark.parametrize("mode", ["RGB", "P", "L", "1"])
def test_pcx_and_bitmaps_without_their_first_header(tmp_path: Path, format: str, mode: str) -> None:
    image = Image.fromarray(CAT).convert(mode)
    image.save(tmp_path / "a.bin", format, dpi=(300, 300))
    picture = read(tmp_path / "a.bin")
    assert picture.metadata.format == {"DIB": "BMP"}.get(format, format)
    assert np.array_equal(picture.pixels, np.asarray(image.convert("RGB")))


def test_the_size_of_the_screen_is_no_resolution_of_pcx(tmp_path: Path) -> None:
    Image.fromarray(CAT).save(tmp_path / "a.pcx", dpi=(640, 480))
    content = bytearray((tmp_path / "a.pcx").read_bytes())
    content[12:16] = struct.pack("<HH", 640, 480)
    assert read(stored(bytes(content), tmp_path / "b.pcx")).metadata.dpi is None
