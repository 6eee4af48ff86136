"""Truncation: files cut at every length, and files that only look cut."""

import contextlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from daemon.photo import is_truncated
from daemon.system.errors import TruncatedError
from tests.support.photos import ENCODINGS, decoded_pixels, encoded


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
