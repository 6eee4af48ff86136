"""Camera raw files, developed by the extra `raw`: never their thumbnail."""

import io
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import ExifTags, Image

from daemon.photo import Header, Limits, raw_header, read_header
from daemon.photo.metadata import FileBlocks, read_block_metadata
from daemon.photo.profiles import DISPLAY_P3_ICC
from daemon.photo.raw_exif import other_raw_exif
from daemon.photo.raw_header import refuse_cut_raw
from daemon.photo.tiff_fields import EXIF, GPS, RawField, packed_block, parse_block
from daemon.system.errors import PhotoError, TruncatedError
from tests.support.photos import cat, read

HEIGHT, WIDTH = 64, 96
NO_EXIF = "its EXIF was not found: left out"
PATTERN = (0, 1, 1, 2)
"""Colours of the filters, red, green, green and blue."""


def mosaic(colour: tuple[int, int, int]) -> NDArray[np.uint16]:
    """What a sensor has of one colour."""
    codes = np.empty((HEIGHT, WIDTH), np.uint16)
    for place, which in enumerate(PATTERN):
        codes[place // 2 :: 2, place % 2 :: 2] = colour[which]
    return codes


def dng(path: Path, codes: NDArray[np.uint16], orientation: int = 1) -> Path:
    """A DNG with a thumbnail in its first directory, as cameras write it."""
    matrix = [1, 1, 0, 1, 0, 1, 0, 1, 1, 1, 0, 1, 0, 1, 0, 1, 1, 1]
    first: list[Any] = [
        (50706, "B", 4, (1, 4, 0, 0), True),
        (50708, "s", 0, "a camera", True),
        (274, "H", 1, orientation, True),
        (50721, 10, 9, matrix, True),
        (50728, 5, 3, (1, 1, 1, 1, 1, 1), True),
        (50778, "H", 1, 21, True),
    ]
    sensor: list[Any] = [
        (33421, "H", 2, (2, 2), True),
        (33422, "B", 4, PATTERN, True),
        (50714, "H", 1, 0, True),
        (50717, "H", 1, 65535, True),
    ]
    with tifffile.TiffWriter(path) as tiff:
        tiff.write(cat(12, 8), photometric="rgb", subfiletype=1, subifds=1, extratags=first)
        tiff.write(codes, photometric="cfa", extratags=sensor)
    return path


def test_a_dng_is_developed_at_its_size_and_16_bits(tmp_path: Path) -> None:
    path = dng(tmp_path / "a.dng", mosaic((20000, 20000, 20000)))
    header = read_header(path, Limits())
    assert (header.format, header.width, header.height) == ("RAW", WIDTH, HEIGHT)
    picture = read(path)
    assert picture.pixels.shape == (HEIGHT, WIDTH, 3)
    assert picture.pixels.dtype == np.uint16
    assert picture.metadata.icc == DISPLAY_P3_ICC
    assert picture.notes[0].startswith("a camera's raw file was developed")
    assert np.ptp(picture.pixels[8:-8, 8:-8].astype(int), axis=(0, 1)).max() <= 2 * 257


def test_more_light_is_a_brighter_picture(tmp_path: Path) -> None:
    dark = read(dng(tmp_path / "a.dng", mosaic((5000, 5000, 5000)))).pixels.mean()
    bright = read(dng(tmp_path / "b.dng", mosaic((40000, 40000, 40000)))).pixels.mean()
    assert bright > 1.5 * dark


def test_a_dng_is_turned_upright_once(tmp_path: Path) -> None:
    picture = read(dng(tmp_path / "a.dng", mosaic((9000, 9000, 9000)), orientation=6))
    assert picture.pixels.shape == (WIDTH, HEIGHT, 3)


def test_a_damaged_dng_is_refused(tmp_path: Path) -> None:
    path = dng(tmp_path / "a.dng", mosaic((9000, 9000, 9000)))
    path.write_bytes(path.read_bytes()[:-4000])
    with pytest.raises(PhotoError):
        read(path)


def test_what_only_calls_itself_a_dng_is_no_picture_of_its_thumbnail(tmp_path: Path) -> None:
    tag = [(50706, "B", 4, (1, 4, 0, 0), True)]
    tifffile.imwrite(
        tmp_path / "a.dng", cat(12, 8), photometric="rgb", subfiletype=1, extratags=tag
    )
    with pytest.raises(PhotoError):
        read(tmp_path / "a.dng")


def test_raw_files_that_are_no_tiff_are_developed_too(tmp_path: Path) -> None:
    """Olympus and Panasonic write a TIFF under another name."""
    content = dng(tmp_path / "a.dng", mosaic((20000, 15000, 9000))).read_bytes()
    plain = read(tmp_path / "a.dng")
    for start, has_exif in ((b"IIRO", True), (b"IIU\0", False)):
        path = tmp_path / "a.orf"
        path.write_bytes(start + content[4:])
        header = read_header(path, Limits())
        assert (header.format, header.width, header.height) == ("RAW", WIDTH, HEIGHT)
        picture = read(path)
        assert np.array_equal(picture.pixels, plain.pixels)
        assert (NO_EXIF in picture.notes) != has_exif


def exif(**texts: str) -> bytes:
    """An EXIF block with a model, a place, a lens, and notes of the maker."""
    made = Image.Exif()
    made[ExifTags.Base.Model] = texts.get("model", "X-T5")
    made.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.LensModel] = "XF35mmF1.4 R"
    made.get_ifd(ExifTags.IFD.GPSInfo)[1] = "N"
    return bytes(made.tobytes()).removeprefix(b"Exif\0\0")


def preview() -> bytes:
    """A small JPEG with EXIF, as cameras put it into raw files."""
    file = io.BytesIO()
    Image.fromarray(cat(24, 16)).save(file, "JPEG", exif=b"Exif\0\0" + exif())
    return file.getvalue()


def box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(content), kind) + content


def fujifilm() -> bytes:
    jpeg = preview()
    return (
        b"FUJIFILMCCD-RAW ".ljust(84, b"0") + struct.pack(">II", 148, len(jpeg)) + bytes(56) + jpeg
    )


def panasonic() -> bytes:
    jpeg = preview()
    entry = struct.pack("<HHII", 0x2E, 7, len(jpeg), 40)
    head = b"IIU\0\x08\0\0\0" + struct.pack("<H", 1) + entry + bytes(4)
    return head.ljust(40, b"\0") + jpeg


def minolta() -> bytes:
    block = exif()
    size = struct.pack(">4sI8s", b"\0PRD", 8, bytes(8))
    return b"\0MRM" + bytes(4) + size + struct.pack(">4sI", b"\0TTW", len(block)) + block


def canon() -> bytes:
    """A CR3, which has a TIFF for each directory."""
    order, fields = parse_block(exif())
    by_tag = {field.tag: field.below for field in fields if field.below is not None}
    plain = [field for field in fields if field.below is None]
    parts = {
        b"CMT1": plain,
        b"CMT2": by_tag[EXIF] or (),
        b"CMT3": [RawField(1, 2, 6, b"notes\0")],
        b"CMT4": by_tag[GPS] or (),
    }
    own = b"".join(box(kind, packed_block(part, order)) for kind, part in parts.items())
    uuid = bytes.fromhex("85c0b687820f11e08111f4ce462b6a48")
    return box(b"ftyp", b"crx \0\0\0\1") + box(b"moov", box(b"uuid", uuid + own))


@pytest.mark.parametrize("made", [fujifilm, panasonic, minolta, canon])
def test_exif_is_found_in_raw_files_that_are_no_tiff(made: Callable[[], bytes]) -> None:
    block = other_raw_exif(io.BytesIO(made()))
    assert block is not None
    said = read_block_metadata("TIFF", "RGB;16", FileBlocks(exif=block))
    found = Image.Exif()
    found.load(said.metadata.exif or b"")
    assert found[ExifTags.Base.Model] == "X-T5"
    assert found.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.LensModel] == "XF35mmF1.4 R"
    assert found.get_ifd(ExifTags.IFD.GPSInfo)[1] == "N"
    # Canon's notes of the maker point into their own box.
    assert any("maker notes" in note for note in said.notes) == (made is canon)


@pytest.mark.parametrize("made", [fujifilm, panasonic, minolta, canon])
def test_damaged_exif_of_raw_files_is_left_out(made: Callable[[], bytes]) -> None:
    whole = made()
    for end in (20, 60, 100, len(whole) // 2):
        other_raw_exif(io.BytesIO(whole[:end]))
    assert other_raw_exif(io.BytesIO(whole[:16].ljust(300, b"\xff"))) is None


@pytest.mark.parametrize(
    "start",
    [
        b"\0\0\0\x18ftypcrx \0\0\0\1crx isom",
        b"FUJIFILMCCD-RAW 0201FF383301",
        b"II\x1a\0\0\0HEAPCCDR",
        b"IIRO\x08\0\0\0",
        b"IIU\0\x08\0\0\0",
        b"FOVb\0\0\0\0",
        b"\0MRM\0\0\0\0",
    ],
)
def test_raw_files_are_known_by_their_first_bytes(
    tmp_path: Path, start: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(start + bytes(500))
    with pytest.raises(PhotoError):
        read(path)
    monkeypatch.setattr(raw_header, "find_spec", lambda name: None)
    with pytest.raises(PhotoError, match="needs the extra `raw`"):
        read_header(path, Limits())


def test_a_raw_file_that_lacks_its_end_is_refused(tmp_path: Path) -> None:
    """LibRaw would give what is there, and black or noise for the rest."""
    content = dng(tmp_path / "a.dng", mosaic((9000, 9000, 9000))).read_bytes()
    for start in (content[:4], b"IIRO", b"IIU\0"):
        path = tmp_path / "a.orf"
        path.write_bytes((start + content[4:])[:-7000])
        with pytest.raises(PhotoError):
            read(path)


def test_an_empty_shell_of_a_raw_file_is_refused(tmp_path: Path) -> None:
    path = dng(tmp_path / "a.dng", mosaic((9000, 9000, 9000)))
    with path.open("rb") as file, pytest.raises(TruncatedError):
        refuse_cut_raw(file, "a.dng", Header("RAW", 6000, 4000, "RGB;16"))


def test_a_phase_one_file_is_no_tiff_of_its_thumbnail(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    levels = cat(12, 8)
    fields = {256: 12, 257: 8, 259: 1, 262: 2, 273: 16, 277: 3, 278: 8, 279: levels.nbytes}
    begin = b"II*\0" + struct.pack("<I", 16 + levels.nbytes) + b"IIIITwaR" + levels.tobytes()
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in fields.items())
    path.write_bytes(begin + struct.pack("<H", len(fields)) + entries + bytes(4))
    assert read_header(path, Limits()).format == "RAW"
    with pytest.raises(PhotoError):
        read(path)
