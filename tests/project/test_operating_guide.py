"""Facts in the guide for administrators: log events, exit codes, settings, files, commands."""

import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from daemon.cli.context import SOME_FAILED
from daemon.cli.main import BUG, INTERRUPTED, TERMINATED, USAGE, app
from daemon.cli.os_errors import INPUT_OUTPUT
from daemon.config.settings import Settings
from daemon.system import errors

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs/operating.md").read_text()
STATION = "--station /var/lib/restored "
LEVELS = ("debug", "info", "warning", "error", "exception", "critical")


def section(title: str) -> str:
    return GUIDE.split(f"\n## {title}\n")[1].split("\n## ")[0]


def logged() -> Iterator[tuple[str, str]]:
    """Event and level of every call of a log in the package."""
    for path in sorted((ROOT / "daemon").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Dict) and "event" in map(_text, node.keys):
                # Made without a logger, by the one place where no logger may write.
                yield _text(node.values[[*map(_text, node.keys)].index("event")]), "warning"
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
                continue
            owner = node.func.value
            if node.func.attr in LEVELS and isinstance(owner, ast.Name) and "log" in owner.id:
                event = node.args[0]
                assert isinstance(event, ast.Constant), f"{path}:{node.lineno}: not a plain event"
                yield str(event.value), node.func.attr


def _text(node: ast.expr | None) -> str:
    return str(node.value) if isinstance(node, ast.Constant) else ""


def test_every_event_that_is_logged_is_explained_and_no_other() -> None:
    rows = re.findall(
        r"^\| `(\w+)` \| (\w+) \|", section("What each log event means"), re.MULTILINE
    )
    assert sorted(rows) == sorted(set(logged()))


def test_every_exit_code_is_explained_and_no_other() -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    own = {kind.exit_code for kind in kinds if issubclass(kind, errors.RestoredError)}
    known = own | {0, USAGE, SOME_FAILED, BUG, INTERRUPTED, TERMINATED, INPUT_OUTPUT}
    rows = re.findall(r"^\| (\d+) \|", section("Exit codes"), re.MULTILINE)
    assert sorted(map(int, rows)) == sorted(known)


def test_every_setting_of_housekeeping_is_explained() -> None:
    rows = re.findall(r"^\| `(keep_\w+)` \|", GUIDE, re.MULTILINE)
    assert rows == [name for name in Settings.model_fields if name.startswith("keep_")]


def test_every_file_that_is_installed_is_in_the_project() -> None:
    installed = set(re.findall(r" (systemd/\S+)", section("Install as a service")))
    assert len(installed) == 5
    assert all((ROOT / name).is_file() for name in installed)


COMMANDS = re.findall(
    r"(?:^    |`)(?:sudo -u restored )?(?:/opt/restored/bin/)?restored ([^`\n#]+)", GUIDE, re.M
)


@pytest.mark.parametrize("line", sorted({line.strip() for line in COMMANDS} - {"--help"}))
def test_every_command_that_the_guide_gives_exists_with_its_options(line: str) -> None:
    command: Any = typer.main.get_command(app)
    words = shlex.split(line.removeprefix("--station DIR ").removeprefix(STATION))
    while hasattr(command, "commands"):
        command = command.commands[words.pop(0)]
    known = {flag for parameter in command.params for flag in parameter.opts}
    assert {word for word in words if word.startswith("--")} <= known
