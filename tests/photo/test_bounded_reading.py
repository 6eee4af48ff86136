"""Files that declare more than they hold: what looks at them ends soon, whatever they say."""

import os
import struct
import time
from pathlib import Path

import pytest
from PIL import Image

from daemon.photo import Limits, is_truncated, read_header
from daemon.system.errors import PhotoError
from daemon.system.files import sha256_of
from tests.support.photos import encoded

HUGE = 20_000_000_000
JPEG = b"\xff\xd8\xff"
PNG = b"\x89PNG\r\n\x1a\n"
IHDR = struct.pack(">I4sIIBBBBB", 13, b"IHDR", 8, 8, 8, 2, 0, 0, 0) + bytes(4)


def sparse(path: Path, start: bytes, size_bytes: int = HUGE) -> Path:
    path.write_bytes(start)
    os.truncate(path, size_bytes)
    return path


def tiff(*fields: tuple[int, int, int, int]) -> bytes:
    directory = b"".join(struct.pack("<HHII", *field) for field in fields)
    return b"II*\0" + struct.pack("<IH", 8, len(fields)) + directory + bytes(4)


STRIPS = tiff((256, 4, 1, 8), (257, 4, 1, 8), (273, 4, 10**9, 200), (279, 4, 10**9, 200))


@pytest.mark.parametrize(
    ("start", "wanted"),
    [
        (JPEG + b"\xe0\x00\x04ab\xff\xda\x00\x02", True),
        (PNG + IHDR, True),
        (STRIPS, False),
        (b"GIF89a", True),
        (b"RIFF\xff\xff\xff\xffWEBP", False),
    ],
)
def test_a_sparse_file_is_looked_at_within_a_second(
    tmp_path: Path, start: bytes, wanted: bool
) -> None:
    path = sparse(tmp_path / "a.jpg", start)
    began = time.monotonic()
    assert is_truncated(path) == wanted
    with pytest.raises(PhotoError, match=r"a\.jpg: 20000\.0 MB; allowed: at most 2000 MB"):
        read_header(path, Limits())
    assert time.monotonic() - began < 2


@pytest.mark.parametrize(
    "content",
    [
        JPEG + b"\xff" * 40_000_000,
        PNG + IHDR + (struct.pack(">I4s", 0, b"tEXt") + b"\x81\x02\x8a\x19") * 3_000_000,
        PNG + (struct.pack(">I4s", 0, b"IDAT") + b"\x35\xaf\x06\x1e") * 3_000_000,
    ],
    ids=["fill bytes", "texts", "empty parts"],
)
def test_a_header_without_an_end_is_refused_within_seconds(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(content)
    began = time.monotonic()
    is_truncated(path)
    with pytest.raises(PhotoError):
        read_header(path, Limits())
    assert time.monotonic() - began < 8


def test_a_tiff_whose_directory_would_fill_the_memory_is_refused(tmp_path: Path) -> None:
    path = sparse(tmp_path / "a.tif", STRIPS, 1_900_000_000)
    with pytest.raises(PhotoError, match="field 273 of its directory has 1000000000 values"):
        read_header(path, Limits())


def test_a_jpeg_with_fill_bytes_between_its_segments_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    content = encoded("JPEG")
    path.write_bytes(content[:2] + b"\xff" * 100 + content[2:])
    assert not is_truncated(path)
    assert read_header(path, Limits()).format == "JPEG"


@pytest.mark.parametrize("read", [sha256_of, is_truncated, lambda p: read_header(p, Limits())])
def test_what_took_the_place_of_a_file_is_neither_followed_nor_waited_for(
    tmp_path: Path, read: object
) -> None:
    assert callable(read)
    Image.new("RGB", (8, 8)).save(tmp_path / "secret.png")
    (tmp_path / "link.png").symlink_to("secret.png")
    os.mkfifo(tmp_path / "fifo.png")
    (tmp_path / "folder.png").mkdir()
    for name in ("link.png", "fifo.png", "folder.png"):
        with pytest.raises(OSError, match=r"symbolic links|not a regular file"):
            read(tmp_path / name)
