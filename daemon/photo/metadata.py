"""EXIF, XMP and resolution: out of the input, reset where they no longer hold, into the result.

Comes in: an opened image, or `Metadata` and the size of a result. Goes out: `Metadata`, or blocks
to write. Broken metadata is left out with a note; it never costs a photograph.
"""

from __future__ import annotations

import math
import re

from PIL import ExifTags, Image

from daemon.photo.picture import Metadata

_ORIENTATION = ExifTags.Base.Orientation
_SUB_DIRECTORIES = (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo)
_WIDTH, _HEIGHT = ExifTags.Base.ExifImageWidth, ExifTags.Base.ExifImageHeight
# A TIFF's own directory mixes what describes the photograph with how it is stored.
_DESCRIPTIVE = (
    *(0x010E, 0x010F, 0x0110, 0x0131, 0x0132, 0x013B, 0x013C, 0x4746, 0x4749, 0x8298),
    *(0x9C9B, 0x9C9C, 0x9C9D, 0x9C9E, 0x9C9F),
)
_STORAGE = (*range(0x100, 0x107), 0x111, 0x115, 0x116, 0x117, 0x11C, 0x13D, 0x140, 0x142, 0x143)
_XMP_ORIENTATION = re.compile(rb"(tiff:Orientation(?:\s*=\s*[\"']|>))[2-8]")


def read_metadata(image: Image.Image, format: str, mode: str) -> tuple[Metadata, int, list[str]]:
    """What travels to the result.

    Args:
        image: The image, loaded (Pillow turns TIFFs upright itself while loading).
        format: Pillow's name of its format.
        mode: Its mode.

    Returns:
        The metadata with orientation reset, the orientation that is still to be applied (1 to 8),
        and notes.
    """
    notes = []
    orientation, exif = 1, None
    try:
        found = image.getexif()
        orientation = int(found.get(_ORIENTATION, 1))
        exif = _block(found, format)
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
    """The EXIF of a result of this size, or None without any."""
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
    """Whether it points to further directories, which libtiff cannot write."""
    return any(exif.get_ifd(tag) for tag in _SUB_DIRECTORIES)


def _block(found: Image.Exif, format: str) -> bytes | None:
    kept = Image.Exif()
    for tag, value in found.items():
        described = tag in _DESCRIPTIVE if format == "TIFF" else tag not in _STORAGE
        if described and tag != _ORIENTATION and tag not in _SUB_DIRECTORIES:
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
    sound = all(math.isfinite(value) and 1 <= value < 65535 for value in (across, down))
    return (across, down) if sound else None
