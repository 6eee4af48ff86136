"""JPEG 2000 by imagecodecs; with subsampled colours by Pillow, which enlarges them."""

from __future__ import annotations

from dataclasses import replace
from typing import BinaryIO

import imagecodecs
from PIL import Image, Jpeg2KImagePlugin

from daemon.photo.decoded import CHANNELS, Codes, ColourTags, Decoded, Model
from daemon.photo.decoders.pillow import pillow_codes
from daemon.photo.isobmff import has_manifest
from daemon.photo.jpeg2000_header import (
    Jpeg2000Info,
    is_jpeg2000_lossless,
    is_jpeg2000_truncated,
    read_jpeg2000_blocks,
    read_jpeg2000_header,
    read_jpeg2000_info,
)
from daemon.photo.metadata import FileBlocks, FileMetadata, read_block_metadata
from daemon.photo.notes import Note, NoteKind, extra_channels_note
from daemon.photo.truncation import truncated_error
from daemon.system.errors import PhotoError

_CMYK, _SRGB, _GREY, _SYCC = 12, 16, 17, 18
_PLAIN = (None, 0, _CMYK, _SRGB, _GREY, _SYCC)
"""Enumerated colour spaces that are read."""

_ENUMERATED = b"\1\0\0"
"""Begin of a colour box that gives a number of such, which follows."""

_MAX_BITS = 16


def decode(file: BinaryIO, label: str, page: int = 0) -> Decoded:
    """Decode the picture; see `photo.decoded.Decode`.

    Raises:
        PhotoError: Its colours are of a kind that is not read.
        TruncatedError: It ends before its picture does.
    """
    size = file.seek(0, 2)
    if is_jpeg2000_truncated(file, size):
        raise truncated_error(label, size)
    info = read_jpeg2000_info(file)
    _refuse_other_kinds(info, label)
    found = read_jpeg2000_blocks(file)
    mode = read_jpeg2000_header(file, label).mode
    said = read_block_metadata(
        "JPEG2000",
        mode,
        FileBlocks(info.icc, found.exif, found.xmp, found.iptc, has_manifest(file)),
    )
    metadata = replace(said.metadata, is_lossless=is_jpeg2000_lossless(file))
    said = replace(said, metadata=metadata, notes=(*said.notes, *found.notes))
    if info.is_subsampled or info.colours == _SYCC:
        return _by_pillow(file, info, said)
    codes = imagecodecs.jpeg2k_decode(_as_plain(file, info))
    codes = codes.reshape(*codes.shape[:2], -1)
    if codes.shape[:2] != (info.height, info.width):
        raise ValueError(f"it has {codes.shape[1]}x{codes.shape[0]} pixels, not what it says")
    return _decoded(codes, info, said)


def _refuse_other_kinds(info: Jpeg2000Info, label: str) -> None:
    remedy = "convert it to TIFF and hand that in"
    if info.icc is None and info.colours not in _PLAIN:
        raise PhotoError(label, f"its colour space ({info.colours}) is not read", remedy)
    if info.bits > _MAX_BITS:
        why = f"is a JPEG 2000 of {info.bits} bits; allowed: at most {_MAX_BITS}"
        raise PhotoError(label, why, remedy)


def _as_plain(file: BinaryIO, info: Jpeg2000Info) -> bytes:
    """The file, said to be in sRGB: imagecodecs would convert to it what the codes are."""
    file.seek(0)
    content = bytearray(file.read())
    box = info.colour_box
    if box is not None and (info.icc is not None or info.colours == _CMYK):
        content[box.begin : box.begin + 7] = _ENUMERATED + _SRGB.to_bytes(4, "big")
    return bytes(content)


def _decoded(codes: Codes, info: Jpeg2000Info, said: FileMetadata) -> Decoded:
    channels = codes.shape[2]
    opacity = info.opacity
    model: Model = "grey" if channels < CHANNELS["rgb"] else "rgb"
    is_cmyk = info.colours == _CMYK or (info.icc is not None and info.icc[16:20] == b"CMYK")
    if is_cmyk and channels >= CHANNELS["cmyk"]:
        model = "cmyk"
    count = CHANNELS[model]
    if opacity is None and channels == count + 1:
        opacity = count  # as every reader takes a channel that nothing tells of
    has_alpha = opacity is not None and count <= opacity < channels
    left = channels - count - has_alpha
    notes = (extra_channels_note(left),) if left else ()
    return Decoded(
        codes[..., :count],
        model,
        said.metadata,
        ColourTags(icc=info.icc, is_adobe_rgb=said.is_adobe_rgb and info.colours is None),
        white=None if info.is_signed else float(2**info.bits - 1),
        alpha=codes[..., opacity] if has_alpha and opacity is not None else None,
        premultiplied=info.premultiplied,
        notes=(*said.notes, *notes),
    )


def _by_pillow(file: BinaryIO, info: Jpeg2000Info, said: FileMetadata) -> Decoded:
    file.seek(0)
    opened = Jpeg2KImagePlugin.Jpeg2KImageFile(file)
    opened.load()
    image: Image.Image = opened.convert("RGB") if opened.mode == "YCbCr" else opened
    found = pillow_codes(image)
    notes = (Note(NoteKind.DEPTH, f"its {info.bits} bits were read as 8"),) if info.bits > 8 else ()
    decoded = Decoded(found.codes, found.model, said.metadata, ColourTags(icc=info.icc), white=255)
    return replace(decoded, alpha=found.alpha, notes=(*said.notes, *notes))
