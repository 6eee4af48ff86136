"""Photographs for the tests of `daemon.photo`: a small one, written and read in one call."""

import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import skimage.data
from numpy.typing import NDArray
from PIL import Image

from daemon.photo import Header, Limits, Metadata, Photo, Picture, read_header, verify_file
from daemon.photo.reading import read_picture
from daemon.photo.writing import write_picture

Levels = NDArray[np.uint8]

PNG = Metadata("PNG", "RGB")

SMALL = Limits(max_input_megapixels=1)
"""Limits for damaged files, whose headers may declare any size."""

FORMATS = ("png", "jpeg", "webp", "tiff")
"""Formats that are written."""

ENCODINGS: list[tuple[str, dict[str, object]]] = [
    ("JPEG", {}),
    ("JPEG", {"progressive": True}),
    ("PNG", {}),
    ("WEBP", {}),
    ("WEBP", {"lossless": True}),
    ("TIFF", {}),
    ("TIFF", {"compression": "tiff_adobe_deflate"}),
    ("TIFF", {"compression": "tiff_lzw"}),
    ("BMP", {}),
    ("GIF", {}),
]
"""Formats that are read, with options of Pillow's encoder."""


def cat(width: int = 60, height: int = 40) -> Levels:
    """A coloured photograph of this size in pixels."""
    return np.asarray(Image.fromarray(skimage.data.chelsea()).resize((width, height)))


def encoded(format: str, **options: Any) -> bytes:  # noqa: ANN401
    """A photograph of 48 x 36 pixels as the content of a file."""
    file = io.BytesIO()
    Image.fromarray(cat(48, 36)).save(file, format, **options)
    return file.getvalue()


def photo_at(path: Path, *, mask: Path | None = None, hints: Path | None = None) -> Photo:
    """The photograph in a file, with its side files."""
    return Photo(path, path.name, "", read_header(path, Limits()), mask, hints)


def read(path: Path) -> Picture:
    """Decode a file."""
    return read_picture(photo_at(path), Limits())


def decoded_pixels(path: Path) -> NDArray[np.generic]:
    """The pixels of a file that may be damaged, read within `SMALL`."""
    with warnings.catch_warnings():
        # Pillow warns of what it then raises.
        warnings.simplefilter("ignore")
        return read_picture(Photo(path, path.name, "", Header("", 1, 1, "")), SMALL).pixels


def opened(path: Path) -> Any:  # noqa: ANN401  attributes of images differ by format
    """A file opened by Pillow, from a copy of its content."""
    return Image.open(io.BytesIO(path.read_bytes()))


def written(picture: Picture, folder: Path, format: str, quality: int = 100) -> Any:  # noqa: ANN401
    """Write a picture as `result.<format>`, verify it and open it by Pillow."""
    path = folder / f"result.{format}"
    write_picture(picture, path, format=format, quality=quality)
    verify_file(path, picture.pixels.shape[1], picture.pixels.shape[0])
    return opened(path)
