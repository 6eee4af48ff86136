"""The header of a JPEG XL file (ISO/IEC 18181), read with bounds and without decoding."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import BinaryIO

from daemon.photo.isobmff import Box, boxes
from daemon.photo.picture import Header

CODESTREAM = b"\xff\x0a"
CONTAINER = b"\0\0\0\x0cJXL \r\n\x87\n"

_HEAD_BYTES = 4096
"""Bytes of a codestream within which its header lies."""

_ALPHA, _SPOT, _CFA = 0, 2, 5
"""Kinds of extra channels."""

_RATIOS = {1: (1, 1), 2: (12, 10), 3: (4, 3), 4: (3, 2), 5: (16, 9), 6: (5, 4), 7: (2, 1)}

_SIZES = ((9, 1), (13, 1), (18, 1), (30, 1))
_ENUM = ((0, 0), (0, 1), (4, 2), (6, 18))
_EXTRA_CHANNELS = ((0, 0), (0, 1), (4, 2), (12, 1))
_COORDINATES = ((19, 0), (19, 1 << 19), (20, 1 << 20), (21, 1 << 21))
"""Choices of numbers: how many bits, and what is added."""

_CUSTOM = 2

_WHITES = {1: (0.3127, 0.3290), 10: (1 / 3, 1 / 3), 11: (0.314, 0.351)}
_PRIMARIES = {
    1: ((0.64, 0.33), (0.30, 0.60), (0.15, 0.06)),
    9: ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046)),
    11: ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060)),
}
"""White points and primaries, as x and y, by their codes."""

_MAX_EXTRA_CHANNELS = 64


@dataclass(frozen=True)
class Colours:
    """The colour fields of a codestream.

    Attributes:
        is_grey: Whether it has one channel of colour.
        has_icc: Its profile is in the codestream, compressed; nothing else is known.
        white: Code of its white point: 1 for D65, 2 for another, 10 for E, 11 for DCI.
        primaries: Code of its primaries: 1 for sRGB, 2 for others, 9 for BT.2100, 11 for P3.
        points: White point, red, green and blue, as x and y.
        transfer: Code of its transfer function, as in ITU-T H.273.
        gamma: Encoding exponent, instead of a transfer function, or None.
    """

    is_grey: bool = False
    has_icc: bool = False
    white: int = 1
    primaries: int = 1
    points: tuple[tuple[float, float], ...] = ()
    transfer: int = 13
    gamma: float | None = None


@dataclass(frozen=True)
class JpegXlInfo:
    """The header of a codestream.

    Attributes:
        width, height: Size in pixels as stored.
        orientation: EXIF orientation.
        bits: Bits of a sample; of floats too.
        is_float: Samples are floats.
        has_alpha, premultiplied: Whether there is opacity, and colours are multiplied by it.
        is_animated: Whether it has frames.
        is_xyb: Stored in XYB, so that a decoder chooses the colours of its result.
        colours: What its colours are.
    """

    width: int
    height: int
    orientation: int
    bits: int
    is_float: bool
    has_alpha: bool
    premultiplied: bool
    extra_channels: int
    is_animated: bool
    is_xyb: bool
    colours: Colours


def read_jpegxl_header(file: BinaryIO, label: str) -> Header:
    """The header of a JPEG XL file.

    Raises:
        ValueError: It ends within its header or has none.
    """
    info = read_jpegxl_info(file)
    mode = ("L" if info.colours.is_grey else "RGB") + ("A" if info.has_alpha else "")
    return Header("JXL", info.width, info.height, mode + (f";{info.bits}" * (info.bits > 8)))


def read_jpegxl_info(file: BinaryIO) -> JpegXlInfo:
    """The header of the codestream.

    Raises:
        ValueError: It ends within its header or has none.
    """
    found = next((box for box in jpegxl_boxes(file) if box.kind in (b"jxlc", b"jxlp")), None)
    if found is None:
        raise ValueError("it has no codestream")
    file.seek(found.begin + 4 * (found.kind == b"jxlp"))
    head = file.read(min(_HEAD_BYTES, found.end - found.begin))
    if head[:2] != CODESTREAM:
        raise ValueError("its codestream has no signature")
    return _info(_Bits(head[2:]))


def jpegxl_boxes(file: BinaryIO) -> list[Box]:
    """The boxes of a file; a bare codestream counts as one."""
    size = os.fstat(file.fileno()).st_size
    file.seek(0)
    if file.read(2) == CODESTREAM:
        return [Box(b"jxlc", 0, size)]
    return list(boxes(file, 0, size))


def is_jpegxl_truncated(file: BinaryIO, size: int) -> bool:
    """Whether a box of a JPEG XL file ends beyond its end; a bare codestream cannot tell."""
    try:
        return any(box.end > size for box in jpegxl_boxes(file))
    except ValueError:
        return True


class _Bits:
    """Bits of a codestream, the least first."""

    def __init__(self, content: bytes) -> None:
        self._value = int.from_bytes(content, "little")
        self._end = 8 * len(content)
        self.place = 0

    def u(self, count: int) -> int:
        if self.place + count > self._end:
            raise ValueError("it ends within its header")
        value = self._value >> self.place & ((1 << count) - 1)
        self.place += count
        return value

    def flag(self) -> bool:
        return self.u(1) == 1

    def choice(self, choices: tuple[tuple[int, int], ...]) -> int:
        bits, offset = choices[self.u(2)]
        return self.u(bits) + offset


def _info(bits: _Bits) -> JpegXlInfo:
    width, height = _size(bits)
    orientation, is_animated = 1, False
    if bits.flag():  # all as usual
        return JpegXlInfo(
            width,
            height,
            orientation,
            bits=8,
            is_float=False,
            has_alpha=False,
            premultiplied=False,
            extra_channels=0,
            is_animated=False,
            is_xyb=True,
            colours=Colours(),
        )
    has_more = bits.flag()
    if has_more:
        orientation = bits.u(3) + 1
        if bits.flag():
            _size(bits)
        if bits.flag():
            _skip_preview(bits)
        is_animated = bits.flag()
        if is_animated:
            _skip_animation(bits)
    depth, is_float = _depth(bits)
    bits.flag()
    channels = bits.choice(_EXTRA_CHANNELS)
    if channels > _MAX_EXTRA_CHANNELS:
        raise ValueError(f"it has {channels} extra channels")
    extras = [_extra_channel(bits) for _ in range(channels)]
    alphas = [premultiplied for is_alpha, premultiplied in extras if is_alpha]
    is_xyb = bits.flag()
    return JpegXlInfo(
        width,
        height,
        orientation,
        bits=depth,
        is_float=is_float,
        has_alpha=bool(alphas),
        premultiplied=bool(alphas) and alphas[0],
        extra_channels=channels,
        is_animated=is_animated,
        is_xyb=is_xyb,
        colours=_colours(bits),
    )


@dataclass(frozen=True)
class PlainHeader:
    """Where an encoder's header says what it may be told to say otherwise, in bits from its start.

    Attributes:
        depth: Bits of a sample.
        colours: What its colours are.
        end: Where the header ends; zeros fill its last byte.
    """

    depth: slice
    colours: slice
    end: int


def plain_header(codestream: bytes) -> PlainHeader:
    """The places in the header of a still picture that is upright and has no preview.

    Raises:
        ValueError: It has another header.
    """
    bits = _Bits(codestream[:_HEAD_BYTES])
    bits.u(8 * len(CODESTREAM))
    _size(bits)
    if bits.flag() or bits.flag():
        raise ValueError("the encoder wrote a header of another kind")
    begin = bits.place
    _depth(bits)
    depth = slice(begin, bits.place)
    bits.flag()
    for _ in range(bits.choice(_EXTRA_CHANNELS)):
        _extra_channel(bits)
    bits.flag()
    begin = bits.place
    if _colours(bits) != Colours():
        bits.choice(_ENUM)  # the rendering intent
    colours = slice(begin, bits.place)
    if bits.u(2) or not bits.flag():
        raise ValueError("the encoder wrote a header of another kind")
    return PlainHeader(depth, colours, bits.place)


def _size(bits: _Bits) -> tuple[int, int]:
    small = bits.flag()
    height = (bits.u(5) + 1) * 8 if small else bits.choice(_SIZES)
    ratio = bits.u(3)
    if ratio:
        over, under = _RATIOS[ratio]
        return height * over // under, height
    return ((bits.u(5) + 1) * 8 if small else bits.choice(_SIZES)), height


def _skip_preview(bits: _Bits) -> None:
    small = bits.flag()
    eights = ((0, 16), (0, 32), (5, 1), (9, 33))
    sides = eights if small else ((6, 1), (8, 65), (10, 321), (12, 1345))
    bits.choice(sides)
    if bits.u(3) == 0:
        bits.choice(sides)


def _skip_animation(bits: _Bits) -> None:
    bits.choice(((0, 100), (0, 1000), (10, 1), (30, 1)))
    bits.choice(((0, 1), (0, 1001), (8, 1), (10, 1)))
    bits.choice(((0, 0), (3, 0), (16, 0), (32, 0)))
    bits.flag()


def _depth(bits: _Bits) -> tuple[int, bool]:
    """Bits of a sample, and whether it is a float."""
    if not bits.flag():
        return bits.choice(((0, 8), (0, 10), (0, 12), (6, 1))), False
    depth = bits.choice(((0, 32), (0, 16), (0, 24), (6, 1)))
    bits.u(4)
    return depth, True


def _extra_channel(bits: _Bits) -> tuple[bool, bool]:
    """Whether it is opacity, and whether colours are multiplied by it."""
    if bits.flag():
        return True, False
    kind = bits.choice(_ENUM)
    _depth(bits)
    bits.choice(((0, 0), (0, 3), (0, 4), (3, 1)))
    bits.u(8 * bits.choice(((0, 0), (4, 0), (5, 16), (10, 48))))
    premultiplied = bits.flag() if kind == _ALPHA else False
    if kind == _SPOT:
        bits.u(64)
    elif kind == _CFA:
        bits.choice(((0, 1), (2, 0), (4, 3), (8, 19)))
    return kind == _ALPHA, premultiplied


def _colours(bits: _Bits) -> Colours:
    if bits.flag():
        return Colours()
    has_icc, space = bits.flag(), bits.choice(_ENUM)
    is_grey = space == 1
    if has_icc:
        return Colours(is_grey=is_grey, has_icc=True)
    if space not in (0, 1):
        raise ValueError(f"its colour space is {space}; expected RGB or grey")
    white, primaries = bits.choice(_ENUM), 1
    white_point = _point(bits) if white == _CUSTOM else None
    corners: tuple[tuple[float, float], ...] = ()
    if not is_grey:
        primaries = bits.choice(_ENUM)
        if primaries == _CUSTOM:
            corners = (_point(bits), _point(bits), _point(bits))
    points = (
        white_point or _WHITES.get(white, _WHITES[1]),
        *(corners or _PRIMARIES.get(primaries, _PRIMARIES[1])),
    )
    gamma = bits.u(24) / 1e7 if bits.flag() else None
    transfer = 13 if gamma is not None else bits.choice(_ENUM)
    return Colours(is_grey, False, white, primaries, points, transfer, gamma)


def _point(bits: _Bits) -> tuple[float, float]:
    x, y = (bits.choice(_COORDINATES) for _ in range(2))
    return _signed(x) / 1e6, _signed(y) / 1e6


def _signed(number: int) -> int:
    return -(number + 1) // 2 if number & 1 else number // 2
