"""What surrounds the commands: their help, the manual page, completion of a shell."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from daemon.cli import man_page
from daemon.cli.context import complete_recipe
from daemon.cli.main import app, exit_code
from daemon.config.station_setup import make_station

ROOT = Path(__file__).parents[2]


def all_commands(group: Any, before: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:  # noqa: ANN401
    yield before
    for name, command in getattr(group, "commands", {}).items():
        yield from all_commands(command, (*before, name))


COMMANDS = tuple(all_commands(typer.main.get_command(app)))


def test_all_help_fits_80_columns_and_nothing_of_it_is_cut(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert ("bulk", "retry") in COMMANDS
    for words in COMMANDS:
        assert exit_code([*words, "--help"]) == 0
        lines = capsys.readouterr().out.splitlines()
        assert [line for line in lines if len(line) > 80 or "…" in line] == [], words


def test_the_manual_page_is_current_and_names_every_command() -> None:
    text = (ROOT / "docs" / man_page.PAGE).read_text("utf-8")
    assert text == man_page.man_page(), "run python -m daemon.cli.man_page --write docs/"
    leaves = [words for words in COMMANDS if not any(w[:-1] == words for w in COMMANDS)]
    for words in leaves:
        assert f"\n.SS {' '.join(words)}".replace("-", "\\-") in text


@pytest.mark.skipif(shutil.which("groff") is None, reason="needs groff")
def test_groff_finds_nothing_wrong_with_the_manual_page() -> None:
    command = ["groff", "-man", "-Tutf8", "-ww", "-z", str(ROOT / "docs" / man_page.PAGE)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stderr == ""


def test_the_page_is_written_only_when_that_is_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert man_page.main([str(tmp_path)]) == 1
    assert list(tmp_path.iterdir()) == []
    assert man_page.main([str(tmp_path), "--write"]) == 0
    assert man_page.main([str(tmp_path)]) == 0
    assert "stale; run with --write" in capsys.readouterr().out


def test_a_shell_completes_commands_and_recipes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("_RESTORED_COMPLETE", "complete_bash")
    for words, at, found in (("restored st", 1, ["status"]), ("restored apply sup", 2, ["super-"])):
        monkeypatch.setenv("COMP_WORDS", words)
        monkeypatch.setenv("COMP_CWORD", str(at))
        with pytest.raises(SystemExit):
            exit_code([])
        said = capsys.readouterr().out.split()
        assert [one[: len(begin)] for one, begin in zip(said, found, strict=True)] == found
    station = make_station(tmp_path / "s")
    (station.recipes / "attic.toml").write_text('[[steps]]\nkind = "denoise"\n')
    monkeypatch.setenv("RESTORED_STATION", str(station.root))
    assert complete_recipe("at") == ["attic"]
    monkeypatch.setenv("RESTORED_STATION", str(tmp_path / "nowhere"))
    assert complete_recipe("") == []
