import json
from pathlib import Path

import pytest

from daemon.cli import exit_code
from daemon.ledger import Ledger
from daemon.station import Notice


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
