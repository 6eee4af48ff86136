"""JPEG XL by imagecodecs; one that was made of a JPEG, as that JPEG, bit by bit."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import BinaryIO

import imagecodecs

from daemon.photo.colour import HDR_TRANSFERS
from daemon.photo.decoded import CHANNELS, Codes, ColourTags, Decoded, Model
from daemon.photo.decoders.jpeg import decode as decode_jpeg
from daemon.photo.decoders.jpegxl_icc import read_jpegxl_profile
from daemon.photo.isobmff import Box, has_manifest
from daemon.photo.jpegxl_header import (
    Colours,
    JpegXlInfo,
    jpegxl_boxes,
    read_jpegxl_header,
    read_jpegxl_info,
)
from daemon.photo.metadata import FileBlocks, FileMetadata, read_block_metadata
from daemon.photo.notes import Note, NoteKind, extra_channels_note
from daemon.photo.profiles import CICP_CURVES, Curve, Primaries, grey_profile, rgb_profile
from daemon.system.errors import PhotoError

_MAX_BLOCK_BYTES = 1 << 26
_MAX_UNPACKED_BYTES = 1 << 24
"""Longest block of compressed metadata, unpacked: a few bytes may stand for gigabytes."""

_D65, _BT2100 = 1, 9
_CICP_PRIMARIES = {1: 1, 9: 9, 11: 12}
"""Code points of primaries under D65, by those of JPEG XL."""


def decode(file: BinaryIO, label: str, page: int = 0) -> Decoded:
    """Decode the picture, of an animation the first frame; see `photo.decoded.Decode`.

    Raises:
        PhotoError: Its profile cannot be read, or is not that of its pixels.
    """
    boxes = jpegxl_boxes(file)
    info = read_jpegxl_info(file)
    file.seek(0)
    content = file.read()
    if any(box.kind == b"jbrd" for box in boxes):
        jpeg = decode_jpeg(io.BytesIO(imagecodecs.jpegxl_decode_jpeg(content, numthreads=1)), label)
        return replace(jpeg, metadata=replace(jpeg.metadata, format="JXL"))
    icc = _profile(content, info, label) if info.colours.has_icc else None
    codes = imagecodecs.jpegxl_decode(content, 0, keeporientation=True)
    codes = codes.reshape(*codes.shape[:2], -1)
    said = _said(file, boxes, read_jpegxl_header(file, label).mode)
    # Pictures that are not in XYB are coded without loss by all encoders that are in use.
    lossless = replace(said.metadata, is_lossless=not info.is_xyb)
    decoded = _decoded(codes, info, replace(said, metadata=lossless))
    if icc is None:
        return decoded
    return replace(decoded, tags=ColourTags(icc=icc), metadata=replace(decoded.metadata, icc=icc))


def _profile(content: bytes, info: JpegXlInfo, label: str) -> bytes:
    """The profile that the codestream has compressed.

    Raises:
        PhotoError: The pixels are not in it, or it cannot be read.
    """
    # Of XYB libjxl gives linear light, clipped to sRGB, where there is no name for its colours.
    icc = None if info.is_xyb else read_jpegxl_profile(content)
    if icc is None:
        why = "is a lossy JPEG XL with a colour profile of its own, which cannot be applied"
        if not info.is_xyb:
            why = "is a JPEG XL whose embedded colour profile cannot be read"
        raise PhotoError(label, why, "convert it to PNG (djxl IN.jxl OUT.png) and hand that in")
    if icc[16:20] not in (b"RGB ", b"GRAY"):
        why = f"is a JPEG XL with a profile for {icc[16:20].decode('latin-1').strip()} pixels"
        raise PhotoError(label, why, "convert it to TIFF and hand that in")
    return icc


def _decoded(codes: Codes, info: JpegXlInfo, said: FileMetadata) -> Decoded:
    model: Model = "grey" if info.colours.is_grey else "rgb"
    count = CHANNELS[model]
    has_alpha = info.has_alpha and codes.shape[2] > count
    notes = list(said.notes)
    left = info.extra_channels - has_alpha
    if left:
        notes.append(extra_channels_note(left))
    if info.is_animated:
        notes.append(Note(NoteKind.PAGES, "an animation: its first frame was restored"))
    return Decoded(
        codes[..., :count],
        model,
        said.metadata,
        _tags(info.colours),
        white=1.0 if info.is_float else float(2**info.bits - 1),
        alpha=codes[..., count] if has_alpha else None,
        premultiplied=info.premultiplied,
        orientation=info.orientation,
        notes=tuple(notes),
    )


def _tags(colours: Colours) -> ColourTags:
    """The colours as code points where there are such, else as a profile made of them."""
    primaries = _CICP_PRIMARIES.get(colours.primaries)
    primaries = 1 if colours.is_grey else primaries
    plain = colours.white == _D65 or colours.is_grey
    if plain and primaries is not None and colours.gamma is None:
        return ColourTags(cicp=(primaries, colours.transfer))
    if colours.transfer in HDR_TRANSFERS:
        return ColourTags(cicp=(primaries or _BT2100, colours.transfer))
    curve = CICP_CURVES.get(colours.transfer, CICP_CURVES[13])
    if colours.gamma is not None:
        if not 0.1 <= colours.gamma <= 1:
            raise ValueError(f"its gamma is {colours.gamma:g}")
        curve = Curve((1 / colours.gamma,))
    if colours.is_grey:
        return ColourTags(icc=grey_profile("JPEG XL", curve))
    white, red, green, blue = colours.points
    return ColourTags(icc=rgb_profile("JPEG XL", Primaries(white, red, green, blue), curve))


def _said(file: BinaryIO, boxes: list[Box], mode: str) -> FileMetadata:
    """The fields of the boxes beside the codestream."""
    blocks: dict[bytes, bytes] = {}
    notes: tuple[str, ...] = ()
    for box in boxes:
        try:
            kind, content = _block(file, box)
        except Exception as error:  # a decompressor raises what it likes; the pixels are sound
            notes = (Note(NoteKind.METADATA, f"its metadata are damaged ({error}): left out"),)
            continue
        if kind in (b"Exif", b"xml ") and content:
            blocks.setdefault(kind, content)
    exif = blocks.get(b"Exif")
    if exif is not None:
        exif = exif[4 + int.from_bytes(exif[:4], "big") :]
    said = read_block_metadata(
        "JXL", mode, FileBlocks(None, exif, blocks.get(b"xml "), has_manifest=has_manifest(file))
    )
    return replace(said, notes=(*notes, *said.notes))


def _block(file: BinaryIO, box: Box) -> tuple[bytes, bytes]:
    """Kind and content of a box of metadata, decompressed."""
    if box.kind not in (b"Exif", b"xml ", b"brob") or box.end - box.begin > _MAX_BLOCK_BYTES:
        return b"", b""
    file.seek(box.begin)
    content = file.read(box.end - box.begin)
    if box.kind != b"brob":
        return box.kind, content
    if content[:4] not in (b"Exif", b"xml "):
        return b"", b""
    return content[:4], bytes(imagecodecs.brotli_decode(content[4:], out=_MAX_UNPACKED_BYTES))
