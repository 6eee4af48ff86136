"""The merged picture of Photoshop files; layers are not looked at."""

from __future__ import annotations

import struct
from typing import BinaryIO

import imagecodecs
import numpy as np

from daemon.photo import psd_header
from daemon.photo.bit_depth import slabs
from daemon.photo.decoded import CHANNELS, Codes, ColourTags, Decoded, Model
from daemon.photo.metadata import FileBlocks, read_block_metadata
from daemon.photo.notes import extra_channels_note
from daemon.photo.psd_header import (
    PsdHead,
    has_transparency,
    psd_resource_block,
    read_psd_head,
    read_psd_header,
    read_psd_resources,
)
from daemon.photo.truncation import truncated_error

_MODELS: dict[int, Model] = {
    psd_header.BITMAP: "grey",
    psd_header.GREY: "grey",
    psd_header.DUOTONE: "grey",
    psd_header.INDEXED: "rgb",
    psd_header.RGB: "rgb",
    psd_header.CMYK: "cmyk",
    psd_header.LAB: "lab",
}

_TYPES = {8: ">u1", 16: ">u2", 32: ">f4"}


def decode(file: BinaryIO, label: str, page: int = 0) -> Decoded:
    """Decode the merged picture; see `photo.decoded.Decode`.

    Raises:
        PhotoError: It has none, or is of a kind that is not read.
        TruncatedError: It ends before its pixels do.
    """
    header, head = read_psd_header(file, label), read_psd_head(file)
    resources = read_psd_resources(file, head)
    planes = _planes(file, head, label)
    model = _MODELS[head.mode]
    count = 1 if head.mode == psd_header.INDEXED else CHANNELS[model]
    if planes.shape[2] < count:
        raise ValueError(f"it has {planes.shape[2]} channels, expected {count}")
    codes, alpha = planes[..., :count], None
    notes: tuple[str, ...] = ()
    if planes.shape[2] > count and has_transparency(file, head):
        alpha = planes[..., count]
        codes = _unmatted(codes, alpha) if model in ("grey", "rgb") else codes
    left = planes.shape[2] - count - (alpha is not None)
    if left:
        notes = (extra_channels_note(left),)
    white = {1: 1.0, 8: 255.0, 16: 65535.0, 32: 1.0}[head.bits]
    said = read_block_metadata(
        "PSD",
        header.mode,
        FileBlocks(
            resources.get(psd_header.ICC),
            resources.get(psd_header.EXIF),
            resources.get(psd_header.XMP),
            psd_resource_block(file, head),
        ),
    )
    linear = (1, 8) if head.bits == 32 else None
    return Decoded(
        _meaning(codes, head, file),
        model,
        said.metadata,
        ColourTags(icc=said.metadata.icc, cicp=None if said.metadata.icc else linear),
        white=white,
        alpha=alpha,
        notes=(*notes, *said.notes),
    )


def _planes(file: BinaryIO, head: PsdHead, label: str) -> Codes:
    """All channels, (H, W, C)."""
    file.seek(head.pixels)
    content = file.read()
    (compression,) = struct.unpack_from(">H", content)
    row = (head.width + 7) // 8 if head.bits == 1 else head.width * head.bits // 8
    wanted = row * head.height * head.channels
    match compression:
        case 0:
            pixels = bytes(content[2 : 2 + wanted])
        case 1:
            lengths = np.dtype(">u4" if head.is_large else ">u2")
            first = 2 + head.height * head.channels * lengths.itemsize
            packed = int(np.frombuffer(content[2:first], lengths).sum(dtype=np.int64))
            # Some programs leave something behind the picture, which is no part of it.
            part = content[first : first + packed]
            pixels = bytes(imagecodecs.packbits_decode(part, out=wanted))
        case 2:
            pixels = bytes(imagecodecs.zlib_decode(content[2:], out=wanted))
        case _:
            raise ValueError(f"its merged picture is compressed in way {compression}")
    if len(pixels) < wanted:
        raise truncated_error(label, file.seek(0, 2))
    if head.bits == 1:
        rows = np.frombuffer(pixels, np.uint8).reshape(head.channels, head.height, row)
        planes = 1 - np.unpackbits(rows, axis=2)[..., : head.width]
    else:
        stored = np.dtype(_TYPES[head.bits])
        planes = np.frombuffer(pixels, stored).reshape(head.channels, head.height, head.width)
        planes = planes.astype(stored.newbyteorder("="))
    return np.ascontiguousarray(np.moveaxis(planes, 0, 2))


def _unmatted(codes: Codes, alpha: Codes) -> Codes:
    """Colours without the white that Photoshop blends behind transparency."""
    if codes.dtype.kind == "f":
        return codes
    white = np.float32(np.iinfo(codes.dtype).max)
    plain = np.empty(codes.shape, codes.dtype)
    for rows in slabs(*codes.shape[:2]):
        opacity = (alpha[rows].astype(np.float32) / white)[..., None]
        light = codes[rows].astype(np.float32) - white * (1 - opacity)
        plain[rows] = np.rint(np.clip(light / np.where(opacity > 0, opacity, 1), 0, white))
    return plain


def _meaning(codes: Codes, head: PsdHead, file: BinaryIO) -> Codes:
    """Codes as `Decoded` has them."""
    match head.mode:
        case psd_header.INDEXED:
            file.seek(head.palette)
            palette = np.frombuffer(file.read(768), np.uint8).reshape(3, 256).T
            return palette[codes[..., 0]]
        case psd_header.CMYK:
            inverted: Codes = np.iinfo(codes.dtype).max - codes  # Photoshop stores 0 as full ink
            return inverted
        case psd_header.LAB:
            return _lab(codes)
        case _:
            return codes


def _lab(codes: Codes) -> Codes:
    """L* of 0 to 100, a* and b*, float32."""
    highest = float(np.iinfo(codes.dtype).max)
    unit = np.float32(1 if codes.dtype == np.uint8 else 256)
    lab = np.empty(codes.shape, np.float32)
    for rows in slabs(*codes.shape[:2]):
        lab[rows, :, 0] = codes[rows, :, 0] * np.float32(100 / highest)
        lab[rows, :, 1:] = codes[rows, :, 1:] / unit - 128
    return lab
