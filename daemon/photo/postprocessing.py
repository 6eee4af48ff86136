"""Postprocessing: a restored picture becomes the codes of its file; reverses `photo.preprocessing`.

The networks saw the original clipped to sRGB; what they did not see is added to what they made of
it: original + (restored - clip(original)), in extended sRGB. A pixel that no step changed gets the
code that it had.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from daemon.photo.bit_depth import highest_level, slabs, to_depth, to_unit
from daemon.photo.carried_text import carried_text
from daemon.photo.colour import ColourSpace, Floats, is_too_dark, output_space, profile_name
from daemon.photo.decoded import CHANNELS, Codes
from daemon.photo.jpegxl_codestream import name_holding, named_colours
from daemon.photo.notes import Note, NoteKind
from daemon.photo.output_formats import Depth, OutputFormat, Profile
from daemon.photo.picture import Metadata, Original, Picture
from daemon.photo.profiles import ADOBE_RGB_ICC, DISPLAY_P3_ICC
from daemon.photo.xmp import XmpChanges, changed_xmp

_LEAST_RESIDUAL = np.float32(0.5 / 65535)
"""Distance from sRGB, of 0 to 1, from which a colour lies outside it: 16 bits hold no less."""


_SAME, _OTHER = 0.1, 0.3
"""Change of a channel, of 0 to 1, up to which a step is taken to have kept a pixel's colour, and
from which it is taken to have made another."""

_DEEP: np.dtype[np.generic] = np.dtype(np.uint16)
_DTYPES: dict[int, np.dtype[np.generic]] = {8: np.dtype(np.uint8), 32: np.dtype(np.float32)}
"""Types of codes by the bits of the file; all others have uint16."""

_MODE_BITS = re.compile(r";(\d+)")


@dataclass(frozen=True, eq=False)
class Finished:
    """A result as a writer takes it.

    Attributes:
        codes: (H, W, C), uint8, uint16 or float32; grey 1 or RGB 3 channels, and opacity as the
            last if there is any. Colours are not multiplied by it.
        has_alpha: Whether the last channel is opacity.
        icc: Profile to embed, or None for sRGB.
        metadata: What is carried; its own `icc` does not count here.
        bits: Bits of a sample in the file, which may be fewer than the codes have.
    """

    codes: Codes
    has_alpha: bool
    icc: bytes | None
    metadata: Metadata
    bits: int

    @property
    def is_grey(self) -> bool:
        """Whether it has one channel of colour."""
        return int(self.codes.shape[2]) == 1 + self.has_alpha


def finish(
    picture: Picture,
    format: OutputFormat,
    depth: Depth,
    profile: Profile,
    *,
    is_lossless: bool = False,
) -> tuple[Finished, tuple[str, ...]]:
    """Convert a result to the codes of its file, slab by slab.

    Args:
        picture: The result.
        format: What it is written as.
        depth: Depth that is asked for.
        profile: Colours that are asked for.
        is_lossless: The writer keeps the codes as they are; JPEG XL then has room for any profile.

    Returns:
        The codes, and notes on what could not be kept.
    """
    bits, notes = _bits(picture, format, depth)
    dtype = _DTYPES.get(bits, _DEEP)
    space, note = _space(picture, format, profile, is_lossless=is_lossless)
    if dtype == np.uint8 and picture.pixels.dtype != np.uint8 and is_too_dark(space):
        readable: Profile = "srgb" if picture.grey else "display-p3"
        space, note = _space(picture, format, readable, is_lossless=is_lossless)
        note = note or "its profile would lose its shadows in 8 bits: written in another"
    notes += [Note(NoteKind.COLOUR, note)] if note else []
    flatten = picture.alpha is not None and not format.has_alpha
    said = f"{format.label} has no transparency: flattened on white"
    notes += [Note(NoteKind.TRANSPARENCY, said)] if flatten else []
    has_alpha = picture.alpha is not None and not flatten
    height, width = picture.pixels.shape[:2]
    plain = picture.original is None and not flatten and space.icc is None and not has_alpha
    if plain and picture.pixels.dtype == dtype:
        codes = space.from_levels(picture.pixels)
    else:
        codes = np.empty((height, width, CHANNELS[space.model] + has_alpha), dtype)
        target = _Target(space, np.dtype(dtype), flatten=flatten)
        for rows in slabs(height, width):
            codes[rows, :, : CHANNELS[space.model]] = _slab(picture, target, rows)
            if has_alpha and picture.alpha is not None:
                codes[rows, :, -1] = to_depth(picture.alpha[rows], dtype)
    metadata, text_notes = carried_text(_changed_metadata(picture, format, space), format.name)
    notes += text_notes
    return Finished(codes, has_alpha, space.icc, metadata, bits), tuple(notes)


def _changed_metadata(picture: Picture, format: OutputFormat, space: ColourSpace) -> Metadata:
    """The metadata that is carried, with the XMP of the result."""
    metadata = picture.metadata
    if metadata.xmp is None:
        return metadata
    height, width = picture.pixels.shape[:2]
    changes = XmpChanges(
        width,
        height,
        f"image/{format.name}",
        metadata.scale,
        metadata.turned,
        None if space.icc == metadata.icc else space.icc is None,
    )
    return replace(metadata, xmp=changed_xmp(metadata.xmp, changes))


@dataclass(frozen=True)
class _Target:
    space: ColourSpace
    dtype: np.dtype[np.generic]
    flatten: bool


def _bits(picture: Picture, format: OutputFormat, depth: Depth) -> tuple[int, list[Note]]:
    """Bits of a sample in the file: those asked for, or the next that the format holds."""
    original = picture.original
    is_float = (
        original is not None and original.codes.dtype.kind == "f" and original.space.model != "lab"
    )
    if depth == "same" and is_float and "float" in format.depths and _same_size(picture):
        return 32, []
    wanted = _own_bits(picture) if depth == "same" else depth
    held = [bits for bits in format.depths if isinstance(bits, int)]
    bits = min((bits for bits in held if bits >= wanted), default=max(held))
    if bits < wanted:
        return bits, [Note(NoteKind.DEPTH, f"{wanted}-bit written as {bits}-bit")]
    return bits, []


def _own_bits(picture: Picture) -> int:
    """Bits of a sample of the photograph; 16 where its file does not say how many above 8."""
    if picture.pixels.dtype == np.uint8:
        return 8
    said = _MODE_BITS.search(picture.metadata.mode)
    return int(said[1]) if said is not None and 8 < int(said[1]) <= 16 else 16


def _space(
    picture: Picture, format: OutputFormat, profile: Profile, *, is_lossless: bool
) -> tuple[ColourSpace, str]:
    """The colours of the file, and a note or ""."""
    space, note = _asked_space(picture, format, profile)
    if format.has_profiles or is_lossless or named_colours(space) is not None:
        return space, note
    icc, label = None, "sRGB"
    if space.model == "rgb":
        wider = name_holding(space)
        icc, label = wider.icc, wider.label
    space, _ = output_space(icc, grey=picture.grey, has_grey=format.has_grey)
    return space, f"lossy {format.label} has no name for its colours: written as {label}"


def _asked_space(
    picture: Picture, format: OutputFormat, profile: Profile
) -> tuple[ColourSpace, str]:
    grey, has_grey = picture.grey, format.has_grey
    match profile:
        case "srgb":
            return output_space(None, grey=grey, has_grey=has_grey)
        case "display-p3":
            return output_space(DISPLAY_P3_ICC, grey=grey, has_grey=has_grey)
        case "adobe-rgb":
            return output_space(ADOBE_RGB_ICC, grey=grey, has_grey=has_grey)
        case "keep":
            space, note = output_space(_kept_profile(picture), grey=grey, has_grey=has_grey)
            return space, note or _replaced_colours(picture, space)


def _kept_profile(picture: Picture) -> bytes | None:
    """The profile of the file; for CMYK and Lab, which are not written, one that holds prints."""
    original = picture.original
    if original is not None and original.space.model in ("cmyk", "lab"):
        plain = original.space.model == "cmyk" and original.space.icc is None
        return None if plain or picture.grey else ADOBE_RGB_ICC
    return picture.metadata.icc


def _replaced_colours(picture: Picture, space: ColourSpace) -> str:
    """What CMYK with a profile and Lab became, as neither is written; "" for other colours."""
    original = picture.original
    if original is None or original.space.model not in ("cmyk", "lab"):
        return ""
    became = "Adobe RGB" if space.icc == ADOBE_RGB_ICC else "grey" if picture.grey else "sRGB"
    if original.space.model == "lab":
        return f"Lab became {became}"
    if original.space.icc is None:
        return ""  # a note of the reader says that it was converted by rule
    name = profile_name(original.space.icc)
    return f"CMYK of {name} became {became}" if name else f"CMYK became {became}"


def _same_size(picture: Picture) -> bool:
    original = picture.original
    return original is not None and original.codes.shape[:2] == picture.pixels.shape[:2]


def _slab(picture: Picture, target: _Target, rows: slice) -> Codes:
    """Rows of the result as codes, without opacity."""
    levels = picture.pixels[rows]
    original = picture.original
    if target.flatten and picture.alpha is not None:
        return to_depth(
            target.space.from_levels(_on_white(levels, picture.alpha[rows])), target.dtype
        )
    if original is None:
        return to_depth(target.space.from_levels(levels), target.dtype)
    if not _same_size(picture):
        return _with_residual(levels, _enlarged_residual(picture, original, rows), target)
    codes = original.codes[rows]
    seen = original.space.to_levels(codes, levels.dtype)
    if target.space != original.space:
        residual = _faded(_residual(codes, seen, original.space), levels, seen)
        return _with_residual(levels, residual, target)
    changed = (levels != seen).any(axis=2)
    if original.hidden is not None:
        changed &= ~original.hidden[rows]
    finished = to_depth(codes, target.dtype)
    if changed.any():
        finished = finished.copy()  # it may be the original itself
        some, was = levels[changed][None], seen[changed][None]
        residual = _faded(_residual(codes[changed][None], was, original.space), some, was)
        finished[changed] = _with_residual(some, residual, target)[0]
    return finished


def _faded(residual: Floats | None, levels: Codes, seen: Codes) -> Floats | None:
    """The residual, less where a step made something else of what it saw.

    A scratch that is filled in, or a restyled picture, has not the colours that lay there outside
    sRGB.
    """
    if residual is None:
        return None
    change = np.abs(to_unit(levels) - to_unit(seen)).max(axis=2, keepdims=True)
    share = np.clip((_OTHER - change) / (_OTHER - _SAME), 0, 1)
    return np.asarray(residual * share, np.float32)


def _with_residual(levels: Codes, residual: Floats | None, target: _Target) -> Codes:
    """Restored levels plus what sRGB could not hold, as codes."""
    if target.dtype.kind == "f":
        values = to_unit(levels)
        return target.space.from_extended(values if residual is None else values + residual)
    finished = to_depth(target.space.from_levels(levels), target.dtype)
    if residual is None:
        return finished
    outside = (np.abs(residual) > _LEAST_RESIDUAL).any(axis=2)
    extended = (to_unit(levels[outside]) + residual[outside])[None]
    finished = finished.copy()  # it may be the levels themselves
    finished[outside] = to_depth(target.space.from_extended(extended), target.dtype)[0]
    return finished


def _residual(codes: Codes, seen: Codes, space: ColourSpace) -> Floats | None:
    """The part of an original that sRGB in [0, 1] lacks, (h, w, 3); None if nothing."""
    if space.is_srgb and codes.dtype.kind != "f":
        return None
    clipped = ((seen == 0) | (seen == highest_level(seen.dtype))).any(axis=2)
    if not clipped.any():
        return None
    residual = np.zeros(seen.shape, np.float32)
    extended = space.to_extended(codes[clipped][None])[0]
    residual[clipped] = extended - np.clip(extended, 0, 1)
    return residual


def _enlarged_residual(picture: Picture, original: Original, rows: slice) -> Floats | None:
    """The residual of an original of another size, resized to rows of the picture: bilinear."""
    height, width = picture.pixels.shape[:2]
    old_height, old_width = original.codes.shape[:2]
    above, below, lower = _neighbours(height, old_height)
    left, right, further = _neighbours(width, old_width)
    first, last = int(above[rows][0]), int(below[rows][-1])
    codes = original.codes[first : last + 1]
    seen = original.space.to_levels(codes, picture.pixels.dtype)
    residual = _residual(codes, seen, original.space)
    if residual is None:
        return None
    if original.hidden is not None:
        residual[original.hidden[first : last + 1]] = 0
    if not residual.any():
        return None
    weight = lower[rows, None, None]
    band = residual[above[rows] - first] * (1 - weight) + residual[below[rows] - first] * weight
    resized = band[:, left] * (1 - further[:, None]) + band[:, right] * further[:, None]
    return resized.astype(np.float32)


def _neighbours(
    count: int, grid: int
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float32]]:
    """The two of `grid` pixels around each of `count`, and the second one's weight in it."""
    place = np.clip((np.arange(count) + 0.5) * grid / count - 0.5, 0, grid - 1)
    first = np.floor(place).astype(np.intp)
    return first, np.minimum(first + 1, grid - 1), (place - first).astype(np.float32)


def _on_white(levels: Codes, alpha: Codes) -> Codes:
    highest = highest_level(levels.dtype)
    opacity = to_depth(alpha, levels.dtype)[..., None].astype(np.uint64)
    blended = levels * opacity + highest * (highest - opacity) + highest // 2
    return (blended // highest).astype(levels.dtype)
