"""HEIC and AVIF: depth, colours, what is turned, what is carried, and what is cut short.

No encoder for HEIC may be shipped. `data/plain.heic` and `data/ten-bits.heic` were written by
Debian's heif-enc 1.15 from the PNGs of `cat(48, 32)` and of `RAMP`, without loss:
`heif-enc -L -p chroma=444 --matrix_coefficients=0 [-b 10] IN.png -o OUT.heic`.
"""

import io
import os
import time
from contextlib import suppress
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from PIL import Image

from daemon.photo import Limits, is_truncated, read_header
from daemon.photo.isobmff import read_heif_info
from daemon.photo.preprocessing import upright
from daemon.photo.profiles import DISPLAY_P3_ICC
from daemon.system.errors import PhotoError, TruncatedError
from tests.support.photos import cat, photo_at, read

DATA = Path(__file__).parent / "data"
ACROSS, DOWN = np.meshgrid(np.arange(48) * 1365, np.arange(32) * 2048)
RAMP = np.dstack([ACROSS, DOWN, ACROSS // 2 + DOWN // 2]).astype(np.uint16)
TEN = cat(48, 32).astype(np.uint16) * 4 + 3


def avif(path: Path, **options: object) -> Path:
    file = io.BytesIO()
    Image.fromarray(cat(48, 32)).save(file, "AVIF", quality=100, subsampling="4:4:4", **options)
    path.write_bytes(file.getvalue())
    return path


def test_heic_of_8_bits() -> None:
    header = read_header(DATA / "plain.heic", Limits())
    assert (header.format, header.width, header.height, header.mode) == ("HEIF", 48, 32, "RGB")
    picture = read(DATA / "plain.heic")
    assert picture.pixels.dtype == np.uint8
    assert np.abs(picture.pixels.astype(int) - cat(48, 32)).max() <= 1
    assert picture.notes == ()


def test_heic_of_10_bits_is_read_as_16() -> None:
    assert read_header(DATA / "ten-bits.heic", Limits()).mode == "RGB;10"
    picture = read(DATA / "ten-bits.heic")
    assert picture.pixels.dtype == np.uint16
    assert np.abs(picture.pixels.astype(int) - RAMP).max() <= 2 * 64
    assert len(np.unique(picture.pixels)) > 256


@pytest.mark.parametrize("bits", [10, 12])
@pytest.mark.parametrize("grey", [False, True])
def test_avif_of_more_than_8_bits(tmp_path: Path, bits: int, grey: bool) -> None:
    codes = cat(48, 32).astype(np.uint16) * np.uint16(2 ** (bits - 8)) + np.uint16(1)
    codes = codes[..., 1] if grey else codes
    chroma = "400" if grey else "444"
    encoded = imagecodecs.avif_encode(codes, level=100, bitspersample=bits, pixelformat=chroma)
    (tmp_path / "a.avif").write_bytes(encoded)
    picture = read(tmp_path / "a.avif")
    wanted = np.rint(codes * (65535 / (2**bits - 1)))
    wanted = np.dstack([wanted] * 3) if grey else wanted
    assert np.array_equal(picture.pixels, wanted)
    assert picture.grey == grey
    assert read_header(tmp_path / "a.avif", Limits()).mode == f"{'L' if grey else 'RGB'};{bits}"


def test_avif_with_transparency(tmp_path: Path) -> None:
    opacity = cat(48, 32)[..., :1]
    codes = np.dstack([cat(48, 32), opacity])
    (tmp_path / "a.avif").write_bytes(imagecodecs.avif_encode(codes, level=100))
    picture = read(tmp_path / "a.avif")
    assert picture.alpha is not None
    assert np.array_equal(picture.alpha, opacity[..., 0])
    assert np.array_equal(picture.pixels, cat(48, 32))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_avif_is_turned_upright_once(tmp_path: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    exif[0x010F] = "a camera"
    picture = read(avif(tmp_path / "a.avif", exif=exif))
    wanted = upright(cat(48, 32), orientation)
    assert picture.pixels.shape == wanted.shape
    assert np.abs(picture.pixels.astype(int) - wanted).mean() < 3
    carried = Image.Exif()
    carried.load(picture.metadata.exif or b"")
    assert carried.get(0x010F) == "a camera"
    assert 0x0112 not in carried


def test_avif_carries_profile_and_xmp(tmp_path: Path) -> None:
    packet = b"<x:xmpmeta xmlns:x='adobe:ns:meta/'/>"
    picture = read(avif(tmp_path / "a.avif", icc_profile=DISPLAY_P3_ICC, xmp=packet))
    assert picture.metadata.icc == DISPLAY_P3_ICC
    assert picture.metadata.xmp == packet
    assert picture.original is not None


def test_code_points_tell_colours_where_there_is_no_profile(tmp_path: Path) -> None:
    encoded = imagecodecs.avif_encode(cat(48, 32), level=100, primaries=12, transfer=13)
    (tmp_path / "a.avif").write_bytes(encoded)
    with (tmp_path / "a.avif").open("rb") as file:
        assert read_heif_info(file, "a.avif").cicp == (12, 13)
    picture = read(tmp_path / "a.avif")
    assert picture.original is not None
    assert np.array_equal(picture.original.codes, cat(48, 32))
    assert not np.array_equal(picture.pixels, cat(48, 32))


@pytest.mark.parametrize("lost", [1, 500, 2000])
def test_what_is_cut_short_is_refused(tmp_path: Path, lost: int) -> None:
    for name in ("plain.heic", "ten-bits.heic"):
        path = tmp_path / name
        path.write_bytes((DATA / name).read_bytes()[:-lost])
        assert is_truncated(path)
        with pytest.raises(TruncatedError):
            read(path)


def test_no_damage_does_more_than_refuse(tmp_path: Path) -> None:
    content = (DATA / "plain.heic").read_bytes()
    path = tmp_path / "a.heic"
    random = np.random.default_rng(3)
    for _ in range(200):
        damaged = bytearray(content)
        for place in random.integers(12, 800, 3):
            damaged[place] = random.integers(256)
        path.write_bytes(damaged)
        is_truncated(path)
        with suppress(PhotoError):
            read_header(path, Limits())


def test_a_part_whose_kind_is_no_text_is_refused(tmp_path: Path) -> None:
    """libheif's binding would end the process."""
    path = tmp_path / "a.avif"
    Image.fromarray(cat(16, 16)).save(path, exif=b"Exif\0\0II*\0\x08\0\0\0\0\0\0\0\0\0")
    content = path.read_bytes()
    assert b"Exif" in content
    path.write_bytes(content.replace(b"Exif", b"E\xeaif", 1))
    with pytest.raises(PhotoError, match="of a kind that is no text"):
        read(path)


def test_lists_without_end_are_left(tmp_path: Path) -> None:
    """Extents of no bytes, 65535 for each of a million items, would take hours."""
    item = b"\0\1\0\0\xff\xff"
    places = b"\0\0\0\0\0\0\xff\xff" + item * 65535
    iloc = (8 + len(places)).to_bytes(4, "big") + b"iloc" + places
    meta = (12 + len(iloc)).to_bytes(4, "big") + b"meta\0\0\0\0" + iloc
    path = tmp_path / "a.heic"
    path.write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + meta)
    began = time.monotonic()
    with pytest.raises(PhotoError):
        read_header(path, Limits())
    assert time.monotonic() - began < 2


def test_a_huge_description_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "a.heic"
    meta = (2**30).to_bytes(4, "big") + b"meta"
    path.write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + meta)
    os.truncate(path, 2**30)
    with pytest.raises(PhotoError, match=r"a\.heic: ends early"):
        photo_at(path)


def test_the_decoder_of_avif_sees_no_film(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # imagecodecs writes every frame of a film behind the one array that it made for the first.
    path = avif(tmp_path / "a.avif", save_all=True, append_images=[Image.new("RGB", (48, 32))] * 3)
    given: list[bytes] = []
    decode = imagecodecs.avif_decode

    def seen(content: bytes, index: int, numthreads: int) -> object:
        given.append(content)
        return decode(content, index, numthreads=numthreads)

    monkeypatch.setattr(imagecodecs, "avif_decode", seen)
    picture = read(path)
    assert decode(given[0]).shape == (32, 48, 3)
    assert picture.notes == ("an animation: its still was restored",)
    assert np.abs(picture.pixels.astype(int) - cat(48, 32)).mean() < 3
