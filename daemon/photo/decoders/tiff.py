"""TIFF of every kind, by tifffile and imagecodecs; fax and YCbCr that is no JPEG by Pillow."""

from __future__ import annotations

import logging
import os
import zlib
from dataclasses import replace
from typing import BinaryIO, cast

import imagecodecs
import numpy as np
from tifffile import TiffFile, TiffPage

from daemon.photo.bit_depth import slabs
from daemon.photo.decoded import CHANNELS, Codes, ColourTags, Decoded, Model
from daemon.photo.decoders.pillow import DAMAGED_PAGES, pillow_codes
from daemon.photo.metadata import FileMetadata, read_tiff_metadata
from daemon.photo.notes import Note, NoteKind, extra_channels_note
from daemon.photo.picture import Metadata
from daemon.photo.pillow_files import open_image
from daemon.photo.tiff_directory import (
    MAX_PAGES,
    Photometric,
    full_pages,
    read_layout,
    read_tiff_header,
)
from daemon.photo.truncation import is_tiff_truncated, truncated_error

_MODELS: dict[int, Model] = {
    Photometric.WHITE_IS_ZERO: "grey",
    Photometric.BLACK_IS_ZERO: "grey",
    Photometric.RGB: "rgb",
    Photometric.PALETTE: "rgb",
    Photometric.CMYK: "cmyk",
    Photometric.YCBCR: "rgb",
    Photometric.CIELAB: "lab",
    Photometric.ICCLAB: "lab",
}

_ASSOCIATED, _UNASSOCIATED = 1, 2
"""Kinds of extra samples that are opacity: colours multiplied by it, and not."""

_OLD_JPEG, _JPEG = 6, 7

_DEFLATE = (8, 32946)
"""Compressions by zlib: Adobe's number and the older one."""

_UNPACKED_BYTES = 1 << 20
"""Bytes that are unpacked at a time."""

_DAMAGED = (
    Note(
        NoteKind.DAMAGE,
        "the TIFF's packed data are damaged: part of the picture may be lost; compare it with "
        "another copy",
    ),
)

_FAX = (2, 3, 4)
"""Compressions of fax machines; imagecodecs' decoder stops in silence at what libtiff reads."""

_NO_METADATA = Metadata("TIFF", "")
_MAX_TILE_PIXELS = 1 << 28
_MAX_SAMPLES = 16

logging.getLogger("tifffile").setLevel(logging.CRITICAL)


def decode(file: BinaryIO, label: str, page: int = 0) -> Decoded:
    """Decode a page; see `photo.decoded.Decode`.

    Raises:
        PhotoError: It is a camera's raw file.
        TruncatedError: It ends before its pixels do.
    """
    header = read_tiff_header(file, label)
    _refuse_truncated(file, label)
    file.seek(0)
    with TiffFile(file, name=label) as tiff:
        numbers, notes = _page_numbers(file, tiff)
        tiff_page = cast("TiffPage", tiff.pages[numbers[page]])
        _refuse_truncated(file, label, tiff_page.offset)
        _refuse_missing_data(file, tiff_page, label)
        _check_sizes(tiff_page)
        said = _metadata(file, tiff_page, header.mode)
        icc = tiff_page.iccprofile
        by_pillow = _needs_pillow(tiff_page)
        decoded = _by_pillow(file, numbers[page]) if by_pillow else _decode_page(tiff_page)
    return replace(
        decoded,
        metadata=replace(said.metadata, icc=icc),
        tags=ColourTags(icc=icc, is_adobe_rgb=said.is_adobe_rgb),
        # Pillow turns a TIFF upright itself.
        orientation=1 if by_pillow else said.orientation,
        pages=len(numbers),
        notes=(*notes, *said.notes, *decoded.notes),
    )


def _refuse_truncated(file: BinaryIO, label: str, offset: int | None = None) -> None:
    """Refuse a file of which a directory points beyond its end: lost strips decode to black."""
    size = os.fstat(file.fileno()).st_size
    if is_tiff_truncated(file, size, offset):
        raise truncated_error(label, size)


def _refuse_missing_data(file: BinaryIO, page: TiffPage, label: str) -> None:
    """Refuse a page whose strips or tiles, as tifffile understands them, lie beyond the file's end.

    It takes memory for all that they claim, before it reads any.
    """
    size = os.fstat(file.fileno()).st_size
    parts = zip(page.dataoffsets, page.databytecounts, strict=False)
    if any(length > 0 and offset + length > size for offset, length in parts):
        raise truncated_error(label, size)


def _page_numbers(file: BinaryIO, tiff: TiffFile) -> tuple[list[int], tuple[str, ...]]:
    """Where tifffile has each page; a smaller copy or a mask of another is none."""
    layout = read_layout(file)
    found = [] if layout is None else [number for number, _ in full_pages(file, layout)]
    try:
        if len(found) == 1:  # one page, or a chain that is damaged or too long
            count = len(tiff.pages)
            return (list(range(count)) if count > MAX_PAGES else found), ()
        return (found if found and tiff.pages[found[-1]] else [0]), ()
    except Exception:
        # The first page can be read all the same, whatever is wrong with the others.
        return [0], (DAMAGED_PAGES,)


def _check_sizes(page: TiffPage) -> None:
    """Refuse what would take memory out of proportion to the picture.

    Raises:
        ValueError: Its tiles or its samples are too many, or no levels of a picture.
    """
    if page.is_tiled and page.tilewidth * page.tilelength > _MAX_TILE_PIXELS:
        raise ValueError(f"its tiles have {page.tilewidth}x{page.tilelength} pixels")
    if not 1 <= page.samplesperpixel <= _MAX_SAMPLES:
        raise ValueError(f"its pixels have {page.samplesperpixel} samples")
    if page.imagedepth != 1 or page.tiledepth != 1:
        raise ValueError("it is a volume, no picture")
    if page.dtype is not None and page.dtype.kind == "c":
        raise ValueError("its samples are complex numbers, which are no picture")


def _metadata(file: BinaryIO, page: TiffPage, mode: str) -> FileMetadata:
    layout = read_layout(file)
    if layout is None:
        raise ValueError("no TIFF")
    return read_tiff_metadata(file, layout, page.offset, mode)


def _needs_pillow(page: TiffPage) -> bool:
    if int(page.compression) in (_OLD_JPEG, *_FAX):
        return True
    return int(page.photometric) == Photometric.YCBCR and int(page.compression) != _JPEG


def _decode_page(page: TiffPage) -> Decoded:
    photometric = int(page.photometric)
    if photometric not in _MODELS:
        raise ValueError(f"its colours are of kind {photometric}, which is not read")
    model = _MODELS[photometric]
    codes, damage = _interleaved(page)
    if photometric == Photometric.PALETTE:
        of_palette = _of_palette(codes, page)
        return replace(of_palette, notes=(*of_palette.notes, *damage))
    codes, alpha, premultiplied, notes = _split(codes, page, model)
    white = _white(page, codes)
    if photometric == Photometric.WHITE_IS_ZERO and white is not None:
        codes = _inverted(codes, white)
    if model == "lab":
        codes = _lab(codes, photometric)
    return Decoded(
        codes,
        model,
        _NO_METADATA,
        white=white,
        alpha=alpha,
        premultiplied=premultiplied,
        notes=(*notes, *damage),
    )


def _interleaved(page: TiffPage) -> tuple[Codes, tuple[Note, ...]]:
    """The samples, (H, W, C), in native byte order, and a note if they are damaged."""
    notes: tuple[Note, ...] = ()
    try:
        samples = page.asarray()
    except RuntimeError:
        # Strips longer than they need be, and the like, which libtiff takes.
        samples = _by_libtiff(page)
        notes = _DAMAGED if _is_deflate_damaged(page) else ()
    if not samples.dtype.isnative:
        samples = samples.astype(samples.dtype.newbyteorder("="))
    height, width = page.imagelength, page.imagewidth
    if int(page.planarconfig) == 2 and page.samplesperpixel > 1:
        samples = samples.reshape(page.samplesperpixel, height, width)
        return np.moveaxis(samples, 0, 2), notes
    return samples.reshape(height, width, page.samplesperpixel), notes


def _is_deflate_damaged(page: TiffPage) -> bool:
    """Whether a deflated strip or tile does not unpack to its end, where its check sum is.

    libtiff stops once it has the pixels, and says nothing of what follows.
    """
    if int(page.compression) not in _DEFLATE:
        return False
    file = page.parent.filehandle
    for offset, length in zip(page.dataoffsets, page.databytecounts, strict=False):
        file.seek(offset)
        packed, unpacker = file.read(length), zlib.decompressobj()
        try:
            while packed and not unpacker.eof:
                unpacker.decompress(packed, _UNPACKED_BYTES)
                packed = unpacker.unconsumed_tail
        except zlib.error:
            return True
    return False


def _by_libtiff(page: TiffPage) -> Codes:
    """The samples as libtiff reads them, which is as strict but takes more kinds of strips."""
    file = page.parent.filehandle
    file.seek(0)
    samples: Codes = imagecodecs.tiff_decode(file.read(), page.index)
    shape = (page.imagelength, page.imagewidth)
    grey = page.samplesperpixel == 1
    if samples.shape != (shape if grey else (*shape, page.samplesperpixel)):
        raise ValueError("its strips are damaged")
    return samples


def _split(
    samples: Codes, page: TiffPage, model: Model
) -> tuple[Codes, Codes | None, bool, tuple[str, ...]]:
    """Colours, opacity, whether colours are multiplied by it, and notes."""
    count = CHANNELS[model]
    kinds = [int(kind) for kind in page.extrasamples]
    if samples.shape[2] < count:
        raise ValueError(f"its pixels have {samples.shape[2]} samples, expected {count}")
    extras = samples.shape[2] - count
    kinds = (kinds + [0] * extras)[:extras]
    place = next((i for i, kind in enumerate(kinds) if kind in (_ASSOCIATED, _UNASSOCIATED)), None)
    left = extras - (place is not None)
    notes = (extra_channels_note(left),) if left else ()
    if place is None:
        return samples[..., :count], None, False, notes
    return samples[..., :count], samples[..., count + place], kinds[place] == _ASSOCIATED, notes


def _white(page: TiffPage, codes: Codes) -> float | None:
    """The code of white; None where numbers have a range of their own."""
    if codes.dtype == np.bool_:
        return 1.0
    if codes.dtype.kind != "u" or codes.dtype.itemsize > 2:
        return None
    bits = page.bitspersample
    # Scanners keep 12 bits in words of 16 and say 16: nothing tells, so white is what they say.
    return float(2 ** min(bits, 8 * codes.dtype.itemsize) - 1)


def _inverted(codes: Codes, white: float) -> Codes:
    if codes.dtype == np.bool_:
        return np.logical_not(codes)
    inverted: Codes = codes.dtype.type(white) - codes
    return inverted


def _of_palette(indices: Codes, page: TiffPage) -> Decoded:
    colormap = page.colormap
    if colormap is None:
        raise ValueError("it has no palette")
    colours = np.ascontiguousarray(colormap.T)
    # Palettes are in 16 bits; nearly all were made of 8.
    shallow = bool((colours % 257 == 0).all() or (colours & 255 == 0).all())
    colours = (colours >> 8).astype(np.uint8) if shallow else colours.astype(np.uint16)
    places = indices[..., 0].astype(np.intp)
    if int(places.max()) >= len(colours):
        raise ValueError("a pixel has a colour that the palette lacks")
    return Decoded(colours[places], "rgb", _NO_METADATA, white=255 if shallow else 65535)


def _lab(samples: Codes, photometric: int) -> Codes:
    """L* of 0 to 100, a* and b*, float32, from the encodings that TIFF has."""
    highest = {1: 255.0, 2: 65535.0}.get(samples.dtype.itemsize)
    if samples.dtype.kind == "f" or highest is None:
        return samples.astype(np.float32)
    unit = np.float32(1 if samples.dtype.itemsize == 1 else 256)
    signed = np.dtype(f"i{samples.dtype.itemsize}")
    lab = np.empty(samples.shape, np.float32)
    for rows in slabs(*samples.shape[:2]):
        lab[rows, :, 0] = samples[rows, :, 0].astype(np.float32) * np.float32(100 / highest)
        opponents = samples[rows, :, 1:]
        if photometric == Photometric.CIELAB:
            lab[rows, :, 1:] = opponents.view(signed).astype(np.float32) / unit
        else:
            lab[rows, :, 1:] = opponents.astype(np.float32) / unit - 128
    return lab


def _by_pillow(file: BinaryIO, page: int) -> Decoded:
    """YCbCr with its subsampling, fax and the first kind of JPEG in TIFF, as libtiff reads them."""
    image = open_image(file)
    image.seek(page)
    image.load()
    found = pillow_codes(image)
    return Decoded(found.codes, found.model, _NO_METADATA, white=255, alpha=found.alpha)
