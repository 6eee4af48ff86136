"""Bit depth: any numbers that files hold become codes of 8 or 16 bits, or floats.

uint8 and uint16 have their full range, 0 is black; of float32 0 is black and 1 is white.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from daemon.photo.decoded import Codes
from daemon.photo.notes import Note, NoteKind
from daemon.photo.picture import SLAB_PIXELS

_FLOAT_WHITES = (1.0, 255.0, 65535.0)
_INTEGER_WHITES = (255.0, 65535.0)

_JUDGED_ROWS = 512
"""Rows by which a whole picture is judged."""

_BRIGHTEST = 8.0
"""Highest value of floats that are taken for light in which 1 is white; beyond it they are levels.

Levels of 0 to 255 that all stay below it would be a black picture.
"""


def highest_level(dtype: DTypeLike) -> int:
    """White in a type of whole numbers."""
    return int(np.iinfo(np.dtype(dtype).name).max)


def to_depth(codes: Codes, dtype: DTypeLike) -> Codes:
    """Codes rounded or widened to another depth, clipped to its range."""
    if codes.dtype == dtype:
        return codes
    wanted = np.dtype(dtype)
    if codes.ndim < 2 or codes.shape[0] * codes.shape[1] <= SLAB_PIXELS:
        return _converted(codes, wanted)
    converted = np.empty(codes.shape, wanted)
    for rows in slabs(*codes.shape[:2]):
        converted[rows] = _converted(codes[rows], wanted)
    return converted


def _converted(codes: Codes, wanted: np.dtype[Any]) -> Codes:
    if wanted.kind == "f":
        return to_unit(codes)
    if codes.dtype.kind == "f":
        highest = highest_level(wanted)
        return np.rint(np.clip(codes, 0, 1) * np.float32(highest)).astype(wanted)
    if wanted == np.uint8:
        return ((codes.astype(np.uint32) + 128) // 257).astype(np.uint8)
    return codes.astype(np.uint16) * np.uint16(257)


def to_unit(codes: Codes) -> NDArray[np.float32]:
    """Scale codes to float32, any shape: 0 is black, 1 is white; floats keep their values."""
    if codes.dtype.kind == "f":
        return codes.astype(np.float32, copy=False)
    return codes.astype(np.float32) / np.float32(highest_level(codes.dtype))


def slabs(height: int, width: int) -> Iterator[slice]:
    """Rows of a picture, some megapixels at a time."""
    rows = max(1, SLAB_PIXELS // max(1, width))
    return (slice(top, min(height, top + rows)) for top in range(0, height, rows))


def full_range(codes: Codes, white: float) -> Codes:
    """Whole numbers, of which 0 is black, stretched to the full range of 8 or 16 bits.

    Args:
        codes: (H, W) or (H, W, C), unsigned or bool.
        white: The code of white.
    """
    if codes.dtype == np.bool_:
        codes = codes.view(np.uint8)
    dtype = np.dtype(np.uint8 if white <= 255 else np.uint16)
    highest = highest_level(dtype)
    if white == highest and codes.dtype == dtype:
        return codes
    stretched = np.empty(codes.shape, dtype)
    for rows in slabs(*codes.shape[:2]):
        scaled = codes[rows].astype(np.float64) * (highest / white)
        stretched[rows] = np.rint(np.clip(scaled, 0, highest))
    return stretched


def is_mislabelled(codes: Codes) -> bool:
    """Whether numbers with a sign are smoother without it: some scanners mark levels as signed.

    Args:
        codes: (H, W, C), of any type.
    """
    if codes.dtype.kind != "i" or int(codes.min()) >= 0:
        return False
    some = np.ascontiguousarray(codes[:: max(1, len(codes) // _JUDGED_ROWS)])
    signed = np.abs(np.diff(some.astype(np.float64), axis=1)).sum()
    unsigned = some.view(f"u{codes.dtype.itemsize}").astype(np.float64)
    return bool(np.abs(np.diff(unsigned, axis=1)).sum() < signed)


def unit_floats(codes: Codes, kind: str, *, nominal: bool) -> tuple[NDArray[np.float32], str]:
    """Numbers whose white the file does not tell, as float32 of which 1 is white.

    Args:
        codes: (H, W, C) of any type of numbers.
        kind: What messages call the pixels: "grey", "RGB".
        nominal: The file has a profile, so that 1 is white whatever the range.

    Returns:
        The codes, and a note on the range that was taken, or "".

    Raises:
        ValueError: No pixel is a finite number.
    """
    low, high, lost = _range(codes)
    is_float = codes.dtype.kind == "f"
    name = f"{codes.dtype.itemsize * 8}-bit {'float' if is_float else 'integer'} {kind}"
    white = _white(codes, low, high, nominal=nominal)
    start = 0.0
    if white is None:
        start, white = low, high
    span = max(white - start, math.ulp(high))
    values = np.empty(codes.shape, np.float32)
    for rows in slabs(*codes.shape[:2]):
        values[rows] = (_finite(codes[rows]) - start) / span
    shown = (low, high) if (start, white) == (low, high) else (start, white)
    note = f"{name} of {shown[0]:g} to {shown[1]:g} read as 16-bit"
    if lost:
        note += f"; {lost} pixels are no finite numbers, read as 0"
    return values, "" if nominal and not lost else Note(NoteKind.DEPTH, note)


def _white(codes: Codes, low: float, high: float, *, nominal: bool) -> float | None:
    """The number that stands for white, 0 being black; None where the range is neither's."""
    is_float = codes.dtype.kind == "f"
    if nominal and is_float:
        return 1.0
    colours = codes.ndim == 3 and codes.shape[2] > 1
    if is_float and high <= _BRIGHTEST and (low >= 0 or (colours and low >= -1)):
        return 1.0
    if low < 0:
        return None
    if is_float:
        return next((white for white in _FLOAT_WHITES if high <= white), None)
    whole = float(highest_level(codes.dtype))
    if codes.dtype.kind == "u":
        return next((white for white in (*_INTEGER_WHITES, whole) if high <= white), whole)
    return next((white for white in _INTEGER_WHITES if high <= white <= whole), whole)


def _range(codes: Codes) -> tuple[float, float, int]:
    """The least and the greatest finite number, and how many are not finite."""
    low, high, lost = math.inf, -math.inf, 0
    for rows in slabs(*codes.shape[:2]):
        slab = codes[rows]
        if slab.dtype.kind == "f":
            lost += int(np.count_nonzero(~np.isfinite(slab)))
        finite = _finite(slab)
        low, high = min(low, float(finite.min())), max(high, float(finite.max()))
    if lost == codes.size:
        raise ValueError("no pixel is a finite number")
    return low, high, lost


def _finite(codes: Codes) -> NDArray[np.float64]:
    values = codes.astype(np.float64)
    if codes.dtype.kind == "f":
        np.nan_to_num(values, copy=False, nan=0.0, posinf=0.0, neginf=0.0)
    return values
