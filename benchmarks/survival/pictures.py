"""Small photographs of every format that the project reads, and damaged copies of them.

Each picture follows from its seed alone and is like no other, so that its digest names it.
"""

import io
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import imagecodecs
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image, PngImagePlugin

from daemon.photo.input_formats import format_names

_MAX_SIDE_PX = 40

_HEIC = Path(__file__).parents[2] / "tests/photo/data/plain.heic"
"""A photograph in HEIC, for which no encoder may be shipped."""


@dataclass(frozen=True)
class Sample:
    """A way to write a small photograph.

    Attributes:
        suffix: Suffix of its file.
        mode: Pillow's mode of the picture.
        options: Options of Pillow's encoder.
    """

    suffix: str
    mode: str = "RGB"
    options: tuple[tuple[str, object], ...] = ()


SAMPLES: dict[str, tuple[Sample, ...]] = {
    "JPEG": (
        Sample(".jpg", options=(("quality", 85),)),
        Sample(".JPG", options=(("progressive", True),)),
        Sample(".jpeg", mode="L"),
    ),
    "PNG": (Sample(".png"), Sample(".png", mode="L"), Sample(".png", mode="RGBA")),
    "WEBP": (Sample(".webp"), Sample(".webp", options=(("lossless", True),))),
    "TIFF": (
        Sample(".tif"),
        Sample(".tiff", options=(("compression", "tiff_lzw"),)),
        Sample(".tif", mode="L", options=(("compression", "tiff_adobe_deflate"),)),
    ),
    "BMP": (Sample(".bmp"), Sample(".bmp", mode="L")),
    "GIF": (Sample(".gif", mode="P"),),
    "AVIF": (Sample(".avif"),),
    "JPEG2000": (Sample(".jp2"), Sample(".jp2", mode="L")),
    "JXL": (Sample(".jxl"), Sample(".jxl", mode="L")),
    "HEIF": (Sample(".heic"),),
    "PPM": (Sample(".ppm"), Sample(".pgm", mode="L")),
    "PSD": (Sample(".psd"),),
}
"""Ways to write each format; those that the project does not read are left out of a run."""


def read_formats() -> tuple[str, ...]:
    """The formats that the project reads and that this module can write."""
    return tuple(name for name in format_names() if name in SAMPLES)


def missing_formats() -> tuple[str, ...]:
    """The formats that the project reads and that this module cannot write."""
    return tuple(name for name in format_names() if name not in SAMPLES)


def photograph(rng: Generator, format: str) -> tuple[str, bytes]:
    """A small photograph, sound and of random content.

    Args:
        rng: Where its content comes from.
        format: A key of `SAMPLES`.

    Returns:
        The suffix of its file and the content of it.
    """
    samples = SAMPLES[format]
    sample = samples[int(rng.integers(len(samples)))]
    if format == "HEIF":
        return sample.suffix, _HEIC.read_bytes() + _free_box(rng)
    image = _image(rng).convert(sample.mode)
    if format == "PSD":
        return sample.suffix, _psd(np.asarray(image))
    if format == "JXL":
        return sample.suffix, bytes(imagecodecs.jpegxl_encode(np.asarray(image)))
    file = io.BytesIO()
    image.save(file, format, **dict(sample.options))
    return sample.suffix, file.getvalue()


def mask(rng: Generator, *, empty: bool) -> bytes:
    """A mask as PNG: one white rectangle, or none."""
    levels = np.zeros((24, 24), np.uint8)
    if not empty:
        top, left = rng.integers(0, 18, 2)
        levels[top : top + 4, left : left + 4] = 255
    return _marked_png(rng, Image.fromarray(levels))


def hints(rng: Generator) -> bytes:
    """Colour hints as PNG: transparent, with one dab."""
    levels = np.zeros((24, 24, 4), np.uint8)
    top, left = rng.integers(0, 18, 2)
    levels[top : top + 4, left : left + 4] = (*rng.integers(0, 256, 3), 255)
    return _marked_png(rng, Image.fromarray(levels))


def mutated(rng: Generator, content: bytes, other: bytes) -> bytes:
    """A damaged copy of a file's content.

    Args:
        rng: Chooses the kinds of damage and their places.
        content: A sound file.
        other: Another file, parts of which may be put in.
    """
    for _ in range(int(rng.integers(1, 4))):
        change = _MUTATIONS[int(rng.integers(len(_MUTATIONS)))]
        content = change(rng, content or b"\0", other)
    return content or b"\0"


def _psd(pixels: NDArray[np.uint8]) -> bytes:
    """A flat Photoshop file of RGB pixels, (H, W, 3)."""
    height, width, _ = pixels.shape
    head = struct.pack(">4sH6xHIIHH", b"8BPS", 1, 3, height, width, 8, 3)
    no_sections, uncompressed = bytes(12), bytes(2)
    return head + no_sections + uncompressed + pixels.transpose(2, 0, 1).tobytes()


def _free_box(rng: Generator) -> bytes:
    """A box that readers of HEIF pass over, which makes one file unlike all others."""
    return struct.pack(">I4s16s", 24, b"free", rng.bytes(16))


def _image(rng: Generator) -> Image.Image:
    """A smooth picture with a little noise, at least 8 pixels a side."""
    width, height = (int(side) for side in rng.integers(8, _MAX_SIDE_PX + 1, 2))
    coarse = Image.fromarray(rng.integers(0, 256, (3, 4, 3), np.uint8))
    smooth = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC), np.int16)
    noisy = smooth + rng.integers(-6, 7, smooth.shape, np.int16)
    return Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8))


def _marked_png(rng: Generator, image: Image.Image) -> bytes:
    mark = PngImagePlugin.PngInfo()
    mark.add_text("Comment", rng.bytes(16).hex())
    file = io.BytesIO()
    image.save(file, "PNG", pnginfo=mark)
    return file.getvalue()


def _place(rng: Generator, content: bytes) -> int:
    """A place in a file; every second one lies in its first 64 bytes, where headers are."""
    return int(rng.integers(min(len(content), 64) if rng.random() < 0.5 else len(content)))


def _flip(rng: Generator, content: bytes, other: bytes) -> bytes:
    changed = bytearray(content)
    for _ in range(int(rng.integers(1, 9))):
        changed[_place(rng, content)] = int(rng.integers(256))
    return bytes(changed)


def _cut_off(rng: Generator, content: bytes, other: bytes) -> bytes:
    return content[: _place(rng, content)]


def _cut_out(rng: Generator, content: bytes, other: bytes) -> bytes:
    at = _place(rng, content)
    return content[:at] + content[at + int(rng.integers(1, 65)) :]


def _repeat(rng: Generator, content: bytes, other: bytes) -> bytes:
    at = _place(rng, content)
    return content[:at] + content[at : at + 256] * int(rng.integers(2, 9)) + content[at:]


def _blank(rng: Generator, content: bytes, other: bytes) -> bytes:
    at, length = _place(rng, content), int(rng.integers(1, 257))
    fill = b"\0" if rng.random() < 0.5 else b"\xff"
    return content[:at] + fill * min(length, len(content) - at) + content[at + length :]


def _extreme(rng: Generator, content: bytes, other: bytes) -> bytes:
    at = _place(rng, content)
    value = _EXTREMES[int(rng.integers(len(_EXTREMES)))]
    return content[:at] + value + content[at + len(value) :]


def _graft(rng: Generator, content: bytes, other: bytes) -> bytes:
    return content[: _place(rng, content)] + other[_place(rng, other) :]


def _append(rng: Generator, content: bytes, other: bytes) -> bytes:
    return content + rng.bytes(int(rng.integers(1, 2049)))


_EXTREMES = (
    *(b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x7f\xff\xff\xff", b"\xff\xff\xff\x7f", b"\x80\0\0\0"),
    *(b"\xff\xff", b"\0\x01", b"\x01\0\0\0", b"\0\0\xff\xff", b"\xff" * 8),
)
"""What sizes, counts and offsets in headers are replaced with."""

_Mutation = Callable[[Generator, bytes, bytes], bytes]

_MUTATIONS: tuple[_Mutation, ...] = (
    *(_flip, _flip, _extreme, _extreme, _cut_off, _cut_out, _repeat, _blank, _graft, _append),
)
"""Kinds of damage; those that matter most to parsers come twice."""
