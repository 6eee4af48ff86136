"""A station with a full queue, made by an earlier version, is opened by this one.

`previous/full_queue.json` was written on 2026-11-28 from a station of commit 465a5c8 (ledger 3):
one photograph done, one failed, one unclaimed, two queued and a bulk job of two, all of which wait
for a recipe's window. Its paths begin with `{ROOT}`, which the test replaces.
"""

import base64
import json
import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from daemon.cli.main import exit_code
from daemon.config.station_setup import find_station
from daemon.jobs.ledger import bulk as bulk_rows
from daemon.jobs.ledger.reader import LedgerReader
from tests.support.fakes import everything_below
from tests.support.station_runs import published_results, run_once

FULL_QUEUE = Path(__file__).parent / "previous" / "full_queue.json"
OPEN = '[[steps]]\nkind = "denoise"\n'


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The folder of the station and of the photographs of its bulk job."""
    made = json.loads(FULL_QUEUE.read_text("utf-8").replace("{ROOT}", str(tmp_path)))
    for folder in made["folders"]:
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
    for name, file in made["files"].items():
        path = tmp_path / name
        content = base64.b64decode(file["base64"]) if "base64" in file else file["text"].encode()
        path.write_bytes(content)
        os.utime(path, ns=(file["mtime_ns"], file["mtime_ns"]))
    with closing(sqlite3.connect(tmp_path / "station/.restored/ledger.sqlite3")) as ledger:
        ledger.executescript("\n".join(made["ledger"]))
    return tmp_path


def counted(root: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, tuple[int, int, int, int]]:
    """In the inbox, queued, done and failed of each recipe that has any."""
    capsys.readouterr()
    assert exit_code(["--station", str(root / "station"), "status", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["recipes"]
    keys = ("in_inbox", "queued", "done", "failed")
    counts = {row["recipe"]: tuple(row[key] for key in keys) for row in rows}
    return {name: count for name, count in counts.items() if any(count)}


def test_a_full_queue_of_the_version_before_is_restored_whole(
    root: Path, fake_executor: None, capsys: pytest.CaptureFixture[str]
) -> None:
    station = root / "station"
    before = everything_below(station / "outbox")
    waiting = {"denoise": (1, 0, 1, 1), "night": (0, 4, 0, 0)}
    assert counted(root, capsys) == waiting, "before a daemon has migrated the ledger"
    assert exit_code(["--station", str(station), "bulk", "list"]) == 0
    assert "working, 0 of 2 done" in capsys.readouterr().out

    (station / "recipes/night.toml").write_text(OPEN)
    assert (run_once(station).done, run_once(station).done) == (5, 0)
    assert counted(root, capsys) == {"denoise": (0, 0, 2, 1), "night": (0, 0, 4, 0)}
    results = published_results(station)
    assert set(results) == {
        "denoise/done.png",
        "denoise/unclaimed.png",
        "night/waits.png",
        "night/box/waits too.png",
        "night/photos/b1.png",
        "night/photos/sub/b2.png",
    }
    after = everything_below(station / "outbox")
    assert {name: after[name] for name in before} == before, "what was done stays as it was"
    archived = set(everything_below(station / "archive"))
    assert archived == {name for name in results if "photos" not in name}
    assert set(everything_below(root / "photos")) == {"b1.png", "sub/b2.png"}
    with closing(LedgerReader(find_station(station).ledger)) as ledger:
        assert [bulk.state for bulk in bulk_rows.all_jobs(ledger)] == ["ended"]


def test_what_failed_under_the_version_before_can_be_retried(
    root: Path, fake_executor: None, capsys: pytest.CaptureFixture[str]
) -> None:
    station = root / "station"
    assert exit_code(["--station", str(station), "retry"]) == 0
    assert (station / "inbox/denoise/broken.png").exists()
    run = run_once(station)
    assert (run.done, run.failed) == (1, 1)
    assert counted(root, capsys)["denoise"] == (0, 0, 2, 1)
