"""The format in which a result is written."""

import pytest
from pydantic import ValidationError

from daemon.config.output import Output
from daemon.photo import Metadata, output_format
from daemon.photo.output_formats import OUTPUTS


@pytest.mark.parametrize(
    ("choice", "source", "wanted"),
    [
        ("png", "JPEG", ("png", ".png")),
        ("jpeg", "PNG", ("jpeg", ".jpg")),
        ("same", "JPEG", ("jpeg", ".jpg")),
        ("same", "PNG", ("png", ".png")),
        ("same", "WEBP", ("webp", ".webp")),
        ("same", "TIFF", ("tiff", ".tif")),
        ("avif", "PNG", ("avif", ".avif")),
        ("same", "AVIF", ("avif", ".avif")),
        ("same", "HEIF", ("avif", ".avif")),
        ("same", "JXL", ("jxl", ".jxl")),
        ("same", "JPEG2000", ("jxl", ".jxl")),
        *(("same", name, ("tiff", ".tif")) for name in ("PSD", "HDR", "RAW", "EXR", "PDF")),
        ("same", "PPM", ("png", ".png")),
        ("same", "GIF", ("png", ".png")),
        ("same", "BMP", ("png", ".png")),
    ],
)
def test_same_is_the_format_of_the_input_or_its_likeness(
    choice: str, source: str, wanted: tuple[str, str]
) -> None:
    assert output_format(choice, Metadata(source, "RGB")) == wanted


def test_a_jpeg_of_12_bits_does_not_become_one_of_8() -> None:
    assert output_format("same", Metadata("JPEG", "L;12")) == ("jxl", ".jxl")
    assert output_format("jpeg", Metadata("JPEG", "L;12")) == ("jpeg", ".jpg")


def test_recipes_know_what_formats_hold() -> None:
    for one in OUTPUTS:
        for depth in (8, 10, 12, 16):
            asked = {"format": one.name, "depth": depth}
            if depth in one.depths:
                assert Output.model_validate(asked).depth == depth
            else:
                with pytest.raises(ValidationError, match="set depth to"):
                    Output.model_validate(asked)
