"""Random and flipped bytes: nothing but a `PhotoError` comes out."""

import io
import struct
import warnings
import zlib
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from daemon.photo import Photo, is_truncated, png_chunks, read_header
from daemon.photo.notes import NoteKind
from daemon.photo.reading import read_picture
from daemon.system.errors import PhotoError
from tests.support.photos import ENCODINGS, SMALL, cat, decoded_pixels, encoded

MAGIC = (
    *(b"\xff\xd8\xff\xe0", b"\x89PNG\r\n\x1a\n", b"RIFF\x40\0\0\0WEBPVP8 ", b"GIF89a"),
    *(b"BM", b"II*\0\x08\0\0\0", b"MM\0*\0\0\0\x08", b""),
)


def check_only_photo_errors(path: Path) -> None:
    is_truncated(path)
    for read in (lambda: read_header(path, SMALL), lambda: decoded_pixels(path)):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                read()
            except PhotoError as error:
                assert str(error).startswith("fuzz: ")


FUZZ = settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@FUZZ
@given(magic=st.sampled_from(MAGIC), rest=st.binary(max_size=400))
def test_random_bytes_raise_nothing_but_photo_errors(
    tmp_path: Path, magic: bytes, rest: bytes
) -> None:
    (tmp_path / "fuzz").write_bytes(magic + rest)
    check_only_photo_errors(tmp_path / "fuzz")


UNDAMAGED = [encoded(format, **options) for format, options in ENCODINGS]


@FUZZ
@given(
    content=st.sampled_from(UNDAMAGED),
    changes=st.lists(
        st.tuples(
            st.one_of(st.integers(0, 200), st.integers(-200, -1), st.integers(0, 10**4)),
            st.integers(0, 255),
        ),
        min_size=1,
        max_size=8,
    ),
)
def test_flipped_bytes_raise_nothing_but_photo_errors(
    tmp_path: Path, content: bytes, changes: list[tuple[int, int]]
) -> None:
    damaged = bytearray(content)
    for place, value in changes:
        damaged[place % len(damaged)] = value
    (tmp_path / "fuzz").write_bytes(damaged)
    check_only_photo_errors(tmp_path / "fuzz")


@pytest.mark.parametrize("depth", ["uint8", "uint16"])
def test_a_png_whose_second_half_is_zeros_is_refused(tmp_path: Path, depth: str) -> None:
    """A folder synchroniser that reserves the space of a file before its bytes arrive."""
    # Noise is packed without repeats: zeros are the code of some level then, and give rows.
    levels = np.random.default_rng(3).integers(0, 180, (90, 120, 3))
    pixels = (levels * (1 if depth == "uint8" else 257)).astype(depth)
    chunks = list(png_chunks.read_chunks(io.BytesIO(imagecodecs.png_encode(pixels))))
    header = png_chunks.Chunk(b"IHDR", chunks[0].content)
    rows = b"".join(b"\0" + row.astype(row.dtype.newbyteorder(">")).tobytes() for row in pixels)
    parts = (header, png_chunks.Chunk(b"IDAT", zlib.compress(rows)), png_chunks.Chunk(b"IEND", b""))
    whole = png_chunks.SIGNATURE + b"".join(map(png_chunks.packed, parts))
    (tmp_path / "fuzz").write_bytes(whole)
    assert np.array_equal(decoded_pixels(tmp_path / "fuzz"), pixels)
    for kept in range(len(whole) // 2, len(whole) - 20, len(whole) // 9):
        (tmp_path / "fuzz").write_bytes(whole[:kept].ljust(len(whole), b"\0"))
        with pytest.raises(PhotoError):
            decoded_pixels(tmp_path / "fuzz")


def as_file(path: Path, format: str, pixels: np.ndarray, **options: object) -> bytes:
    """Pixels in a format that stores them as they are; their bytes."""
    if format == "psd":
        head = b"8BPS" + struct.pack(">H6xHIIHH", 1, 3, *pixels.shape[:2], 8, 3)
        planes = pixels.transpose(2, 0, 1).tobytes()
        path.write_bytes(head + bytes(12) + struct.pack(">H", 0) + planes)
    else:
        Image.fromarray(pixels).save(path, format=format, **options)
    return path.read_bytes()


def photo_of(path: Path) -> Photo:
    return Photo(path, path.name, "digest", read_header(path, SMALL))


NOISE = np.random.default_rng(7).integers(1, 255, (128, 200, 3), np.uint8)


@pytest.mark.parametrize("format", ["bmp", "ppm", "tiff", "psd"])
@pytest.mark.parametrize("share", [0.5, 0.9])
def test_an_uncompressed_file_whose_rest_is_zeros_has_a_note(
    tmp_path: Path, format: str, share: float
) -> None:
    path = tmp_path / f"half.{format}"
    content = as_file(path, format, NOISE)
    assert read_picture(photo_of(path), SMALL).notes == ()
    kept = int(len(content) * share) // 512 * 512
    path.write_bytes(content[:kept].ljust(len(content), b"\0"))
    (note,) = read_picture(photo_of(path), SMALL).notes
    percent = round(100 * (1 - kept / len(content)))
    assert note.startswith(f"the last {percent} % of its file are zeros")
    assert note.kind is NoteKind.DAMAGE  # type: ignore[attr-defined]


CODED: list[tuple[str, dict[str, object]]] = [
    ("WEBP", {"quality": 90}),
    ("WEBP", {"lossless": True}),
    ("AVIF", {"quality": 90}),
]


@pytest.mark.parametrize(("format", "options"), CODED)
def test_a_compressed_file_whose_rest_is_zeros_is_refused_or_has_a_note(
    tmp_path: Path, format: str, options: dict[str, object]
) -> None:
    path = tmp_path / "half"
    Image.fromarray(NOISE).save(path, format, **options)
    content = path.read_bytes()
    for whole in (content, content + bytes(99)):
        path.write_bytes(whole)
        assert read_picture(photo_of(path), SMALL).notes == ()
    noted = 0
    for kept in range(len(content) // 4096 * 2048, len(content) - 4600, 512):
        path.write_bytes(content[:kept].ljust(len(content), b"\0"))
        try:
            (note,) = read_picture(photo_of(path), SMALL).notes
        except PhotoError:
            continue
        assert note.kind is NoteKind.DAMAGE  # type: ignore[attr-defined]
        assert "are zeros, as where a copy was interrupted, and part of the picture" in note
        noted += 1
    assert noted


def test_zeros_behind_a_whole_webp_are_no_loss(tmp_path: Path) -> None:
    path = tmp_path / "filled.webp"
    Image.fromarray(NOISE).save(path, "WEBP", quality=90)
    path.write_bytes(path.read_bytes() + bytes(100_000))
    assert read_picture(photo_of(path), SMALL).notes == ()


@pytest.mark.parametrize("black_rows", [0, 6, 9])
@pytest.mark.parametrize("format", ["ppm", "tiff", "psd"])
def test_a_black_margin_at_the_end_of_a_picture_has_no_note(
    tmp_path: Path, format: str, black_rows: int
) -> None:
    pixels = NOISE.copy()
    pixels[len(pixels) - black_rows :] = 0
    path = tmp_path / f"margin.{format}"
    as_file(path, format, pixels)
    assert read_picture(photo_of(path), SMALL).notes == ()


def test_a_picture_whose_lower_half_is_black_is_read_with_a_note(tmp_path: Path) -> None:
    pixels = NOISE.copy()
    pixels[64:] = 0
    path = tmp_path / "night.tif"
    as_file(path, "tiff", pixels)
    picture = read_picture(photo_of(path), SMALL)
    assert np.array_equal(picture.pixels, pixels)
    assert len(picture.notes) == 1


@pytest.mark.parametrize("compression", ["packbits", "lzw", "deflate"])
def test_a_compressed_tiff_whose_rest_is_zeros_is_refused(tmp_path: Path, compression: str) -> None:
    path = tmp_path / "half.tif"
    with tifffile.TiffWriter(path) as tiff:  # it writes the directory first
        tiff.write(NOISE, compression=compression, rowsperstrip=16, photometric="rgb")
    content = path.read_bytes()
    assert read_picture(photo_of(path), SMALL).notes == ()
    path.write_bytes(content[: len(content) // 2].ljust(len(content), b"\0"))
    with pytest.raises(PhotoError):
        read_picture(photo_of(path), SMALL)


@pytest.mark.parametrize("rows", [16, 120])
def test_a_deflated_tiff_with_a_hole_in_its_data_is_refused_or_has_a_note(
    tmp_path: Path, rows: int
) -> None:
    path, pixels = tmp_path / "hole.tif", cat(160, 120)
    with tifffile.TiffWriter(path) as tiff:
        tiff.write(pixels, compression="deflate", rowsperstrip=rows, photometric="rgb")
    content = path.read_bytes()
    assert read_picture(photo_of(path), SMALL).notes == ()
    noted = 0
    for place in range(len(content) // 2, len(content) // 2 + 300, 7):
        path.write_bytes(content[:place] + bytes(40) + content[place + 40 :])
        try:
            picture = read_picture(photo_of(path), SMALL)
        except PhotoError:
            continue
        assert not np.array_equal(picture.pixels, pixels)
        (note,) = picture.notes
        assert note.startswith("the TIFF's packed data are damaged")
        assert note.kind is NoteKind.DAMAGE  # type: ignore[attr-defined]
        noted += 1
    assert noted
