import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def commands() -> list[str]:
    readme = [line.strip() for line in (ROOT / "README.md").read_text().splitlines()]
    return [line for line in readme if line.startswith("python3 -m venv")]


def test_ci_runs_the_test_command_that_the_readme_gives() -> None:
    tests = [command for command in commands() if command.endswith("pytest")]
    assert len(tests) == 1
    assert f"\n{tests[0]} || exit 1\n" in (ROOT / ".ci/run").read_text()


def test_the_readme_begins_with_the_command_that_runs_the_demo() -> None:
    assert commands()[0].endswith(
        "pip install -c constraints.txt . && .venv/bin/restored demo demo-station"
    )


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (built,) = folder.glob("*.whl")
    return zipfile.Path(built)


def test_the_wheel_holds_recipes_weights_and_the_command(wheel: zipfile.Path) -> None:
    for recipe in (ROOT / "recipes").glob("*.toml"):
        packed = wheel / "daemon/shipped_recipes" / recipe.name
        assert packed.read_text("utf-8") == recipe.read_text("utf-8")
    weights = "daemon/checkpoints/weights/prior/diffusion_pytorch_model.safetensors"
    assert (wheel / weights).read_bytes() == (ROOT / weights).read_bytes()
    (metadata,) = (path for path in wheel.iterdir() if path.name.endswith(".dist-info"))
    entry = (metadata / "entry_points.txt").read_text("utf-8")
    assert "restored = daemon.cli.main:main" in entry
    assert not (wheel / "tests").exists()


def test_every_tested_dependency_is_pinned() -> None:
    pinned = {
        line.split("==")[0].lower().replace("_", "-")
        for line in (ROOT / "constraints.txt").read_text().splitlines()
    }
    lines = (ROOT / "pyproject.toml").read_text().splitlines()
    wanted = {
        line.strip().strip('",').split(">=")[0].lower()
        for line in lines
        if ">=" in line and line.startswith("    ")
    }
    assert wanted - pinned == set()
