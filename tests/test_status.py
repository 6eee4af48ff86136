import json
from pathlib import Path

import pytest

from daemon.bulletin import Bulletin, Standing
from daemon.cli import exit_code
from daemon.job import ModelLoaded
from daemon.ledger import Ledger
from daemon.station import Notice
from daemon.stationing import found_station
from daemon.supervision import Supervision


def test_status_before_the_first_run_is_empty(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    exit_code(["init", str(tmp_path)])
    capsys.readouterr()
    assert exit_code(["--station", str(tmp_path), "status", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["recipes"], found["left_s"], found["paused"]) == ([], None, False)


def test_status_names_the_files_that_wait_and_why(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    exit_code(["init", str(tmp_path)])
    ledger = Ledger(tmp_path / ".restored/ledger.sqlite3")
    ledger.set_notices([Notice(Path("a-a.jpg"), "waits for its other half", 5.0)])
    ledger.close()
    capsys.readouterr()
    exit_code(["--station", str(tmp_path), "status", "--json"])
    assert json.loads(capsys.readouterr().out)["notices"] == [
        {"path": "a-a.jpg", "what": "waits for its other half", "since": 5.0}
    ]


def test_status_says_which_models_a_daemon_has_loaded(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    exit_code(["init", str(tmp_path)])
    station = found_station(tmp_path)
    ledger = Ledger(station.ledger)
    bulletin = Bulletin(station, ledger, Supervision(), None)

    def status() -> list[str]:
        capsys.readouterr()
        exit_code(["--station", str(tmp_path), "status", "--json"])
        models: list[str] = json.loads(capsys.readouterr().out)["models"]
        return models

    standing = Standing(0, 0, 0, full=False)
    bulletin.loaded(ModelLoaded("x/a", 1.0, 5))
    bulletin.loaded(ModelLoaded("x/b", 1.0, 5))
    bulletin.tell((), standing, 1.0)
    assert status() == ["x/a", "x/b"]
    bulletin.loaded(ModelLoaded("x/c", 1.0, 5, gone=("x/a",)))
    bulletin.tell((), standing, 2.0)
    assert status() == ["x/b", "x/c"]
    bulletin.died()
    bulletin.tell((), standing, 3.0)
    assert status() == []
    bulletin.close()
    assert not station.loaded.exists()
    ledger.close()
