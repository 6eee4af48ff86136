"""Damage: files cut at every length and random bytes; only `PhotoError` may come out."""

import contextlib
import io
import struct
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skimage.data
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from daemon.photo import Header, Limits, Photo, is_truncated, read_header
from daemon.photo.reading import read_picture
from daemon.system.errors import PhotoError, TruncatedError

LIMITS = Limits(max_input_megapixels=1)
MAGIC = (
    *(b"\xff\xd8\xff\xe0", b"\x89PNG\r\n\x1a\n", b"RIFF\x40\0\0\0WEBPVP8 ", b"GIF89a"),
    *(b"BM", b"II*\0\x08\0\0\0", b"MM\0*\0\0\0\x08", b""),
)


def encoded(format: str, **options: Any) -> bytes:  # noqa: ANN401
    whole = skimage.data.chelsea()
    image = Image.fromarray(whole).resize((48, 36))
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def pixels_of(path: Path) -> NDArray[np.generic]:
    with warnings.catch_warnings():
        # Pillow warns of what it then raises.
        warnings.simplefilter("ignore")
        return read_picture(Photo(path, path.name, "", Header("", 1, 1, "")), LIMITS).pixels


VARIANTS: list[tuple[str, dict[str, object]]] = [
    ("JPEG", {}),
    ("JPEG", {"progressive": True}),
    ("PNG", {}),
    ("WEBP", {}),
    ("WEBP", {"lossless": True}),
    ("TIFF", {}),
    ("TIFF", {"compression": "tiff_adobe_deflate"}),
    ("TIFF", {"compression": "tiff_lzw"}),
    ("BMP", {}),
    ("GIF", {}),
]


@pytest.mark.parametrize(("format", "options"), VARIANTS)
def test_a_file_cut_anywhere_is_rejected_or_whole(
    tmp_path: Path, format: str, options: dict[str, object]
) -> None:
    path = tmp_path / "cut"
    whole = encoded(format, **options)
    path.write_bytes(whole)
    wanted = pixels_of(path)
    assert not is_truncated(path)
    for length in sorted({*range(1, len(whole), max(1, len(whole) // 60)), len(whole) - 1}):
        path.write_bytes(whole[:length])
        assert is_truncated(path), length
        with contextlib.suppress(TruncatedError):
            assert np.array_equal(pixels_of(path), wanted), length


@pytest.mark.parametrize(("format", "options"), VARIANTS)
def test_the_half_of_a_file_is_said_to_end_early(
    tmp_path: Path, format: str, options: dict[str, object]
) -> None:
    path = tmp_path / "half.jpg"
    whole = encoded(format, **options)
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(TruncatedError, match=rf"half.jpg: ends early, after {len(whole) // 2} b"):
        pixels_of(path)


def test_what_follows_the_end_of_a_picture_does_not_matter(tmp_path: Path) -> None:
    path = tmp_path / "more"
    for format in ("JPEG", "PNG"):
        for rest in (b"\0" * 9, b"a film that the telephone appended" * 99):
            path.write_bytes(encoded(format) + rest)
            assert not is_truncated(path)
            assert pixels_of(path).shape == (36, 48, 3)
    thumbnail = Image.Exif()
    thumbnail[0x010E] = "a thumbnail ends like this: \xff\xd9".encode("latin-1")
    whole = encoded("JPEG", exif=thumbnail)
    path.write_bytes(whole[:-40])
    assert is_truncated(path)


def test_what_is_no_picture_does_not_end_early(tmp_path: Path) -> None:
    (tmp_path / "letter").write_bytes(b"Dear photographer, where is it?")
    assert not is_truncated(tmp_path / "letter")


def test_an_exception_of_a_decoder_s_own_is_a_photo_error_too(tmp_path: Path) -> None:
    path = tmp_path / "short.png"
    short = struct.pack(">I4s", 5, b"IHDR") + b"\0" * 9
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + short + encoded("PNG")[-12:])
    with pytest.raises(ValueError, match="IHDR"), Image.open(path):
        pass
    with pytest.raises(PhotoError, match=r"^short.png: "):
        read_header(path, LIMITS)


def only_photo_errors(path: Path) -> None:
    is_truncated(path)
    for read in (lambda: read_header(path, LIMITS), lambda: pixels_of(path)):
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
    only_photo_errors(tmp_path / "fuzz")


SOUND = [encoded(format, **options) for format, options in VARIANTS]


@FUZZ
@given(
    whole=st.sampled_from(SOUND),
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
    tmp_path: Path, whole: bytes, changes: list[tuple[int, int]]
) -> None:
    damaged = bytearray(whole)
    for place, value in changes:
        damaged[place % len(damaged)] = value
    (tmp_path / "fuzz").write_bytes(damaged)
    only_photo_errors(tmp_path / "fuzz")
