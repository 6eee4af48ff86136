"""The types for a photograph: its limits, header, files, metadata and pixels.

Frozen dataclasses that other packages exchange. Opens no file and imports neither Pillow nor numpy.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from daemon.system.files import shown

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from daemon.photo.colour import ColourSpace

PROMPTS = "PROMPTS"
"""`Header.format` of a prompt file."""

SLAB_PIXELS = 1 << 21
"""Pixels that are converted or compared at a time."""


@dataclass(frozen=True)
class Limits:
    """Sizes beyond which a photograph is refused; each is named like its setting.

    Attributes:
        max_file_mb: Largest file, in units of 10**6 bytes.
        max_input_megapixels: Largest photograph that is read.
        max_output_megapixels: Largest result that is written.
    """

    max_file_mb: float = 2000
    max_input_megapixels: float = 250
    max_output_megapixels: float = 500


@dataclass(frozen=True)
class Header:
    """The header of a file, read before any pixels are decoded.

    Attributes:
        format: Pillow's name of the format, or `PROMPTS`.
        width, height: Size in pixels as stored; 0 for a prompt file that gives no size.
        mode: Pillow's mode; "" for a prompt file.
        pictures: Pictures that the file stands for: 1, or the number of its prompts.
        page_sizes: Width and height of each page, where there are several that can be restored
            each by itself; else empty.
    """

    format: str
    width: int
    height: int
    mode: str
    pictures: int = 1
    page_sizes: tuple[tuple[int, int], ...] = ()

    @property
    def megapixels(self) -> float:
        """Size in millions of pixels."""
        return self.width * self.height / 1e6


@dataclass(frozen=True)
class Photo:
    """One photograph as files: itself and its side files.

    Attributes:
        path: Where it lies now (in the station's work folder, or the original in `apply`).
        name: The file name that it came with; the result's name is made of it.
        digest: sha256 of the file, hex.
        header: The header of the file.
        mask: NAME.mask.png, white where the picture may be changed, or None.
        hints: NAME.hints.png, transparent but for the colour hints, or None.
        label: What messages call the file: its path below the inbox; `name` if "".
        mask_label: What messages call the mask; the name of its file if "".
        hints_label: What messages call the hints; the name of their file if "".
        beneath: The folder below which no link is followed to the files; None where nobody else
            may write to the folders on the way.
        page: Page that is read, from 0. None for the first: a note then tells of those left out.
    """

    path: Path
    name: str
    digest: str
    header: Header
    mask: Path | None = None
    hints: Path | None = None
    label: str = ""
    mask_label: str = ""
    hints_label: str = ""
    beneath: Path | None = None
    page: int | None = None

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of its page in pixels, as stored."""
        if self.page is None:
            return self.header.width, self.header.height
        return self.header.page_sizes[self.page]

    def each_page(self) -> tuple[Photo, ...]:
        """A photograph for each page; itself where there are not several."""
        pages = tuple(replace(self, page=page) for page in range(len(self.header.page_sizes)))
        return pages or (self,)

    @property
    def labels(self) -> dict[Path, str]:
        """Names of the files in messages, by their paths."""
        files = (
            (self.path, self.label or self.name),
            (self.mask, self.mask_label),
            (self.hints, self.hints_label),
        )
        return {path: shown(label or path.name) for path, label in files if path is not None}


@dataclass(frozen=True)
class Metadata:
    """Metadata carried from the input file to the result, unseen by any network.

    Attributes:
        format: Pillow's name of the input's format, such as "JPEG".
        mode: Pillow's mode of the input, such as "L" or "CMYK".
        icc: Colour profile to embed, or None; pixels in memory are sRGB all the same.
        exif: EXIF block with the orientation already applied and reset, or None.
        xmp: XMP packet, or None.
        dpi: Resolution across and down in dots per inch, or None.
        photoshop: Photoshop's resource blocks, from the first "8BIM" on, IPTC among them, or None.
        comments: Comments of a JPEG or GIF.
        png_text: Text chunks of a PNG, as kind and content.
        turned: EXIF orientation that was applied to the stored pixels, 1 to 8.
        modified_ns: Modification time of the original, nanoseconds since the epoch, or None.
        scale: How many times larger than the original `super-resolve` has made the picture.
        is_lossless: The file is of a lossy format, and its encoder lost nothing.
        untouched_by: Indices of the recipe's steps that left the pixels as they were.
    """

    format: str
    mode: str
    icc: bytes | None = None
    exif: bytes | None = None
    xmp: bytes | None = None
    dpi: tuple[float, float] | None = None
    photoshop: bytes | None = None
    comments: tuple[bytes, ...] = ()
    png_text: tuple[tuple[bytes, bytes], ...] = ()
    turned: int = 1
    scale: float = 1.0
    is_lossless: bool = False
    untouched_by: frozenset[int] = frozenset()
    modified_ns: int | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Prompt:
    """The description of one picture to generate.

    Attributes:
        text: What it shall show.
        negative: What it shall not show; "" for none.
        seed: Seed of its noise, [0, 2**63); None leaves it to the job.
    """

    text: str
    negative: str = ""
    seed: int | None = None


@dataclass(frozen=True)
class Prompts:
    """The content of a prompt file.

    Attributes:
        prompts: One for each picture.
        size: Width and height in pixels; None leaves it to the recipe.
        notes: Always empty, where a `Picture` has notes: whatever is wrong with a prompt file is an
            error.
    """

    prompts: tuple[Prompt, ...]
    size: tuple[int, int] | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Original:
    """A photograph as its file stores it, upright: what sRGB in [0, 1] cannot hold.

    A result is the restored pixels plus what lies outside sRGB; where no step changed a pixel, it
    is written with the code that it has here.

    Attributes:
        codes: (H, W, C): grey 1, RGB and Lab 3, CMYK 4 channels; uint8 or uint16 of full range,
            or float32, of which 0 is black and 1 white. Without opacity.
        space: What colours the codes stand for.
        hidden: Fully transparent pixels, bool (H, W): the pixels beside these codes have other
            colours there. None if there are none.
    """

    codes: NDArray[np.generic]
    space: ColourSpace
    hidden: NDArray[np.bool_] | None = None


@dataclass(frozen=True, eq=False)
class Picture:
    """A decoded photograph.

    Attributes:
        pixels: sRGB as networks see it, uint8 or uint16, (H, W, 3); a grey photograph has three
            equal channels. Colours outside sRGB are clipped.
        grey: Whether it is grey, as the result shall be unless it is colorized.
        metadata: What is carried to the result.
        alpha: Opacity, (H, W), of the type of the pixels, or None.
        mask: White where the picture may be changed, uint8 (h, w), or None. It may have another
            size than the picture: whoever uses it resizes it.
        hints: Colour hints, uint8 RGBA (h, w, 4), or None, also of any size.
        notes: What a person should know of the reading, such as "16-bit RGB read as 8-bit".
        prompt: What it was generated from, with its seed; None for a photograph.
        original: What the file has, where the pixels do not say it all: other colour spaces,
            floats, colours hidden under transparency. None for what is not that photograph any
            more, such as a sheet of several or the picture of a mask.
    """

    pixels: NDArray[np.generic]
    grey: bool
    metadata: Metadata
    alpha: NDArray[np.generic] | None = None
    mask: NDArray[np.uint8] | None = None
    hints: NDArray[np.uint8] | None = None
    notes: tuple[str, ...] = ()
    prompt: Prompt | None = None
    original: Original | None = None


Source = Picture | Prompts
"""Inputs of a recipe's first step: a photograph, or prompts for `generate`."""
