"""PNG: up to 8 bits by Pillow, 16 bits by imagecodecs, since Pillow drops half of them."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import BinaryIO

import imagecodecs
import numpy as np

from daemon.photo.decoded import Codes, Decoded, Model
from daemon.photo.decoders.pillow import count_pages, decoded_image
from daemon.photo.metadata import read_metadata
from daemon.photo.pillow_files import open_image
from daemon.photo.png_chunks import (
    Chunk,
    colour_tags,
    has_wrong_checksum,
    png_header,
    read_chunks,
    without_pixels,
)
from daemon.system.errors import PhotoError

_DEEP = 16
_MODELS: dict[int, Model] = {0: "grey", 2: "rgb", 4: "grey", 6: "rgb"}
_MODES = {0: "I;16", 2: "RGB;16", 4: "LA;16", 6: "RGBA;16"}


def decode(file: BinaryIO, label: str, page: int = 0) -> Decoded:
    """Decode the picture, or a frame of an animation; see `photo.decoded.Decode`."""
    chunks = list(read_chunks(file))
    decoded = _decoded(file, chunks, page)
    if has_wrong_checksum(file):
        raise PhotoError(
            label, "its pixels are damaged: a checksum is wrong", "copy it again from where it was"
        )
    return decoded


def _decoded(file: BinaryIO, chunks: list[Chunk], page: int) -> Decoded:
    pages, notes = count_pages(open_image(file))
    if png_header(chunks).bits == _DEEP and page == 0:
        return _deep(file, chunks, pages, notes)
    image = open_image(file)
    if page:
        image.seek(page)
    image.load()
    decoded = decoded_image(image, pages=pages, notes=notes, file=file)
    tags = colour_tags(chunks, decoded.tags.icc, is_adobe_rgb=decoded.tags.is_adobe_rgb)
    return replace(decoded, tags=tags)


def _deep(file: BinaryIO, chunks: list[Chunk], pages: int, notes: tuple[str, ...]) -> Decoded:
    colour_type = png_header(chunks).colour_type
    file.seek(0)
    codes = imagecodecs.png_decode(file.read())
    codes = codes.reshape(codes.shape[0], codes.shape[1], -1)
    image = open_image(io.BytesIO(without_pixels(chunks)))
    image.load()
    said = read_metadata(image, "PNG", _MODES[colour_type], file)
    codes, alpha = _without_alpha(codes, chunks, colour_type)
    return Decoded(
        codes,
        _MODELS[colour_type],
        said.metadata,
        colour_tags(chunks, said.metadata.icc, is_adobe_rgb=said.is_adobe_rgb),
        white=65535,
        alpha=alpha,
        orientation=said.orientation,
        pages=pages,
        notes=(*notes, *said.notes),
    )


def _without_alpha(
    codes: Codes, chunks: list[Chunk], colour_type: int
) -> tuple[Codes, Codes | None]:
    """Codes, and the opacity that a channel or a transparent colour gives."""
    channels = {"grey": 1, "rgb": 3}[_MODELS[colour_type]]
    if codes.shape[2] > channels:
        return codes[..., :channels], codes[..., channels]
    key = next((chunk.content for chunk in chunks if chunk.kind == b"tRNS"), b"")
    if len(key) != 2 * channels:
        return codes, None
    clear = (codes == np.frombuffer(key, ">u2")).all(axis=2)
    return codes, np.where(clear, 0, 65535).astype(np.uint16)
