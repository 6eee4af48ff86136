"""EXIF, XMP and resolution, carried from the input to the result.

What no longer holds (orientation, size) is reset. Broken metadata is left out with a note; no
photograph is refused for it.
"""

from __future__ import annotations

import math
import re

from PIL import ExifTags, Image

from daemon.photo.picture import Metadata

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

_XMP_ORIENTATION = re.compile(rb"(tiff:Orientation(?:\s*=\s*[\"']|>))[2-8]")


def read_metadata(image: Image.Image, format: str, mode: str) -> tuple[Metadata, int, list[str]]:
    """Read what is carried to the result.

    Args:
        image: The image, loaded (Pillow turns TIFFs upright itself while loading).
        format: Pillow's name of its format.
        mode: Pillow's mode as stored.

    Returns:
        The metadata with orientation reset, the orientation that is still to be applied (1 to 8),
        and notes.
    """
    notes = []
    orientation, exif = 1, None
    try:
        found = image.getexif()
        orientation = int(found.get(_ORIENTATION, 1))
        exif = _exif_block(found, format)
    except Exception as error:
        # Directories in the wild are damaged in every way; Pillow raises nearly anything.
        notes.append(f"its EXIF is damaged ({type(error).__name__}: {error}): left out")
    xmp = image.info.get("xmp")
    if isinstance(xmp, str):
        xmp = xmp.encode()
    if xmp is not None:
        xmp = _XMP_ORIENTATION.sub(rb"\g<1>1", xmp)
    icc = image.info.get("icc_profile") or None
    metadata = Metadata(format, mode, icc, exif, xmp or None, _dpi(image.info.get("dpi")))
    return metadata, orientation if 1 <= orientation <= 8 else 1, notes


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
        if directory := found.get_ifd(tag):
            kept[tag] = dict(directory)
    return kept.tobytes() if len(kept) else None


def _dpi(found: object) -> tuple[float, float] | None:
    try:
        across, down = (float(value) for value in found)  # type: ignore[attr-defined]
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    valid = all(math.isfinite(value) and 1 <= value < 65535 for value in (across, down))
    return (across, down) if valid else None
