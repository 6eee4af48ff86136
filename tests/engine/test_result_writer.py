"""Staging: which files a result becomes, and what happens if one does not read back."""

from dataclasses import replace
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from PIL import Image

from daemon import photo
from daemon.config.output import Output
from daemon.config.recipe import Recipe
from daemon.engine.result_writer import stage
from daemon.messages.tasks import Job
from daemon.photo import Metadata, Picture
from daemon.photo.output_formats import EncoderOptions
from daemon.photo.writing import write_picture
from daemon.system.errors import CannotWriteError, PassingError
from daemon.system.files import sha256_of
from tests.support.photos import read

RECIPE = Recipe.model_validate({"name": "r", "steps": [{"kind": "denoise"}]})

MORPH = Recipe.model_validate({"name": "m", "steps": [{"kind": "interpolate"}]})


def job(recipe: Recipe) -> Job:
    return Job("0" * 64, recipe, (), "result", 7, ("d" * 64,) * len(recipe.models))


def picture(level: int) -> Picture:
    pixels = np.full((6, 9, 3), level, np.uint8)
    return Picture(pixels, grey=False, metadata=Metadata("PNG", "RGB"))


def test_one_picture_becomes_one_file_whose_digest_is_right(tmp_path: Path) -> None:
    (staged,), notes = stage([picture(7)], job(RECIPE), tmp_path)
    assert (staged.name, staged.width, staged.height, notes) == ("{stem}.png", 9, 6, ())
    assert staged.digest == sha256_of(staged.path)
    with Image.open(staged.path) as image:
        assert image.getpixel((0, 0)) == (7, 7, 7)


@pytest.mark.parametrize("format", ["webp", "jxl"])
@pytest.mark.parametrize("is_lossless", [True, False])
def test_same_keeps_a_lossless_file_lossless(
    tmp_path: Path, format: str, is_lossless: bool
) -> None:
    levels = np.random.default_rng(0).integers(0, 256, (24, 32, 3), np.uint8)
    original = Picture(levels, grey=False, metadata=Metadata("PNG", "RGB"))
    path = tmp_path / f"a.{format}"
    write_picture(original, path, format=format, options=EncoderOptions(90, lossless=is_lossless))
    source = read(path)
    assert source.metadata.is_lossless == is_lossless
    for output, stays in (({}, is_lossless), ({"quality": 90}, False)):
        how = RECIPE.model_copy(update={"output": Output(format="same", **output)})
        folder = tmp_path / str(len(output))
        folder.mkdir()
        (staged,), _ = stage([source], job(how), folder)
        assert np.array_equal(read(staged.path).pixels, source.pixels) == stays


@pytest.mark.parametrize("is_reversible", [True, False])
def test_same_loses_nothing_of_a_lossless_jpeg_2000(tmp_path: Path, is_reversible: bool) -> None:
    levels = np.random.default_rng(0).integers(0, 65536, (24, 32, 3), np.uint16)
    encoded = imagecodecs.jpeg2k_encode(
        levels, level=0, codecformat="jp2", reversible=is_reversible
    )
    (tmp_path / "a.jp2").write_bytes(encoded)
    source = read(tmp_path / "a.jp2")
    how = RECIPE.model_copy(update={"output": Output(format="same")})
    (staged,), _ = stage([source], job(how), tmp_path)
    assert staged.name == "{stem}.jxl"
    assert np.array_equal(read(staged.path).pixels, source.pixels) == is_reversible


def test_several_pictures_become_a_film_and_its_frames(tmp_path: Path) -> None:
    files, _ = stage([picture(level) for level in (0, 100, 200)], job(MORPH), tmp_path)
    assert [file.name for file in files] == [
        "{stem}.webp", "{stem}.frames/00.png", "{stem}.frames/01.png", "{stem}.frames/02.png",
    ]  # fmt: skip
    with Image.open(files[0].path) as film:
        assert film.n_frames == 3  # type: ignore[attr-defined]
    with Image.open(files[3].path) as frame:
        assert frame.getpixel((3, 3)) == (200, 200, 200)


def test_a_result_that_does_not_read_back_is_tried_again_not_published(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(path: Path, width: int, height: int) -> None:
        raise CannotWriteError(f"{path}: it ends early")

    monkeypatch.setattr(photo, "verify_file", broken)
    with pytest.raises(PassingError, match="does not read back"):
        stage([picture(7)], job(RECIPE), tmp_path)


def test_a_result_says_only_what_the_recipe_keeps_and_is_as_old_as_it_asks(tmp_path: Path) -> None:
    said = Metadata("PNG", "RGB", comments=(b"a",), modified_ns=1_000_000_000)
    asked = {"metadata": "strip", "mtime": "keep", "provenance": False}
    recipe = RECIPE.model_copy(update={"output": Output.model_validate(asked)})
    for name, used in (("kept", RECIPE), ("stripped", recipe)):
        (tmp_path / name).mkdir()
        (staged,), notes = stage([replace(picture(7), metadata=said)], job(used), tmp_path / name)
        with Image.open(staged.path) as image:
            image.load()
            assert ("xmp" in image.info, "Comment" in image.info) == ((name == "kept",) * 2)
        assert (staged.path.stat().st_mtime_ns == said.modified_ns) == (name == "stripped")
        assert (notes, staged.digest) == ((), sha256_of(staged.path))


@pytest.mark.parametrize(
    ("step", "source"),
    [
        ({"kind": "denoise"}, "algorithmicallyEnhanced"),
        ({"kind": "colorize"}, "compositeWithTrainedAlgorithmicMedia"),
    ],
)
def test_a_result_says_how_it_was_made_and_is_the_same_each_time(
    tmp_path: Path, step: dict[str, str], source: str
) -> None:
    recipe = Recipe.model_validate({"name": "r", "steps": [step]})
    digests = set()
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        (staged,), notes = stage([picture(7)], job(recipe), tmp_path / name)
        digests.add(staged.digest)
    assert (len(digests), notes) == (1, ())
    with Image.open(staged.path) as image:
        image.load()
        said = image.info["xmp"].decode()
    assert f"digitalsourcetype/{source}" in said
    named = f"recipe {recipe.digest}; record {job(recipe).provenance_digest}"
    assert f"{step['kind']}; {named}" in said
    assert 'xmpMM:DocumentID="xmp.did:' in said
