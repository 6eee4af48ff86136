"""What the commands import: people wait for it at each of them."""

import subprocess
import sys

import pytest

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
    assert (done.returncode, done.stderr) == (0, "")
    lines = [line for line in done.stdout.splitlines() if line.startswith("IMPORTED")]
    return [set(line.split()[1:]) for line in lines]


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    folder = str(tmp_path_factory.mktemp("start_up") / "s")
    station = ["--station", folder]
    commands = [["--version"], ["init", folder], [*station, "status"], [*station, "recipes"]]
    return dict(zip(("version", "init", "status", "recipes"), _imported(*commands), strict=True))


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
