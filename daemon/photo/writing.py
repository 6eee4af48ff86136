"""Encoding pictures into synced files, with the metadata that they carry.

Works slab by slab: besides the picture there is one copy as Pillow keeps it, and the encoder's.
Nothing is left out without a note.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, PngImagePlugin

from daemon.photo.colour import Conversion, out_of_srgb, profile_space
from daemon.photo.metadata import exif_for, has_sub_directories
from daemon.photo.picture import SLAB_PIXELS, Metadata, Picture
from daemon.photo.reading import to_eight_bits
from daemon.system.errors import CannotWriteError, PhotoError
from daemon.system.files import shown

_MAX_SIDE_PX = {"jpeg": 65535, "webp": 16383}
_MAX_JPEG_EXIF_BYTES = 65533
_MAX_JPEG_XMP_BYTES = 65504
_XMP_TAG, _PREDICTOR_TAG = 0x02BC, 0x013D
_HORIZONTAL_PREDICTOR = 2
_ENCODER_ERRORS = (
    ValueError,
    TypeError,
    KeyError,
    RuntimeError,
    SystemError,
    OverflowError,
    struct.error,
)
"""What Pillow's encoders raise for pixels or metadata that they cannot write."""


def write_picture(picture: Picture, path: Path, *, format: str, quality: int) -> tuple[str, ...]:
    """Write a result, synced to disk.

    The pixels go back into the embedded profile, which is embedded again; EXIF, XMP and resolution
    are kept. PNG and TIFF keep 16-bit grey. TIFF is compressed unless its EXIF has directories of
    its own, which libtiff cannot write.

    Args:
        picture: The picture.
        path: The file; an existing one is replaced.
        format: "png", "jpeg", "webp" or "tiff", in any case.
        quality: 1 to 100, for JPEG (from 90 on without colour subsampling) and WebP (at 100
            lossless).

    Returns:
        Notes on what could not be kept.

    Raises:
        PhotoError: The picture is larger than the format allows.
        CannotWriteError: The encoder refuses it.
        OSError: The disk is full or refuses.
    """
    format = format.lower()
    height, width = picture.pixels.shape[:2]
    _check_side(format, width, height)
    image, icc, notes = _image(picture, format)
    options, metadata_notes = _options(picture.metadata, format, quality, width, height)
    notes += metadata_notes
    if icc is not None:
        options["icc_profile"] = icc
    try:
        _save(image, path, format, options)
    except OSError as error:
        if error.errno is not None:
            raise
        raise CannotWriteError(f"{shown(path.name)}: cannot be encoded: {error}") from error
    except _ENCODER_ERRORS as error:
        bare = replace(picture.metadata, exif=None, xmp=None)
        if bare == picture.metadata:
            raise CannotWriteError(f"{shown(path.name)}: cannot be encoded: {error}") from error
        without = replace(picture, metadata=bare)
        other_notes = write_picture(without, path, format=format, quality=quality)
        return (*other_notes, f"EXIF and XMP cannot be written as {format} ({error}): left out")
    return tuple(notes)


def write_animation(pictures: Sequence[Picture], path: Path, *, frame_ms: int) -> None:
    """Write pictures as the frames of an endless animated WebP, synced to disk.

    Transparency is kept.

    Args:
        pictures: At least one, all of one size.
        path: The file; an existing one is replaced.
        frame_ms: How long each frame is shown, in milliseconds.

    Raises:
        PhotoError: They are larger than WebP allows.
        OSError: The disk is full or refuses.
    """
    height, width = pictures[0].pixels.shape[:2]
    _check_side("webp", width, height)
    first, *others = map(_frame, pictures)
    options = {"save_all": True, "append_images": others, "duration": frame_ms, "loop": 0}
    _save(first, path, "webp", {**options, "quality": 90, "method": 4})


def _frame(picture: Picture) -> Image.Image:
    image = Image.fromarray(to_eight_bits(picture.pixels))
    if picture.alpha is not None:
        image.putalpha(Image.fromarray(to_eight_bits(picture.alpha)))
    return image


def _check_side(format: str, width: int, height: int) -> None:
    allowed = _MAX_SIDE_PX.get(format)
    if allowed is not None and max(width, height) > allowed:
        raise PhotoError(
            "",  # the path is in the staging folder and means nothing to a person
            f"the result has {width}x{height} pixels; {format} allows {allowed} a side",
            'set output.format of the recipe to "png" or "tiff"',
        )


class _WithoutDescriptor:
    """A file that hides its descriptor from encoders.

    Those that write to a descriptor lose the error number of a full disk, or do not notice it.
    """

    def __init__(self, file: BinaryIO) -> None:
        self.write = file.write
        self.seek = file.seek
        self.tell = file.tell
        self.read = file.read
        self.flush = file.flush


def _save(image: Image.Image, path: Path, format: str, options: dict[str, Any]) -> None:
    with path.open("w+b") as file:
        image.save(_WithoutDescriptor(file), format.upper(), **options)  # type: ignore[arg-type]
        file.flush()
        os.fsync(file.fileno())


def _image(picture: Picture, format: str) -> tuple[Image.Image, bytes | None, list[str]]:
    """The picture as Pillow takes it, the profile to embed, and notes."""
    deep = picture.pixels.dtype == np.uint16
    if deep and picture.grey and picture.alpha is None and format in ("png", "tiff"):
        icc = picture.metadata.icc
        kept = icc if icc and profile_space(icc) == "GRAY" else None
        return Image.fromarray(np.ascontiguousarray(picture.pixels[..., 0])), kept, []
    notes = ["16-bit written as 8-bit"] if deep else []
    flatten = picture.alpha is not None and format == "jpeg"
    notes += ["JPEG has no transparency: flattened on white"] if flatten else []
    from_srgb = _conversion(picture, format)
    notes += [from_srgb.note] if from_srgb.note else []
    opaque = picture.alpha is None or flatten
    mode = from_srgb.target if opaque else from_srgb.target + "A"
    return _converted(picture, from_srgb, mode, flatten=flatten), from_srgb.icc, notes


def _conversion(picture: Picture, format: str) -> Conversion:
    """The conversion from sRGB to what the format and the embedded profile hold."""
    icc = picture.metadata.icc
    grey_profile = icc is not None and profile_space(icc) == "GRAY"
    if grey_profile and format == "webp":
        return Conversion("RGB", "RGB", note="WebP has no grey: the grey profile is left out")
    if grey_profile and picture.grey and picture.metadata.mode.startswith(("I", "F")):
        # Grey of more than 8 bits is read without conversion, so that it comes back exactly.
        return Conversion("RGB", "L", icc=icc)
    conversion = out_of_srgb(icc, grey=picture.grey)
    if format == "webp" and conversion.target == "L":
        return replace(conversion, target="RGB")
    return conversion


def _converted(picture: Picture, from_srgb: Conversion, mode: str, *, flatten: bool) -> Image.Image:
    """The picture in a mode of Pillow, converted slab by slab."""
    height, width = picture.pixels.shape[:2]
    image = Image.new(mode, (width, height))
    rows = max(1, SLAB_PIXELS // width)
    for top in range(0, height, rows):
        pixels = to_eight_bits(picture.pixels[top : top + rows])
        alpha = None if picture.alpha is None else to_eight_bits(picture.alpha[top : top + rows])
        if flatten and alpha is not None:
            pixels = _on_white(pixels, alpha)
        if picture.grey and from_srgb.transform is None and from_srgb.target == "L":
            slab = Image.fromarray(np.ascontiguousarray(pixels[..., 0]))
        else:
            slab = from_srgb(Image.fromarray(pixels))
        if alpha is not None and not flatten:
            slab.putalpha(Image.fromarray(alpha))
        image.paste(slab, (0, top))
    return image


def _on_white(pixels: NDArray[np.uint8], alpha: NDArray[np.uint8]) -> NDArray[np.uint8]:
    opacity = alpha[..., None].astype(np.uint32)
    return ((pixels * opacity + 255 * (255 - opacity) + 127) // 255).astype(np.uint8)


def _options(
    metadata: Metadata, format: str, quality: int, width: int, height: int
) -> tuple[dict[str, Any], list[str]]:
    """Keyword arguments of Pillow's encoder, which is untyped, and notes."""
    notes = []
    exif = exif_for(metadata, width, height)
    xmp = metadata.xmp
    if format == "jpeg" and exif is not None and len(exif.tobytes()) > _MAX_JPEG_EXIF_BYTES:
        notes.append("its EXIF is longer than JPEG allows: left out")
        exif = None
    if format == "jpeg" and xmp is not None and len(xmp) > _MAX_JPEG_XMP_BYTES:
        notes.append("its XMP is longer than JPEG allows: left out")
        xmp = None
    options: dict[str, Any] = {} if metadata.dpi is None else {"dpi": metadata.dpi}
    match format:
        case "tiff":
            return options | _tiff_options(exif, xmp), notes
        case "png":
            options |= {"compress_level": 4, "pnginfo": _png_text(xmp)}
        case "jpeg":
            # Below 90 the eye does not miss the colour detail that subsampling drops.
            options |= {"quality": quality, "subsampling": 0 if quality >= 90 else 2}
        case "webp":
            options |= {"quality": quality, "lossless": quality == 100, "method": 4, "exact": True}
        case _:
            raise ValueError(f"{format!r} is none of png, jpeg, webp, tiff")
    if xmp is not None and format != "png":
        options["xmp"] = xmp
    if exif is not None:
        options["exif"] = exif.tobytes()
    return options, notes


def _png_text(xmp: bytes | None) -> PngImagePlugin.PngInfo:
    text = PngImagePlugin.PngInfo()
    if xmp is not None:
        text.add_itxt("XML:com.adobe.xmp", xmp.decode("utf-8", "replace"))
    return text


def _tiff_options(exif: Image.Exif | None, xmp: bytes | None) -> dict[str, Any]:
    tags = Image.Exif() if exif is None else exif
    if xmp is not None:
        tags[_XMP_TAG] = xmp
    if has_sub_directories(tags):
        return {"exif": tags}
    tags[_PREDICTOR_TAG] = _HORIZONTAL_PREDICTOR
    return {"exif": tags, "compression": "tiff_adobe_deflate"}
