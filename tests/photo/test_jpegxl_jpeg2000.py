"""JPEG XL and JPEG 2000: depth, colours, what is turned, what is carried, and what is cut short.

`data/profile.jxl` and `data/display-p3.jxl` are `cat(48, 32)` with the profile of Display P3, by
Debian's cjxl 0.7: with `-d 0`, which compresses the profile into the codestream, and with `-d 1`.
`data/turned.jxl` is of a JPEG of it with orientation 6, by `--lossless_jpeg=0`. imagecodecs calls
16 bits linear light.
"""

import io
import subprocess
import sys
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from daemon.photo import Limits, is_truncated, read_header
from daemon.photo.colour import ColourSpace
from daemon.photo.decoders import jpegxl_icc
from daemon.photo.preprocessing import upright
from daemon.photo.profiles import DISPLAY_P3_ICC
from daemon.system.errors import PhotoError
from tests.support.photos import cat, read

DATA = Path(__file__).parent / "data"
CAT = cat(48, 32)
DEEP = CAT.astype(np.uint16) * 257 - (CAT % 2)
XMP = b"<x:xmpmeta xmlns:x='adobe:ns:meta/'/>"


def saved(path: Path, content: bytes | bytearray) -> Path:
    path.write_bytes(content)
    assert not is_truncated(path)
    return path


def box(kind: bytes, content: bytes | bytearray) -> bytes:
    return (8 + len(content)).to_bytes(4, "big") + kind + bytes(content)


def exif(orientation: int = 1) -> bytes:
    block = Image.Exif()
    block[0x0112] = orientation
    block[0x010F] = "a camera"
    return block.tobytes().removeprefix(b"Exif\0\0")


def maker(block: bytes | None) -> object:
    found = Image.Exif()
    found.load(block or b"")
    return found.get(0x010F)


@pytest.mark.parametrize("codes", [CAT, DEEP, CAT[..., 1], DEEP[..., 1], np.dstack([CAT, CAT])])
@pytest.mark.parametrize("container", [False, True])
def test_jpeg_xl_without_loss(tmp_path: Path, codes: NDArray[Any], container: bool) -> None:
    codes = codes[..., :4] if codes.ndim == 3 else codes
    encoded = imagecodecs.jpegxl_encode(codes, lossless=True, usecontainer=container)
    path = saved(tmp_path / "a.jxl", encoded)
    header = read_header(path, Limits())
    assert (header.format, header.width, header.height) == ("JXL", 48, 32)
    picture = read(path)
    assert picture.pixels.dtype == codes.dtype
    if codes.dtype == np.uint16:
        assert picture.original is not None
        assert np.array_equal(picture.original.codes.squeeze(), codes)
    else:
        wanted = np.dstack([codes] * 3) if codes.ndim == 2 else codes[..., :3]
        assert np.array_equal(picture.pixels, wanted)
    assert picture.grey == (codes.ndim == 2)
    assert (picture.alpha is not None) == (codes.shape[2:] == (4,))
    assert picture.notes == ()


def test_jpeg_xl_of_10_bits(tmp_path: Path) -> None:
    encoded = imagecodecs.jpegxl_encode(DEEP >> 6, lossless=True, bitspersample=10)
    path = saved(tmp_path / "a.jxl", encoded)
    assert read_header(path, Limits()).mode == "RGB;10"
    picture = read(path)
    assert picture.original is not None
    assert np.array_equal(picture.original.codes, np.rint((DEEP >> 6) * (65535 / 1023)))


@pytest.mark.parametrize("orientation", [1, 6])
def test_jpeg_xl_of_a_jpeg_is_that_jpeg(tmp_path: Path, orientation: int) -> None:
    file = io.BytesIO()
    Image.fromarray(CAT).save(
        file, "JPEG", exif=b"Exif\0\0" + exif(orientation), icc_profile=DISPLAY_P3_ICC
    )
    (tmp_path / "a.jpg").write_bytes(file.getvalue())
    path = saved(tmp_path / "a.jxl", imagecodecs.jpegxl_encode_jpeg(file.getvalue()))
    picture, jpeg = read(path), read(tmp_path / "a.jpg")
    assert np.array_equal(picture.pixels, jpeg.pixels)
    assert picture.metadata.icc == DISPLAY_P3_ICC
    assert picture.metadata.exif == jpeg.metadata.exif
    assert picture.metadata.format == "JXL"


@pytest.mark.parametrize("compressed", [False, True])
def test_jpeg_xl_carries_exif_and_xmp(tmp_path: Path, compressed: bool) -> None:
    stream = imagecodecs.jpegxl_encode(CAT, lossless=True)
    blocks = {b"Exif": bytes(4) + exif(), b"xml ": XMP}
    if compressed:
        packed = [box(b"brob", k + imagecodecs.brotli_encode(v)) for k, v in blocks.items()]
    else:
        packed = [box(kind, content) for kind, content in blocks.items()]
    start = box(b"JXL ", b"\r\n\x87\n") + box(b"ftyp", b"jxl \0\0\0\0jxl ")
    path = saved(tmp_path / "a.jxl", start + b"".join(packed) + box(b"jxlc", stream))
    picture = read(path)
    assert np.array_equal(picture.pixels, CAT)
    assert maker(picture.metadata.exif) == "a camera"
    assert picture.metadata.xmp == XMP


@pytest.mark.parametrize(
    "packed",
    [imagecodecs.brotli_encode(exif())[:-4], imagecodecs.brotli_encode(bytes(1 << 26))],
    ids=["cut", "64 MiB of zeros"],
)
def test_jpeg_xl_with_damaged_metadata_is_read_without_them(tmp_path: Path, packed: bytes) -> None:
    codes = cat(48, 32)
    content = bytes(imagecodecs.jpegxl_encode(codes, lossless=True, usecontainer=True))
    picture = read(saved(tmp_path / "a.jxl", content + box(b"brob", b"Exif" + packed)))
    assert np.array_equal(picture.pixels, codes)
    assert picture.metadata.exif is None
    assert len(picture.notes) == 1
    assert "its metadata are damaged" in picture.notes[0]


def test_jpeg_xl_with_code_points_of_display_p3() -> None:
    picture = read(DATA / "display-p3.jxl")
    wanted = ColourSpace("rgb", DISPLAY_P3_ICC).to_levels(CAT, np.uint8)
    assert picture.original is not None
    assert np.abs(picture.pixels.astype(int) - wanted).mean() < 5
    assert np.abs(picture.original.codes.astype(int) - CAT).mean() < 5


def test_jpeg_xl_with_a_compressed_profile_keeps_it() -> None:
    picture = read(DATA / "profile.jxl")
    assert picture.metadata.icc == DISPLAY_P3_ICC
    assert picture.original is not None
    assert np.array_equal(picture.original.codes, cat(48, 32))


def test_the_profile_is_the_first_thing_that_a_process_can_ask_of_libjxl() -> None:
    ask = (
        "from pathlib import Path; from daemon.photo.decoders.jpegxl_icc import *;"
        f"print(len(read_jpegxl_profile(Path({str(DATA / 'profile.jxl')!r}).read_bytes())))"
    )
    done = subprocess.run([sys.executable, "-c", ask], capture_output=True, check=True, text=True)
    assert int(done.stdout) == len(DISPLAY_P3_ICC)


def test_without_libjxl_a_compressed_profile_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jpegxl_icc, "_libjxl", lambda: None)
    with pytest.raises(PhotoError, match=r"profile cannot be read; convert it to PNG \(djxl"):
        read(DATA / "profile.jxl")


def test_lossy_jpeg_xl_with_a_profile_of_its_own_is_refused() -> None:
    """`cat(12, 8)` with a profile whose curve is that of L*, written by libvips."""
    with pytest.raises(PhotoError, match="a lossy JPEG XL with a colour profile of its own"):
        read(DATA / "lossy-profile.jxl")


@pytest.mark.parametrize("lost", [1, 100, 1500])
@pytest.mark.parametrize("container", [False, True])
def test_jpeg_xl_cut_short_is_refused(tmp_path: Path, lost: int, container: bool) -> None:
    encoded = imagecodecs.jpegxl_encode(CAT, lossless=True, usecontainer=container)
    path = tmp_path / "a.jxl"
    path.write_bytes(encoded[:-lost])
    assert is_truncated(path) == container
    with pytest.raises(PhotoError):
        read(path)


@pytest.mark.parametrize("bits", [8, 12, 16])
@pytest.mark.parametrize("codec", ["jp2", "j2k"])
def test_jpeg_2000_without_loss(tmp_path: Path, bits: int, codec: str) -> None:
    codes = CAT if bits == 8 else DEEP >> (16 - bits)
    encoded = imagecodecs.jpeg2k_encode(
        codes, level=0, codecformat=codec, bitspersample=bits, reversible=True
    )
    path = saved(tmp_path / "a.jp2", encoded)
    header = read_header(path, Limits())
    assert (header.format, header.width, header.height) == ("JPEG2000", 48, 32)
    picture = read(path)
    wanted = CAT if bits == 8 else np.rint(codes * (65535 / (2**bits - 1)))
    assert np.array_equal(picture.pixels, wanted)
    assert picture.notes == ()


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA"])
def test_jpeg_2000_of_each_mode(tmp_path: Path, mode: str) -> None:
    image = Image.fromarray(np.dstack([CAT, CAT[..., 0]])).convert(mode)
    file = io.BytesIO()
    image.save(file, "JPEG2000", irreversible=False)
    picture = read(saved(tmp_path / "a.jp2", file.getvalue()))
    assert np.array_equal(picture.pixels, np.asarray(image.convert("RGB")))
    assert picture.grey == mode.startswith("L")
    if "A" in mode:
        assert picture.alpha is not None
        assert np.array_equal(picture.alpha, CAT[..., 0])


def test_jpeg_2000_carries_profile_exif_and_xmp(tmp_path: Path) -> None:
    encoded = imagecodecs.jpeg2k_encode(CAT, level=0, codecformat="jp2", bitspersample=8)
    colours = box(b"colr", b"\2\0\0" + DISPLAY_P3_ICC)
    ihdr = encoded[40:62]
    begin = encoded.index(b"jp2c") - 4
    content = bytes(encoded[:32]) + box(b"jp2h", ihdr + colours)
    content += box(b"uuid", b"JpgTiffExif->JP2" + exif(6))
    content += box(b"uuid", bytes.fromhex("be7acfcb97a942e89c71999491e3afac") + XMP)
    picture = read(saved(tmp_path / "a.jp2", content + encoded[begin:]))
    assert picture.metadata.icc == DISPLAY_P3_ICC
    assert maker(picture.metadata.exif) == "a camera"
    assert picture.metadata.xmp == XMP
    assert picture.original is not None
    assert np.array_equal(picture.original.codes, CAT)


def test_jpeg_2000_of_unknown_colours_is_refused(tmp_path: Path) -> None:
    encoded = imagecodecs.jpeg2k_encode(CAT, level=0, codecformat="jp2", bitspersample=8)
    place = encoded.index(b"colr") + 7
    lab = encoded[:place] + (14).to_bytes(4, "big") + encoded[place + 4 :]
    with pytest.raises(PhotoError, match=r"its colour space \(14\) is not read; convert it"):
        read(saved(tmp_path / "a.jp2", lab))


@pytest.mark.parametrize("lost", [1, 100, 1500])
@pytest.mark.parametrize("codec", ["jp2", "j2k"])
def test_jpeg_2000_cut_short_is_refused(tmp_path: Path, lost: int, codec: str) -> None:
    encoded = imagecodecs.jpeg2k_encode(CAT, level=0, codecformat=codec, reversible=True)
    path = tmp_path / "a.jp2"
    path.write_bytes(encoded[:-lost])
    with pytest.raises(PhotoError):
        read(path)


def test_turning_of_a_jpeg_xl_by_its_codestream() -> None:
    """The orientation of `data/turned.jxl` is 6, in the codestream alone."""
    picture = read(DATA / "turned.jxl")
    assert np.abs(picture.pixels.astype(int) - upright(CAT, 6)).mean() < 5


def test_jpeg_2000_of_cmyk_is_not_converted_twice(tmp_path: Path) -> None:
    inks = np.dstack([CAT, CAT[..., 0] // 2])
    encoded = imagecodecs.jpeg2k_encode(inks, level=0, codecformat="jp2", mct=False)
    place = encoded.index(b"colr") + 7
    cmyk = bytes(encoded[:place] + (12).to_bytes(4, "big") + encoded[place + 4 :])
    picture = read(saved(tmp_path / "a.jp2", cmyk))
    assert picture.original is not None
    assert np.array_equal(picture.original.codes, inks)
    assert picture.notes == ("CMYK without a colour profile, converted by rule",)
