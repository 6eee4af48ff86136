"""The format in which a result is written."""

import pytest

from daemon.photo import Metadata, output_format


@pytest.mark.parametrize(
    ("choice", "source", "wanted"),
    [
        ("png", "JPEG", ("png", ".png")),
        ("jpeg", "PNG", ("jpeg", ".jpg")),
        ("same", "JPEG", ("jpeg", ".jpg")),
        ("same", "PNG", ("png", ".png")),
        ("same", "WEBP", ("webp", ".webp")),
        ("same", "TIFF", ("tiff", ".tif")),
        ("same", "GIF", ("png", ".png")),
        ("same", "BMP", ("png", ".png")),
    ],
)
def test_same_is_the_format_of_the_input_if_it_can_be_written(
    choice: str, source: str, wanted: tuple[str, str]
) -> None:
    assert output_format(choice, Metadata(source, "RGB")) == wanted
