"""Pictures of Silicon Graphics, decoded here: Pillow keeps 8 bits of 16."""

from __future__ import annotations

from typing import BinaryIO

import numpy as np

from daemon.photo.decoded import Codes, Decoded, Model
from daemon.photo.notes import extra_channels_note
from daemon.photo.picture import Metadata
from daemon.photo.sgi_header import HEAD_BYTES, SgiHead, read_sgi_head, read_sgi_header
from daemon.photo.truncation import truncated_error


def decode(file: BinaryIO, label: str, page: int = 0) -> Decoded:
    """Decode the picture; see `photo.decoded.Decode`.

    Raises:
        PhotoError: It needs a palette of another file.
        TruncatedError: It ends before its pixels do.
    """
    head = read_sgi_head(file, label)
    planes = _unpacked_planes(file, head) if head.compressed else _stored_planes(file, head)
    if planes is None:
        raise truncated_error(label, file.seek(0, 2))
    model: Model = "grey" if head.channels < 3 else "rgb"
    colours = 1 if model == "grey" else 3
    pixels = np.moveaxis(planes, 0, 2)[::-1]
    extra = head.channels - colours
    return Decoded(
        np.ascontiguousarray(pixels[..., :colours]),
        model,
        Metadata("SGI", read_sgi_header(file, label).mode, comments=(head.name,) * bool(head.name)),
        white=255.0 if head.sample_bytes == 1 else 65535.0,
        alpha=np.ascontiguousarray(pixels[..., colours]) if extra else None,
        notes=(extra_channels_note(extra - 1),) if extra > 1 else (),
    )


def _stored_planes(file: BinaryIO, head: SgiHead) -> Codes | None:
    """Channels as they lie there, (C, H, W), the lowest row first; None where some lack."""
    count = head.channels * head.height * head.width
    file.seek(HEAD_BYTES)
    content = file.read(count * head.sample_bytes)
    if len(content) < count * head.sample_bytes:
        return None
    planes = np.frombuffer(content, f">u{head.sample_bytes}")
    planes = planes.reshape(head.channels, head.height, head.width)
    return planes.astype(planes.dtype.newbyteorder("="))


def _unpacked_planes(file: BinaryIO, head: SgiHead) -> Codes | None:
    """Channels whose rows are packed each by itself, wherever the tables say; as above."""
    rows = head.channels * head.height
    file.seek(0)
    content = file.read()
    if len(content) < HEAD_BYTES + 8 * rows:
        return None
    begins, lengths = np.frombuffer(content, ">u4", 2 * rows, HEAD_BYTES).reshape(2, rows)
    planes = np.empty((rows, head.width), f"u{head.sample_bytes}")
    for row in range(rows):
        begin = int(begins[row])
        packed = content[begin : begin + int(lengths[row])]
        codes = _unpacked_row(packed, head.width, head.sample_bytes)
        if codes is None:
            return None
        planes[row] = codes
    return planes.reshape(head.channels, head.height, head.width)


def _unpacked_row(packed: bytes, width: int, size: int) -> Codes | None:
    """The samples of a row; None where some lack."""
    samples, place = bytearray(), 0
    while len(samples) < width * size and place + size <= len(packed):
        control = packed[place + size - 1]
        count = control & 127
        if not count:
            break
        length = count * size if control & 128 else size
        part = packed[place + size : place + size + length]
        if len(part) < length:
            return None
        samples += part if control & 128 else part * count
        place += size + length
    if len(samples) < width * size:
        return None
    return np.frombuffer(samples, f">u{size}", width)
