"""JPEG XL and AVIF: pixels, depth, colours, opacity and metadata come back from the file."""

import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from daemon.photo import Depth, Metadata, Picture, verify_file
from daemon.photo.colour import ColourSpace
from daemon.photo.jpegxl_codestream import named_colours, with_header
from daemon.photo.jpegxl_header import plain_header
from daemon.photo.output_formats import EncoderOptions
from daemon.photo.picture import Original
from daemon.photo.profiles import (
    ADOBE_RGB,
    ADOBE_RGB_ICC,
    BT709,
    CICP_PRIMARIES,
    D65,
    DISPLAY_P3_ICC,
    SRGB_CURVE,
    Curve,
    Primaries,
    grey_profile,
    rgb_profile,
)
from daemon.photo.writing import write_picture
from tests.support.photos import PNG, cat, read

FORMATS = ("jxl", "avif")
LOSSLESS = EncoderOptions(lossless=True)
ODD_ICC = rgb_profile(
    "odd", Primaries(D65, (0.66, 0.32), (0.25, 0.68), (0.14, 0.05)), Curve((2.0,))
)
"""A profile that no name of JPEG XL stands for."""

NEAR_ICC = rgb_profile("near", BT709, Curve((2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.9, 0.0405)))
"""A profile that is sRGB but for less than a level."""

XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF '
    b'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about="" '
    b'xmlns:dc="http://purl.org/dc/elements/1.1/" dc:title="Grandma"/></rdf:RDF></x:xmpmeta>'
)


def deep(levels: Any) -> Any:  # noqa: ANN401  arrays of any type
    """Levels of 8 bits in 16, with something in the lower half."""
    return (levels.astype(np.uint32) * 65535 // 255 // 2 + 77).astype(np.uint16)


def back(picture: Picture, path: Path, **options: Any) -> Picture:  # noqa: ANN401
    """The picture, written and read again."""
    write_picture(picture, path, format=path.suffix[1:], **options)
    height, width = picture.pixels.shape[:2]
    verify_file(path, width, height)
    return read(path)


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("is_grey", [False, True])
@pytest.mark.parametrize("has_alpha", [False, True])
def test_lossless_pixels_come_back_exactly(
    tmp_path: Path, format: str, is_grey: bool, has_alpha: bool
) -> None:
    levels = np.repeat(cat()[..., :1], 3, axis=2) if is_grey else cat()
    alpha = np.linspace(0, 255, 2400).reshape(40, 60).astype(np.uint8) if has_alpha else None
    picture = Picture(levels, is_grey, PNG, alpha)
    result = back(picture, tmp_path / f"a.{format}", options=LOSSLESS)
    assert np.array_equal(result.pixels, levels)
    assert result.grey == is_grey
    assert result.metadata.mode == ("L" if is_grey else "RGB") + "A" * has_alpha
    if alpha is not None:
        assert result.alpha is not None
        assert np.array_equal(result.alpha, alpha)
    assert result.notes == ()


def test_sixteen_bits_come_back_exactly_from_jpeg_xl(tmp_path: Path) -> None:
    alpha = (np.arange(2400, dtype=np.uint32) * 27).astype(np.uint16).reshape(40, 60)
    result = back(Picture(deep(cat()), False, PNG, alpha), tmp_path / "a.jxl", options=LOSSLESS)
    assert np.array_equal(result.pixels, deep(cat()))
    assert result.alpha is not None
    assert np.array_equal(result.alpha, alpha)


@pytest.mark.parametrize(
    ("mode", "depth", "bits", "note"),
    [
        ("RGB;10", "same", 10, ""),
        ("RGB;12", "same", 12, ""),
        ("RGB;16", "same", 12, "16-bit written as 12-bit"),
        ("RGB;16", 10, 10, ""),
        ("RGB;16", 8, 8, ""),
    ],
)
def test_avif_has_the_least_of_its_depths_that_holds_the_photograph(
    tmp_path: Path,
    mode: str,
    depth: Depth,
    bits: int,
    note: str,
) -> None:
    white = 2**bits - 1
    codes = np.random.default_rng(0).integers(0, white, (40, 60, 3), endpoint=True)
    pixels = np.rint(codes * (65535 / white)).astype(np.uint16)
    picture, path = Picture(pixels, False, Metadata("HEIF", mode)), tmp_path / "a.avif"
    notes = write_picture(picture, path, format="avif", depth=depth, options=LOSSLESS)
    assert notes == ((note,) if note else ())
    stored = imagecodecs.avif_decode(path.read_bytes())
    assert np.array_equal(stored, codes)
    assert read(path).metadata.mode == ("RGB" if bits == 8 else f"RGB;{bits}")


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("icc", [None, DISPLAY_P3_ICC, ADOBE_RGB_ICC, ODD_ICC, NEAR_ICC])
@pytest.mark.parametrize("to_depth", [np.asarray, deep])
@pytest.mark.parametrize("is_lossless", [True, False])
def test_colours_are_those_of_the_profile(
    tmp_path: Path,
    format: str,
    icc: bytes | None,
    to_depth: Callable[[Any], Any],
    is_lossless: bool,
) -> None:
    levels = to_depth(cat())
    picture = Picture(levels, False, replace(PNG, icc=icc))
    options = EncoderOptions(99, lossless=is_lossless)
    result = back(picture, tmp_path / f"a.{format}", options=options)
    unit = 1 if levels.dtype == np.uint8 else 257
    error = np.abs(result.pixels.astype(int) - levels) / unit
    assert error.mean() < (0.5 if is_lossless else 2.0)
    assert error.max() <= (2 if is_lossless else 25)


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("icc", [DISPLAY_P3_ICC, ADOBE_RGB_ICC])
@pytest.mark.parametrize("is_lossless", [True, False])
def test_colours_outside_srgb_stay_there(
    tmp_path: Path, format: str, icc: bytes, is_lossless: bool
) -> None:
    codes = np.full((32, 32, 3), (10, 250, 20), np.uint8)
    Image.fromarray(codes).save(tmp_path / "a.png", icc_profile=icc)
    picture = read(tmp_path / "a.png")
    assert picture.original is not None
    result = back(
        picture, tmp_path / f"b.{format}", options=EncoderOptions(99, lossless=is_lossless)
    )
    assert result.original is not None
    kept = np.asarray(result.original.codes, int)
    assert np.abs(kept - codes).max() <= (0 if is_lossless else 4)
    extended = result.original.space.to_extended(result.original.codes)
    assert extended[..., 0].max() < -0.2


def test_lossless_jpeg_xl_keeps_any_profile_with_its_codes(tmp_path: Path) -> None:
    ramps = np.dstack(np.meshgrid(np.arange(256), np.arange(256))).astype(np.uint16) * 257
    deep_codes = np.dstack([ramps, 65535 - ramps[..., :1]])
    cases: tuple[tuple[bytes, np.ndarray], ...] = (
        (ODD_ICC, cat()),
        (ODD_ICC, deep_codes),
        (ODD_ICC[:40] + b"APPL" + ODD_ICC[44:], cat()),
        (ODD_ICC[:40] + b"SGI " + ODD_ICC[44:], cat()),
        (grey_profile("odd", Curve((3.0,))), cat()[..., 0]),
    )
    for number, (icc, stored) in enumerate(cases):
        codes = stored.reshape(*stored.shape[:2], -1)
        space = ColourSpace("grey" if stored.ndim == 2 else "rgb", icc)
        levels = space.to_levels(codes, codes.dtype)
        metadata = replace(PNG, icc=icc)
        original = Original(codes, space)
        picture = Picture(levels, stored.ndim == 2, metadata, original=original)
        result = back(picture, tmp_path / f"{number}.jxl", options=LOSSLESS)
        assert result.original is not None
        assert np.array_equal(result.original.codes, codes)
        assert (result.metadata.icc, result.notes) == (icc, ())


def test_lossy_jpeg_xl_takes_the_narrowest_named_colours_that_hold_a_profile(
    tmp_path: Path,
) -> None:
    said = "lossy JPEG XL has no name for its colours: written as {}"
    wide = rgb_profile(
        "wide", Primaries(D65, (0.70, 0.295), (0.18, 0.77), (0.135, 0.05)), Curve((2.0,))
    )
    path = tmp_path / "a.jxl"
    for icc, is_grey, name in (
        (ODD_ICC, False, "Rec. 2020"),
        (rgb_profile("inner", BT709, Curve((2.0,))), False, "sRGB"),
        (wide, False, "Rec. 2020"),
        (grey_profile("odd", Curve((3.0,))), True, "sRGB"),
    ):
        levels = np.repeat(cat()[..., :1], 3, axis=2) if is_grey else cat()
        picture = Picture(levels, is_grey, replace(PNG, icc=icc))
        options = EncoderOptions(99, lossless=False)
        assert write_picture(picture, path, format="jxl", options=options) == (said.format(name),)
        assert np.abs(read(path).pixels.astype(int) - levels).mean() <= 2


def test_the_names_of_jpeg_xl_are_those_of_its_colours() -> None:
    named = {
        ("p3", SRGB_CURVE): CICP_PRIMARIES[12],
        ("adobe", Curve((2.2,))): ADOBE_RGB,
        ("light", Curve((1.0,))): BT709,
    }
    for (name, curve), primaries in named.items():
        found = named_colours(ColourSpace("rgb", rgb_profile(name, primaries, curve)))
        assert found is not None
        assert found.primaries == primaries
    assert named_colours(ColourSpace("rgb", ODD_ICC)) is None


@pytest.mark.parametrize("format", [*FORMATS, "webp"])
def test_exif_xmp_iptc_and_resolution_come_back(tmp_path: Path, format: str) -> None:
    exif = Image.Exif()
    exif[0x010F] = "Plate camera"
    block = exif.tobytes()
    iptc = b"8BIM\x04\x04\0\0\0\0\0\x0c\x1c\x02\x78\x00\x07Grandma"
    for carried in (None, block):
        said = Metadata("PNG", "RGB", exif=carried, xmp=XMP, dpi=(300, 200.5), photoshop=iptc)
        picture = Picture(cat(), False, said)
        result = back(picture, tmp_path / f"a.{format}").metadata
        assert (result.xmp, result.dpi, result.photoshop) == (XMP, said.dpi, iptc)
        found = Image.Exif()
        found.load(result.exif or b"")
        assert found.get(0x010F) == (None if carried is None else "Plate camera")


@pytest.mark.parametrize("format", FORMATS)
def test_equal_pictures_give_equal_files(tmp_path: Path, format: str) -> None:
    picture = Picture(cat(), False, replace(PNG, xmp=XMP))
    for name in ("a", "b"):
        write_picture(picture, tmp_path / name, format=format)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_chroma_of_avif_is_as_asked_for(tmp_path: Path) -> None:
    sizes = {}
    for options in (EncoderOptions(95), EncoderOptions(95, chroma="4:2:0"), EncoderOptions(89)):
        path = tmp_path / "a.avif"
        write_picture(Picture(cat(), False, PNG), path, format="avif", options=options)
        # Chroma format of the decoder's configuration: bits 3 and 2 of its third byte.
        content = path.read_bytes()
        sizes[options] = content[content.index(b"av1C") + 6] >> 2 & 3
    assert list(sizes.values()) == [0, 3, 3]


@settings(max_examples=30, deadline=None)
@given(
    st.integers(1, 40),
    st.integers(1, 40),
    st.sampled_from([1, 2, 3, 4]),
    st.sampled_from([8, 16]),
    st.integers(0, 2**32 - 1),
)
def test_any_size_and_depth_comes_back(
    width: int, height: int, channels: int, bits: int, seed: int
) -> None:
    dtype = np.uint8 if bits == 8 else np.uint16
    levels = np.random.default_rng(seed).integers(
        0, 2**bits, (height, width, channels), dtype=dtype
    )
    is_grey = channels < 3
    colours = np.repeat(levels[..., :1], 3, axis=2) if is_grey else levels[..., :3]
    alpha = levels[..., -1] if channels in (2, 4) else None
    picture = Picture(np.ascontiguousarray(colours), is_grey, PNG, alpha)
    with tempfile.TemporaryDirectory() as folder:
        for format in FORMATS if bits == 8 else ("jxl",):
            result = back(picture, Path(folder) / f"a.{format}", options=LOSSLESS)
            assert np.array_equal(result.pixels, colours)
            assert (result.alpha is None) == (alpha is None)
            if alpha is not None and result.alpha is not None:
                assert np.array_equal(result.alpha, alpha)


def test_a_header_of_another_kind_is_not_written_over() -> None:
    levels = cat().astype(np.float32) / 255
    codestream = bytes(imagecodecs.jpegxl_encode(levels, distance=1.0, usecontainer=False))
    colours = named_colours(ColourSpace("rgb", DISPLAY_P3_ICC))
    assert colours is not None
    with pytest.raises(ValueError, match="header of another kind"):
        with_header(b"\xff\x0a" + b"\xff" * 20, 8, colours)
    changed = with_header(codestream, 16, colours)
    assert plain_header(changed).depth != plain_header(codestream).depth
    assert changed[-100:] == codestream[-100:]
