"""Colour spaces of files' codes, and conversions between them and sRGB.

Networks see sRGB in [0, 1]. Colours outside it are kept as extended sRGB: float32, the same curve
continued below 0 and above 1, nothing clipped. Arrays are slabs of rows, (h, w, C).

Whole numbers are converted as such, which is fast; floats only where a colour leaves sRGB.
"""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO

import imagecodecs
import numpy as np
from numpy.typing import DTypeLike, NDArray
from PIL import ImageCms

from daemon.photo.bit_depth import highest_level, to_depth, to_unit
from daemon.photo.decoded import Codes, ColourTags, Model
from daemon.photo.profiles import (
    ADOBE_RGB_ICC,
    BT709,
    CICP_CURVES,
    CICP_PRIMARIES,
    SRGB_ICC,
    Curve,
    grey_profile,
    rgb_profile,
)
from daemon.system.text import printable

Floats = NDArray[np.float32]

_RELATIVE_COLORIMETRIC = 1
_BLACK_POINT = int(imagecodecs.CMS.FLAGS.BLACKPOINTCOMPENSATION)
_EXACT = _BLACK_POINT | int(imagecodecs.CMS.FLAGS.NOOPTIMIZE)
"""With its shortcuts lcms is off by up to a tenth of the range in 16 bits, where colours clip."""

_MODES: dict[Model, str] = {"grey": "L", "rgb": "RGB", "cmyk": "CMYK", "lab": "LAB"}
_ALLOWED_SPACES: dict[Model, tuple[str, ...]] = {
    "grey": ("GRAY", "RGB"),
    "rgb": ("RGB",),
    "cmyk": ("CMYK",),
    "lab": (),
}
"""Colour spaces of the profiles that suit pixels of a model."""

_LCMS_NAMES: dict[Model, str] = {"grey": "gray", "rgb": "rgb", "cmyk": "cmyk", "lab": "lab"}
_PROFILE_MODELS: dict[str, Model] = {"GRAY": "grey", "RGB": "rgb", "CMYK": "cmyk"}

HDR_TRANSFERS = {16: "PQ", 18: "HLG"}
"""Transfer functions of high dynamic range, by their code point."""

_UNSPECIFIED = 2

_PLAIN_GAMMA = 1 / 2.2
_GAMMA_TOLERANCE = 0.01
"""PNGs without cHRM that give 1/2.2 mean sRGB: writers have always put so for it."""

_MOST_FALL, _LEAST_RISE = 16, 64
"""Levels that a channel of a grey may fall by from one to the next, and that black and white are
apart at least, in a profile that means anything."""

_DARK_LEVEL = 50

_LONGEST_NAME = 60
"""Characters of a profile's name that a note gives."""

_PROFILE_ERRORS = (imagecodecs.CmsError, ValueError, TypeError, IndexError)


@dataclass(frozen=True)
class ColourSpace:
    """The colour space of codes.

    Attributes:
        model: What the channels are.
        icc: The profile. None stands for sRGB, for CMYK without a profile that is converted by
            rule, and for Lab under D50.
        is_srgb: Levels of grey or RGB are sRGB levels as they are; a profile may say so, too.
    """

    model: Model
    icc: bytes | None = None
    is_srgb: bool = False

    def to_levels(self, codes: Codes, dtype: DTypeLike) -> Codes:
        """Convert codes to sRGB levels as networks see them.

        Args:
            codes: (h, w, C): uint8 or uint16 of full range, or float32.
            dtype: uint8 or uint16, the type of the result.

        Returns:
            (h, w, 3), clipped to sRGB.
        """
        if self.is_srgb:
            levels = to_depth(codes, dtype)
            return _three_channels(levels) if levels.shape[2] == 1 else levels
        if codes.dtype.kind == "f":
            return to_depth(self.to_extended(codes), dtype)
        if self.icc is None:
            return to_depth(_rgb_of_cmyk(codes), dtype)
        return to_depth(_converted(codes, self.icc, self.model, SRGB_ICC, "rgb"), dtype)

    def to_extended(self, codes: Codes) -> Floats:
        """Convert codes to extended sRGB, float32 (h, w, 3)."""
        if self.is_srgb:
            values = to_unit(codes)
            return np.repeat(values, 3, axis=2) if values.shape[2] == 1 else values
        if self.model == "lab":
            return _floats(codes.astype(np.float32, copy=False), _LAB_ICC, "lab", SRGB_ICC, "rgb")
        if self.icc is None:
            return to_unit(_rgb_of_cmyk(codes))
        # lcms takes floats of CMYK in percent; whole numbers need no such care.
        values = codes if self.model == "cmyk" else to_unit(codes)
        return _floats(values, self.icc, self.model, SRGB_ICC, "rgb")

    def from_levels(self, levels: Codes) -> Codes:
        """Convert sRGB levels, uint8 or uint16 (h, w, 3), to codes of the same type."""
        if self.icc is None or self.is_srgb:
            return levels[..., :1] if self.model == "grey" else levels
        return _converted(levels, SRGB_ICC, "rgb", self.icc, self.model)

    def from_extended(self, values: Floats) -> Floats:
        """Convert extended sRGB, (h, w, 3), to codes in float32, of which none is clipped."""
        if self.icc is None or self.is_srgb:
            return values[..., :1] if self.model == "grey" else values
        return _floats(values, SRGB_ICC, "rgb", self.icc, self.model)


GREY = ColourSpace("grey", is_srgb=True)
SRGB = ColourSpace("rgb", is_srgb=True)
LAB = ColourSpace("lab")

_LAB_ICC: bytes = imagecodecs.cms_profile("lab4")


def space_of(tags: ColourTags, model: Model) -> tuple[ColourSpace, tuple[str, ...]]:
    """The colour space of codes, by the first of a file's statements that is of use.

    cICP goes before the profile, the profile before sRGB, that before gAMA, as PNG has it; DCF's
    Adobe RGB counts where there is nothing else.

    Args:
        tags: All that the file says.
        model: What the channels are. Grey with an RGB profile is to be taken for RGB: see the
            `model` of the result.

    Returns:
        The space, and notes on what was left out.

    Raises:
        ValueError: The file holds high dynamic range, which is not read.
    """
    if model == "lab":
        return LAB, ()
    notes: tuple[str, ...] = ()
    if tags.cicp is not None and model != "cmyk":
        return _cicp_space(tags.cicp, model), notes
    if tags.icc is not None:
        space, note = _profile_space(tags.icc, model)
        if space is not None:
            return space, notes
        notes = (note,)
    if model == "cmyk":
        return ColourSpace("cmyk"), notes or ("CMYK without a colour profile, converted by rule",)
    if not tags.is_srgb and tags.gamma is not None:
        gamma_space, note = _gamma_space(tags, model)
        return gamma_space, (*notes, note) if note else notes
    if tags.is_adobe_rgb and model == "rgb" and tags.icc is None:
        return ColourSpace("rgb", ADOBE_RGB_ICC), notes
    return (GREY if model == "grey" else SRGB), notes


def output_space(icc: bytes | None, *, grey: bool, has_grey: bool) -> tuple[ColourSpace, str]:
    """The space in which a result is written with an embedded profile.

    Args:
        icc: The profile, grey or RGB; None for sRGB.
        grey: The result is grey. An RGB profile makes it RGB all the same; a grey profile cannot
            hold colours, so a coloured result is left in sRGB without it.
        has_grey: The format has grey.

    Returns:
        The space, and a note or "".
    """
    plain = GREY if grey and has_grey else SRGB
    if icc is None:
        return plain, ""
    space = profile_space(icc)
    if space == "GRAY" and not grey:
        return plain, "the embedded grey profile cannot hold colours: the result is sRGB"
    if space == "GRAY" and not has_grey:
        return plain, "WebP has no grey: the grey profile is left out"
    try:
        model = _PROFILE_MODELS[space]
        if _is_srgb(icc, model):
            return ColourSpace(model, icc, is_srgb=True), ""
        _converted(np.zeros((1, 1, 3), np.uint8), SRGB_ICC, "rgb", icc, model)
    except (*_PROFILE_ERRORS, KeyError) as error:
        # Some scanners embed profiles that convert from their colours only.
        note = f"the embedded profile cannot be converted to ({error}): the result is sRGB"
        return plain, note
    return ColourSpace(model, icc), ""


def is_too_dark(space: ColourSpace) -> bool:
    """Whether 8 bits in a space have too few codes for shadows, as those of light itself have.

    A dark grey of sRGB, 50, is code 8 there: of six greys only one would be left.
    """
    if space.icc is None or space.is_srgb:
        return False
    dark = np.full((1, 1, 3), _DARK_LEVEL, np.uint8)
    return int(space.from_levels(dark).max()) < _DARK_LEVEL // 3


def profile_space(icc: bytes) -> str:
    """The colour space of a profile: "GRAY", "RGB", "CMYK" or another; "" where it is broken."""
    return icc[16:20].decode("latin-1").strip() if icc[36:40] == b"acsp" else ""


def profile_name(icc: bytes) -> str:
    """The name that a profile gives itself, in one line; "" where it has none."""
    try:
        description = ImageCms.ImageCmsProfile(BytesIO(icc)).profile.profile_description
    except (OSError, ValueError):
        return ""
    return printable(" ".join((description or "").split())[:_LONGEST_NAME])


def _profile_space(icc: bytes, model: Model) -> tuple[ColourSpace | None, str]:
    """The space that a profile gives, or None and why not."""
    name = profile_space(icc)
    if not name:
        return None, "the embedded colour profile is broken (no profile): left out"
    if name not in _ALLOWED_SPACES[model]:
        note = f"the embedded profile is for {name}, the pixels are {_MODES[model]}: left out"
        return None, note
    own: Model = _PROFILE_MODELS[name]
    try:
        if own != "cmyk" and _is_srgb(icc, own):
            # An RGB profile that changes nothing is of no use to grey, which it would make RGB.
            kept = icc if own == model else None
            return ColourSpace(model, kept, is_srgb=True), ""
        if own == "cmyk":
            _converted(np.zeros((1, 1, 4), np.uint8), icc, own)
        elif not _has_greys(icc, own):
            return None, "the embedded colour profile is broken (it has no greys): left out"
    except _PROFILE_ERRORS as error:
        return None, f"the embedded colour profile is broken ({error}): left out"
    return ColourSpace(own, icc), ""


def _cicp_space(cicp: tuple[int, int], model: Model) -> ColourSpace:
    primaries, transfer = cicp
    if transfer in HDR_TRANSFERS:
        raise ValueError(f"high dynamic range ({HDR_TRANSFERS[transfer]}) is not read")
    curve = CICP_CURVES.get(transfer, CICP_CURVES[13])
    if curve == CICP_CURVES[13] and (primaries in (1, _UNSPECIFIED) or model == "grey"):
        return GREY if model == "grey" else SRGB
    name = f"cICP {primaries}/{transfer}"
    if model == "grey":
        return ColourSpace("grey", grey_profile(name, curve))
    return ColourSpace("rgb", rgb_profile(name, CICP_PRIMARIES.get(primaries, BT709), curve))


def _gamma_space(tags: ColourTags, model: Model) -> tuple[ColourSpace, str]:
    """The space that PNG's gAMA and cHRM give, and a note if they cannot be right."""
    plain = GREY if model == "grey" else SRGB
    gamma = tags.gamma or _PLAIN_GAMMA
    if not 0.1 <= gamma <= 4:
        return plain, f"its gAMA of {gamma:g} cannot be right: left out"
    is_plain = abs(gamma - _PLAIN_GAMMA) <= _GAMMA_TOLERANCE
    is_bt709 = tags.primaries is None or _near(tags.primaries.points, BT709.points)
    if is_plain and (is_bt709 or model == "grey"):
        return plain, ""
    curve = CICP_CURVES[13] if is_plain else Curve((1 / gamma,))
    name = f"gAMA {gamma:.5f}"
    note = f"its gamma (gAMA {gamma:g}) and primaries became a colour profile"
    if model == "grey":
        return ColourSpace("grey", grey_profile(name, curve)), note
    try:
        return ColourSpace("rgb", rgb_profile(name, tags.primaries or BT709, curve)), note
    except (ValueError, np.linalg.LinAlgError) as error:
        return plain, f"its cHRM cannot be right ({error}): left out"


def _near(some: tuple[float, ...], others: tuple[float, ...]) -> bool:
    return all(abs(a - b) < 0.002 for a, b in zip(some, others, strict=True))


def _three_channels(levels: Codes) -> Codes:
    """Grey as RGB; channel by channel, which takes a fifth of the time that broadcasting does."""
    colours = np.empty((*levels.shape[:2], 3), levels.dtype)
    for channel in range(3):
        colours[..., channel] = levels[..., 0]
    return colours


def _channels(model: Model) -> int:
    return {"grey": 1, "rgb": 3, "lab": 3, "cmyk": 4}[model]


def _rgb_of_cmyk(codes: Codes) -> Codes:
    """CMYK without a profile: light is what neither ink nor black takes."""
    highest = highest_level(codes.dtype)
    inks = codes.astype(np.uint32)
    paper = highest - inks[..., 3:]
    rgb = paper - (inks[..., :3] * paper + highest // 2) // highest
    return rgb.astype(codes.dtype)


def _is_srgb(icc: bytes, model: Model) -> bool:
    """Whether no colour changes by more than a level; the names of profiles do not tell."""
    levels = np.arange(0, 256, 17 if model == "rgb" else 1, dtype=np.uint8)
    grid = levels[None, :, None] if model == "grey" else _lattice(levels)
    converted = _converted(grid, icc, model)
    return bool(np.abs(converted.astype(int) - grid).max() <= 1)


def _has_greys(icc: bytes, model: Model) -> bool:
    """Whether equal codes get lighter as they rise: primaries of no light give noise."""
    levels = np.arange(0, 256, 17, dtype=np.uint8)
    greys = np.repeat(levels[None, :, None], _channels(model), axis=2)
    converted = _converted(greys, icc, model)[0].astype(int)
    rises = int(np.diff(converted, axis=0).min()) >= -_MOST_FALL
    return rises and int((converted[-1] - converted[0]).min()) >= _LEAST_RISE


def _lattice(levels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Every combination of three levels, as a picture of one row."""
    red, green, blue = np.meshgrid(levels, levels, levels, indexing="ij")
    return np.stack([red.ravel(), green.ravel(), blue.ravel()], axis=1)[None]


def _converted(
    codes: Codes,
    source: bytes,
    model: Model,
    target: bytes = SRGB_ICC,
    target_model: Model = "rgb",
) -> Codes:
    """Codes (h, w, C) of one profile in another, of the same type, clipped."""
    flags = _BLACK_POINT if codes.dtype == np.uint8 else _EXACT
    return _transformed(codes, (source, model), (target, target_model), codes.dtype, flags)


def _floats(
    codes: Codes, source: bytes, model: Model, target: bytes, target_model: Model
) -> Floats:
    """Codes (h, w, C) of one profile in another, float32 and unclipped."""
    values = _transformed(codes, (source, model), (target, target_model), np.float32, _EXACT)
    return values.astype(np.float32, copy=False)


def _transformed(
    codes: Codes,
    source: tuple[bytes, Model],
    target: tuple[bytes, Model],
    dtype: DTypeLike,
    flags: int,
) -> Codes:
    if codes.size == 0:
        return np.empty((*codes.shape[:2], _channels(target[1])), dtype)
    data = np.ascontiguousarray(codes)
    converted: Codes = imagecodecs.cms_transform(
        data[..., 0] if source[1] == "grey" else data,
        source[0],
        target[0],
        colorspace=_LCMS_NAMES[source[1]],
        outcolorspace=_LCMS_NAMES[target[1]],
        outdtype=np.dtype(dtype).name,
        intent=_RELATIVE_COLORIMETRIC,
        flags=flags,
    )
    return converted.reshape((*codes.shape[:2], _channels(target[1])))
