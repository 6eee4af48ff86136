"""Preprocessing: decoded codes become the upright sRGB pixels of 8 or 16 bits that networks see.

The one place where codes get their meaning. What sRGB in [0, 1] cannot hold stays beside the
pixels as the `Original`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import DTypeLike

from daemon.photo.bit_depth import (
    full_range,
    highest_level,
    is_mislabelled,
    slabs,
    to_depth,
    to_unit,
    unit_floats,
)
from daemon.photo.colour import ColourSpace, space_of
from daemon.photo.decoded import Codes, Decoded
from daemon.photo.notes import Note, NoteKind
from daemon.photo.picture import Metadata, Original, Picture
from daemon.photo.tone_mapping import without_high_range

_BLOCK_PX = 512
"""Side of the blocks in which a turned photograph is copied."""

_KINDS = {"grey": "grey", "rgb": "RGB", "cmyk": "CMYK", "lab": "Lab"}


@dataclass(frozen=True, eq=False)
class Preprocessed:
    """A page as restorers take it; the fields are those of `Picture`."""

    pixels: Codes
    grey: bool
    metadata: Metadata
    alpha: Codes | None
    original: Original | None
    notes: tuple[str, ...]


def preprocess(decoded: Decoded, *, is_only_page: bool = True) -> Preprocessed:
    """Turn a decoded page upright and convert it to sRGB.

    Args:
        decoded: The page.
        is_only_page: No other page of its file is read; a note then tells of them.

    Raises:
        ValueError: Its numbers or its colours are of a kind that is not read.
    """
    decoded = without_high_range(decoded)
    notes = [*(page_notes(decoded.pages) if is_only_page else []), *decoded.notes]
    space, space_notes = space_of(decoded.tags, decoded.model)
    codes, alpha, note = _normalised(decoded)
    notes += [note] if note else []
    notes += [Note(NoteKind.COLOUR, text) for text in space_notes]
    if decoded.premultiplied and alpha is not None:
        codes = _unassociated(codes, alpha)
    codes = upright(codes, decoded.orientation)
    alpha = None if alpha is None else upright(alpha, decoded.orientation)
    if decoded.model == "grey" and space.model == "rgb":
        codes = np.repeat(codes, 3, axis=2)
    pixels = _levels(codes, space, np.uint8 if _is_shallow(codes, decoded) else np.uint16)
    alpha = None if alpha is None else to_depth(alpha, pixels.dtype)
    metadata = replace(
        decoded.metadata,
        icc=space.icc if space.model in ("grey", "rgb") else None,
        turned=decoded.orientation,
    )
    is_whole = space.is_srgb and codes.dtype.kind != "f"
    return Preprocessed(
        pixels,
        decoded.model == "grey" or is_grey(pixels),
        metadata,
        alpha,
        None if is_whole else Original(codes, space),
        tuple(dict.fromkeys(notes)),
    )


def deepened(picture: Picture) -> Picture:
    """The same picture in 16 bits."""
    alpha = None if picture.alpha is None else to_depth(picture.alpha, np.uint16)
    return replace(picture, pixels=to_depth(picture.pixels, np.uint16), alpha=alpha)


def page_notes(pages: int) -> list[str]:
    """Say which of several pages was taken."""
    if pages == 1:
        return []
    left = f"{pages - 1} more {'page was' if pages == 2 else 'pages were'}"
    said = f"the first of {pages} pages or frames was restored; {left} left out"
    return [Note(NoteKind.PAGES, said)]


def upright(codes: Codes, orientation: int) -> Codes:
    """Undo an EXIF orientation, 1 to 8."""
    match orientation:
        case 2:
            turned = codes[:, ::-1]
        case 3:
            turned = codes[::-1, ::-1]
        case 4:
            turned = codes[::-1]
        case 5:
            turned = codes.swapaxes(0, 1)
        case 6:
            turned = np.rot90(codes, -1)
        case 7:
            turned = codes[::-1, ::-1].swapaxes(0, 1)
        case 8:
            turned = np.rot90(codes, 1)
        case _:
            turned = codes
    return turned if turned is codes else _copied(turned)


def is_grey(pixels: Codes) -> bool:
    """Whether all three channels are equal everywhere; stops at the first slab that is not."""
    return all(
        np.array_equal(slab[..., 0], slab[..., 1]) and np.array_equal(slab[..., 0], slab[..., 2])
        for slab in (pixels[rows] for rows in slabs(*pixels.shape[:2]))
    )


def _normalised(decoded: Decoded) -> tuple[Codes, Codes | None, str]:
    """Codes and opacity of 8 or 16 bits in full range, or float32, and a note on their range."""
    codes, alpha, white = decoded.codes, decoded.alpha, decoded.white
    if decoded.model == "lab":
        return codes, None if alpha is None else _opacity(alpha, white), ""
    if white is not None:
        opacity = None if alpha is None else full_range(alpha, white)
        return full_range(codes, white), opacity, ""
    if is_mislabelled(codes):
        bits = 8 * codes.dtype.itemsize
        unsigned = np.ascontiguousarray(codes).view(f"u{codes.dtype.itemsize}")
        white = float(highest_level(unsigned.dtype))
        opacity = None if alpha is None else _opacity(alpha, None)
        said = f"its {bits}-bit levels are marked as signed and are not: read as unsigned"
        return full_range(unsigned, white), opacity, Note(NoteKind.DEPTH, said)
    nominal = decoded.tags.icc is not None
    values, note = unit_floats(codes, _KINDS[decoded.model], nominal=nominal)
    opacity = None if alpha is None else _opacity(alpha, white)
    # Whole numbers of unknown range come to 16 bits; floats stay what they are.
    is_float = codes.dtype.kind == "f"
    return values if is_float else to_depth(values, np.uint16), opacity, note


def _opacity(alpha: Codes, white: float | None) -> Codes:
    """Opacity beside codes of unknown range, as uint16."""
    if alpha.dtype.kind != "f":
        return full_range(alpha, white or float(highest_level(alpha.dtype)))
    return to_depth(np.nan_to_num(alpha.astype(np.float32)), np.uint16)


def _unassociated(codes: Codes, alpha: Codes) -> Codes:
    """Codes that were multiplied by the opacity, divided by it; where it is 0 they are 0."""
    divided = np.empty(codes.shape, codes.dtype)
    for rows in slabs(*codes.shape[:2]):
        opacity = to_unit(alpha[rows])[..., None]
        safe = np.where(opacity > 0, opacity, np.float32(1))
        values = codes[rows].astype(np.float32) / safe
        if codes.dtype.kind == "f":
            divided[rows] = values
        else:
            divided[rows] = np.rint(np.clip(values, 0, highest_level(codes.dtype)))
    return divided


def _is_shallow(codes: Codes, decoded: Decoded) -> bool:
    """Whether 8 bits hold what the file has."""
    is_lab = decoded.model == "lab" and decoded.white == highest_level(np.uint8)
    return is_lab or codes.dtype == np.uint8


def _levels(codes: Codes, space: ColourSpace, dtype: DTypeLike) -> Codes:
    """The sRGB levels of codes, (H, W, 3): the codes themselves where they are that already."""
    if space.is_srgb and codes.shape[2] == 3 and codes.dtype == dtype:
        return np.ascontiguousarray(codes)
    height, width = codes.shape[:2]
    levels = np.empty((height, width, 3), dtype)
    for rows in slabs(height, width):
        levels[rows] = space.to_levels(codes[rows], dtype)
    return levels


def _copied(view: Codes) -> Codes:
    """A contiguous copy, block by block: row by row a turned photograph misses every cache line."""
    copy = np.empty(view.shape, view.dtype)
    for top in range(0, view.shape[0], _BLOCK_PX):
        for left in range(0, view.shape[1], _BLOCK_PX):
            block = np.s_[top : top + _BLOCK_PX, left : left + _BLOCK_PX]
            copy[block] = view[block]
    return copy
