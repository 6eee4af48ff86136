import os
import re
from pathlib import Path

import pytest

from daemon.config.recipe import PHOTO_SUFFIXES, SHIPPED_RECIPES, load_recipes, read_recipe
from daemon.photo.file_names import is_photo_name
from daemon.system.errors import ConfigError


def message_of(tmp_path: Path, text: str) -> str:
    file = tmp_path / "old-photo.toml"
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        read_recipe(file)
    return str(caught.value).replace(f"{tmp_path}/", "")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            '[[steps]]\nkind = "denoise"\n[[steps]]\nkind = "restyle"\nstrength = 1.4\n',
            "steps[1].strength is 1.4; allowed: numbers 0 to 1",
        ),
        (
            '[[steps]]\nkind = "denoise"\nsigma = 300\n',
            "steps[0].sigma is 300; allowed: numbers 0 to 255 or auto",
        ),
        (
            '[[steps]]\nkind = "super-resolve"\nscale = 5\n',
            "steps[0].scale is 5; allowed: 2, 3, 4",
        ),
        (
            '[[steps]]\nkind = "restyle"\nsampler = "heun"\n',
            "steps[0].sampler is 'heun'; allowed: ddim, euler, ancestral, dpmpp-2m, dpmpp-2m-sde, "
            "lcm",
        ),
        (
            '[[steps]]\nkind = "restyle"\nspacing = [1, 0.5, 0.6]\n',
            "steps[0].spacing must begin with 1, and each share must be smaller than the last",
        ),
        (
            '[[steps]]\nkind = "sharpen"\n',
            "steps[0].kind is 'sharpen'; allowed: "
            "denoise, super-resolve, colorize, restyle, inpaint, unfade, interpolate, generate",
        ),
        (
            "[[steps]]\nscale = 2\n",
            'steps[0].kind is missing; it says what the step does, such as kind = "denoise"',
        ),
        (
            '[[steps]]\nkind = "restyle"\nstrenght = 0.4\n',
            "steps[0].strenght is not a known key; did you mean strength?",
        ),
        ('about = "nothing"\n', "steps is missing; write [[steps]] tables, in two brackets"),
        (
            '[[steps]]\nkind = "denoise"\n[output]\nquality = 0\n',
            "output.quality is 0; allowed: whole numbers 1 to 100",
        ),
        (
            '[[steps]]\nkind = "denoise"\n[output]\nchroma = "4:2:0"\n',
            'output: chroma does not fit format = "png"; set format to "jpeg", "avif" or "same", '
            "or leave chroma out",
        ),
        (
            '[[steps]]\nkind = "denoise"\n[output]\nformat = "jpeg"\ndepth = 16\n',
            'output: depth = 16 does not fit format = "jpeg"; set depth to "same" or 8, '
            'or format to "png", "tiff" or "jxl"',
        ),
        (
            '[[steps]]\nkind = "denoise"\n[output]\nformat = "webp"\n'
            "lossless = true\nquality = 9\n",
            "output: lossless leaves quality without meaning; leave one of them out",
        ),
    ],
)
def test_a_bad_recipe_names_file_key_value_and_what_is_allowed(
    tmp_path: Path, text: str, message: str
) -> None:
    assert message_of(tmp_path, text) == f"old-photo.toml: {message}"


def test_the_shipped_recipes_are_these_and_old_photo_is_a_chain() -> None:
    recipes = {recipe.name: recipe for recipe in load_recipes([SHIPPED_RECIPES])}
    assert list(recipes) == [
        "colorize", "denoise", "inpaint", "interpolate", "old-photo", "restore", "restyle",
        "scratches", "super-resolve", "unfade",
    ]  # fmt: skip
    kinds = [step.kind for step in recipes["old-photo"].steps]
    assert kinds == ["denoise", "inpaint", "colorize", "super-resolve"]
    assert recipes["interpolate"].photos == 2


def test_comments_do_not_change_the_digest_and_values_do(tmp_path: Path) -> None:
    texts = ['[[steps]]\nkind = "denoise"\n', '# why\n[[steps]]\nkind = "denoise"\n']
    texts.append('[[steps]]\nkind = "denoise"\nrealism = 0.1\n')
    digests = []
    for text in texts:
        (tmp_path / "own.toml").write_text(text)
        digests.append(read_recipe(tmp_path / "own.toml").digest)
    assert digests[0] == digests[1] != digests[2]


def test_every_bad_file_of_a_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text("x = 1\n")
    (tmp_path / "b.toml").write_text("y = 1\n")
    with pytest.raises(ConfigError) as caught:
        load_recipes([tmp_path])
    assert "a.toml: x is not a known key" in str(caught.value)
    assert "b.toml: y is not a known key" in str(caught.value)


COMMENTED = [
    (path.name, line)
    for path in sorted(SHIPPED_RECIPES.glob("*.toml"))
    for line in re.findall(r"^# (\w+ = .+)$", path.read_text("utf-8"), re.MULTILINE)
]


@pytest.mark.parametrize(("name", "line"), COMMENTED)
def test_a_key_that_a_shipped_recipe_offers_loads(tmp_path: Path, name: str, line: str) -> None:
    text = (SHIPPED_RECIPES / name).read_text("utf-8")
    (tmp_path / name).write_text(text.replace(f"\n# {line}\n", f"\n{line}\n"))
    key = line.split(" = ")[0]
    assert any(key in step.model_fields_set for step in read_recipe(tmp_path / name).steps)


@pytest.mark.timeout(60)
def test_what_is_no_recipe_file_is_neither_waited_for_nor_read_whole(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo.toml")
    (tmp_path / "folder.toml").mkdir()
    (tmp_path / "loop.toml").symlink_to("loop.toml")
    (tmp_path / "huge.toml").touch()
    os.truncate(tmp_path / "huge.toml", 20_000_000_000)
    (tmp_path / "key.toml").write_text("a." * 20_000 + "b = 1\n")
    with pytest.raises(ConfigError) as caught:
        load_recipes([tmp_path])
    said = str(caught.value).splitlines()
    for line, (name, why) in zip(
        said,
        [
            ("fifo", "not a regular file"),
            ("folder", "not a regular file"),
            ("huge", "more than 1 MB"),
            ("key", "a dotted key has more than 16 parts"),
            ("loop", "symbolic links"),
        ],
        strict=True,
    ):
        assert f"{name}.toml: not a readable TOML file: " in line
        assert why in line


def test_a_recipe_may_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").write_text('[[steps]]\nkind = "denoise"\n')
    (tmp_path / "mine.toml").symlink_to("real")
    assert [recipe.name for recipe in load_recipes([tmp_path])] == ["mine"]


@pytest.mark.parametrize("value", ["", "[" * 100_000, "9" * 5000], ids=["none", "deep", "endless"])
def test_a_recipe_that_is_no_readable_toml_is_a_configuration_error(
    tmp_path: Path, value: str
) -> None:
    path = tmp_path / "broken.toml"
    path.write_text(f"steps = {value}\n")
    with pytest.raises(ConfigError, match="not a readable TOML file"):
        read_recipe(path)


def test_keys_of_the_output_that_came_later_count_only_where_they_are_set(tmp_path: Path) -> None:
    digests = []
    for output in ("", 'depth = "same"\nprofile = "keep"\n', "depth = 16\n", 'profile = "srgb"\n'):
        file = tmp_path / "a.toml"
        file.write_text(f'[[steps]]\nkind = "denoise"\n[output]\n{output}')
        digests.append(read_recipe(file).digest)
    assert digests[0] == digests[1]
    assert len(set(digests)) == 3


@pytest.mark.parametrize(
    "suffix",
    [".pdf", ".exr", ".cr3", ".crw", ".raf", ".orf", ".rw2", ".mrw", ".x3f", ".mpo", ".jpe"],
)
def test_a_recipe_takes_photographs_of_each_format_that_is_read(suffix: str) -> None:
    recipe = read_recipe(SHIPPED_RECIPES / "denoise.toml")
    assert recipe.suffixes == PHOTO_SUFFIXES
    assert suffix in PHOTO_SUFFIXES
    assert all(is_photo_name(f"a{one}") for one in PHOTO_SUFFIXES)
