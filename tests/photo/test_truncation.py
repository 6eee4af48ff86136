"""Truncation: files cut at every length, and files that only look cut."""

import contextlib
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skimage.data
from PIL import Image

from daemon.photo import is_truncated
from daemon.photo.decoding import photo_errors
from daemon.photo.jpeg_data import DAMAGED, NO_END
from daemon.system.errors import PhotoError, TruncatedError
from tests.support.photos import ENCODINGS, Levels, cat, decoded_pixels, encoded, read


@pytest.mark.parametrize(("format", "options"), ENCODINGS)
def test_a_file_cut_anywhere_is_refused_or_decodes_to_the_same_pixels(
    tmp_path: Path, format: str, options: dict[str, object]
) -> None:
    path = tmp_path / "cut"
    content = encoded(format, **options)
    path.write_bytes(content)
    wanted = decoded_pixels(path)
    assert not is_truncated(path)
    for length in sorted({*range(1, len(content), max(1, len(content) // 60)), len(content) - 1}):
        path.write_bytes(content[:length])
        assert is_truncated(path), length
        with contextlib.suppress(TruncatedError):
            assert np.array_equal(decoded_pixels(path), wanted), length


@pytest.mark.parametrize(("format", "options"), ENCODINGS)
def test_half_a_file_is_refused_because_it_ends_early(
    tmp_path: Path, format: str, options: dict[str, object]
) -> None:
    path = tmp_path / "half.jpg"
    content = encoded(format, **options)
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(
        TruncatedError, match=rf"half.jpg: ends early, after {len(content) // 2} b"
    ) as caught:
        decoded_pixels(path)
    assert (caught.value.photo, caught.value.remedy) == ("half.jpg", "copy it again")


def jpeg(levels: Levels | None = None, **options: Any) -> bytes:  # noqa: ANN401
    """A JPEG whose compressed data are most of it."""
    file = io.BytesIO()
    Image.fromarray(cat(200, 150) if levels is None else levels).save(
        file, "JPEG", quality=90, **options
    )
    return file.getvalue()


RESTARTS = [bytes((0xFF, marker)) for marker in range(0xD0, 0xD8)]
"""The restart markers of a JPEG."""

JPEGS: list[dict[str, Any]] = [
    {},
    {"progressive": True},
    {"optimize": True},
    {"subsampling": 0},
    {"restart_marker_rows": 2},
]


@pytest.mark.parametrize("options", JPEGS)
def test_a_whole_jpeg_has_no_note_and_without_its_end_marker_is_restored_with_one(
    tmp_path: Path, options: dict[str, Any]
) -> None:
    path, content = tmp_path / "a.jpg", jpeg(**options)
    for rest, kilobytes in ((b"", 0), (b"\0" * 99, 0), (b"a film that was appended" * 99, 2)):
        path.write_bytes(content + rest)
        assert [note.split(" behind")[0] for note in read(path).notes] == (
            [f"{kilobytes} KB"] if kilobytes else []
        )
    wanted = read(path).pixels
    path.write_bytes(content[:-2])
    assert read(path).notes == (NO_END,)
    assert np.array_equal(read(path).pixels, wanted)


@pytest.mark.parametrize("options", JPEGS)
def test_a_jpeg_that_lost_its_second_half_is_never_restored_without_a_word(
    tmp_path: Path, options: dict[str, Any]
) -> None:
    path, content = tmp_path / "a.jpg", jpeg(**options)
    half, end = len(content) // 2, b"\xff\xd9"
    for damaged in (
        content[:half] + bytes(half - 2) + end,
        content[:half] + bytes(9 * half) + end,
        content[:half] + end,
        content[: half // 2] + content[half + half // 2 :],
    ):
        path.write_bytes(damaged)
        assert read(path).notes == (DAMAGED,)
    for lost in (content[:half], content[:half] + bytes(half), content[:-60]):
        path.write_bytes(lost)
        with pytest.raises(TruncatedError, match="ends early"):
            read(path)


@pytest.mark.parametrize("options", [{"restart_marker_rows": 1}, {"restart_marker_blocks": 7}])
def test_a_jpeg_that_ends_with_a_restart_interval_lost_the_rest_of_its_picture(
    tmp_path: Path, options: dict[str, Any]
) -> None:
    path, content = tmp_path / "a.jpg", jpeg(**options)
    markers = [at for at in range(len(content) - 1) if content[at : at + 2] in RESTARTS]
    for end in (markers[0], markers[len(markers) // 2], markers[-1]):
        for kept in (end, end + 1, end + 2):
            for rest in (b"", b"\xff" * 5000):
                path.write_bytes(content[:kept] + rest)
                with pytest.raises(TruncatedError, match="ends early"):
                    read(path)
            path.write_bytes(content[:kept] + b"\xff\xd9")
            assert read(path).notes == (DAMAGED,)


def test_a_jpeg_with_flipped_bits_that_shift_its_blocks_is_noted(tmp_path: Path) -> None:
    path, file = tmp_path / "a.jpg", io.BytesIO()
    Image.fromarray(skimage.data.astronaut()).resize((192, 144)).save(file, "JPEG", quality=90)
    flipped = bytearray(file.getvalue())
    half = len(flipped) // 2
    flipped[half : half + 40] = bytes(value ^ 0x5A for value in flipped[half : half + 40])
    path.write_bytes(flipped)
    assert read(path).notes == (DAMAGED,)


@pytest.mark.parametrize("level", [0, 77, 255])
@pytest.mark.parametrize("options", JPEGS)
def test_a_whole_jpeg_with_an_even_border_or_of_one_colour_has_no_note(
    tmp_path: Path, options: dict[str, Any], level: int
) -> None:
    levels = cat(200, 150).copy()
    for first in (100, 0):
        levels[first:] = level
        content = jpeg(levels, **options)
        (tmp_path / "a.jpg").write_bytes(content)
        assert read(tmp_path / "a.jpg").notes == ()


@pytest.mark.parametrize("compression", [None, "tiff_adobe_deflate", "tiff_lzw", "jpeg"])
def test_a_whole_tiff_with_damaged_data_is_not_called_truncated(
    tmp_path: Path, compression: str | None
) -> None:
    path = tmp_path / "a.tif"
    with Image.fromarray(cat()) as image:
        image.save(path, compression=compression)
    content = bytearray(path.read_bytes())
    content[200:-400] = bytes(len(content) - 600)
    path.write_bytes(content)
    assert not is_truncated(path)
    try:
        decoded_pixels(path)
    except PhotoError as error:
        assert not isinstance(error, TruncatedError)


def test_a_whole_file_that_pillow_calls_truncated_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    path.write_bytes(encoded("TIFF"))

    with pytest.raises(PhotoError, match="cannot be decoded") as caught, photo_errors(path, "a"):
        raise OSError("image file is truncated (7 bytes not processed)")
    assert not isinstance(caught.value, TruncatedError)


def test_data_appended_to_a_picture_does_not_matter(tmp_path: Path) -> None:
    path = tmp_path / "more"
    for format in ("JPEG", "PNG"):
        for rest in (b"\0" * 9, b"a film that the telephone appended" * 99):
            path.write_bytes(encoded(format) + rest)
            assert not is_truncated(path)
            assert decoded_pixels(path).shape == (36, 48, 3)
    thumbnail = Image.Exif()
    thumbnail[0x010E] = "a thumbnail ends like this: \xff\xd9".encode("latin-1")
    content = encoded("JPEG", exif=thumbnail)
    path.write_bytes(content[:-40])
    assert is_truncated(path)


def test_a_file_that_is_no_picture_is_not_truncated(tmp_path: Path) -> None:
    (tmp_path / "letter").write_bytes(b"Dear photographer, where is it?")
    assert not is_truncated(tmp_path / "letter")


@pytest.mark.parametrize("content", ["BMW", "B", "RIFF", "II*\0 stars", "GIF89a"])
def test_a_prompt_file_is_never_truncated_whatever_its_first_characters(
    tmp_path: Path, content: str
) -> None:
    for name, truncated in (("a.txt", False), ("a.png", True)):
        (tmp_path / name).write_text(content)
        assert is_truncated(tmp_path / name) == truncated
