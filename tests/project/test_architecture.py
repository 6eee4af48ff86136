"""Names on the page of the architecture exist, and its arrows are those that are enforced."""

import re
import tomllib
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/architecture.md").read_text()
PACKAGES = {path.parent.name for path in (ROOT / "daemon").glob("*/__init__.py")}
NAMES = sorted(
    name
    for name in set(re.findall(r"`((?:[a-z_]+)(?:\.\w+)*)`", PAGE))
    if name.split(".")[0] in PACKAGES
)


def layers() -> list[str]:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    (found,) = (c["layers"] for c in contracts["contracts"] if c["type"] == "layers")
    return [layer for layer in found if layer != "__main__"]


@pytest.mark.parametrize("name", NAMES)
def test_every_dotted_name_exists(name: str) -> None:
    parts = name.split(".")
    found: object = import_module(f"daemon.{parts[0]}")
    for depth, part in enumerate(parts[1:], 2):
        try:
            found = getattr(found, part)
        except AttributeError:
            found = import_module("daemon." + ".".join(parts[:depth]))


@pytest.mark.parametrize("path", sorted(set(re.findall(r"`((?:daemon|tests)/[\w/.]+)`", PAGE))))
def test_every_path_exists(path: str) -> None:
    assert (ROOT / path).exists()


def test_the_picture_has_every_package_and_no_arrow_that_runs_up() -> None:
    drawn = re.findall(r"^ +(\w+)(?:\[.*?\])? --> (\w+)", PAGE, re.MULTILINE)
    order = layers()
    assert {name for arrow in drawn for name in arrow} == set(order)
    assert all(order.index(above) < order.index(below) for above, below in drawn)
