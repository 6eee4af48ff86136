"""References to models: their forms, and paths relative to the file that names them."""

import shutil
from pathlib import Path

import pytest

from daemon.config.model_reference import Hub, Local, Shipped, absolute_reference, parse_reference
from daemon.config.recipe import read_recipe
from daemon.system.errors import ConfigError
from tests.support.tiny_pipelines import save_pixel


@pytest.fixture(scope="module")
def pixel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_pixel(tmp_path_factory.mktemp("models") / "pixel")


def test_the_form_of_a_reference_says_what_it_is() -> None:
    assert parse_reference("prior") == Shipped("prior")
    assert parse_reference("org/name") == Hub("org/name", "main")
    assert parse_reference("org/name@refs/pr/3") == Hub("org/name", "refs/pr/3")
    assert parse_reference("/models/x") == Local(Path("/models/x"))
    single = parse_reference("./dream.safetensors")
    assert isinstance(single, Local)
    assert single.single
    assert single.folder == Path("dream")


@pytest.mark.parametrize(
    "text", ["dream", "", "a/b/c", "org/../etc", "org--x/name", "org/name@", "-a/b", "a/b@c..d"]
)
def test_text_that_is_no_reference_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="allowed: "):
        parse_reference(text)


def test_paths_in_a_recipe_are_relative_to_its_file(tmp_path: Path, pixel: Path) -> None:
    shutil.copytree(pixel, tmp_path / "nets" / "pixel")
    (tmp_path / "recipes").mkdir()
    path = tmp_path / "recipes" / "mine.toml"
    path.write_text('[[steps]]\nkind = "restyle"\nmodel = "../nets/pixel"\n')
    assert read_recipe(path).models == (str(tmp_path / "nets" / "pixel"),)
    assert absolute_reference("org/name", tmp_path) == "org/name"
