"""JPEG XL of 8 or 16 bits, by libjxl in imagecodecs."""

from __future__ import annotations

import io
import struct
from typing import BinaryIO

import imagecodecs
import numpy as np

from daemon.photo.bit_depth import slabs, to_unit
from daemon.photo.colour import ColourSpace, output_space
from daemon.photo.decoded import Codes
from daemon.photo.isobmff import boxes
from daemon.photo.jpegxl_codestream import NamedColours, named_colours, with_header
from daemon.photo.output_formats import EncoderOptions
from daemon.photo.postprocessing import Finished
from daemon.photo.writers.pillow import carried_exif

_KNEE = np.float32(0.04045)
_EFFORT, _LOSSLESS_EFFORT = 7, 5
_THREADS = 1
"""Threads of an encoder: workers encode side by side already, and one always writes the same."""


def write(finished: Finished, file: BinaryIO, options: EncoderOptions) -> tuple[str, ...]:
    """Write a JPEG XL; see `photo.output_formats.Write`.

    Raises:
        ValueError: Its profile has no name in JPEG XL, and it is not lossless;
            `photo.postprocessing` then chooses one that has.
    """
    space, _ = output_space(finished.icc, grey=finished.is_grey, has_grey=True)
    colours: NamedColours | bytes | None = named_colours(space)
    if colours is None and options.is_lossless:
        colours = space.icc
    if colours is None:
        raise ValueError("its colours have no name in JPEG XL")
    codes = finished.codes
    if not options.is_lossless:
        codes = _linear(codes, space, has_alpha=finished.has_alpha)
    encoded = imagecodecs.jpegxl_encode(
        np.ascontiguousarray(codes[..., 0] if codes.shape[2] == 1 else codes),
        effort=_LOSSLESS_EFFORT if options.is_lossless else _EFFORT,
        lossless=options.is_lossless,
        distance=None if options.is_lossless else _distance(options.quality),
        usecontainer=True,
        numthreads=_THREADS,
    )
    exif, xmp = carried_exif(finished), finished.metadata.xmp
    said = b"" if exif is None else _box(b"Exif", struct.pack(">I", 0) + exif)
    said += b"" if xmp is None else _box(b"xml ", xmp)
    for kind, content in _encoded_boxes(bytes(encoded)):
        if kind == b"jxlc":
            file.write(said)
            file.write(_box(kind, with_header(content, finished.bits, colours)))
        else:
            file.write(_box(kind, content))
    return ()


def _encoded_boxes(encoded: bytes) -> list[tuple[bytes, bytes]]:
    """Kind and content of the boxes of a file.

    Raises:
        ValueError: It has no codestream of one piece.
    """
    found = [
        (box.kind, encoded[box.begin : box.end])
        for box in boxes(io.BytesIO(encoded), 0, len(encoded))
    ]
    if b"jxlc" not in dict(found):
        raise ValueError("the encoder wrote no codestream of one piece")
    return found


def _box(kind: bytes, content: bytes) -> bytes:
    if 8 + len(content) >= 1 << 32:
        return struct.pack(">I4sQ", 1, kind, 16 + len(content)) + content
    return struct.pack(">I4s", 8 + len(content), kind) + content


def _distance(quality: int) -> float:
    """Butteraugli distance of a quality below 100.

    Source: libjxl's JxlEncoderDistanceFromQuality, which makes the numbers those of JPEG.
    """
    if quality >= 30:
        return 0.1 + (100 - quality) * 0.09
    return 53 / 3000 * quality**2 - 23 / 20 * quality + 25


def _linear(codes: Codes, space: ColourSpace, *, has_alpha: bool) -> Codes:
    """Codes as light under sRGB's primaries, unclipped: what the encoder takes floats for."""
    colours = codes.shape[2] - has_alpha
    linear = np.empty(codes.shape, np.float32)
    for rows in slabs(*codes.shape[:2]):
        values = space.to_extended(codes[rows, :, :colours])[..., :colours]
        # Extended sRGB is straight below its knee, however far.
        bright = ((np.maximum(values, _KNEE) + 0.055) / 1.055) ** 2.4
        linear[rows, :, :colours] = np.where(values <= _KNEE, values / 12.92, bright)
        linear[rows, :, colours:] = to_unit(codes[rows, :, colours:])
    return linear
