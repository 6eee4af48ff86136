"""Depth and colours at the head of a JPEG XL codestream, which an encoder cannot be told.

The picture behind the head stays as it is, bit by bit. Colours have names there (primaries, white
point and curve). A profile without a name can stand there itself, but only where the codes are
kept as they are: of a lossy picture decoders give colours that they cannot bring back to it.

Source: ISO/IEC 18181-1, annexes C, D and E.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np

from daemon.photo.colour import ColourSpace, profile_space
from daemon.photo.decoded import Model
from daemon.photo.jpegxl_header import plain_header
from daemon.photo.jpegxl_profile import packed_profile
from daemon.photo.profiles import (
    ADOBE_RGB,
    ADOBE_RGB_CURVE,
    BT709,
    CICP_CURVES,
    CICP_PRIMARIES,
    D65,
    SRGB_CURVE,
    Curve,
    Point,
    Primaries,
    grey_profile,
    rgb_profile,
)

_ENUM = ((0, 0), (0, 1), (4, 2), (6, 18))
_COORDINATES = ((19, 0), (19, 1 << 19), (20, 1 << 20), (21, 1 << 21))
_DEPTHS = ((0, 8), (0, 10), (0, 12), (6, 1))
"""Choices of numbers: how many bits, and what is added."""

_RGB, _GREY = 0, 1
_CUSTOM = 2
_RELATIVE_COLORIMETRIC = 1
_SRGB_CODE, _LINEAR_CODE, _BT709_CODE = 13, 8, 1
_WHITE_CODES = {D65: 1}
_PRIMARIES_CODES = {BT709: 1, CICP_PRIMARIES[9]: 9, CICP_PRIMARIES[12]: 11}

_D50: Point = (0.3457, 0.3585)
_PROPHOTO = Primaries(_D50, (0.734699, 0.265301), (0.159597, 0.840403), (0.036598, 0.000105))
_LINEAR = Curve((1.0,))
_BT2020 = CICP_PRIMARIES[9]
_BYTE_BITS = 8
_CODE_LENGTHS = (1, 2, 3, 4, 0, 5, 17, 6, 16, 7, 8, 9, 10, 11, 12, 13, 14, 15)
"""Lengths of a prefix code, in the order in which their own code is told (RFC 7932, 3.5)."""

_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))

_TOLERANCE = 1
"""Levels of 255 by which a profile may differ from what a name stands for."""


@dataclass(frozen=True)
class NamedColours:
    """Colours that a codestream can name.

    Attributes:
        curve: Transfer function.
        primaries: Primaries and white point; None for grey.
        label: What people call them.
    """

    curve: Curve
    primaries: Primaries | None = None
    label: str = field(default="", compare=False)

    @property
    def icc(self) -> bytes:
        """The profile that stands for them."""
        if self.primaries is None:
            return grey_profile("JPEG XL", self.curve)
        return rgb_profile("JPEG XL", self.primaries, self.curve)


_SRGB_NAME, _GREY_NAME = NamedColours(SRGB_CURVE, BT709), NamedColours(SRGB_CURVE)
_RGB_NAMES = (
    NamedColours(SRGB_CURVE, CICP_PRIMARIES[12]),
    NamedColours(ADOBE_RGB_CURVE, ADOBE_RGB),
    NamedColours(Curve((2.2,)), ADOBE_RGB),
    NamedColours(Curve((1.8,)), _PROPHOTO),
    NamedColours(SRGB_CURVE, _BT2020),
    NamedColours(CICP_CURVES[1], _BT2020),
    NamedColours(_LINEAR, BT709),
    NamedColours(_LINEAR, _BT2020),
)
_BY_WIDTH = (
    NamedColours(SRGB_CURVE, BT709, "sRGB"),
    NamedColours(SRGB_CURVE, CICP_PRIMARIES[12], "Display P3"),
    NamedColours(ADOBE_RGB_CURVE, ADOBE_RGB, "Adobe RGB"),
    NamedColours(SRGB_CURVE, _BT2020, "Rec. 2020"),
    NamedColours(Curve((1.8,)), _PROPHOTO, "ProPhoto RGB"),
)
"""Colours that hold those of a profile, the narrowest first."""
_GREY_NAMES = tuple(NamedColours(curve) for curve in (Curve((2.2,)), Curve((1.8,)), _LINEAR))


def named_colours(space: ColourSpace) -> NamedColours | None:
    """The name for the colours of grey or RGB; None if there is none."""
    plain = _GREY_NAME if space.model == "grey" else _SRGB_NAME
    return plain if space.icc is None or space.is_srgb else _named(space.icc)


@lru_cache(maxsize=16)
def _named(icc: bytes) -> NamedColours | None:
    is_grey = profile_space(icc) == "GRAY"
    levels = np.arange(0, 256, 5 if is_grey else 51, dtype=np.uint8)
    grid = levels[None, :, None]
    if not is_grey:
        grid = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(1, -1, 3)
    model: Model = "grey" if is_grey else "rgb"
    wanted = ColourSpace(model, icc).to_extended(grid)
    for name in _GREY_NAMES if is_grey else _RGB_NAMES:
        found = ColourSpace(model, name.icc).to_extended(grid)
        if np.abs(found - wanted).max() * 255 <= _TOLERANCE:
            return name
    return None


def name_holding(space: ColourSpace) -> NamedColours:
    """The narrowest of the named RGB colours that hold all colours of a profile."""
    levels = np.arange(0, 256, 51, dtype=np.uint8)
    grid = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(1, -1, 3)
    colours = space.to_extended(grid)
    for name in _BY_WIDTH:
        codes = ColourSpace("rgb", name.icc).from_extended(colours)
        if codes.min() * 255 >= -_TOLERANCE and codes.max() * 255 <= 255 + _TOLERANCE:
            return name
    return _BY_WIDTH[-1]


def with_header(codestream: bytes, bits: int, colours: NamedColours | bytes) -> bytes:
    """A codestream whose head says another depth and other colours.

    Args:
        codestream: As the encoder wrote it.
        bits: Bits of a sample.
        colours: What its codes stand for; of one in XYB, what a decoder makes of it. A profile can
            only stand for codes that are kept as they are.

    Raises:
        ValueError: The encoder wrote a header of another kind.
    """
    header = plain_header(codestream)
    old = _Bits(int.from_bytes(codestream[: header.end // 8 + 1], "little"), header.end)
    new = _Bits()
    new.copy(old, slice(0, header.depth.start))
    new.flag(False)
    new.choice(_DEPTHS, bits)
    new.copy(old, slice(header.depth.stop, header.colours.start))
    if isinstance(colours, bytes):
        new.flag(False)  # not all as usual
        new.flag(True)  # a profile
        new.choice(_ENUM, _GREY if profile_space(colours) == "GRAY" else _RGB)
    else:
        _put_colours(new, colours)
    new.copy(old, slice(header.colours.stop, header.end))
    if isinstance(colours, bytes):
        _put_bytes(new, packed_profile(colours))
    return new.content() + codestream[-(-header.end // 8) :]


class _Bits:
    """Bits of a codestream, the least first."""

    def __init__(self, value: int = 0, length: int = 0) -> None:
        self._value, self._length = value, length

    def put(self, value: int, count: int) -> None:
        self._value |= value << self._length
        self._length += count

    def flag(self, value: bool) -> None:
        self.put(int(value), 1)

    def choice(self, choices: tuple[tuple[int, int], ...], value: int) -> None:
        for index, (bits, offset) in enumerate(choices):
            if offset <= value < offset + (1 << bits):
                self.put(index, 2)
                self.put(value - offset, bits)
                return
        raise ValueError(f"{value} is out of range")

    def copy(self, other: _Bits, where: slice) -> None:
        count = where.stop - where.start
        self.put(other._value >> where.start & ((1 << count) - 1), count)

    def content(self) -> bytes:
        return self._value.to_bytes(-(-self._length // 8), "little")


def _put_bytes(bits: _Bits, content: bytes) -> None:
    """Bytes as an entropy-coded stream in which each takes eight bits."""
    bits.put(3, 2)
    bits.put(len(content) & 0xFFF, 12)
    left = len(content) >> 12
    while left:
        bits.flag(True)
        bits.put(left & 0xFF, 8)
        left >>= 8
    bits.flag(False)
    bits.flag(False)  # nothing is repeated from before
    bits.flag(True)  # all contexts are one:
    bits.put(0, 2)
    bits.flag(True)  # a prefix code,
    bits.put(8, 4)  # of which a symbol below 2**8 stands for itself,
    bits.put(0, 4)
    bits.put(0, 4)
    bits.flag(True)  # of 1 + 2**7 + 127 symbols,
    bits.put(7, 4)
    bits.put(127, 7)
    bits.put(0, 2)  # whose lengths have a code of their own,
    for length in _CODE_LENGTHS:
        bits.put(int(length == _BYTE_BITS), 2)  # in which there is eight alone.
    # A code comes with its highest bit first.
    bits.put(int.from_bytes(content.translate(_REVERSED), "little"), 8 * len(content))


def _put_colours(bits: _Bits, colours: NamedColours) -> None:
    bits.flag(False)  # not all as usual
    bits.flag(False)  # no profile
    primaries = colours.primaries
    bits.choice(_ENUM, _GREY if primaries is None else _RGB)
    white = D65 if primaries is None else primaries.white
    bits.choice(_ENUM, _WHITE_CODES.get(white, _CUSTOM))
    if white not in _WHITE_CODES:
        _put_point(bits, white)
    if primaries is not None:
        bits.choice(_ENUM, _PRIMARIES_CODES.get(primaries, _CUSTOM))
        if primaries not in _PRIMARIES_CODES:
            for point in (primaries.red, primaries.green, primaries.blue):
                _put_point(bits, point)
    _put_curve(bits, colours.curve)
    bits.choice(_ENUM, _RELATIVE_COLORIMETRIC)


def _put_curve(bits: _Bits, curve: Curve) -> None:
    codes = {SRGB_CURVE: _SRGB_CODE, CICP_CURVES[1]: _BT709_CODE, _LINEAR: _LINEAR_CODE}
    if curve in codes:
        bits.flag(False)
        bits.choice(_ENUM, codes[curve])
    else:
        bits.flag(True)
        bits.put(round(1e7 / curve.parameters[0]), 24)


def _put_point(bits: _Bits, point: Point) -> None:
    for coordinate in point:
        number = round(coordinate * 1e6)
        bits.choice(_COORDINATES, 2 * number if number >= 0 else -2 * number - 1)
