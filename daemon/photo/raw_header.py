"""Camera raw files that are TIFFs (DNG, NEF, CR2, ARW, PEF and others), and their size."""

from __future__ import annotations

import struct
from importlib.util import find_spec
from typing import BinaryIO

from daemon.photo.picture import Header
from daemon.photo.tiff_directory import (
    RAW_PHOTOMETRICS,
    Directory,
    Tag,
    is_raw,
    read_directory,
    read_layout,
)
from daemon.system.errors import PhotoError

_MAX_DIRECTORIES = 32


def is_raw_tiff(start: bytes, file: BinaryIO) -> bool:
    """Whether a file is a camera's raw file in a TIFF."""
    if start[:4] not in (b"II*\0", b"MM\0*"):
        return False
    try:
        layout = read_layout(file)
        return layout is not None and is_raw(file, read_directory(file, layout, layout.first))
    except (struct.error, ValueError, OverflowError, OSError):
        return False


def read_raw_header(file: BinaryIO, label: str) -> Header:
    """The header of a camera's raw file: the size of its largest directory.

    Raises:
        PhotoError: What reads raw files is not installed.
    """
    if find_spec("rawpy") is None:
        raise PhotoError(
            label,
            "is a camera's raw file, which needs the extra `raw`",
            "pip install 'restored[raw]', or develop it with a raw converter and hand in the TIFF",
        )
    directories = _directories(file)
    raw = [one for one in directories if one.number(file, Tag.PHOTOMETRIC, -1) in RAW_PHOTOMETRICS]
    sizes = [
        (one.number(file, Tag.WIDTH, 0), one.number(file, Tag.HEIGHT, 0))
        for one in raw or directories
    ]
    width, height = max(sizes, key=lambda size: size[0] * size[1])
    return Header("RAW", width, height, "RGB;16")


def _directories(file: BinaryIO) -> list[Directory]:
    """The directories of a file and those below them, as far as they are sound."""
    layout = read_layout(file)
    if layout is None:
        raise ValueError("no TIFF")
    waiting, seen = [layout.first], set[int]()
    found: list[Directory] = []
    while waiting and len(seen) < _MAX_DIRECTORIES:
        offset = waiting.pop(0)
        if not offset or offset in seen:
            continue
        seen.add(offset)
        try:
            directory = read_directory(file, layout, offset)
            below = directory.numbers(file, Tag.SUB_DIRECTORIES)[:_MAX_DIRECTORIES]
        except (struct.error, ValueError, OverflowError, OSError):
            continue
        found.append(directory)
        waiting += [*below, directory.following]
    if not found:
        raise ValueError("its first directory is damaged")
    return found
