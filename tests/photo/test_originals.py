"""What sRGB cannot hold: added to the result, and exact where nothing changed."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image

from daemon.photo import Picture, Profile
from daemon.photo.profiles import (
    ADOBE_RGB,
    ADOBE_RGB_ICC,
    BT709,
    DISPLAY_P3_ICC,
    SRGB_CURVE,
    Curve,
    grey_profile,
    rgb_profile,
)
from daemon.photo.writing import write_picture
from tests.support.photos import PNG, cat, read

LINEAR_ICC = rgb_profile("linear", BT709, Curve((1.0,)))


def ramp(dtype: type[np.generic], channels: int = 3) -> NDArray[Any]:
    """A picture of 48 x 40 pixels that takes every range of its type."""
    highest = np.iinfo(dtype.__name__).max
    values = np.random.default_rng(1).integers(0, highest, (40, 48, channels), endpoint=True)
    return values.astype(dtype)


def read_codes(path: Path) -> NDArray[Any]:
    codes: NDArray[Any] = tifffile.imread(path)
    return codes


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("icc", [DISPLAY_P3_ICC, ADOBE_RGB_ICC, LINEAR_ICC, None])
def test_what_no_step_changed_has_the_codes_of_its_file(
    tmp_path: Path, dtype: type[np.generic], icc: bytes | None
) -> None:
    codes = ramp(dtype)
    tifffile.imwrite(tmp_path / "a.tif", codes, photometric="rgb", iccprofile=icc)
    picture = read(tmp_path / "a.tif")
    assert picture.pixels.dtype == dtype
    write_picture(picture, tmp_path / "b.tif", format="tiff", quality=95)
    assert np.array_equal(read_codes(tmp_path / "b.tif"), codes)
    with tifffile.TiffFile(tmp_path / "b.tif") as tiff:
        assert tiff.pages[0].iccprofile == icc  # type: ignore[union-attr]
    write_picture(picture, tmp_path / "b.png", format="png", quality=95)
    assert np.array_equal(read(tmp_path / "b.png").pixels, picture.pixels)


def saturated(dtype: type[np.generic] = np.uint8) -> NDArray[Any]:
    """Eleven reds of Display P3, of which most lie outside sRGB, in bars of 4 pixels."""
    reds = np.linspace(200, 255, 11).round().astype(np.uint8)
    codes = np.zeros((44, 44, 3), np.uint8)
    codes[..., 0] = np.repeat(reds, 4)[None]
    return (codes.astype(np.uint16) * 257).astype(dtype) if dtype == np.uint16 else codes


def test_colours_outside_srgb_stay_apart_where_a_step_changed_them(tmp_path: Path) -> None:
    codes = saturated()
    Image.fromarray(codes).save(tmp_path / "a.png", icc_profile=DISPLAY_P3_ICC)
    picture = read(tmp_path / "a.png")
    changed: NDArray[Any] = picture.pixels.copy()
    changed[..., 1] += 20  # every pixel gets some green
    write_picture(replace(picture, pixels=changed), tmp_path / "b.png", format="png", quality=95)
    with Image.open(tmp_path / "b.png") as image:
        result = np.asarray(image).astype(int)
        assert image.info["icc_profile"] == DISPLAY_P3_ICC
    assert len(np.unique(result[..., 0])) == 11
    assert np.abs(result[..., 0] - codes[..., 0]).max() <= 6
    assert (result[..., 1] > codes[..., 1]).all()


def test_what_was_made_anew_has_no_colours_of_what_lay_there(tmp_path: Path) -> None:
    Image.fromarray(saturated()).save(tmp_path / "a.png", icc_profile=DISPLAY_P3_ICC)
    picture = read(tmp_path / "a.png")
    filled = picture.pixels.copy()
    filled[:22] = 128
    write_picture(replace(picture, pixels=filled), tmp_path / "b.png", format="png", quality=95)
    with Image.open(tmp_path / "b.png") as image:
        result = np.asarray(image)
    assert (result[:22] == 128).all()  # grey is the same in Display P3
    assert np.array_equal(result[22:], saturated()[22:])


def test_colours_outside_srgb_are_enlarged_with_the_picture(tmp_path: Path) -> None:
    codes = saturated()
    Image.fromarray(codes).save(tmp_path / "a.png", icc_profile=DISPLAY_P3_ICC)
    picture = read(tmp_path / "a.png")
    large = replace(picture, pixels=picture.pixels.repeat(2, axis=0).repeat(2, axis=1))
    write_picture(large, tmp_path / "b.png", format="png", quality=95)
    with Image.open(tmp_path / "b.png") as image:
        result = np.asarray(image).astype(int)
    assert result.shape == (88, 88, 3)
    middles = result[40, 4::8, 0]
    assert np.abs(middles - codes[20, 2::4, 0]).max() <= 3


@pytest.mark.parametrize(("profile", "icc"), [("display-p3", DISPLAY_P3_ICC), ("srgb", None)])
def test_colours_are_converted_to_the_profile_that_is_asked_for(
    tmp_path: Path, profile: Profile, icc: bytes | None
) -> None:
    flat = np.full((8, 8, 3), (180, 90, 60), np.uint8)
    Image.fromarray(flat).save(tmp_path / "a.png", icc_profile=ADOBE_RGB_ICC)
    picture = read(tmp_path / "a.png")
    write_picture(picture, tmp_path / "b.png", format="png", quality=95, profile=profile)
    with Image.open(tmp_path / "b.png") as image:
        assert image.info.get("icc_profile") == icc
        found = np.asarray(image)[0, 0].astype(float)
    # Adobe RGB (180, 90, 60) by its definition: gamma 563/256, its matrix, then the other's.
    wanted = {"srgb": (204.9, 89.6, 55.5), "display-p3": (190.7, 96.4, 65.2)}[profile]
    assert np.abs(found - wanted).max() <= 1.5


def test_grey_with_a_linear_profile_is_seen_as_it_looks_in_8_and_16_bits(tmp_path: Path) -> None:
    icc = grey_profile("linear", Curve((1.0,)))
    for dtype, half, wanted in ((np.uint8, 128, 188.0), (np.uint16, 32896, 188.0)):
        codes = np.full((8, 8), half, dtype)
        tifffile.imwrite(tmp_path / "a.tif", codes, photometric="minisblack", iccprofile=icc)
        picture = read(tmp_path / "a.tif")
        assert picture.grey
        scale = 255 / np.iinfo(dtype).max
        assert abs(float(picture.pixels[0, 0, 0]) * scale - wanted) < 1
        write_picture(picture, tmp_path / "b.tif", format="tiff", quality=95)
        assert np.array_equal(read_codes(tmp_path / "b.tif"), codes)


def test_floats_come_back_as_floats_in_tiff_and_as_16_bits_elsewhere(tmp_path: Path) -> None:
    codes = np.linspace(-0.1, 1.4, 40 * 48 * 3, dtype=np.float32).reshape(40, 48, 3)
    tifffile.imwrite(tmp_path / "a.tif", codes, photometric="rgb", iccprofile=LINEAR_ICC)
    picture = read(tmp_path / "a.tif")
    assert picture.pixels.dtype == np.uint16
    write_picture(picture, tmp_path / "b.tif", format="tiff", quality=95)
    assert np.array_equal(read_codes(tmp_path / "b.tif"), codes)
    write_picture(picture, tmp_path / "b.png", format="png", quality=95)
    levels: NDArray[Any] = read(tmp_path / "b.png").pixels
    assert levels.dtype == np.uint16
    light = np.clip(codes, 0, 1)
    a, gamma = 0.055, 2.4
    srgb = np.where(light <= 0.0031308, light * 12.92, (1 + a) * light ** (1 / gamma) - a)
    assert np.abs(levels / 65535 - srgb).max() < 0.002


def test_deep_light_is_not_written_as_such_in_8_bits(tmp_path: Path) -> None:
    codes = np.repeat(np.linspace(0, 0.05, 600).reshape(20, 30, 1), 3, axis=2)
    deep = np.rint(codes * 65535).astype(np.uint16)
    deep[..., 0] += 40  # not grey
    tifffile.imwrite(tmp_path / "a.tif", deep, photometric="rgb", iccprofile=LINEAR_ICC)
    picture = read(tmp_path / "a.tif")
    notes = write_picture(picture, tmp_path / "b.png", format="png", quality=95, depth=8)
    assert notes == ("its profile would lose its shadows in 8 bits: written in another",)
    with Image.open(tmp_path / "b.png") as image:
        assert image.info["icc_profile"] == DISPLAY_P3_ICC
        assert len(np.unique(np.asarray(image)[..., 1])) > 55


def test_the_depth_of_a_result_is_chosen(tmp_path: Path) -> None:
    picture = Picture(cat(), False, PNG)
    for depth, dtype in ((8, np.uint8), (16, np.uint16)):
        for format in ("png", "tiff"):
            path = tmp_path / f"a.{format}"
            write_picture(picture, path, format=format, quality=95, depth=depth)  # type: ignore[arg-type]
            pixels = read(path).pixels
            assert pixels.dtype == dtype
            assert np.array_equal(pixels // (1 if depth == 8 else 257), cat())


def test_profiles_are_those_of_their_definition() -> None:
    white = np.ones((1, 1, 3), np.float32)
    for icc in (DISPLAY_P3_ICC, ADOBE_RGB_ICC, rgb_profile("x", ADOBE_RGB, SRGB_CURVE)):
        lab = imagecodecs.cms_transform(
            white,
            icc,
            imagecodecs.cms_profile("lab4"),
            colorspace="rgb",
            outcolorspace="lab",
            outdtype="float32",
            intent=1,
        )
        assert np.abs(lab[0, 0] - (100, 0, 0)).max() < 0.02
