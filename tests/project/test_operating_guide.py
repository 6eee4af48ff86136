"""The guide names every event that is logged, every exit code and every setting of housekeeping."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from daemon.cli.context import SOME_FAILED
from daemon.cli.main import BUG, INTERRUPTED, TERMINATED, USAGE
from daemon.config.settings import Settings
from daemon.system import errors

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs/operating.md").read_text()
LEVELS = ("debug", "info", "warning", "error", "exception", "critical")


def section(title: str) -> str:
    return GUIDE.split(f"\n## {title}\n")[1].split("\n## ")[0]


def logged() -> Iterator[tuple[str, str]]:
    """Event and level of every call of a log in the package."""
    for path in sorted((ROOT / "daemon").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
                continue
            owner = node.func.value
            if node.func.attr in LEVELS and isinstance(owner, ast.Name) and "log" in owner.id:
                event = node.args[0]
                assert isinstance(event, ast.Constant), f"{path}:{node.lineno}: not a plain event"
                yield str(event.value), node.func.attr


def test_every_event_that_is_logged_is_explained_and_no_other() -> None:
    rows = re.findall(
        r"^\| `(\w+)` \| (\w+) \|", section("What each log event means"), re.MULTILINE
    )
    assert sorted(rows) == sorted(set(logged()))


def test_every_exit_code_is_explained_and_no_other() -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    own = {kind.exit_code for kind in kinds if issubclass(kind, errors.RestoredError)}
    known = own | {0, USAGE, SOME_FAILED, BUG, INTERRUPTED, TERMINATED}
    rows = re.findall(r"^\| (\d+) \|", section("Exit codes"), re.MULTILINE)
    assert sorted(map(int, rows)) == sorted(known)


def test_every_setting_of_housekeeping_is_explained() -> None:
    rows = re.findall(r"^\| `(keep_\w+)` \|", GUIDE, re.MULTILINE)
    assert rows == [name for name in Settings.model_fields if name.startswith("keep_")]
