"""WebP, GIF, most BMP and 8-bit PNG, decoded by Pillow, and what its modes mean."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import BinaryIO

import numpy as np
from PIL import Image

from daemon.photo.bit_depth import slabs
from daemon.photo.decoded import CHANNELS, Codes, ColourTags, Decoded, Model
from daemon.photo.metadata import read_metadata
from daemon.photo.notes import Note, NoteKind
from daemon.photo.pillow_files import format_name, open_image
from daemon.photo.webp_header import is_lossless_webp

DAMAGED_PAGES = Note(NoteKind.DAMAGE, "its later pages are damaged; the first was restored")

_MODELS: dict[str, Model] = {"1": "grey", "L": "grey", "LA": "grey", "La": "grey", "CMYK": "cmyk"}
"""Colour models of Pillow's modes; "rgb" for all others."""

_TRANSPARENT = ("LA", "La", "PA", "RGBA", "RGBa")
_PILLOW_MODES: dict[Model, str] = {"grey": "L", "rgb": "RGB", "cmyk": "CMYK"}


@dataclass(frozen=True, eq=False)
class PillowCodes:
    """A picture as Pillow decoded it: codes in uint8, and opacity where there is any."""

    codes: Codes
    model: Model
    alpha: Codes | None


def decode(file: BinaryIO, label: str, page: int = 0) -> Decoded:
    """Decode a page; see `photo.decoded.Decode`."""
    pages, notes = count_pages(open_image(file))
    # Counting pages may have damaged the plugin's state for the first one, so open it again.
    image = open_image(file)
    if page:
        image.seek(page)
    image.load()
    decoded = decoded_image(image, pages=pages, notes=notes, file=file)
    if decoded.metadata.format == "WEBP" and is_lossless_webp(file):
        return replace(decoded, metadata=replace(decoded.metadata, is_lossless=True))
    return decoded


def count_pages(image: Image.Image) -> tuple[int, tuple[str, ...]]:
    """Pages or frames of a file, and a note if they cannot be counted."""
    try:
        return int(getattr(image, "n_frames", 1)), ()
    except Exception:
        # The first page can be read all the same; plugins raise nearly anything here.
        return 1, (DAMAGED_PAGES,)


def decoded_image(
    image: Image.Image,
    *,
    pages: int = 1,
    notes: tuple[str, ...] = (),
    tags: ColourTags | None = None,
    file: BinaryIO | None = None,
    found: PillowCodes | None = None,
) -> Decoded:
    """A loaded image with its metadata.

    Args:
        image: The image, loaded.
        pages: Pages or frames of the file.
        notes: What is known of it already.
        tags: What the file says of its colours; None: Pillow's profile and EXIF say all.
        file: The file, in which Pillow left some metadata; None: there is none.
        found: The codes, where another decoder has them and the image is not loaded.
    """
    said = read_metadata(image, format_name(image), image.mode, file)
    if tags is None:
        tags = ColourTags(icc=said.metadata.icc, is_adobe_rgb=said.is_adobe_rgb)
    found = found or pillow_codes(image)
    return Decoded(
        found.codes,
        found.model,
        said.metadata,
        tags,
        white=255,
        alpha=found.alpha,
        orientation=said.orientation,
        pages=pages,
        notes=(*notes, *said.notes),
    )


def pillow_codes(image: Image.Image) -> PillowCodes:
    """The codes of an image of at most 8 bits, slab by slab."""
    width, height = image.size
    model: Model = _MODELS.get(image.mode, "rgb")
    mode = _PILLOW_MODES[model]
    transparent = image.mode in _TRANSPARENT or "transparency" in image.info
    full = "LA" if model == "grey" else "RGBA"
    codes = np.empty((height, width, CHANNELS[model]), np.uint8)
    alpha = np.empty((height, width), np.uint8) if transparent else None
    for rows in slabs(height, width):
        slab = image.crop((0, rows.start, width, rows.stop))
        if alpha is not None:
            slab = slab.convert("L") if slab.mode == "1" else slab
            slab = slab if slab.mode == full else slab.convert(full)
            alpha[rows] = np.asarray(slab.getchannel("A"))
        slab = slab if slab.mode == mode else slab.convert(mode)
        codes[rows] = np.asarray(slab).reshape(-1, width, CHANNELS[model])
    return PillowCodes(codes, model, alpha)
