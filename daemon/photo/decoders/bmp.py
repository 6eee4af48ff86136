"""BMP: bit fields decoded here, of which Pillow knows a few; all others by Pillow."""

from __future__ import annotations

from dataclasses import replace
from typing import BinaryIO

import numpy as np

from daemon.photo.bit_depth import slabs
from daemon.photo.bmp_header import (
    BitFields,
    bit_fields_mode,
    read_bit_fields,
    read_bmp_calibration,
    read_bmp_profile,
)
from daemon.photo.decoded import Codes, ColourTags, Decoded
from daemon.photo.decoders.pillow import decode as decode_by_pillow
from daemon.photo.notes import Note, NoteKind
from daemon.photo.picture import Metadata
from daemon.photo.truncation import truncated_error

_LINKED_PROFILE = Note(NoteKind.COLOUR, "its colour profile is in another file: left out")


def decode(file: BinaryIO, label: str, page: int = 0) -> Decoded:
    """Decode the picture; see `photo.decoded.Decode`.

    Raises:
        TruncatedError: Its bit fields end before its pixels do.
    """
    fields = read_bit_fields(file)
    decoded = _bit_fields(file, fields, label) if fields else decode_by_pillow(file, label)
    icc, is_linked = read_bmp_profile(file)
    notes = (*decoded.notes, _LINKED_PROFILE) if is_linked else decoded.notes
    calibration = None if icc else read_bmp_calibration(file)
    gamma, primaries = calibration or (None, None)
    tags = ColourTags(icc=icc, gamma=gamma, primaries=primaries)
    return replace(decoded, tags=tags, notes=notes)


def _bit_fields(file: BinaryIO, fields: BitFields, label: str) -> Decoded:
    stride = (fields.width * fields.bits + 31) // 32 * 4
    file.seek(fields.pixels)
    content = file.read(stride * fields.height)
    if len(content) < stride * fields.height:
        raise truncated_error(label, file.seek(0, 2))
    rows = np.frombuffer(content, np.uint8).reshape(fields.height, stride)
    stored = rows.view(f"<u{fields.bits // 8}")[:, : fields.width]
    stored = stored if fields.from_top else stored[::-1]
    mode = bit_fields_mode(fields)
    kind = np.uint16 if mode.endswith(";16") else np.uint8
    channels = np.empty((fields.height, fields.width, len(fields.masks)), kind)
    for part in slabs(fields.height, fields.width):
        for channel, mask in enumerate(fields.masks):
            channels[part, :, channel] = _scaled(stored[part], mask, int(np.iinfo(kind).max))
    alpha = channels[..., 3] if len(fields.masks) == 4 and channels[..., 3].any() else None
    dpi = fields.dpi if min(fields.dpi) >= 1 else None
    return Decoded(
        channels[..., :3],
        "rgb",
        Metadata("BMP", mode, dpi=dpi),
        white=float(np.iinfo(kind).max),
        alpha=alpha,
    )


def _scaled(stored: Codes, mask: int, white: int) -> Codes:
    """The bits of a mask, as codes of 0 to `white`."""
    lowest = (mask & -mask).bit_length() - 1
    most = mask >> lowest
    codes: Codes = (stored & mask).astype(np.uint64) >> lowest
    return (codes * white + most // 2) // most
