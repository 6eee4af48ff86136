"""Colour profiles (ICC) made from primaries and a transfer function.

Everything that tells colours otherwise (PNG's gAMA, cHRM and cICP, DCF's Adobe RGB) becomes such a
profile, so that there is one way of converting and every format can carry it.

Source: ICC.1:2022; Bradford adaptation to D50 as in its annex E; ITU-T H.273 for the code points.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Point = tuple[float, float]

D65: Point = (0.3127, 0.3290)
_D50 = np.array([0.9642, 1.0, 0.8249])
_BRADFORD = np.array(
    [[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]]
)


@dataclass(frozen=True)
class Primaries:
    """CIE x and y of a white point and of three primaries."""

    white: Point
    red: Point
    green: Point
    blue: Point

    @property
    def points(self) -> tuple[float, ...]:
        """The eight numbers in a row."""
        return (*self.white, *self.red, *self.green, *self.blue)


@dataclass(frozen=True)
class Curve:
    """A transfer function from codes to light, as the parameters of ICC's parametricCurveType.

    Attributes:
        parameters: One, gamma; or five, (g, a, b, c, d): (a x + b)^g from d on, c x below.
    """

    parameters: tuple[float, ...]


BT709 = Primaries(D65, (0.640, 0.330), (0.300, 0.600), (0.150, 0.060))
DISPLAY_P3 = Primaries(D65, (0.680, 0.320), (0.265, 0.690), (0.150, 0.060))
ADOBE_RGB = Primaries(D65, (0.640, 0.330), (0.210, 0.710), (0.150, 0.060))

SRGB_CURVE = Curve((2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045))
ADOBE_RGB_CURVE = Curve((563 / 256,))

CICP_PRIMARIES: dict[int, Primaries] = {
    1: BT709,
    4: Primaries((0.310, 0.316), (0.67, 0.33), (0.21, 0.71), (0.14, 0.08)),
    5: Primaries(D65, (0.64, 0.33), (0.29, 0.60), (0.15, 0.06)),
    6: Primaries(D65, (0.630, 0.340), (0.310, 0.595), (0.155, 0.070)),
    7: Primaries(D65, (0.630, 0.340), (0.310, 0.595), (0.155, 0.070)),
    9: Primaries(D65, (0.708, 0.292), (0.170, 0.797), (0.131, 0.046)),
    11: Primaries((0.314, 0.351), (0.680, 0.320), (0.265, 0.690), (0.150, 0.060)),
    12: DISPLAY_P3,
}
"""Primaries by their code point; 2 (unspecified) is taken for BT.709."""

_BT709_CURVE = Curve((1 / 0.45, 1 / 1.099, 0.099 / 1.099, 1 / 4.5, 0.081))

CICP_CURVES: dict[int, Curve] = {
    1: _BT709_CURVE,
    4: Curve((2.2,)),
    5: Curve((2.8,)),
    6: _BT709_CURVE,
    8: Curve((1.0,)),
    13: SRGB_CURVE,
    14: _BT709_CURVE,
    15: _BT709_CURVE,
    17: Curve((2.6,)),
}
"""Transfer functions of standard range by their code point; 16 (PQ) and 18 (HLG) are not."""


def rgb_profile(name: str, primaries: Primaries, curve: Curve) -> bytes:
    """An RGB profile of three primaries and one curve.

    Raises:
        ValueError: The primaries lie on one line.
    """
    columns = _to_d50(primaries)
    tags = [*_common_tags(name, _adaptation(primaries.white))]
    tags += [(f"{c}XYZ".encode(), _xyz(columns[:, k])) for k, c in enumerate("rgb")]
    tags += [(f"{c}TRC".encode(), _parametric(curve)) for c in "rgb"]
    return _assembled(b"RGB ", tags)


def grey_profile(name: str, curve: Curve) -> bytes:
    """A grey profile of one curve."""
    return _assembled(b"GRAY", [*_common_tags(name, np.eye(3)), (b"kTRC", _parametric(curve))])


def _xyz_of(point: Point) -> NDArray[np.float64]:
    x, y = point
    if y <= 0:
        raise ValueError("a chromaticity has no height")
    return np.array([x / y, 1.0, (1 - x - y) / y])


def _adaptation(white: Point) -> NDArray[np.float64]:
    """The matrix that brings a white point to D50."""
    start, end = _BRADFORD @ _xyz_of(white), _BRADFORD @ _D50
    if not (start > 0).all():
        raise ValueError("the white point is no colour")
    return np.asarray(np.linalg.inv(_BRADFORD) @ np.diag(end / start) @ _BRADFORD)


def _to_d50(primaries: Primaries) -> NDArray[np.float64]:
    """Columns X, Y, Z under D50 of the three primaries."""
    columns = np.stack([_xyz_of(p) for p in (primaries.red, primaries.green, primaries.blue)], 1)
    if abs(np.linalg.det(columns)) < 1e-6:
        raise ValueError("the primaries lie on one line")
    shares = np.linalg.solve(columns, _xyz_of(primaries.white))
    return np.asarray(_adaptation(primaries.white) @ (columns * shares))


def _fixed(values: Sequence[float] | NDArray[np.float64]) -> bytes:
    return b"".join(struct.pack(">i", round(float(value) * 65536)) for value in values)


def _xyz(values: Sequence[float] | NDArray[np.float64]) -> bytes:
    return b"XYZ \0\0\0\0" + _fixed(values)


def _parametric(curve: Curve) -> bytes:
    kind = {1: 0, 5: 3}[len(curve.parameters)]
    return b"para\0\0\0\0" + struct.pack(">HH", kind, 0) + _fixed(curve.parameters)


def _text(text: str) -> bytes:
    content = text.encode("utf-16-be")
    return (
        b"mluc\0\0\0\0" + struct.pack(">II2s2sII", 1, 12, b"en", b"US", len(content), 28) + content
    )


def _common_tags(name: str, adaptation: NDArray[np.float64]) -> list[tuple[bytes, bytes]]:
    return [
        (b"desc", _text(name)),
        (b"cprt", _text("No copyright, use freely")),
        (b"wtpt", _xyz(_D50)),
        (b"chad", b"sf32\0\0\0\0" + _fixed(adaptation.ravel())),
    ]


def _assembled(space: bytes, tags: list[tuple[bytes, bytes]]) -> bytes:
    """A version 4.3 display profile."""
    table, body, offsets = b"", b"", {}
    start = 132 + 12 * len(tags)
    for name, content in tags:
        if content not in offsets:
            offsets[content] = start + len(body)
            body += content + b"\0" * (-len(content) % 4)
        table += name + struct.pack(">II", offsets[content], len(content))
    head = struct.pack(">I4sI4s4s4s", 0, b"\0\0\0\0", 0x04300000, b"mntr", space, b"XYZ ")
    head += struct.pack(">6H", 2026, 11, 28, 0, 0, 0) + b"acsp" + bytes(28)
    head += _fixed(_D50)
    content = head.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + body
    return struct.pack(">I", len(content)) + content[4:]


DISPLAY_P3_ICC = rgb_profile("Display P3", DISPLAY_P3, SRGB_CURVE)
ADOBE_RGB_ICC = rgb_profile("Compatible with Adobe RGB (1998)", ADOBE_RGB, ADOBE_RGB_CURVE)
SRGB_ICC = rgb_profile("sRGB", BT709, SRGB_CURVE)
