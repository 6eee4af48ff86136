"""The result of every decoder: one page of a file, its codes as stored and their meaning.

`photo.preprocessing` alone turns it into the pixels of a `Picture`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, BinaryIO, Literal, Protocol

from numpy.typing import NDArray

from daemon.photo.picture import Metadata
from daemon.photo.profiles import Primaries

Codes = NDArray[Any]

Model = Literal["grey", "rgb", "cmyk", "lab"]
"""Colour models: grey 1 channel, RGB and Lab 3, CMYK 4. Decoders convert YCbCr and palettes to RGB.

CMYK has 0 for no ink. Lab is float32 under D50: L* of 0 to 100, a* and b* around 0.
"""

CHANNELS: dict[Model, int] = {"grey": 1, "rgb": 3, "cmyk": 4, "lab": 3}


@dataclass(frozen=True)
class ColourTags:
    """All that a file says of the meaning of its codes; `colour.space_of` decides what counts.

    Attributes:
        icc: Embedded colour profile, or None.
        cicp: Code points of the primaries and of the transfer function (ITU-T H.273), or None.
        is_srgb: The file says that it is sRGB (PNG's sRGB chunk, EXIF's ColorSpace 1).
        gamma: Encoding exponent of PNG's gAMA, such as 0.45455, or None.
        primaries: Those of PNG's cHRM, or None.
        is_adobe_rgb: Told by EXIF alone: DCF's option file (R03), or ColorSpace 2.
    """

    icc: bytes | None = None
    cicp: tuple[int, int] | None = None
    is_srgb: bool = False
    gamma: float | None = None
    primaries: Primaries | None = None
    is_adobe_rgb: bool = False


@dataclass(frozen=True, eq=False)
class Decoded:
    """One page as its file stores it, not turned upright.

    Attributes:
        codes: (H, W, C) of any integer or float type.
        model: What the channels are.
        metadata: What is carried to the result; its `icc` is set from `tags` later.
        tags: What the file says of its colours.
        white: The code that stands for white, black being 0; None where the file does not say, as
            of floats and signed numbers, so that their range tells. Of Lab, 255 or 65535: how deep
            the file is.
        alpha: Opacity, (H, W), of the type of the codes and with their `white`, or None. Channels
            that are no opacity are left out, with a note.
        premultiplied: Colours are multiplied by the opacity.
        orientation: EXIF orientation that is still to be applied, 1 to 8.
        pages: Pages or frames of the file.
        notes: What a person should know, without the page note.
    """

    codes: Codes
    model: Model
    metadata: Metadata
    tags: ColourTags = ColourTags()
    white: float | None = None
    alpha: Codes | None = None
    premultiplied: bool = False
    orientation: int = 1
    pages: int = 1
    notes: tuple[str, ...] = ()


class Decode(Protocol):
    """Decodes one page of a file of one format."""

    def __call__(self, file: BinaryIO, label: str, page: int = 0, /) -> Decoded:
        """Whatever is raised but an `OSError` with an error number means that the file is damaged.

        Args:
            file: The file, at any place.
            label: What messages call it.
            page: Page or frame, from 0.

        Raises:
            PhotoError: It is of a kind that is not read; the error says what would help.
        """
