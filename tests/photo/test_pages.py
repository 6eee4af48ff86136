"""TIFF of several pages: each is restored, and comes out as a page or as a file."""

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import tifffile

from daemon.config.recipe import Recipe
from daemon.engine.backend import torch_backend
from daemon.engine.result_writer import stage
from daemon.engine.runs import RestoreRun
from daemon.messages.tasks import Job, RestoreTask
from daemon.photo import Limits, Photo, read_header
from daemon.photo.reading import read_picture
from daemon.system.errors import PhotoError, TruncatedError
from tests.support.photos import cat, photo_at

LARGE, SMALL = cat(60, 40), cat(30, 20)
DEEP = cat(48, 36).astype(np.uint16) * 257 - 1


def recipe(**output: object) -> Recipe:
    steps = [{"kind": "denoise", "sigma": 0}]
    return Recipe.model_validate({"name": "r", "steps": steps, "output": output})


def three_pages(path: Path) -> Photo:
    """A page of 8 bits, one of 16, a thumbnail of it that is none, and a grey one."""
    with tifffile.TiffWriter(path) as tiff:
        tiff.write(LARGE, photometric="rgb")
        tiff.write(DEEP, photometric="rgb", compression="zlib")
        tiff.write(SMALL, photometric="rgb", subfiletype=1)
        tiff.write(SMALL[..., 1], photometric="minisblack")
    return photo_at(path)


def run_of(photo: Photo, how: Recipe, limits: Limits | None = None) -> RestoreRun:
    task = RestoreTask(job_of(photo, how), 1, photo.path.parent)
    return RestoreRun(1, task, torch_backend(), limits or Limits())


def job_of(photo: Photo, how: Recipe) -> Job:
    return Job("j", how, (photo,), "j", 0, ("0",) * len(how.models))


def test_a_header_has_the_size_of_each_page(tmp_path: Path) -> None:
    header = three_pages(tmp_path / "a.tif").header
    assert (header.width, header.height) == (60, 40)
    assert header.page_sizes == ((60, 40), (48, 36), (30, 20))
    tifffile.imwrite(tmp_path / "b.tif", LARGE, photometric="rgb")
    assert read_header(tmp_path / "b.tif", Limits()).page_sizes == ()


def test_each_page_is_read_at_its_own_depth_without_a_note(tmp_path: Path) -> None:
    first, second, third = (
        read_picture(page, Limits()) for page in three_pages(tmp_path / "a.tif").each_page()
    )
    assert np.array_equal(first.pixels, LARGE)
    assert np.array_equal(second.pixels, DEEP)
    assert np.array_equal(third.pixels[..., 0], SMALL[..., 1])
    assert (first.grey, third.grey) == (False, True)
    assert first.notes == second.notes == third.notes == ()


def test_a_tiff_comes_out_with_all_its_pages(tmp_path: Path) -> None:
    photo = three_pages(tmp_path / "a.tif")
    pages = [read_picture(page, Limits()) for page in photo.each_page()]
    (staging := tmp_path / "staging").mkdir()
    (staged,), notes = stage(pages, job_of(photo, recipe(format="same")), staging)
    assert (staged.name, staged.width, staged.height, notes) == ("{stem}.tif", 60, 40, ())
    with tifffile.TiffFile(staged.path) as tiff:
        assert len(tiff.pages) == 3
        for page, wanted in zip(tiff.pages, (LARGE, DEEP, SMALL[..., 1]), strict=True):
            assert np.array_equal(np.asarray(page.asarray()), np.asarray(wanted))


def test_other_formats_have_a_file_for_each_page(tmp_path: Path) -> None:
    photo = three_pages(tmp_path / "a.tif")
    pages = [read_picture(page, Limits()) for page in photo.each_page()]
    (staging := tmp_path / "staging").mkdir()
    files, _ = stage(pages, job_of(photo, recipe(format="png")), staging)
    assert [file.name for file in files] == ["{stem}.png", "{stem}-2.png", "{stem}-3.png"]
    assert np.array_equal(read_picture(photo_at(files[1].path), Limits()).pixels, DEEP)


@pytest.mark.parametrize(("pages", "count"), [("all", 3), ("first", 1)])
def test_a_recipe_says_which_pages_are_read(tmp_path: Path, pages: str, count: int) -> None:
    run = run_of(three_pages(tmp_path / "a.tif"), recipe(pages=pages))
    assert len(run.photos) == count
    notes = read_picture(run.photos[0], Limits()).notes
    left = "the first of 3 pages or frames was restored; 2 more pages were left out"
    assert notes == (() if count == 3 else (left,))


def test_pages_that_do_not_fit_together_are_refused(tmp_path: Path) -> None:
    photo = three_pages(tmp_path / "a.tif")
    limits = Limits(max_output_megapixels=0.003)
    why = r"3 pages would have 0\.0 megapixels together; .* set output\.pages of the recipe"
    with pytest.raises(PhotoError, match=why):
        run_of(photo, recipe(), limits)
    assert len(run_of(photo, recipe(pages="first"), limits).photos) == 1


def test_a_page_that_is_cut_short_is_not_restored_to_black(tmp_path: Path) -> None:
    photo = three_pages(tmp_path / "a.tif")
    content = photo.path.read_bytes()
    with tifffile.TiffFile(photo.path) as tiff:
        (offset,) = tiff.pages[3].dataoffsets[:1]
    photo.path.write_bytes(content[: offset + 10])
    with pytest.raises((TruncatedError, PhotoError)):
        read_picture(photo.each_page()[2], Limits())


def test_a_chain_of_pages_without_end_leaves_the_first(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    three_pages(path)
    with tifffile.TiffFile(path) as tiff:
        last, first = tiff.pages[3].offset, tiff.pages[0].offset
    content = bytearray(path.read_bytes())
    count = int.from_bytes(content[last : last + 2], "little")
    link = last + 2 + 12 * count
    content[link : link + 4] = first.to_bytes(4, "little")
    path.write_bytes(content)
    photo = photo_at(path)
    assert photo.each_page() == (photo,)
    assert np.array_equal(read_picture(photo, Limits()).pixels, LARGE)


def test_page_sizes_survive_json(tmp_path: Path) -> None:
    from daemon.jobs.ledger.entries import _header_of

    header = three_pages(tmp_path / "a.tif").header
    assert _header_of(json.loads(json.dumps(asdict(header)))) == header


def test_a_recipe_of_before_keeps_its_digest() -> None:
    assert recipe().digest == recipe(pages="all").digest != recipe(pages="first").digest
