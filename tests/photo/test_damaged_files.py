"""Random and flipped bytes: nothing but a `PhotoError` comes out."""

import io
import warnings
import zlib
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from daemon.photo import is_truncated, png_chunks, read_header
from daemon.system.errors import PhotoError
from tests.support.photos import ENCODINGS, SMALL, decoded_pixels, encoded

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
