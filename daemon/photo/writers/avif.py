"""AVIF of 8, 10 or 12 bits, by libavif; opacity never loses anything."""

from __future__ import annotations

from typing import BinaryIO

import imagecodecs
import numpy as np

from daemon.photo.avif_container import CodedImage, coded_image, write_avif
from daemon.photo.bit_depth import highest_level, slabs
from daemon.photo.decoded import Codes
from daemon.photo.output_formats import EncoderOptions
from daemon.photo.postprocessing import Finished
from daemon.photo.writers.pillow import carried_exif

_SPEED = 8
"""Effort of the encoder, of 0 (most) to 10: at 6 a photograph takes three times as long for 2 %."""

_THREADS = 1
"""Threads of an encoder: workers encode side by side already, and one always writes the same."""

_LOSSLESS = 100
_SRGB, _UNSPECIFIED = (1, 13), (2, 2)
"""Code points of primaries and transfer function (ITU-T H.273)."""


def write(finished: Finished, file: BinaryIO, options: EncoderOptions) -> tuple[str, ...]:
    """Write an AVIF; see `photo.output_formats.Write`."""
    codes = finished.codes
    channels = codes.shape[2] - finished.has_alpha
    opacity = None
    if finished.has_alpha:
        opacity = _coded(
            codes[..., channels:], finished.bits, EncoderOptions(lossless=True), _UNSPECIFIED
        )
    exif = carried_exif(finished)
    write_avif(
        file,
        _coded(
            codes[..., :channels],
            finished.bits,
            options,
            # A profile stands beside the code points, which must not say anything else.
            _SRGB if finished.icc is None else _UNSPECIFIED,
        ),
        opacity,
        icc=finished.icc,
        exif=exif,
        xmp=finished.metadata.xmp,
    )
    return ()


def _coded(
    codes: Codes, bits: int, options: EncoderOptions, colours: tuple[int, int]
) -> CodedImage:
    """One or three channels as AV1."""
    is_grey = codes.shape[2] == 1
    whole = "444" if options.is_lossless or options.has_whole_chroma else "420"
    content = imagecodecs.avif_encode(
        np.ascontiguousarray(_reduced(codes[..., 0] if is_grey else codes, bits)),
        _LOSSLESS if options.is_lossless else options.quality,
        speed=_SPEED,
        bitspersample=bits,
        pixelformat="400" if is_grey else whole,
        numthreads=_THREADS,
        primaries=colours[0],
        transfer=colours[1],
    )
    return coded_image(bytes(content))


def _reduced(codes: Codes, bits: int) -> Codes:
    """Codes of 16 bits in fewer, as AV1 has them."""
    if codes.dtype == np.uint8:
        return codes
    reduced = np.empty(codes.shape, np.uint16)
    factor = ((1 << bits) - 1) / highest_level(np.uint16)
    for rows in slabs(*codes.shape[:2]):
        reduced[rows] = np.rint(codes[rows] * np.float32(factor))
    return reduced
