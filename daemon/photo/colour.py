"""Embedded colour profiles: conversions into sRGB for the networks, and back for the result.

A `Conversion` is applied to slabs of rows. The writer decides what a result embeds; this module
says what a profile allows.
"""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageCms

_INTENT = ImageCms.Intent.RELATIVE_COLORIMETRIC
_FLAGS = ImageCms.Flags.BLACKPOINTCOMPENSATION

_MODES = {"GRAY": "L", "RGB": "RGB", "CMYK": "CMYK"}
"""Pillow's mode for the colour space of a profile."""

_ALLOWED_SPACES = {"L": ("GRAY", "RGB"), "RGB": ("RGB",), "CMYK": ("CMYK",)}
"""Colour spaces of the profiles that suit pixels of a mode."""


@dataclass(frozen=True)
class Conversion:
    """A change of colour space, applied to slabs of rows.

    Attributes:
        source: Pillow's mode before the transform; slabs of other modes are brought to it.
        target: Pillow's mode of the result.
        transform: The transform, or None where a change of mode is all.
        icc: Profile to embed in the result, or None.
        note: What a person should know, or "".
    """

    source: str
    target: str
    transform: ImageCms.ImageCmsTransform | None = None
    icc: bytes | None = None
    note: str = ""

    def __call__(self, slab: Image.Image) -> Image.Image:
        """Convert one slab."""
        image = slab if slab.mode == self.source else slab.convert(self.source)
        image = image if self.transform is None else self.transform.apply(image)
        return image if image.mode == self.target else image.convert(self.target)


def into_srgb(mode: str, icc: bytes | None) -> Conversion:
    """The conversion from a file's colours to sRGB.

    Args:
        mode: Mode of the pixels: "L", "RGB", "CMYK" or "LAB".
        icc: The embedded profile, or None.

    Returns:
        A conversion to "L" (from L) or "RGB". Its `icc` is what the result may embed: only grey and
        RGB profiles, since results are never CMYK or LAB.
    """
    target = "L" if mode == "L" else "RGB"
    if mode == "LAB":
        lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB"))
        return Conversion("LAB", "RGB", _transform(lab, _srgb(), "LAB", "RGB"))
    if icc is None:
        note = "CMYK without a colour profile, converted by rule" if mode == "CMYK" else ""
        return Conversion(mode, target, note=note)
    try:
        profile, space = _open_profile(icc)
        if space not in _ALLOWED_SPACES[mode]:
            note = f"the embedded profile is for {space}, the pixels are {mode}: left out"
            return Conversion(mode, target, note=note)
        source = _MODES[space]
        transform = _transform(profile, _srgb(), source, "RGB")
        is_srgb = source != "CMYK" and _is_identity(transform, source)
    except (OSError, ImageCms.PyCMSError, ValueError) as error:
        note = f"the embedded colour profile is broken ({error}): left out"
        return Conversion(mode, target, note=note)
    kept = None if source == "CMYK" or (is_srgb and source != mode) else icc
    if is_srgb:
        return Conversion(mode, target, icc=kept)
    return Conversion(source, target, transform, kept)


def out_of_srgb(icc: bytes | None, *, grey: bool) -> Conversion:
    """The conversion from sRGB back to the colours of a profile that `into_srgb` kept.

    Args:
        icc: The profile, grey or RGB; None leaves the result in sRGB.
        grey: The result is grey. An RGB profile makes it RGB all the same; a grey profile cannot
            hold colours, so a coloured result is left in sRGB without it.
    """
    unprofiled_mode = "L" if grey else "RGB"
    if icc is None:
        return Conversion("RGB", unprofiled_mode)
    try:
        profile, space = _open_profile(icc)
        if space == "GRAY" and not grey:
            note = "the embedded grey profile cannot hold colours: the result is sRGB"
            return Conversion("RGB", unprofiled_mode, note=note)
        mode = _MODES[space]
        if _is_identity(_transform(profile, _srgb(), mode, "RGB"), mode):
            return Conversion(mode, mode, icc=icc)
        return Conversion("RGB", mode, _transform(_srgb(), profile, "RGB", mode), icc)
    except (OSError, ImageCms.PyCMSError, ValueError, KeyError) as error:
        # Some scanners embed profiles that convert from their colours only.
        note = f"the embedded profile cannot be converted to ({error}): the result is sRGB"
        return Conversion("RGB", unprofiled_mode, note=note)


def profile_space(icc: bytes) -> str:
    """The colour space of a profile: "GRAY", "RGB", "CMYK" or another; "" where it is broken."""
    try:
        return _open_profile(icc)[1]
    except (OSError, ImageCms.PyCMSError, ValueError):
        return ""


def _open_profile(icc: bytes) -> tuple[ImageCms.ImageCmsProfile, str]:
    profile = ImageCms.ImageCmsProfile(io.BytesIO(icc))
    return profile, profile.profile.xcolor_space.strip()


def _srgb() -> ImageCms.ImageCmsProfile:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))


def _transform(
    start: ImageCms.ImageCmsProfile, end: ImageCms.ImageCmsProfile, mode: str, end_mode: str
) -> ImageCms.ImageCmsTransform:
    return ImageCms.ImageCmsTransform(start, end, mode, end_mode, _INTENT, flags=_FLAGS)


def _is_identity(transform: ImageCms.ImageCmsTransform, mode: str) -> bool:
    """Whether no colour changes by more than a level; the names of profiles do not tell."""
    levels = np.arange(0, 256, 17 if mode == "RGB" else 1, dtype=np.uint8)
    grid = levels[None] if mode == "L" else _lattice(levels)
    converted = np.asarray(transform.apply(Image.fromarray(grid)))
    original = grid if mode == "RGB" else np.repeat(grid[..., None], 3, axis=2)
    return bool(np.abs(converted.astype(int) - original).max() <= 1)


def _lattice(
    levels: np.ndarray[tuple[int], np.dtype[np.uint8]],
) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """Every combination of three levels, as a picture of one row."""
    red, green, blue = np.meshgrid(levels, levels, levels, indexing="ij")
    return np.stack([red.ravel(), green.ravel(), blue.ravel()], axis=1)[None]
