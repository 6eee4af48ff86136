import json
from pathlib import Path

import pytest

from daemon.cli.main import exit_code
from daemon.config.daemon_environment import FILE_NAME, read_environment
from daemon.config.station_setup import make_station
from daemon.system.errors import ConfigError
from tests.support.station_runs import run_once


@pytest.fixture
def unit(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A station whose daemon ran once with variables that commands lack."""
    root = tmp_path / "s"
    (tmp_path / "models").mkdir()
    with monkeypatch.context() as patch:
        patch.setenv("RESTORED_STATE_DIR", str(tmp_path / "state"))
        patch.setenv("RESTORED_LOGS_DIR", str(tmp_path / "logs"))
        patch.setenv("RESTORED_DRAIN_S", "7.5")
        patch.setenv("RESTORED_NOTIFY", '["json://secret.example"]')
        patch.setenv("CACHE_DIRECTORY", str(tmp_path / "cache"))
        make_station(root)
        run_once(root)
    return root


def told(capsys: pytest.CaptureFixture[str], root: Path) -> dict[str, dict[str, str]]:
    capsys.readouterr()
    assert exit_code(["--station", str(root), "settings", "--json"]) == 0
    return {one["name"]: one for one in json.loads(capsys.readouterr().out)}


def test_commands_see_what_the_daemon_saw(
    unit: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code(["--station", str(unit), "status"]) == 0
    found = told(capsys, unit)
    assert found["state_dir"]["value"] == f'"{tmp_path / "state"}"'
    assert found["state_dir"]["origin"] == "RESTORED_STATE_DIR of the daemon"
    assert found["models_dir"]["value"] == f'"{tmp_path / "cache/models"}"'
    assert found["drain_s"]["value"] == "7.5"
    assert found["settle_s"] == {"name": "settle_s", "value": "2", "origin": "default"}


def test_secrets_are_neither_kept_nor_shown(
    unit: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "secret.example" not in (unit / FILE_NAME).read_text()
    monkeypatch.setenv("RESTORED_NOTIFY", '["json://secret.example", "json://b.example"]')
    found = told(capsys, unit)
    assert (found["notify"]["value"], found["notify"]["origin"]) == ("2 secrets", "RESTORED_NOTIFY")


def test_the_command_s_own_environment_and_the_next_daemon_win(
    unit: Path,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("RESTORED_DRAIN_S", "9")
    (unit / "restored.toml").write_text("drain_s = 1\nsettle_s = 3\n")
    found = told(capsys, unit)
    assert (found["drain_s"]["value"], found["drain_s"]["origin"]) == ("9", "RESTORED_DRAIN_S")
    assert found["settle_s"]["origin"] == str(unit / "restored.toml")
    monkeypatch.delenv("RESTORED_DRAIN_S")
    make_station(unit)
    run_once(unit)
    assert not (unit / FILE_NAME).exists()
    found = told(capsys, unit)
    assert found["drain_s"]["origin"] == str(unit / "restored.toml")


def test_a_wrong_value_of_the_daemon_is_named_as_its_own(
    unit: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (unit / FILE_NAME).write_text('{"RESTORED_DRAIN_S": "soon", "RESTORED_WATCH": "["}')
    assert exit_code(["--station", str(unit), "settings"]) == 78
    assert "RESTORED_DRAIN_S of the daemon: drain_s is 'soon'" in capsys.readouterr().err
    for text in ("[]", "no json", '{"RESTORED_SETTLE_S": 5}'):
        (unit / FILE_NAME).write_text(text)
        assert read_environment(unit) == {}


def test_settings_are_told_in_lines(unit: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert exit_code(["--station", str(unit), "settings"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "settle_s = 2  (default)" in lines
    assert "keep_archive_days is not set  (default)" in lines
    assert "drain_s = 7.5  (RESTORED_DRAIN_S of the daemon)" in lines
    with pytest.raises(ConfigError, match="not a folder"):
        make_station(unit / "restored.toml")
