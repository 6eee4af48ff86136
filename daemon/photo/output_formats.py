"""The formats in which results are written: what each can hold, and its writer.

Imports neither numpy nor Pillow; a writer is imported when something is written.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING, BinaryIO, Literal, Protocol

from daemon.photo.picture import Metadata

if TYPE_CHECKING:
    from daemon.photo.postprocessing import Finished

Depth = Literal["same", 8, 10, 12, 16]
"""Bits of a sample that a result is asked to have."""

Profile = Literal["keep", "srgb", "display-p3", "adobe-rgb"]
"""Colours that a result is asked to be written in."""


Chroma = Literal["4:4:4", "4:2:0"]
"""Colour detail: all of it, or half across and half down."""

Compression = Literal["deflate", "zstd", "none"]
"""Compression of a TIFF."""

_WHOLE_CHROMA = 90
"""Quality below which the eye does not miss the colour detail that subsampling drops."""

_LOSSLESS = 100


@dataclass(frozen=True)
class EncoderOptions:
    """How a result is encoded; a writer heeds what its format knows.

    Attributes:
        quality: 1 to 100.
        lossless: Nothing is lost.
        chroma: Colour detail; None leaves it to the quality.
        progressive: A JPEG shows itself coarse first.
        compression: Compression of a TIFF.
    """

    quality: int = 95
    lossless: bool = False
    chroma: Chroma | None = None
    progressive: bool = False
    compression: Compression = "deflate"

    @property
    def is_lossless(self) -> bool:
        """Whether formats that can lose nothing do so."""
        return self.lossless or self.quality == _LOSSLESS

    @property
    def has_whole_chroma(self) -> bool:
        """Whether all colour detail is kept."""
        if self.chroma is None:
            return self.quality >= _WHOLE_CHROMA
        return self.chroma == "4:4:4"


_LIKE_TIFF = ("TIFF", "RAW", "PSD", "HDR", "EXR", "PDF")
"""Formats in whose place a TIFF stands: deep, large, of several pages, or all of it."""


class Write(Protocol):
    """Encodes a result into an open file."""

    def __call__(
        self, finished: Finished, file: BinaryIO, options: EncoderOptions, /
    ) -> tuple[str, ...]:
        """Returns notes on metadata that the format cannot hold.

        Args:
            finished: The codes and what is carried with them.
            file: An empty file; it may be read and sought, and has no descriptor.
            options: How it is encoded.
        """


@dataclass(frozen=True)
class OutputFormat:
    """A format that is written.

    Attributes:
        name: Its name in recipes.
        label: What people call it.
        suffix: Ending of its files.
        sources: Names of the formats that it stands for with `same`, as in `Metadata.format`.
        depths: Depths that it holds: 8, 10, 12, 16, "float".
        writer: Imports its writer.
        has_grey: Whether it has grey.
        has_alpha: Whether it has transparency.
        has_profiles: Whether it carries any profile; else only colours that it has names for.
        max_side_px: Longest side, or None. JPEG has room for 65535, libjpeg stops at 65500.
    """

    name: str
    label: str
    suffix: str
    sources: tuple[str, ...]
    depths: tuple[int | str, ...]
    writer: Callable[[], Write]
    _: KW_ONLY
    has_grey: bool = True
    has_alpha: bool = True
    has_profiles: bool = True
    max_side_px: int | None = None


def output_format(choice: str, metadata: Metadata) -> tuple[str, str]:
    """The format in which a result is written.

    Args:
        choice: Name of one of `OUTPUTS`, or "same" for that of the input.
        metadata: Metadata of the input. What is not written has a likeness that loses no depth and
            is not ten times as large; anything else becomes PNG.

    Returns:
        The format, one of `OUTPUTS`, and the suffix of its files, such as ".jpg".
    """
    if choice == "same":
        is_deep_jpeg = metadata.format == "JPEG" and ";" in metadata.mode
        source = "JXL" if is_deep_jpeg else metadata.format
        choice = next((one.name for one in OUTPUTS if source in one.sources), "png")
    found = output_named(choice)
    return found.name, found.suffix


def output_named(name: str) -> OutputFormat:
    """The format of a name, in any case.

    Raises:
        ValueError: There is none.
    """
    for one in OUTPUTS:
        if one.name == name.lower():
            return one
    raise ValueError(f"{name!r} is none of {', '.join(one.name for one in OUTPUTS)}")


def _png() -> Write:
    from daemon.photo.writers.png import write

    return write


def _jpeg() -> Write:
    from daemon.photo.writers.jpeg import write

    return write


def _webp() -> Write:
    from daemon.photo.writers.webp import write

    return write


def _avif() -> Write:
    from daemon.photo.writers.avif import write

    return write


def _jpegxl() -> Write:
    from daemon.photo.writers.jpegxl import write

    return write


def _tiff() -> Write:
    from daemon.photo.writers.tiff import write

    return write


OUTPUTS = (
    OutputFormat("png", "PNG", ".png", ("PNG",), (8, 16), _png),
    OutputFormat(
        "jpeg", "JPEG", ".jpg", ("JPEG",), (8,), _jpeg, has_alpha=False, max_side_px=65500
    ),
    OutputFormat(
        "webp", "WebP", ".webp", ("WEBP",), (8,), _webp, has_grey=False, max_side_px=16383
    ),
    OutputFormat("tiff", "TIFF", ".tif", _LIKE_TIFF, (8, 16, "float"), _tiff),
    OutputFormat(
        "jxl", "JPEG XL", ".jxl", ("JXL", "JPEG2000"), (8, 16), _jpegxl, has_profiles=False
    ),
    OutputFormat("avif", "AVIF", ".avif", ("AVIF", "HEIF"), (8, 10, 12), _avif, max_side_px=65536),
)
"""Every format that is written."""
