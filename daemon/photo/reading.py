"""Decoding a photograph and its side files into a `Picture`, upright and in sRGB.

Converts slab by slab, so that a photograph is in memory once as its decoder keeps it and once as
an array, never more.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from daemon.photo.bit_depth import to_depth
from daemon.photo.decoded import Decoded
from daemon.photo.decoding import known_format, photo_errors, read_header
from daemon.photo.picture import PROMPTS, Limits, Photo, Picture, Source
from daemon.photo.preprocessing import Preprocessed, preprocess
from daemon.photo.prompts import read_prompt_file
from daemon.photo.transparency import without_hidden
from daemon.photo.zero_holes import zero_hole_notes
from daemon.photo.zero_tails import zero_tail_notes
from daemon.system.errors import PhotoError
from daemon.system.files import open_regular, shown

Pixels = NDArray[np.generic]


def read_source(photo: Photo, limits: Limits) -> Source:
    """Decode a photograph for a recipe, or read a prompt file; see `read_picture`.

    Colours that are hidden under transparency are replaced by such as are around them.
    """
    if photo.header.format == PROMPTS:
        return read_prompt_file(photo.path, shown(photo.name), photo.beneath)
    return without_hidden(read_picture(photo, limits))


def read_picture(photo: Photo, limits: Limits) -> Picture:
    """Decode a photograph and its side files.

    Args:
        photo: The photograph and its page.
        limits: Sizes beyond which it is refused.

    Returns:
        The picture: upright, in sRGB, uint8 if its file has at most 8 bits, else uint16.

    Raises:
        TruncatedError: The photograph ends early.
        PhotoError: It or a side file cannot be decoded or exceeds the limits.
        OSError: A file cannot be read.
    """
    labels = photo.labels
    decoded = _decode_page(photo, limits)
    mask = hints = None
    if photo.mask is not None:
        mask = _mask(_decode(photo.mask, labels[photo.mask], limits, photo.beneath))
    if photo.hints is not None:
        hints = _hints(_decode(photo.hints, labels[photo.hints], limits, photo.beneath))
    return Picture(
        pixels=decoded.pixels,
        grey=decoded.grey,
        metadata=replace(decoded.metadata, modified_ns=photo.path.lstat().st_mtime_ns),
        alpha=decoded.alpha,
        mask=mask,
        hints=hints,
        notes=decoded.notes,
        original=decoded.original,
    )


def to_eight_bits(levels: Pixels) -> NDArray[np.uint8]:
    """Round uint16 levels to the nearest uint8 levels; uint8 stays as it is."""
    return to_depth(levels, np.uint8).view(np.uint8)


def _mask(decoded: Preprocessed) -> NDArray[np.uint8]:
    """A mask's luminance, uint8 (h, w); transparent pixels count as black."""
    luminance = Image.fromarray(to_eight_bits(decoded.pixels)).convert("L")
    mask = np.asarray(luminance).astype(np.uint32)
    if decoded.alpha is not None:
        mask = (mask * to_eight_bits(decoded.alpha) + 127) // 255
    return mask.astype(np.uint8)


def _hints(decoded: Preprocessed) -> NDArray[np.uint8]:
    """Colour hints with their opacity, uint8 RGBA (h, w, 4)."""
    alpha = np.full(decoded.pixels.shape[:2], 255, np.uint8)
    if decoded.alpha is not None:
        alpha = to_eight_bits(decoded.alpha)
    return np.dstack([to_eight_bits(decoded.pixels), alpha])


def _decode_page(photo: Photo, limits: Limits) -> Preprocessed:
    name, page = photo.labels[photo.path], photo.page
    if page is None:
        return _decode(photo.path, name, limits, photo.beneath)
    width, height = photo.size
    megapixels = width * height / 1e6
    if megapixels > limits.max_input_megapixels:
        why = f"its page {page + 1} has {megapixels:.1f} megapixels"
        allowed = f"allowed: at most {limits.max_input_megapixels:g}"
        raise PhotoError(name, f"{why}; {allowed}", "raise the setting max_input_megapixels")
    with open_regular(photo.path, photo.beneath) as file, photo_errors(photo.path, name):
        decoded = _decoded(file, name, page)
        if decoded.codes.shape[0] * decoded.codes.shape[1] != width * height:
            raise ValueError(f"its page {page + 1} is not of {width}x{height} pixels")
        return preprocess(decoded, is_only_page=False)


def _decode(path: Path, name: str, limits: Limits, beneath: Path | None) -> Preprocessed:
    header = read_header(path, limits, name=name, beneath=beneath)
    with open_regular(path, beneath) as file, photo_errors(path, shown(name)):
        decoded = _decoded(file, shown(name))
        height, width = decoded.codes.shape[:2]
        if height * width > header.height * header.width:  # the limits were checked for these
            said = f"its header says {header.width}x{header.height} pixels"
            raise ValueError(f"{said}, and it has {width}x{height}")
        return preprocess(decoded)


def _decoded(file: BinaryIO, label: str, page: int = 0) -> Decoded:
    """Decode a page, with a note if its file has zeros as a copy with gaps has them."""
    format = known_format(file)
    decoded = format.decoder()(file, label, page)
    zeros = zero_tail_notes(file, format.name) or zero_hole_notes(file, format.name)
    return replace(decoded, notes=(*decoded.notes, *zeros))
