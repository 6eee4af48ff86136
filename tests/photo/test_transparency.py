"""What is hidden under transparency: unseen by networks and in results, kept where it lies."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from daemon.photo import Limits, Picture
from daemon.photo.profiles import DISPLAY_P3_ICC
from daemon.photo.reading import read_source
from daemon.photo.writing import write_picture
from tests.support.photos import Levels, photo_at

BLUE = (30, 80, 200)
SIDE = 40


def cut_out(hidden: tuple[int, int, int]) -> Levels:
    """A blue disc with a soft edge over nothing, under which a colour is hidden."""
    y, x = np.mgrid[:SIDE, :SIDE] - (SIDE - 1) / 2
    alpha = np.clip((12 - np.hypot(x, y)) * 64, 0, 255).astype(np.uint8)
    rgba = np.empty((SIDE, SIDE, 4), np.uint8)
    rgba[..., :3] = np.where(alpha[..., None] > 0, BLUE, hidden)
    rgba[..., 3] = alpha
    return rgba


def restored_source(path: Path) -> Picture:
    source = read_source(photo_at(path), Limits())
    assert isinstance(source, Picture)
    return source


@pytest.mark.parametrize("icc", [None, DISPLAY_P3_ICC])
def test_networks_see_the_colours_around_what_is_hidden(tmp_path: Path, icc: bytes | None) -> None:
    for hidden in ((0, 0, 0), (255, 0, 0)):
        Image.fromarray(cut_out(hidden)).save(tmp_path / "a.png", icc_profile=icc)
        pixels = restored_source(tmp_path / "a.png").pixels.astype(int)
        assert np.abs(pixels - pixels[SIDE // 2, SIDE // 2]).max() <= 1


@pytest.mark.parametrize("icc", [None, DISPLAY_P3_ICC])
def test_what_is_hidden_comes_back_as_it_was_if_nothing_is_resized(
    tmp_path: Path, icc: bytes | None
) -> None:
    rgba = cut_out((255, 0, 0))
    Image.fromarray(rgba).save(tmp_path / "a.png", icc_profile=icc)
    picture = restored_source(tmp_path / "a.png")
    write_picture(picture, tmp_path / "b.png", format="png", quality=95)
    with Image.open(tmp_path / "b.png") as image:
        assert np.array_equal(np.asarray(image), rgba)


def test_a_resized_cut_out_has_clean_edges_on_white_and_on_black(tmp_path: Path) -> None:
    Image.fromarray(cut_out((255, 0, 0))).save(tmp_path / "a.png", icc_profile=DISPLAY_P3_ICC)
    picture = restored_source(tmp_path / "a.png")
    size = (2 * SIDE, 2 * SIDE)
    assert picture.alpha is not None
    large = replace(
        picture,
        pixels=np.asarray(Image.fromarray(picture.pixels).resize(size)),
        alpha=np.asarray(Image.fromarray(picture.alpha).resize(size)),
    )
    write_picture(large, tmp_path / "b.png", format="png", quality=95)
    with Image.open(tmp_path / "b.png") as image:
        result = np.asarray(image).astype(float)
    alpha = result[..., 3:] / 255
    for paper in (0.0, 255.0):
        shown = result[..., :3] * alpha + paper * (1 - alpha)
        wanted = np.array(BLUE) * alpha + paper * (1 - alpha)
        assert np.abs(shown - wanted).max() <= 2


def test_grey_hidden_colours_and_pictures_that_are_all_hidden_are_no_trouble(
    tmp_path: Path,
) -> None:
    rgba = cut_out((255, 255, 255))
    grey = Image.fromarray(rgba).convert("LA")
    grey.save(tmp_path / "a.png")
    picture = restored_source(tmp_path / "a.png")
    assert len(np.unique(picture.pixels)) == 1
    write_picture(picture, tmp_path / "b.png", format="png", quality=95)
    with Image.open(tmp_path / "b.png") as image:
        assert np.array_equal(np.asarray(image), np.asarray(grey))
    rgba[..., 3] = 0
    Image.fromarray(rgba).save(tmp_path / "a.png")
    assert np.array_equal(restored_source(tmp_path / "a.png").pixels, rgba[..., :3])
