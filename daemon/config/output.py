"""How a recipe's results are written: format, encoding, and what is carried into them.

Which key fits which format stands here alone, in `_FITTING` and `_DEPTHS`.
"""

from collections.abc import Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

_LATER_KEYS = frozenset(
    (
        *("depth", "profile", "pages", "metadata", "mtime", "provenance"),
        *("lossless", "chroma", "progressive", "compression"),
    )
)
"""Keys that count for a digest only where they are set: recipes from before them keep theirs."""

_FITTING = {
    "quality": ("jpeg", "webp", "jxl", "avif"),
    "lossless": ("webp", "jxl", "avif"),
    "chroma": ("jpeg", "avif"),
    "progressive": ("jpeg",),
    "compression": ("tiff",),
}
"""Formats that a key means something for; each means something for `same`, too."""

_DEPTHS = {
    "png": (8, 16),
    "jpeg": (8,),
    "webp": (8,),
    "tiff": (8, 16),
    "jxl": (8, 16),
    "avif": (8, 10, 12),
}


class Output(BaseModel):
    """How the result is written."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal["png", "jpeg", "webp", "tiff", "jxl", "avif", "same"] = Field(
        "png",
        description="Format of the result. `same` keeps that of the photograph where it is "
        "written; HEIC becomes AVIF, JPEG 2000 and JPEG of 12 bits become JPEG XL, PSD, HDR, "
        "camera raw and PDF become TIFF, and all else, such as GIF and BMP, becomes PNG.",
        examples=["jpeg"],
    )
    quality: int = Field(
        95,
        ge=1,
        le=100,
        description="Quality of JPEG, WebP, JPEG XL and AVIF; PNG and TIFF lose nothing. At 100 "
        "WebP, JPEG XL and AVIF lose nothing either.",
        examples=[90],
    )
    lossless: bool = Field(
        False,
        description="Whether WebP, JPEG XL and AVIF lose nothing. With `same` a WebP, JPEG XL or "
        "JPEG 2000 that is lossless stays so unless `quality` is set.",
        examples=[True],
    )
    chroma: Literal["4:4:4", "4:2:0"] | None = Field(
        None,
        description="Colour detail of JPEG and AVIF: all of it, or half across and half down. Not "
        "set: 4:4:4 from quality 90 on, 4:2:0 below.",
        examples=["4:4:4"],
    )
    progressive: bool = Field(
        False,
        description="Whether a JPEG shows itself coarse first while it is loaded. Some readers of "
        "frames and printers take no such JPEG.",
        examples=[True],
    )
    compression: Literal["deflate", "zstd", "none"] = Field(
        "deflate",
        description="Compression of TIFF, which never loses anything. `deflate` is read "
        "everywhere, `zstd` is smaller, reads faster and needs libtiff 4.0.10 of 2018 or later, "
        "`none` is what some archives demand.",
        examples=["none"],
    )
    depth: Literal["same", 8, 10, 12, 16] = Field(
        "same",
        description="Bits of each channel. `same` keeps those of the photograph where the format "
        "holds them: PNG, TIFF and JPEG XL hold 8 and 16, AVIF 8, 10 and 12, JPEG and WebP 8. "
        "Above 8 a photograph of 8 bits is worked on in 16, too.",
        examples=[16],
    )
    metadata: Literal["keep", "strip", "strip-location"] = Field(
        "keep",
        description="What the result says beside its pixels. `keep` is all that the photograph "
        "says and that still holds: EXIF, XMP, IPTC, text. `strip-location` leaves out GPS and the "
        "names of places in XMP and IPTC; maker notes and free text stay. `strip` leaves out all "
        "but profile and resolution. An XMP file beside the photograph is copied beside the "
        "result, likewise without places, or not at all.",
        examples=["strip-location"],
    )
    provenance: bool = Field(
        True,
        description="Whether the result says how it was made: in XMP the program, the steps, an "
        "identifier of its own, what it was derived from, and IPTC's digital source type "
        "(`algorithmicallyEnhanced` where it was only cleaned, "
        "`compositeWithTrainedAlgorithmicMedia` where a network invented content); in EXIF, where "
        "there is any, the program.",
        examples=[False],
    )
    mtime: Literal["keep", "now"] = Field(
        "now",
        description="Modification time of the result. `keep` is that of the photograph, of the "
        "first of a pair; `now` is when the result was written.",
        examples=["keep"],
    )
    profile: Literal["keep", "srgb", "display-p3", "adobe-rgb"] = Field(
        "keep",
        description="Colours of the result. `keep` is the profile of the photograph, whose colours "
        "beyond sRGB stay; CMYK with a profile and Lab become Adobe RGB. The others convert.",
        examples=["srgb"],
    )
    pages: Literal["all", "first"] = Field(
        "all",
        description="Pages of a TIFF or PDF that are restored. A TIFF result has them all; in "
        "another format each page is a file, `NAME.png`, `NAME-2.png`. The first alone is restored "
        "where a mask or hints lie beside it, and by `interpolate`. Of animations it is the first "
        "frame.",
        examples=["first"],
    )

    @model_validator(mode="after")
    def _keys_fit_the_format(self) -> "Output":
        if self.format != "same":
            for key, formats in _FITTING.items():
                if key in self.model_fields_set and self.format not in formats:
                    raise ValueError(
                        f'{key} does not fit format = "{self.format}"; set format to '
                        f"{_alternatives((*formats, 'same'))}, or leave {key} out"
                    )
            depths: tuple[str | int, ...] = ("same", *_DEPTHS[self.format])
            if self.depth not in depths:
                raise ValueError(
                    f'depth = {self.depth} does not fit format = "{self.format}"; set depth to '
                    f"{_alternatives(depths)}, or format to "
                    f"{_alternatives([one for one in _DEPTHS if self.depth in _DEPTHS[one]])}"
                )
        if self.lossless and "quality" in self.model_fields_set and self.quality < 100:
            raise ValueError("lossless leaves quality without meaning; leave one of them out")
        if self.lossless and self.chroma == "4:2:0":
            raise ValueError('lossless needs chroma = "4:4:4"; leave one of them out')
        return self

    @property
    def meaning(self) -> dict[str, object]:
        """The values that count for the digest of a recipe."""
        values = self.model_dump(mode="json")
        fields = type(self).model_fields
        return {
            key: value
            for key, value in values.items()
            if key not in _LATER_KEYS or value != fields[key].default
        }


def _alternatives(values: Sequence[str | int]) -> str:
    """Values as TOML writes them, such as "8, 10 or 12"."""
    *most, last = (f'"{one}"' if isinstance(one, str) else str(one) for one in values)
    return f"{', '.join(most)} or {last}" if most else last
