"""What the commands import: people wait for it at each of them."""

import subprocess
import sys

import pytest
from PIL import Image

_TELL = """
import sys
from daemon.cli.main import exit_code
for command in COMMANDS:
    assert exit_code(command) == 0, command
    print("IMPORTED", *{name.partition(".")[0] for name in sys.modules})
"""


def _imported(*commands: list[str]) -> list[set[str]]:
    """Top-level packages that are imported after each of some commands, run one after another."""
    script = _TELL.replace("COMMANDS", repr(commands))
    done = subprocess.run(
        [sys.executable, "-c", script], check=False, capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stdout.splitlines() if line.startswith("IMPORTED")]
    return [set(line.split()[1:]) for line in lines]


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """What is imported after each command; each has what the commands before it needed."""
    folder = tmp_path_factory.mktemp("start_up")
    photo, at = folder / "a.png", ["--station", str(folder / "s")]
    Image.linear_gradient("L").resize((96, 64)).convert("RGB").save(photo)
    commands = {
        "version": ["--version"],
        "init": ["init", str(folder / "s")],
        "status": [*at, "status"],
        "recipes": [*at, "recipes"],
        "unfade": ["apply", "unfade", str(photo), "-o", str(folder / "unfaded.png")],
        "denoise": ["apply", "denoise", str(photo), "-o", str(folder / "denoised.png")],
    }
    return dict(zip(commands, _imported(*commands.values()), strict=True))


def test_the_command_line_itself_imports_no_library_of_data_or_pictures(
    imported: dict[str, set[str]],
) -> None:
    heavy = {
        "pydantic",
        "pydantic_settings",
        "sqlite3",
        "numpy",
        "PIL",
        "torch",
        "prometheus_client",
    }
    assert not imported["version"] & heavy


@pytest.mark.parametrize("command", ["init", "status", "recipes"])
def test_commands_that_only_read_import_nothing_heavy(
    imported: dict[str, set[str]], command: str
) -> None:
    heavy = {"torch", "numpy", "PIL", "diffusers", "skimage", "scipy", "watchdog"}
    assert not imported[command] & heavy


def test_a_recipe_that_asks_no_network_imports_no_library_of_networks(
    imported: dict[str, set[str]],
) -> None:
    assert not imported["unfade"] & {"torch", "diffusers", "transformers", "scipy", "skimage"}


def test_networks_that_ship_need_neither_diffusers_nor_its_friends(
    imported: dict[str, set[str]],
) -> None:
    assert "torch" in imported["denoise"]
    heavy = {"diffusers", "transformers", "accelerate", "torchvision", "scipy", "skimage"}
    assert not imported["denoise"] & heavy
