import os
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parents[2]


def commands() -> list[str]:
    readme = [line.strip() for line in (ROOT / "README.md").read_text().splitlines()]
    return [line for line in readme if line.startswith("python3 -m venv")]


def run(*command: str | Path, cwd: Path, **environment: str) -> str:
    clean = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    done = subprocess.run(
        command, cwd=cwd, env=clean | environment, capture_output=True, text=True, timeout=200
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_ci_runs_the_test_command_that_the_readme_gives() -> None:
    tests = [command for command in commands() if command.endswith("pytest")]
    assert len(tests) == 1
    assert f"\n{tests[0]} || exit 1\n" in (ROOT / ".ci/run").read_text()


def test_the_readme_begins_with_the_command_that_runs_the_demo() -> None:
    assert commands()[0].endswith(
        "pip install -c constraints.txt '.[web]' && .venv/bin/restored demo demo-station"
    )


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sdist, and with the wheel that was built from what the sdist holds."""
    folder = tmp_path_factory.mktemp("dist")
    build = (sys.executable, "-m", "hatchling", "build", "-d", str(folder), "-t")
    run(*build, "sdist", cwd=ROOT)
    (sdist,) = folder.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
    run(*build, "wheel", cwd=folder / sdist.name.removesuffix(".tar.gz"))
    return folder


@pytest.fixture(scope="module")
def wheel(built: Path) -> zipfile.Path:
    (found,) = built.glob("*.whl")
    return zipfile.Path(found)


@pytest.fixture(scope="module")
def installed(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with nothing but the wheel, which finds its dependencies in this one."""
    folder = tmp_path_factory.mktemp("installed") / "venv"
    run(sys.executable, "-m", "venv", "--without-pip", str(folder), cwd=ROOT)
    python = str(folder / "bin/python")
    offline = ("--no-deps", "--no-index", "--quiet", "--no-compile")
    pip = (sys.executable, "-m", "pip", "--python", python, "install", *offline)
    run(*pip, *built.glob("*.whl"), cwd=built)
    (site,) = folder.glob("lib/python*/site-packages")
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    return folder


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


def test_the_wheel_holds_all_that_the_checkout_has_of_the_package(wheel: zipfile.Path) -> None:
    tracked = subprocess.run(
        ["git", "ls-files", "daemon"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    files = [name for name in tracked.stdout.splitlines() if name != "daemon/shipped_recipes"]
    assert files
    assert [name for name in files if not (wheel / name).exists()] == []


def test_the_index_would_take_wheel_and_sdist(built: Path) -> None:
    files = [str(path) for pattern in ("*.whl", "*.tar.gz") for path in built.glob(pattern)]
    run(sys.executable, "-m", "twine", "check", "--strict", *files, cwd=ROOT)
    run(sys.executable, "-m", "check_wheel_contents", *built.glob("*.whl"), cwd=ROOT)


def test_nothing_but_daemon_can_be_imported_from_the_wheel(wheel: zipfile.Path) -> None:
    own = [path.name for path in wheel.iterdir()]
    assert sorted(name for name in own if not name.endswith((".data", ".dist-info"))) == ["daemon"]
    data = [path.name for path in wheel.iterdir() if path.name.endswith(".data")]
    assert [path.name for name in data for path in (wheel / name).iterdir()] == ["data"]


def test_the_installed_wheel_makes_a_station_and_restores(installed: Path, tmp_path: Path) -> None:
    restored = installed / "bin/restored"
    run(restored, "init", "station", cwd=tmp_path)
    assert (tmp_path / "station/inbox/restore").is_dir()
    levels = Image.linear_gradient("L").resize((64, 64)).point(lambda level: 90 + level // 4)
    levels.save(tmp_path / "faded.png")
    said = run(restored, "apply", "unfade", "faded.png", "-o", "out", cwd=tmp_path)
    assert said.startswith("out/faded.png")
    with Image.open(tmp_path / "out/faded.png") as result:
        assert np.ptp(np.asarray(result)) > np.ptp(np.asarray(levels))


def test_the_installed_wheel_brings_the_manual_page_and_the_units(installed: Path) -> None:
    page = installed / "share/man/man1/restored.1"
    assert page.read_text("utf-8") == (ROOT / "docs/restored.1").read_text("utf-8")
    units = installed / "share/restored/systemd"
    assert {path.name for path in units.iterdir()} == {
        path.name for path in (ROOT / "systemd").iterdir()
    }


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
