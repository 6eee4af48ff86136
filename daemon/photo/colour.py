"""Embedded colour profiles: into sRGB for the networks, back out of it for the result.

Comes in: ICC profiles and small images. Goes out: conversions that are applied slab by slab.
Never decides what a file keeps; it says what a profile allows.
"""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageCms

_INTENT = ImageCms.Intent.RELATIVE_COLORIMETRIC
_FLAGS = ImageCms.Flags.BLACKPOINTCOMPENSATION
_MODES = {"GRAY": "L", "RGB": "RGB", "CMYK": "CMYK"}
_FITTING = {"L": ("GRAY", "RGB"), "RGB": ("RGB",), "CMYK": ("CMYK",)}


@dataclass(frozen=True)
class Conversion:
    """How slabs of pixels change their colour space.

    Attributes:
        source: Mode the slabs must have.
        target: Mode they come out in.
        transform: The change, or None where a plain change of mode is right.
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
        plain = slab if slab.mode == self.source else slab.convert(self.source)
        changed = plain if self.transform is None else self.transform.apply(plain)
        return changed if changed.mode == self.target else changed.convert(self.target)


def into_srgb(mode: str, icc: bytes | None) -> Conversion:
    """From a file's colours to sRGB.

    Args:
        mode: "L", "RGB", "CMYK" or "LAB".
        icc: The embedded profile.

    Returns:
        A conversion to "L" (from L) or "RGB"; its `icc` is what the result may embed: only grey and
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
        profile, space = _opened(icc)
        if space not in _FITTING[mode]:
            note = f"the embedded profile is for {space}, the pixels are {mode}: left out"
            return Conversion(mode, target, note=note)
        source = _MODES[space]
        transform = _transform(profile, _srgb(), source, "RGB")
        same = source != "CMYK" and _changes_nothing(transform, source)
    except (OSError, ImageCms.PyCMSError, ValueError) as error:
        note = f"the embedded colour profile is broken ({error}): left out"
        return Conversion(mode, target, note=note)
    kept = None if source == "CMYK" or (same and source != mode) else icc
    if same:
        return Conversion(mode, target, icc=kept)
    return Conversion(source, target, transform, kept)


def out_of_srgb(icc: bytes | None, *, grey: bool) -> Conversion:
    """From sRGB back to the colours of a profile that came out of `into_srgb`.

    Args:
        icc: The profile, grey or RGB.
        grey: The result is grey. An RGB profile makes it RGB all the same; a grey profile cannot
            hold colours, so a coloured result is left in sRGB without it.
    """
    plain = "L" if grey else "RGB"
    if icc is None:
        return Conversion("RGB", plain)
    try:
        profile, space = _opened(icc)
        if space == "GRAY" and not grey:
            note = "the embedded grey profile cannot hold colours: the result is sRGB"
            return Conversion("RGB", plain, note=note)
        mode = _MODES[space]
        if _changes_nothing(_transform(profile, _srgb(), mode, "RGB"), mode):
            return Conversion(mode, mode, icc=icc)
        return Conversion("RGB", mode, _transform(_srgb(), profile, "RGB", mode), icc)
    except (OSError, ImageCms.PyCMSError, ValueError, KeyError) as error:
        # Profiles of scanners may lead out of their colours only.
        note = f"the embedded profile cannot be converted to ({error}): the result is sRGB"
        return Conversion("RGB", plain, note=note)


def profile_space(icc: bytes) -> str:
    """What a profile is for: "GRAY", "RGB", "CMYK" or another; "" where it is broken."""
    try:
        return _opened(icc)[1]
    except (OSError, ImageCms.PyCMSError, ValueError):
        return ""


def _opened(icc: bytes) -> tuple[ImageCms.ImageCmsProfile, str]:
    profile = ImageCms.ImageCmsProfile(io.BytesIO(icc))
    return profile, profile.profile.xcolor_space.strip()


def _srgb() -> ImageCms.ImageCmsProfile:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))


def _transform(
    start: ImageCms.ImageCmsProfile, end: ImageCms.ImageCmsProfile, mode: str, end_mode: str
) -> ImageCms.ImageCmsTransform:
    return ImageCms.ImageCmsTransform(start, end, mode, end_mode, _INTENT, flags=_FLAGS)


def _changes_nothing(transform: ImageCms.ImageCmsTransform, mode: str) -> bool:
    """Whether no colour moves by more than a level: names of profiles do not tell."""
    levels = np.arange(0, 256, 17 if mode == "RGB" else 1, dtype=np.uint8)
    grid = levels[None] if mode == "L" else _lattice(levels)
    moved = np.asarray(transform.apply(Image.fromarray(grid)))
    wanted = grid if mode == "RGB" else np.repeat(grid[..., None], 3, axis=2)
    return bool(np.abs(moved.astype(int) - wanted).max() <= 1)


def _lattice(
    levels: np.ndarray[tuple[int], np.dtype[np.uint8]],
) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    red, green, blue = np.meshgrid(levels, levels, levels, indexing="ij")
    return np.stack([red.ravel(), green.ravel(), blue.ravel()], axis=1)[None]
