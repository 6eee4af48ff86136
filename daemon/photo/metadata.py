"""EXIF, XMP, IPTC, text and resolution as a file has them, to be carried to the result.

What no longer holds (orientation, size) is reset. Broken metadata is left out with a note; no
photograph is refused for it.
"""

from __future__ import annotations

import io
import math
import struct
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import BinaryIO

from PIL import ExifTags, Image

from daemon.photo.embedded_blocks import (
    EmbeddedBlocks,
    iptc_of,
    jpeg_blocks,
    kept_resources,
    png_blocks,
    webp_blocks,
    with_iptc,
)
from daemon.photo.exif_block import ExifParts, exif_parts, tiff_parts
from daemon.photo.gif_blocks import gif_blocks
from daemon.photo.jpeg_data import without_scans
from daemon.photo.notes import Note, NoteKind
from daemon.photo.picture import Metadata
from daemon.photo.pillow_files import open_image
from daemon.photo.tiff_directory import Directory, Field, Layout, read_directory, read_layout
from daemon.photo.xmp import merged_xmp, upright_xmp

_ORIENTATION = ExifTags.Base.Orientation

_ADOBE_RGB = 2
"""EXIF's ColorSpace as some cameras put it for Adobe RGB; the standard knows 1 and 0xFFFF."""

_RESOLUTION_X, _RESOLUTION_Y, _RESOLUTION_UNIT = 282, 283, 296
_C2PA = 52545
_CM_PER_INCH = 2.54
_CENTIMETRES = 3
_OWN_RESOLUTION = ("JPEG", "PNG", "TIFF", "BMP", "GIF")
"""Formats that have a resolution of their own; of others EXIF tells it alone."""


@dataclass(frozen=True)
class FileMetadata:
    """The metadata of a file.

    Attributes:
        metadata: What is carried to the result, with orientation reset.
        orientation: Orientation that is still to be applied, 1 to 8.
        is_adobe_rgb: Whether EXIF alone says that the colours are Adobe RGB.
        notes: What was left out.
    """

    metadata: Metadata
    orientation: int = 1
    is_adobe_rgb: bool = False
    notes: tuple[str, ...] = ()


_LOST_MANIFEST = Note(
    NoteKind.CREDENTIALS,
    "its C2PA manifest (content credentials) is signed for the original alone: left out",
)
_DAMAGED_SECOND_XMP = Note(NoteKind.METADATA, "the second part of its XMP is damaged: left out")
_BLOCKS: dict[str, Callable[[BinaryIO], EmbeddedBlocks]] = {
    "JPEG": jpeg_blocks,
    "PNG": png_blocks,
    "WEBP": webp_blocks,
    "GIF": gif_blocks,
}


def read_metadata(
    image: Image.Image, format: str, mode: str, file: BinaryIO | None = None
) -> FileMetadata:
    """Read what Pillow found in a file, and what it left.

    Args:
        image: The image.
        format: Name of its format.
        mode: What its pixels are called, such as "L" or "RGB;16".
        file: The file itself; None where there is nothing but the image.
    """
    notes: tuple[str, ...] = ()
    orientation, parts, is_adobe_rgb = 1, ExifParts(), False
    blocks = EmbeddedBlocks()
    if file is not None and format in _BLOCKS:
        blocks = _BLOCKS[format](file)
    if blocks.exif and "exif" not in image.info:
        image.info["exif"] = blocks.exif
    block = image.info.get("exif")
    try:
        found = image.getexif()
        orientation = int(found.get(_ORIENTATION, 1))
        is_adobe_rgb = _says_adobe_rgb(found)
        parts = exif_parts(block) if block else parts
    except Exception as error:
        # Directories in the wild are damaged in every way; Pillow raises nearly anything.
        notes = (_damaged_exif(error),)
    dpi = _dpi(image.info.get("dpi"))
    xmp = image.info.get("xmp") or blocks.xmp or parts.xmp
    if isinstance(xmp, str):
        xmp = xmp.encode()
    if xmp and blocks.extended_xmp:
        merged = merged_xmp(xmp, blocks.extended_xmp)
        notes += () if merged else (_DAMAGED_SECOND_XMP,)
        xmp = merged or xmp
    metadata = Metadata(
        format,
        mode,
        image.info.get("icc_profile") or blocks.icc,
        parts.exif,
        _upright_xmp(xmp),
        _exif_dpi(block) if dpi is None and format not in _OWN_RESOLUTION else dpi,
        _photoshop(parts, blocks.photoshop),
        blocks.comments,
        blocks.png_text,
    )
    notes = (*notes, *parts.notes, *blocks.notes)
    notes += (_LOST_MANIFEST,) if blocks.has_manifest else ()
    return FileMetadata(metadata, _valid(orientation), is_adobe_rgb, notes)


def _damaged_exif(error: Exception) -> Note:
    said = f"its EXIF is damaged ({type(error).__name__}: {error}): left out"
    return Note(NoteKind.METADATA, said)


def _photoshop(parts: ExifParts, resources: bytes | None) -> bytes | None:
    """Photoshop's resource blocks of a file, with the IPTC that stands beside them."""
    if resources is None and parts.photoshop:
        resources = kept_resources(parts.photoshop)
    return with_iptc(resources, parts.iptc)


@dataclass(frozen=True)
class FileBlocks:
    """Blocks that a file keeps apart from its pixels.

    Attributes:
        icc: Its profile.
        exif: Its EXIF, from the TIFF header on.
        xmp: Its XMP packet.
        photoshop: Photoshop's resource blocks, or IPTC alone.
        has_manifest: Whether it has a C2PA manifest.
    """

    icc: bytes | None = None
    exif: bytes | None = None
    xmp: bytes | None = None
    photoshop: bytes | None = None
    has_manifest: bool = False


def read_block_metadata(format: str, mode: str, blocks: FileBlocks) -> FileMetadata:
    """Read blocks that a file keeps apart from its pixels.

    Args:
        format: Name of its format.
        mode: What its pixels are called.
        blocks: The blocks.
    """
    exif, xmp = blocks.exif, blocks.xmp
    image = Image.new("L", (1, 1))
    image.info |= {"icc_profile": blocks.icc, "xmp": xmp.rstrip(b"\0") if xmp else None}
    if exif:
        image.info["exif"] = exif
    said = read_metadata(image, format, mode)
    resources = kept_resources(blocks.photoshop) if blocks.photoshop else None
    metadata = said.metadata
    if resources is not None:
        metadata = replace(
            metadata, photoshop=with_iptc(resources, iptc_of(metadata.photoshop or b""))
        )
    lost = (_LOST_MANIFEST,) if blocks.has_manifest else ()
    return replace(said, metadata=metadata, notes=(*said.notes, *lost))


def read_jpeg_metadata(file: BinaryIO, mode: str) -> FileMetadata:
    """Read what a JPEG says that Pillow does not decode.

    Args:
        file: The file.
        mode: What its pixels are called.
    """
    return read_metadata(open_image(io.BytesIO(without_scans(file))), "JPEG", mode, file)


def read_tiff_metadata(file: BinaryIO, layout: Layout, offset: int, mode: str) -> FileMetadata:
    """Read what a directory of a TIFF says; its profile is left to its decoder.

    Args:
        file: The file.
        layout: How it writes numbers.
        offset: Where the directory begins, in bytes.
        mode: Mode of its pixels, as `Header` has it, such as "RGB;16".
    """
    try:
        directory = read_directory(file, layout, offset)
        orientation = directory.number(file, _ORIENTATION, 1)
        dpi = _directory_dpi(file, directory)
        parts = tiff_parts(file, layout, offset)
        exif = Image.Exif()
        exif.load(parts.exif or b"")
        is_adobe_rgb = _says_adobe_rgb(exif)
    except Exception as error:
        # As above: whatever is wrong with it, the pixels are another matter.
        return FileMetadata(Metadata("TIFF", mode), notes=(_damaged_exif(error),))
    xmp, photoshop = _upright_xmp(parts.xmp), _photoshop(parts, None)
    metadata = Metadata("TIFF", mode, None, parts.exif, xmp, dpi, photoshop)
    notes = (*parts.notes, _LOST_MANIFEST) if _C2PA in directory.fields else parts.notes
    return FileMetadata(metadata, _valid(orientation), is_adobe_rgb, notes)


def _valid(orientation: int) -> int:
    return orientation if 1 <= orientation <= 8 else 1


def _upright_xmp(xmp: bytes | None) -> bytes | None:
    """An XMP packet with its orientation reset; None for an empty one."""
    return upright_xmp(xmp) if xmp else None


def _says_adobe_rgb(exif: Image.Exif) -> bool:
    """Whether EXIF alone says Adobe RGB: by DCF's option file (R03), or by its ColorSpace."""
    if exif.get_ifd(ExifTags.IFD.Interop).get(1) == "R03":
        return True
    return bool(exif.get_ifd(ExifTags.IFD.Exif).get(ExifTags.Base.ColorSpace) == _ADOBE_RGB)


def _directory_dpi(file: BinaryIO, directory: Directory) -> tuple[float, float] | None:
    unit = directory.number(file, _RESOLUTION_UNIT, 2)
    across, down = (directory.fields.get(tag) for tag in (_RESOLUTION_X, _RESOLUTION_Y))
    if across is None or down is None or unit not in (2, _CENTIMETRES):
        return None
    factor = _CM_PER_INCH if unit == _CENTIMETRES else 1
    values = [_rational(file, directory.layout, field) for field in (across, down)]
    return _dpi([value * factor for value in values])


def _exif_dpi(exif: bytes | None) -> tuple[float, float] | None:
    """Resolution that EXIF alone tells."""
    block = io.BytesIO((exif or b"").removeprefix(b"Exif\0\0"))
    try:
        layout = read_layout(block)
        if layout is None:
            return None
        return _directory_dpi(block, read_directory(block, layout, layout.first))
    except Exception:
        # Directories in the wild are damaged in every way; `read_metadata` says so.
        return None


def _rational(file: BinaryIO, layout: Layout, field: Field) -> float:
    """A resolution; NaN where it is none."""
    file.seek(field.offset)
    content = file.read(8) if field.size == 8 else b""
    if field.kind != 5 or len(content) < 8:
        return math.nan
    above, below = struct.unpack(layout.order + "II", content)
    return above / below if below else math.nan


def _dpi(found: object) -> tuple[float, float] | None:
    try:
        across, down = (float(value) for value in found)  # type: ignore[attr-defined]
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    valid = all(math.isfinite(value) and 1 <= value < 65535 for value in (across, down))
    return (across, down) if valid else None
