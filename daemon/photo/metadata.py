"""EXIF, XMP and resolution, carried from the input to the result.

What no longer holds (orientation, size) is reset. Broken metadata is left out with a note; no
photograph is refused for it.
"""

from __future__ import annotations

import io
import math
from dataclasses import dataclass
from typing import BinaryIO

from PIL import ExifTags, Image

from daemon.photo.jpeg_data import without_scans
from daemon.photo.picture import Metadata
from daemon.photo.pillow_files import open_image
from daemon.photo.tiff_directory import Layout
from daemon.photo.xmp import upright_xmp

_ORIENTATION = ExifTags.Base.Orientation
_SUB_DIRECTORIES = (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo)
_WIDTH, _HEIGHT = ExifTags.Base.ExifImageWidth, ExifTags.Base.ExifImageHeight

_DESCRIPTIVE_TAGS = (
    *(0x010E, 0x010F, 0x0110, 0x0131, 0x0132, 0x013B, 0x013C, 0x4746, 0x4749, 0x8298),
    *(0x9C9B, 0x9C9C, 0x9C9D, 0x9C9E, 0x9C9F),
)
"""The only tags kept of a TIFF, whose own directory mixes what describes the photograph with how it
is stored."""

_STORAGE_TAGS = (
    *range(0x100, 0x107),
    *(0x111, 0x115, 0x116, 0x117, 0x11C, 0x13D, 0x140, 0x142, 0x143),
)
"""Tags on how pixels are stored, which are not kept of other formats."""

_ADOBE_RGB = 2
"""EXIF's ColorSpace as some cameras put it for Adobe RGB; the standard knows 1 and 0xFFFF."""

_XMP, _RESOLUTION_X, _RESOLUTION_Y, _RESOLUTION_UNIT = 700, 282, 283, 296
_CM_PER_INCH = 2.54
_CENTIMETRES = 3


@dataclass(frozen=True)
class FileMetadata:
    """What a file says beside its pixels.

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


def read_metadata(image: Image.Image, format: str, mode: str) -> FileMetadata:
    """Read what Pillow found in a file.

    Args:
        image: The image.
        format: Name of its format.
        mode: What its pixels are called, such as "L" or "RGB;16".
    """
    notes: tuple[str, ...] = ()
    orientation, exif, is_adobe_rgb = 1, None, False
    try:
        found = image.getexif()
        orientation = int(found.get(_ORIENTATION, 1))
        is_adobe_rgb = _says_adobe_rgb(found)
        exif = _exif_block(found, format)
    except Exception as error:
        # Directories in the wild are damaged in every way; Pillow raises nearly anything.
        notes = (f"its EXIF is damaged ({type(error).__name__}: {error}): left out",)
    xmp = image.info.get("xmp")
    if isinstance(xmp, str):
        xmp = xmp.encode()
    icc = image.info.get("icc_profile") or None
    dpi = _dpi(image.info.get("dpi"))
    metadata = Metadata(format, mode, icc, exif, _upright_xmp(xmp), dpi)
    return FileMetadata(metadata, _valid(orientation), is_adobe_rgb, notes)


def read_block_metadata(
    format: str, mode: str, *, icc: bytes | None, exif: bytes | None, xmp: bytes | None
) -> FileMetadata:
    """Read blocks that a file keeps apart from its pixels.

    Args:
        format: Name of its format.
        mode: What its pixels are called.
        icc: Its profile.
        exif: Its EXIF, from the TIFF header on.
        xmp: Its XMP packet.
    """
    image = Image.new("L", (1, 1))
    image.info |= {"icc_profile": icc, "xmp": xmp.rstrip(b"\0") if xmp else None}
    if exif:
        image.info["exif"] = exif
        try:
            found = Image.Exif()
            found.load(exif)
            image.info["dpi"] = _tiff_dpi(found)
        except Exception:
            # Directories in the wild are damaged in every way; `read_metadata` says so.
            image.info["dpi"] = None
    return read_metadata(image, format, mode)


def read_jpeg_metadata(file: BinaryIO, mode: str) -> FileMetadata:
    """Read what a JPEG says that Pillow does not decode.

    Args:
        file: The file.
        mode: What its pixels are called.
    """
    return read_metadata(open_image(io.BytesIO(without_scans(file))), "JPEG", mode)


def read_tiff_metadata(file: BinaryIO, layout: Layout, offset: int, mode: str) -> FileMetadata:
    """Read what a directory of a TIFF says; its profile is left to its decoder.

    Args:
        file: The file.
        layout: How it writes numbers.
        offset: Where the directory begins.
        mode: What its pixels are called.
    """
    found = Image.Exif()
    found.endian, found.bigtiff = layout.order, layout.big
    try:
        found.load_from_fp(file, offset)
        orientation = int(found.get(_ORIENTATION, 1))
        is_adobe_rgb = _says_adobe_rgb(found)
        xmp = found.get(_XMP)
        dpi = _tiff_dpi(found)
        exif = _exif_block(found, "TIFF")
    except Exception as error:
        # As above: whatever Pillow raises, the pixels are another matter.
        note = f"its EXIF is damaged ({type(error).__name__}: {error}): left out"
        return FileMetadata(Metadata("TIFF", mode), notes=(note,))
    packet = bytes(xmp) if isinstance(xmp, bytes | tuple) else None
    metadata = Metadata("TIFF", mode, None, exif, _upright_xmp(packet), dpi)
    return FileMetadata(metadata, _valid(orientation), is_adobe_rgb)


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


def _tiff_dpi(found: Image.Exif) -> tuple[float, float] | None:
    across, down = found.get(_RESOLUTION_X), found.get(_RESOLUTION_Y)
    unit = found.get(_RESOLUTION_UNIT, 2)
    if across is None or down is None or unit not in (2, _CENTIMETRES):
        return None
    factor = _CM_PER_INCH if unit == _CENTIMETRES else 1
    return _dpi((float(across) * factor, float(down) * factor))


def exif_for(metadata: Metadata, width: int, height: int) -> Image.Exif | None:
    """The EXIF of a result of this size in pixels, or None if there is none."""
    if metadata.exif is None:
        return None
    exif = Image.Exif()
    exif.load(metadata.exif)
    sub = dict(exif.get_ifd(ExifTags.IFD.Exif))
    if _WIDTH not in sub and _HEIGHT not in sub:
        return exif
    exif[ExifTags.IFD.Exif] = sub | {_WIDTH: width, _HEIGHT: height}
    # Pillow's TIFF writer sees only directories that were loaded, not those that were set.
    resized = Image.Exif()
    resized.load(exif.tobytes())
    return resized


def has_sub_directories(exif: Image.Exif) -> bool:
    """Whether EXIF points to further directories, which libtiff cannot write."""
    return any(exif.get_ifd(tag) for tag in _SUB_DIRECTORIES)


def _exif_block(found: Image.Exif, format: str) -> bytes | None:
    kept = Image.Exif()
    for tag, value in found.items():
        wanted = tag in _DESCRIPTIVE_TAGS if format == "TIFF" else tag not in _STORAGE_TAGS
        if wanted and tag != _ORIENTATION and tag not in _SUB_DIRECTORIES:
            kept[tag] = value
    for tag in _SUB_DIRECTORIES:
        if directory := dict(found.get_ifd(tag)):
            if directory.pop(ExifTags.IFD.Interop, None) is not None:
                directory[ExifTags.IFD.Interop] = dict(found.get_ifd(ExifTags.IFD.Interop))
            kept[tag] = directory
    return kept.tobytes() if len(kept) else None


def _dpi(found: object) -> tuple[float, float] | None:
    try:
        across, down = (float(value) for value in found)  # type: ignore[attr-defined]
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    valid = all(math.isfinite(value) and 1 <= value < 65535 for value in (across, down))
    return (across, down) if valid else None
