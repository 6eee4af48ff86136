"""Zeros within coded pictures."""

import io
import struct
import time
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image, TiffImagePlugin

from daemon.photo import Limits, Photo, read_header
from daemon.photo.notes import NoteKind
from daemon.photo.reading import read_picture
from daemon.photo.zero_holes import zero_hole_notes
from daemon.system.errors import PhotoError

NOISE = np.random.default_rng(7).integers(1, 255, (192, 256, 3), np.uint8)
HEIC = Path(__file__).parent / "data/plain.heic"


def of_pillow(picture: np.ndarray, format: str, **options: object) -> bytes:
    file = io.BytesIO()
    Image.fromarray(picture).save(file, format, **options)
    return file.getvalue()


def jpeg_tiff(picture: np.ndarray) -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(file, picture, photometric="rgb", compression="jpeg", rowsperstrip=96)
    return file.getvalue()


def animated(picture: np.ndarray) -> bytes:
    frames = [Image.fromarray(np.roll(picture, step, 1)) for step in (0, 9)]
    file = io.BytesIO()
    frames[0].save(file, "WEBP", save_all=True, append_images=frames[1:], quality=90)
    return file.getvalue()


MAKERS = {
    "lossy.webp": lambda p: of_pillow(p, "WEBP", quality=90),
    "lossless.webp": lambda p: of_pillow(p, "WEBP", lossless=True),
    "with-exif.webp": lambda p: of_pillow(p, "WEBP", quality=90, exif=bytes(900)),
    "animated.webp": animated,
    "a.avif": lambda p: of_pillow(p, "AVIF", quality=90),
    "lossless.jp2": lambda p: of_pillow(p, "JPEG2000"),
    "lossy.jp2": lambda p: of_pillow(
        p, "JPEG2000", irreversible=True, quality_mode="rates", quality_layers=[9, 5]
    ),
    "tiled.j2k": lambda p: of_pillow(
        p, "JPEG2000", no_jp2=True, tile_size=(128, 96), precinct_size=(64, 64)
    ),
    "a.tif": jpeg_tiff,
}


def notes_of(path: Path) -> list[str]:
    header = read_header(path, Limits())
    notes = read_picture(Photo(path, path.name, "digest", header), Limits()).notes
    assert all(note.kind is NoteKind.DAMAGE for note in notes if "zeros" in note)  # type: ignore[attr-defined]
    return [note for note in notes if "zeros" in note]


@pytest.mark.parametrize("length", [512, 4096, 5000], ids=["a sector", "a page", "anywhere"])
@pytest.mark.parametrize("name", list(MAKERS))
def test_zeros_within_a_coded_picture_are_noted_or_refused(
    tmp_path: Path, name: str, length: int
) -> None:
    path = tmp_path / name
    content = MAKERS[name](NOISE)
    path.write_bytes(content)
    assert notes_of(path) == []
    step = 512 if length % 512 == 0 else 1
    noted = 0
    for place in np.linspace(2048, len(content) - length - 2048, 5):
        begin = int(place) // step * step
        path.write_bytes(content[:begin] + bytes(length) + content[begin + length :])
        try:
            (note,) = notes_of(path)
        except PhotoError:
            continue
        assert "within its coded picture are zeros, as gaps of a copy leave them" in note
        noted += 1
    assert noted


@pytest.mark.parametrize("name", list(MAKERS))
def test_an_even_picture_has_no_note(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(MAKERS[name](np.full((1000, 1500, 3), 128, np.uint8)))
    with path.open("rb") as file:
        assert zero_hole_notes(file, read_header(path, Limits()).format) == ()


def test_zeros_in_a_heic_are_noted(tmp_path: Path) -> None:
    content = HEIC.read_bytes()
    path = tmp_path / "a.heic"
    data = content.index(b"mdat") + 4
    assert len(content) - data > 400, "the sample must hold such a run"
    for begin, noted in ((data + 60, True), (len(content), False)):
        path.write_bytes(content[:begin] + bytes(300) + content[begin + 300 :])
        with path.open("rb") as file:
            assert bool(zero_hole_notes(file, "HEIF")) == noted


def test_stored_opacity_and_metadata_may_be_zeros(tmp_path: Path) -> None:
    path = tmp_path / "a.webp"
    alpha = np.zeros((192, 256), np.uint8)
    pixels = np.dstack([NOISE, alpha])
    for options in ({"quality": 90}, {"lossless": True}):
        path.write_bytes(of_pillow(pixels, "WEBP", exif=bytes(9000) + b"end", **options))
        assert notes_of(path) == []


def test_pixels_that_are_stored_as_they_are_may_be_zeros(tmp_path: Path) -> None:
    picture = NOISE.copy()
    picture[40:90] = 0
    path = tmp_path / "a.tif"
    Image.fromarray(picture).save(path, "TIFF")
    assert notes_of(path) == []
    with path.open("rb") as file:
        file.seek(0)
        assert TiffImagePlugin.TiffImageFile(file).size == (256, 192)


@pytest.mark.parametrize("content", [b"", b"RIFF", b"\xff\x4f\xff\x51", b"II*\0" + bytes(9)])
@pytest.mark.parametrize("format", ["WEBP", "AVIF", "HEIF", "JPEG2000", "TIFF"])
def test_damaged_headers_are_left_to_the_decoder(
    tmp_path: Path, format: str, content: bytes
) -> None:
    path = tmp_path / "a"
    path.write_bytes(content)
    with path.open("rb") as file:
        assert zero_hole_notes(file, format) == ()


HOSTILE = {
    "frames-in-frames": b"RIFF\xff\xff\xff\x00WEBP" + b"ANMF\xff\xff\x00\x00" * 3000,
    "empty-chunks": b"RIFF\xff\xff\xff\x0fWEBP" + b"junk\0\0\0\0" * 500_000,
    "no-such-place": b"II*\0\x08\0\0\0\x03\0"
    + struct.pack("<HHII", 259, 3, 1, 7)
    + struct.pack("<HHII", 273, 4, 1, 0xFFFFFFFF)
    + struct.pack("<HHII", 279, 4, 1, 0xFFFFFFFF),
}


@pytest.mark.parametrize("name", list(HOSTILE))
def test_hostile_headers_cost_little(tmp_path: Path, name: str) -> None:
    path = tmp_path / "a"
    path.write_bytes(HOSTILE[name])
    began = time.process_time()
    with path.open("rb") as file:
        assert zero_hole_notes(file, "TIFF" if "place" in name else "WEBP") == ()
    assert time.process_time() - began < 1
