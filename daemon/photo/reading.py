"""Decoding a photograph and its side files into a `Picture`, upright and in sRGB.

Converts slab by slab, so that a photograph is in memory once as Pillow keeps it and once as an
array, never more.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile

from daemon.photo.colour import Conversion, into_srgb, profile_space
from daemon.photo.decoding import (
    format_name,
    open_image,
    photo_errors,
    read_header,
    truncated_error,
)
from daemon.photo.jpeg_data import DAMAGED, NO_END, Scan, is_damaged, last_scan, picture_file
from daemon.photo.metadata import read_metadata
from daemon.photo.picture import PROMPTS, SLAB_PIXELS, Limits, Metadata, Photo, Picture, Source
from daemon.photo.prompts import read_prompt_file
from daemon.system.files import open_regular, shown

Pixels = NDArray[np.generic]

_BLOCK_PX = 512
"""Side of the blocks in which a turned photograph is copied."""

_OPAQUE = {"1": "L", "L": "L", "LA": "L", "La": "L", "CMYK": "CMYK", "LAB": "LAB"}
"""Mode of the colours of Pillow's modes, without opacity; "RGB" for all others."""

_TRANSPARENT = ("LA", "La", "PA", "RGBA", "RGBa")

_DEEP = ("I", "F")
"""Beginnings of the modes for grey of more than 8 bits."""


@dataclass(frozen=True, eq=False)
class _Decoded:
    pixels: Pixels
    grey: bool
    alpha: Pixels | None
    metadata: Metadata
    notes: tuple[str, ...]


def read_source(photo: Photo, limits: Limits) -> Source:
    """Decode a photograph, or read a prompt file; see `read_picture`."""
    if photo.header.format == PROMPTS:
        return read_prompt_file(photo.path, shown(photo.name))
    return read_picture(photo, limits)


def read_picture(photo: Photo, limits: Limits) -> Picture:
    """Decode a photograph and its side files.

    Args:
        photo: The photograph; the first of several pages or frames is read.
        limits: Sizes beyond which it is refused.

    Returns:
        The picture: upright, in sRGB, 16-bit grey as uint16 and all else as uint8.

    Raises:
        TruncatedError: The photograph ends early.
        PhotoError: It or a side file cannot be decoded or exceeds the limits.
        OSError: A file cannot be read.
    """
    decoded = _decode(photo.path, photo.name, limits)
    mask = hints = None
    if photo.mask is not None:
        mask = _mask(_decode(photo.mask, Path(photo.labels[photo.mask]).name, limits))
    if photo.hints is not None:
        hints = _hints(_decode(photo.hints, Path(photo.labels[photo.hints]).name, limits))
    return Picture(
        pixels=decoded.pixels,
        grey=decoded.grey,
        metadata=decoded.metadata,
        alpha=decoded.alpha,
        mask=mask,
        hints=hints,
        notes=decoded.notes,
    )


def to_eight_bits(levels: Pixels) -> NDArray[np.uint8]:
    """Round uint16 levels to the nearest uint8 levels; uint8 stays as it is."""
    if levels.dtype == np.uint8:
        return levels.view(np.uint8)
    return ((levels.astype(np.uint32) + 128) // 257).astype(np.uint8)


def _mask(decoded: _Decoded) -> NDArray[np.uint8]:
    """A mask's luminance, uint8 (h, w); transparent pixels count as black."""
    luminance = Image.fromarray(to_eight_bits(decoded.pixels)).convert("L")
    mask = np.asarray(luminance).astype(np.uint32)
    if decoded.alpha is not None:
        mask = (mask * to_eight_bits(decoded.alpha) + 127) // 255
    return mask.astype(np.uint8)


def _hints(decoded: _Decoded) -> NDArray[np.uint8]:
    """Colour hints with their opacity, uint8 RGBA (h, w, 4)."""
    alpha = np.full(decoded.pixels.shape[:2], 255, np.uint8)
    if decoded.alpha is not None:
        alpha = to_eight_bits(decoded.alpha)
    return np.dstack([to_eight_bits(decoded.pixels), alpha])


def _decode(path: Path, name: str, limits: Limits) -> _Decoded:
    read_header(path, limits, name=name)
    with open_regular(path) as file, photo_errors(path, shown(name)):
        scan = last_scan(file)
        whole = picture_file(file, scan)
        image = open_image(whole)
        format, mode = format_name(image), image.mode
        notes = [*_page_note(image), *_depth_note(image)]
        # Counting pages may have damaged the plugin's state for the first one, so open it again.
        image = open_image(whole)
        image.load()
        if scan is not None:
            notes += _damage_note(file, scan, image, shown(name))
        metadata, orientation, metadata_notes = read_metadata(image, format, mode)
        notes += metadata_notes
        if mode.startswith(_DEEP):
            pixels, alpha, note = _deep_pixels(image)
            notes += [note] if note else []
            if metadata.icc and profile_space(metadata.icc) != "GRAY":
                metadata = replace(metadata, icc=None)
        else:
            conversion = into_srgb(_OPAQUE.get(mode, "RGB"), metadata.icc)
            notes += [conversion.note] if conversion.note else []
            metadata = replace(metadata, icc=conversion.icc)
            pixels, alpha = _pixels(image, conversion)
        image.close()
        del image
    upright = _upright(pixels, orientation)
    del pixels
    grey = mode.startswith(_DEEP) or _OPAQUE.get(mode) == "L" or _is_grey(upright)
    alpha = None if alpha is None else _upright(alpha, orientation)
    return _Decoded(upright, grey, alpha, metadata, tuple(notes))


def _damage_note(file: BinaryIO, scan: Scan, image: ImageFile.ImageFile, label: str) -> list[str]:
    """Note what a JPEG lacks.

    Raises:
        TruncatedError: It lacks its end marker and part of its picture.
    """
    if not is_damaged(file, scan, image):
        return [] if scan.ended else [NO_END]
    if scan.ended:
        return [DAMAGED]
    raise truncated_error(label, os.fstat(file.fileno()).st_size)


def _page_note(image: ImageFile.ImageFile) -> list[str]:
    try:
        pages = 1 if image.format == "MPO" else int(getattr(image, "n_frames", 1))
    except Exception:
        # The first page can be read all the same; plugins raise nearly anything here.
        return ["its later pages are damaged; the first was restored"]
    if pages == 1:
        return []
    left = f"{pages - 1} more {'page was' if pages == 2 else 'pages were'}"
    return [f"the first of {pages} pages or frames was restored; {left} left out"]


def _depth_note(image: ImageFile.ImageFile) -> list[str]:
    """Note what Pillow reduces to 8 bits without saying so."""
    if image.mode.startswith(_DEEP):
        return []
    bits, kind = 8, "RGB"
    if image.format == "PNG" and image.fp is not None:
        image.fp.seek(24)
        bits, colour_type = image.fp.read(2)
        kind = "grey with opacity" if colour_type == 4 else kind
    elif image.format == "TIFF":
        depths = getattr(image, "tag_v2", {}).get(258, (8,))
        bits = max(depths if isinstance(depths, tuple) else (depths,))
    return [f"{bits}-bit {kind} read as 8-bit"] if bits > 8 else []


def _pixels(image: Image.Image, to_srgb: Conversion) -> tuple[Pixels, Pixels | None]:
    width, height = image.size
    transparent = image.mode in _TRANSPARENT or "transparency" in image.info
    full = "LA" if _OPAQUE.get(image.mode) == "L" else "RGBA"
    pixels = np.empty((height, width, 3), np.uint8)
    alpha = np.empty((height, width), np.uint8) if transparent else None
    rows = max(1, SLAB_PIXELS // width)
    for top in range(0, height, rows):
        bottom = min(height, top + rows)
        slab = image.crop((0, top, width, bottom))
        if alpha is not None:
            slab = slab.convert("L") if slab.mode == "1" else slab
            slab = slab if slab.mode == full else slab.convert(full)
            alpha[top:bottom] = np.asarray(slab.getchannel("A"))
            slab = slab.convert("L" if full == "LA" else "RGB")
        elif slab.mode in ("P", "YCbCr", "HSV", "RGBX"):
            slab = slab.convert("RGB")
        levels = np.asarray(to_srgb(slab))
        pixels[top:bottom] = levels if levels.ndim == 3 else levels[..., None]
    return pixels, alpha


def _deep_pixels(image: Image.Image) -> tuple[Pixels, None, str]:
    """Grey of more than 8 bits, as uint16 in three equal channels."""
    levels: NDArray[np.uint16]
    note = ""
    if image.mode.startswith("I;16"):
        levels = np.asarray(image).astype(np.uint16)
        if getattr(image, "tag_v2", {}).get(262) == 0:
            # Pillow leaves 16-bit TIFFs in which 0 is white as they are.
            levels = np.invert(levels)
    else:
        levels, note = _scaled_to_16_bits(np.asarray(image))
    if "transparency" in image.info:
        note = "the transparent level of its 16-bit grey was left out"
    return np.repeat(levels[..., None], 3, axis=2), None, note


def _scaled_to_16_bits(values: Pixels) -> tuple[NDArray[np.uint16], str]:
    """Scale integers or floats of unknown range to 16 bits, with a note on the range taken."""
    rows = max(1, SLAB_PIXELS // values.shape[1])
    slabs = [values[top : top + rows] for top in range(0, len(values), rows)]
    lost = sum(int(np.count_nonzero(~np.isfinite(slab))) for slab in slabs)
    if lost == values.size:
        raise ValueError("no pixel is a finite number")
    low = min(float(_finite(slab).min()) for slab in slabs)
    high = max(float(_finite(slab).max()) for slab in slabs)
    kind = "32-bit float" if values.dtype.kind == "f" else "32-bit integer"
    ranges = (1.0, 255.0, 65535.0) if values.dtype.kind == "f" else (255.0, 65535.0)
    white = next((white for white in ranges if low >= 0 and high <= white), None)
    if white is not None:
        low, high = 0.0, white
    span = max(high - low, math.ulp(high))
    levels = np.concatenate(
        [np.round((_finite(slab) - low) / span * 65535).astype(np.uint16) for slab in slabs]
    )
    note = f"{kind} grey of {low:g} to {high:g} read as 16-bit"
    return levels, f"{note}; {lost} pixels are no finite numbers, read as 0" if lost else note


def _finite(values: Pixels) -> NDArray[np.float64]:
    return np.nan_to_num(values.astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0)


def _upright(pixels: Pixels, orientation: int) -> Pixels:
    """Undo an EXIF orientation, 1 to 8."""
    match orientation:
        case 2:
            turned = pixels[:, ::-1]
        case 3:
            turned = pixels[::-1, ::-1]
        case 4:
            turned = pixels[::-1]
        case 5:
            turned = pixels.swapaxes(0, 1)
        case 6:
            turned = np.rot90(pixels, -1)
        case 7:
            turned = pixels[::-1, ::-1].swapaxes(0, 1)
        case 8:
            turned = np.rot90(pixels, 1)
        case _:
            turned = pixels
    return turned if turned is pixels else _copied(turned)


def _copied(view: Pixels) -> Pixels:
    """A contiguous copy, block by block: row by row a turned photograph misses every cache line."""
    copy = np.empty(view.shape, view.dtype)
    for top in range(0, view.shape[0], _BLOCK_PX):
        for left in range(0, view.shape[1], _BLOCK_PX):
            block = np.s_[top : top + _BLOCK_PX, left : left + _BLOCK_PX]
            copy[block] = view[block]
    return copy


def _is_grey(pixels: Pixels) -> bool:
    """Whether all three channels are equal everywhere; stops at the first slab that is not."""
    rows = max(1, SLAB_PIXELS // pixels.shape[1])
    return all(
        np.array_equal(slab[..., 0], slab[..., 1]) and np.array_equal(slab[..., 0], slab[..., 2])
        for slab in (pixels[top : top + rows] for top in range(0, len(pixels), rows))
    )
