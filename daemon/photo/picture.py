"""What is known of a photograph: the frozen types that travel between modules.

Comes in: nothing. Goes out: `Limits`, `Header` (cheap, no pixels), `Photo`, `Picture` (pixels and
everything that must survive to the result). Opens no file and imports neither Pillow nor numpy.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from daemon.system.files import shown

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

PROMPTS = "PROMPTS"
"""Format of a header that is one of prompts."""

_SAME = {"JPEG": "jpeg", "PNG": "png", "WEBP": "webp", "TIFF": "tiff"}
_SUFFIXES = {"jpeg": ".jpg", "png": ".png", "webp": ".webp", "tiff": ".tif"}


@dataclass(frozen=True)
class Limits:
    """What is refused, and by which setting.

    Attributes:
        max_file_mb: Largest file, in MB of 10**6 bytes.
        max_input_megapixels: Largest photograph read.
        max_output_megapixels: Largest result written.
    """

    max_file_mb: float = 2000
    max_input_megapixels: float = 250
    max_output_megapixels: float = 500


@dataclass(frozen=True)
class Header:
    """What a file says of itself before its pixels are decoded; sizes as stored, in pixels.

    Attributes:
        format: Pillow's name of it, or `PROMPTS`.
        width, height: 0 in a file of prompts that says none.
        mode: Pillow's mode, "" of prompts.
        pictures: How many pictures it gives: 1, or as many as it has prompts.
    """

    format: str
    width: int
    height: int
    mode: str
    pictures: int = 1

    @property
    def megapixels(self) -> float:
        """Size in millions of pixels."""
        return self.width * self.height / 1e6


@dataclass(frozen=True)
class Photo:
    """One claimed photograph and its side files.

    Attributes:
        path: Where it lies now (in the station's work folder, or the original in `apply`).
        name: The file name it came with, which the result's name is made of.
        digest: sha256 of the file, hex.
        header: What the file says of itself.
        mask: NAME.mask.png, white where the picture may be changed.
        hints: NAME.hints.png, transparent but for dabs of colour.
        place: What messages call the file: its path below the inbox; `name` if "".
        mask_place: The same of the mask; the name of its file if "".
        hints_place: The same of the hints; the name of their file if "".
    """

    path: Path
    name: str
    digest: str
    header: Header
    mask: Path | None = None
    hints: Path | None = None
    place: str = ""
    mask_place: str = ""
    hints_place: str = ""

    @property
    def places(self) -> dict[Path, str]:
        """What messages call each file, by its path."""
        files = (
            (self.path, self.place or self.name),
            (self.mask, self.mask_place),
            (self.hints, self.hints_place),
        )
        return {path: shown(place or path.name) for path, place in files if path is not None}


@dataclass(frozen=True)
class Metadata:
    """What travels from the input file to the result unseen by any network.

    Attributes:
        format: Pillow's name of the input's format, such as "JPEG".
        mode: Pillow's mode of the input, such as "L" or "CMYK".
        icc: The profile to embed, or None; pixels in memory are sRGB all the same.
        exif: EXIF block with the orientation already applied and reset, or None.
        xmp: XMP packet, or None.
        dpi: Resolution, or None.
    """

    format: str
    mode: str
    icc: bytes | None = None
    exif: bytes | None = None
    xmp: bytes | None = None
    dpi: tuple[float, float] | None = None


@dataclass(frozen=True)
class Prompt:
    """One picture that is wanted.

    Attributes:
        text: What it shows.
        negative: What it shall not show.
        seed: Of its noise, [0, 2**63); None leaves it to the job.
    """

    text: str
    negative: str = ""
    seed: int | None = None


@dataclass(frozen=True)
class Prompts:
    """A file of prompts, read.

    Attributes:
        prompts: One for each picture.
        size: Width and height in pixels; None leaves it to the recipe.
        notes: Nothing: what is wrong with it is an error.
    """

    prompts: tuple[Prompt, ...]
    size: tuple[int, int] | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Picture:
    """A decoded photograph.

    Attributes:
        pixels: sRGB, uint8 or uint16, (H, W, 3); a grey photograph has three equal channels.
        grey: Whether it is grey, and so should the result be unless it is colorized.
        alpha: Opacity, same dtype, (H, W), or None.
        metadata: What travels along.
        mask: uint8 (h, w), or None. Any size: who uses it fits it.
        hints: uint8 RGBA (h, w, 4), or None. Any size.
        notes: What a person should know of the reading, such as "16-bit RGB read as 8-bit".
        prompt: What it was generated from, with its seed; None of a photograph.
    """

    pixels: NDArray[np.generic]
    grey: bool
    metadata: Metadata
    alpha: NDArray[np.generic] | None = None
    mask: NDArray[np.uint8] | None = None
    hints: NDArray[np.uint8] | None = None
    notes: tuple[str, ...] = ()
    prompt: Prompt | None = None


Source = Picture | Prompts
"""What a recipe begins with."""


def output_format(choice: str, metadata: Metadata) -> tuple[str, str]:
    """Settle in which format a result is written.

    Args:
        choice: "png", "jpeg", "webp", "tiff", or "same" for that of the input.
        metadata: Of the input; what cannot be written again (GIF, BMP) becomes PNG.

    Returns:
        The format, one of the four, and the suffix of its files, such as ".jpg".
    """
    format = _SAME.get(metadata.format, "png") if choice == "same" else choice
    return format, _SUFFIXES[format]
