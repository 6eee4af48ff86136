"""Tone mapping: high dynamic range brought to what a print or a standard screen shows.

Light in which 1 is the white of a page keeps its mid-tones; what is brighter is compressed into the
room that is left below white, by the curve of Reinhard et al., Photographic Tone Reproduction for
Digital Images, SIGGRAPH 2002, equation 4, from a knee on. All channels of a pixel are scaled alike,
so that hues stay.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from daemon.photo.bit_depth import slabs
from daemon.photo.colour import HDR_TRANSFERS
from daemon.photo.decoded import Codes, ColourTags, Decoded
from daemon.photo.notes import Note, NoteKind
from daemon.photo.profiles import BT709, CICP_PRIMARIES, SRGB_CURVE, rgb_profile

_PAGE_WHITE_NITS = 203
"""Luminance of diffuse white on screens of high dynamic range, in cd/m2 (ITU-R BT.2408)."""

_PQ_PEAK_NITS = 10_000
"""Luminance of the highest PQ code in cd/m2 (SMPTE ST 2084)."""

_PQ_M1, _PQ_M2 = 2610 / 16384, 2523 / 32
_PQ_C1, _PQ_C2, _PQ_C3 = 107 / 128, 2413 / 128, 2392 / 128
"""Constants of the PQ transfer function, by their names in SMPTE ST 2084."""

_HLG_A, _HLG_B, _HLG_C = 0.17883277, 0.28466892, 0.55991073
"""Constants of the HLG transfer function, by their names in ITU-R BT.2100."""

_HLG_PEAK_NITS, _HLG_GAMMA = 1000, 1.2
"""Peak of the screen for which HLG is shown, in cd/m2, and its system gamma (ITU-R BT.2100)."""

_BT2020_LUMA = (0.2627, 0.6780, 0.0593)
"""Shares of linear R, G and B of BT.2020 in luminance (ITU-R BT.2100)."""

_KNEE = np.float32(0.5)
"""Light (1 is diffuse white) from which on the curve compresses; below it nothing changes."""

_WHITE_POINT_PERCENTILE = 99.99
"""Percentile of the pixels' light that becomes white: a few brighter sparks are clipped to it."""

_MIDDLE_GREY = 0.18
"""Light that a middle grey reflects, as photographers expose for it."""

_DARKEST_MIDDLE, _BRIGHTEST_MIDDLE = 0.04, 0.6
"""Geometric means of the light between which a picture counts as exposed well enough."""

Floats = NDArray[np.float32]


def without_high_range(decoded: Decoded) -> Decoded:
    """A page whose code points say PQ or HLG, tone-mapped to 16 bits; any other as it is."""
    cicp, white = decoded.tags.cicp, decoded.white
    if cicp is None or cicp[1] not in HDR_TRANSFERS or decoded.model not in ("grey", "rgb"):
        return decoded
    primaries, transfer = cicp
    height, width = decoded.codes.shape[:2]
    light = np.empty(decoded.codes.shape, np.float32)
    for rows in slabs(height, width):
        signal = decoded.codes[rows].astype(np.float32) / np.float32(white or 1)
        light[rows] = _pq(signal) if transfer == 16 else _hlg(signal)
    name = f"{HDR_TRANSFERS[transfer]} tone-mapped"
    if decoded.model == "grey":
        icc = None
    else:
        points = CICP_PRIMARIES.get(primaries, BT709)
        icc = None if points == BT709 else rgb_profile(name, points, SRGB_CURVE)
    alpha = decoded.alpha
    if alpha is not None and white is not None:
        alpha = np.rint(alpha * (65535 / white)).astype(np.uint16)
    return replace(
        decoded,
        codes=mapped_to_srgb_curve(light),
        tags=ColourTags(icc=icc),
        white=65535,
        alpha=alpha,
        notes=(*decoded.notes, tone_mapping_note(HDR_TRANSFERS[transfer])),
    )


def exposed(light: Floats) -> tuple[Floats, tuple[str, ...]]:
    """Light of any unit brought to where its middle is a mid-tone, and a note if it was not."""
    luminance = np.nan_to_num(light.max(axis=2), posinf=0)
    lit = luminance[luminance > 0]
    middle = float(np.exp(np.log(lit).mean())) if lit.size else _MIDDLE_GREY
    is_within_white = middle > _BRIGHTEST_MIDDLE and bool(luminance.max() <= 1)
    if is_within_white or _DARKEST_MIDDLE <= middle <= _BRIGHTEST_MIDDLE:
        return light, ()
    stops = np.log2(_MIDDLE_GREY / middle)
    scaled = (light * np.float32(_MIDDLE_GREY / middle)).astype(np.float32)
    return scaled, (Note(NoteKind.COLOUR, f"its light was scaled by {stops:+.1f} stops"),)


def tone_mapping_note(name: str) -> Note:
    """Say that high dynamic range was tone-mapped; `name` is how the file has it, such as "PQ"."""
    return Note(NoteKind.COLOUR, f"high dynamic range ({name}) was tone-mapped")


def mapped_to_srgb_curve(light: Floats) -> NDArray[np.uint16]:
    """Linear light, (H, W, C), of which 1 is the white of a page, as codes of sRGB's curve."""
    codes = np.empty(light.shape, np.uint16)
    peak = max(1.0, float(np.percentile(light.max(axis=2), _WHITE_POINT_PERCENTILE)))
    for rows in slabs(*light.shape[:2]):
        codes[rows] = np.rint(_srgb_curve(_compressed(light[rows], peak)) * 65535)
    return codes


def _compressed(light: Floats, peak: float) -> Floats:
    """Light of up to `peak` in [0, 1]."""
    light = np.nan_to_num(np.maximum(light, 0), posinf=peak)
    if peak <= 1:
        return np.minimum(light, 1)
    brightest = light.max(axis=2, keepdims=True)
    room = 1 - _KNEE
    above = np.maximum(brightest - _KNEE, 0) / room
    limit = np.float32((peak - _KNEE) / room)
    mapped = _KNEE + room * above * (1 + above / limit**2) / (1 + above)
    scale = np.where(brightest > _KNEE, mapped / np.maximum(brightest, _KNEE), 1)
    return np.minimum(light * scale, 1).astype(np.float32)


def _srgb_curve(light: Codes) -> Codes:
    return np.where(
        light <= 0.0031308, 12.92 * light, 1.055 * np.maximum(light, 1e-9) ** (1 / 2.4) - 0.055
    )


def _pq(signal: Floats) -> Floats:
    """Light of PQ codes (SMPTE ST 2084), of which 1 is the white of a page."""
    power = np.maximum(signal, 0) ** np.float32(1 / _PQ_M2)
    over = np.maximum(power - np.float32(_PQ_C1), 0)
    under = np.float32(_PQ_C2) - np.float32(_PQ_C3) * power
    nits = _PQ_PEAK_NITS * (over / under) ** np.float32(1 / _PQ_M1)
    return np.asarray(nits / _PAGE_WHITE_NITS, np.float32)


def _hlg(signal: Floats) -> Floats:
    """Light of HLG codes on the screen (ITU-R BT.2100), of which 1 is the white of a page."""
    above = (np.exp((signal - _HLG_C) / _HLG_A) + _HLG_B) / 12
    scene = np.where(signal <= 0.5, signal**2 / 3, above)
    weights = np.array(_BT2020_LUMA) if scene.shape[2] == 3 else np.ones(1)
    luminance = np.maximum((scene * weights).sum(axis=2, keepdims=True), 1e-6)
    nits = _HLG_PEAK_NITS * luminance ** (_HLG_GAMMA - 1) * scene
    return np.asarray(nits / _PAGE_WHITE_NITS, np.float32)
