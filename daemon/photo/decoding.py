"""Headers and limits of files, recognised by content, and errors that say who is at fault.

A damaged file is a `PhotoError`; what the machine is at fault for stays an `OSError`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from daemon.photo.input_formats import START_BYTES, Format, accepted, format_of
from daemon.photo.picture import Header, Limits
from daemon.photo.prompts import is_prompt_file, prompt_file_header
from daemon.photo.truncation import is_truncated, truncated_error
from daemon.photo.unsupported_formats import unread_kind
from daemon.system.errors import CannotWriteError, PhotoError, RestoredError
from daemon.system.files import BAD_SEEK, open_regular, shown

_ANIMATED = ("WEBP", "GIF", "PNG")
"""Formats whose pages are the frames of an animation."""


def read_header(
    path: Path, limits: Limits, *, name: str | None = None, beneath: Path | None = None
) -> Header:
    """Read a file's header without decoding pixels; its content tells the format.

    A prompt file, recognised by its suffix, is read to its end.

    Args:
        path: The file.
        limits: Sizes beyond which it is refused.
        name: What to call it in messages; its own name if None.
        beneath: A folder below which no link is followed, see `open_regular`.

    Raises:
        TruncatedError: It ends within its header.
        PhotoError: It is empty, larger than the limits, or no picture of a format that is read.
        OSError: It cannot be read.
    """
    label = shown(path.name if name is None else name)
    if is_prompt_file(path):
        return prompt_file_header(path, label, beneath)
    with open_regular(path, beneath) as file:
        size_bytes = os.fstat(file.fileno()).st_size
        if size_bytes == 0:
            raise PhotoError(label, "the file has 0 bytes; expected a photograph")
        refuse_large_file(size_bytes, label, limits)
        with photo_errors(path, label):
            header = known_format(file).read_header(file, label)
    if header.width < 1 or header.height < 1:
        raise PhotoError(label, f"{header.width}x{header.height} pixels, expected at least 1x1")
    if header.megapixels > limits.max_input_megapixels:
        raise PhotoError(
            label,
            f"{header.width}x{header.height} are {header.megapixels:.1f} megapixels; "
            f"allowed: at most {limits.max_input_megapixels:g}",
            "raise the setting max_input_megapixels",
        )
    return header


def refuse_large_file(size_bytes: int, label: str, limits: Limits) -> None:
    """Refuse a file by its size, before anything of it is read.

    Raises:
        PhotoError: It is larger than the limits.
    """
    if size_bytes > limits.max_file_mb * 1e6:
        raise PhotoError(
            label,
            f"{size_bytes / 1e6:.1f} MB; allowed: at most {limits.max_file_mb:g} MB",
            "raise the setting max_file_mb",
        )


def verify_file(path: Path, width: int, height: int) -> None:
    """See that a written file decodes again, every frame of it.

    Args:
        path: The file.
        width: Width that it must have, in pixels.
        height: Height that it must have, in pixels.

    Raises:
        CannotWriteError: It does not decode, or not to width x height pixels.
        OSError: It cannot be read.
    """
    label = shown(path.name)
    try:
        with path.open("rb") as file, photo_errors(path, label):
            size = decoded_size(file, label)
    except PhotoError as error:
        raise CannotWriteError(f"written file does not decode again: {error}") from error
    if size != (width, height):
        raise CannotWriteError(
            f"{label}: decodes to {size[0]}x{size[1]} pixels, expected {width}x{height}; "
            "the disk or its file system is not to be trusted"
        )


class UnknownFormatError(ValueError):
    """A file is of no format that is read."""


def known_format(file: BinaryIO) -> Format:
    """The format of a file, recognised by content.

    Raises:
        UnknownFormatError: It is of none that is read.
    """
    found = format_of(file)
    if found is None:
        raise UnknownFormatError
    return found


@contextmanager
def photo_errors(path: Path, label: str) -> Iterator[None]:
    """Turn whatever a decoder raises for a damaged file into a `PhotoError` that names it.

    Decoders raise nearly every built-in exception on damaged input. What the machine is at fault
    for (an `OSError` with a number, no memory) is let through.

    Args:
        path: The file that is decoded.
        label: What to call it in messages.
    """
    try:
        yield
    except (RestoredError, MemoryError):
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno not in {None, *BAD_SEEK}:
            raise
        # Pillow's own text says "truncated" of whole files with damaged data, too.
        if is_truncated(path):
            raise truncated_error(label, path.stat().st_size) from error
        raise PhotoError(label, *_why_and_remedy(path, error)) from error


def decoded_size(file: BinaryIO, label: str) -> tuple[int, int]:
    """Decode every page or frame of a file; the width and height of the first, in pixels."""
    format = known_format(file)
    decode = format.decoder()
    first = decode(file, label)
    # The last frame of an animation takes all before it; one by one they take their number squared.
    begin = max(1, first.pages - 1) if format.name in _ANIMATED else 1
    for page in range(begin, first.pages):
        decode(file, label, page)
    height, width = first.codes.shape[:2]
    return width, height


def _why_and_remedy(path: Path, error: Exception) -> tuple[str, str]:
    if isinstance(error, UnknownFormatError) or type(error).__name__ == "UnidentifiedImageError":
        with open_regular(path) as file:
            start = file.read(START_BYTES)
        begins = f"starts with {start[:8]!r} and is"
        if kind := unread_kind(start):
            return f"{begins} {kind.name}, which is not read", kind.remedy
        return f"{begins} not a readable {accepted()}", ""
    return f"cannot be decoded: {type(error).__name__}: {error}; expected a sound {accepted()}", ""
