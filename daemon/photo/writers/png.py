"""PNG: 8 bits by Pillow, 16 bits by imagecodecs."""

from __future__ import annotations

import io
from typing import Any, BinaryIO

import imagecodecs
import numpy as np
from PIL import Image, PngImagePlugin

from daemon.photo.embedded_blocks import raw_profile
from daemon.photo.output_formats import EncoderOptions
from daemon.photo.png_chunks import SIGNATURE, packed, read_chunks
from daemon.photo.postprocessing import Finished
from daemon.photo.writers.pillow import common_options, exif_of, image_of

_LEVEL = 4
_HEADER_BYTES = len(SIGNATURE) + 25
"""Signature and IHDR; what is said beside the pixels stands behind them."""


def write(finished: Finished, file: BinaryIO, options: EncoderOptions) -> tuple[str, ...]:
    """Write a PNG; see `photo.output_formats.Write`. It never loses anything."""
    carried = _carried(finished)
    if finished.codes.dtype == np.uint8:
        image_of(finished).save(file, "PNG", compress_level=_LEVEL, **carried)
        return ()
    codes = finished.codes[..., 0] if finished.codes.shape[2] == 1 else finished.codes
    encoded = imagecodecs.png_encode(np.ascontiguousarray(codes), level=_LEVEL)
    file.write(encoded[:_HEADER_BYTES])
    file.write(_said(carried))
    file.write(memoryview(encoded)[_HEADER_BYTES:])
    return ()


def _carried(finished: Finished) -> dict[str, Any]:
    options, exif = common_options(finished), exif_of(finished)
    text = PngImagePlugin.PngInfo()
    if finished.metadata.xmp is not None:
        text.add_itxt("XML:com.adobe.xmp", finished.metadata.xmp.decode("utf-8", "replace"))
    for kind, content in _texts(finished):
        text.add(kind, content)
    options["pnginfo"] = text
    if exif is not None:
        options["exif"] = exif
    return options


def _texts(finished: Finished) -> list[tuple[bytes, bytes]]:
    """Text chunks: those of a PNG, comments of a JPEG, and IPTC as ImageMagick keeps it."""
    metadata = finished.metadata
    texts = list(metadata.png_text)
    texts += [(b"iTXt", b"Comment\0\0\0\0\0" + _utf8(text)) for text in metadata.comments]
    if metadata.photoshop is not None:
        texts.append((b"zTXt", raw_profile(b"iptc", metadata.photoshop)))
    return texts


def _utf8(text: bytes) -> bytes:
    """A comment in UTF-8; one that is not is taken for Latin-1."""
    text = text.rstrip(b"\0")
    try:
        return text.decode().encode()
    except UnicodeDecodeError:
        return text.decode("latin-1").encode()


def _said(options: dict[str, Any]) -> bytes:
    """Profile, resolution, text and EXIF as Pillow writes them."""
    other = io.BytesIO()
    Image.new("L", (1, 1)).save(other, "PNG", **options)
    kept = [chunk for chunk in read_chunks(other) if chunk.kind not in (b"IHDR", b"IEND")]
    return b"".join(packed(chunk) for chunk in kept)
