import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from daemon.cli.main import exit_code
from daemon.cli.status_text import print_status
from daemon.config.station import Notice, Station
from daemon.config.station_setup import find_station, open_station
from daemon.executors import EXECUTORS
from daemon.jobs.failure_reasons import NO_REASON
from daemon.jobs.ledger.writer import Ledger
from daemon.messages.reports import ModelLoaded, WorkerDied, WorkerReport
from daemon.photo.notes import Note, NoteKind
from daemon.service.monitoring.systemd import SystemdNotifier
from daemon.service.startup import is_daemon_running
from daemon.service.status import (
    FailureStatus,
    HeldBackStatus,
    NoticeStatus,
    RecipeStatus,
    StationStatus,
    read_status,
)
from daemon.service.status_publisher import DaemonState, StatusPublisher
from daemon.service.workers import WorkerState, WorkerTable
from tests.support.claims import claimed, leased
from tests.support.station_runs import drop_photo, open_daemon, run_once, write_settings


def test_status_before_the_first_run_is_empty(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    exit_code(["init", str(tmp_path)])
    capsys.readouterr()
    assert exit_code(["--station", str(tmp_path), "status", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["recipes"], found["left_s"], found["paused"]) == ([], None, False)


@pytest.mark.parametrize("width", [20, 40, 60, 80])
def test_no_name_and_no_number_is_cut_however_narrow_the_terminal_is(
    width: int, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = (
        RecipeStatus("restore", queued=1_234_567, in_flight=12, done=0, failed=3, in_inbox=400),
        RecipeStatus("restyle", queued=0, in_flight=0, done=0, failed=0, in_inbox=0),
    )
    print_status(StationStatus("/s", paused=False, recipes=rows), Console(width=width))
    said = capsys.readouterr().out
    for part in ("restore", "restyle", "1234567", "12", "3", "400", "queued", "failed"):
        assert part in said
    assert "…" not in said
    assert max(map(len, said.splitlines())) <= width


def test_status_names_the_files_that_wait_and_why(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    exit_code(["init", str(tmp_path)])
    half, gone = (tmp_path / "inbox" / name for name in ("a-a.jpg", "gone.jpg"))
    half.touch()
    ledger = Ledger(tmp_path / ".restored/ledger.sqlite3")
    ledger.set_notices([Notice(path, "waits for its other half", 5.0) for path in (half, gone)])
    ledger.close()
    capsys.readouterr()
    exit_code(["--station", str(tmp_path), "status", "--json"])
    assert json.loads(capsys.readouterr().out)["notices"] == [
        {"path": str(half), "what": "waits for its other half", "since": 5.0}
    ]


def _status(root: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """What `restored status` prints."""
    capsys.readouterr()
    assert exit_code(["--station", str(root), "status"]) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("paused", [False, True])
def test_what_lies_in_the_inbox_is_counted_without_a_daemon(
    paused: bool, root: Path, station: Station, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("denoise/a.png", "denoise/trip/b.png", "c.png", "denoise/.d.png", "e.mask.png"):
        drop_photo(root, name)
    (root / "inbox/denoise/notes.txt").write_text("no photograph")
    if paused:
        station.paused.touch()
    found = read_status(station)
    assert {row.recipe: row.in_inbox for row in found.recipes} == {"": 1, "denoise": 2}
    assert (found.running, found.paused) == (False, paused)
    told = _status(root, capsys)
    assert told.startswith("no daemon runs on this station now; `restored run` or `once`")
    assert ("paused" in told.splitlines()) == paused
    with open_daemon(root) as daemon:
        assert read_status(station).running
        daemon.once()
    left = sum(row.in_inbox for row in read_status(station).recipes)
    assert left == (3 if paused else 0)


def test_what_was_left_in_its_place_is_in_no_inbox_any_more(root: Path, station: Station) -> None:
    write_settings(root, originals="leave")
    drop_photo(root, "denoise/a.png")
    run_once(root)
    drop_photo(root, "denoise/b.png")
    assert [(row.in_inbox, row.done) for row in read_status(station).recipes] == [(1, 1)]


def test_the_count_of_a_large_inbox_ends_in_time(
    root: Path,
    station: Station,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    drop_photo(root, "denoise/a.png")
    monkeypatch.setattr("daemon.service.inbox_count._LONGEST_S", -1.0)
    assert not read_status(station).inbox_counted
    assert "more lies in the inboxes than could be counted" in _status(root, capsys)


def test_each_reason_is_told_once_in_lines_of_80_columns(
    capsys: pytest.CaptureFixture[str],
) -> None:
    why = "its name ends with none of .jpg, .jpeg, .png, .webp, .tif, .tiff, .bmp, and 33 others"
    failures = tuple(
        FailureStatus(f"/s/failed/{n}.jpg", "denoise", f"{n}.jpg: {why}", 5.0, f"{n}.jpg", "")
        for n in range(7)
    )
    rows = (RecipeStatus("denoise", 0, 0, 0, failed=9),)
    notices = (NoticeStatus("/s/inbox/half.jpg", "unpaired: waits for its other half", 5.0),)
    found = StationStatus("s", paused=False, recipes=rows, failures=failures, notices=notices)
    print_status(found, Console(width=80))
    told = capsys.readouterr().out.splitlines()
    assert told[-10:] == [
        "failed: 7 files: its name ends with none of .jpg, .jpeg, .png, .webp, .tif,",
        "  .tiff, .bmp, and 33 others",
        *(f"  /s/failed/{n}.jpg" for n in range(5)),
        "  and 2 more",
        "failed: 2 more, older",
        "waits: /s/inbox/half.jpg: unpaired: waits for its other half",
    ]
    assert max(map(len, told)) <= 80


@pytest.fixture
def scheduled(tmp_path: Path) -> Path:
    """A station with two photographs whose recipe opens in the year of a leap day."""
    exit_code(["init", str(tmp_path)])
    text = '[schedule]\ncron = "30 22 29 2 *"\ntimezone = "Asia/Kathmandu"\n'
    (tmp_path / "recipes/leap.toml").write_text(text + '[[steps]]\nkind = "denoise"\n')
    ledger = Ledger(tmp_path / ".restored/ledger.sqlite3")
    claims = [claimed(tmp_path, name) for name in ("a.jpg", "b.jpg")]
    entries = ledger.intend([("leap", claim, NO_REASON) for claim in claims])
    ledger.queue([(e.row, c, NO_REASON) for e, c in zip(entries, claims, strict=True)], time.time())
    ledger.close()
    return tmp_path


@pytest.mark.usefixtures("fake_executor")
def test_status_says_what_waits_for_its_schedule_and_until_when(
    scheduled: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    capsys.readouterr()
    assert exit_code(["--station", str(scheduled), "status", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    (held,) = found["held_back"]
    assert (held["recipe"], held["jobs"]) == ("leap", 2)
    assert held["until"].endswith("-02-29T22:30:00+05:45")
    assert exit_code(["--station", str(scheduled), "status"]) == 0
    told = capsys.readouterr().out
    assert f"leap: 2 wait for {held['until'][:10]} 22:30 +0545" in told
    assert f"nothing may start before {held['until'][:10]} 22:30 +0545" in told.splitlines()
    monkeypatch.setitem(EXECUTORS, "process", EXECUTORS["fake"])
    assert exit_code(["--station", str(scheduled), "once"]) == 0
    said = capsys.readouterr().out.splitlines()[-1]
    assert said.endswith(f" waiting; nothing may start before {held['until'][:10]} 22:30 +0545")


def test_the_time_left_leaves_out_what_waits_for_its_schedule(scheduled: Path) -> None:
    ledger = Ledger(scheduled / ".restored/ledger.sqlite3")
    claim = claimed(scheduled, "c.jpg")
    (done,) = ledger.intend([("denoise", claim, NO_REASON)])
    ledger.queue([(done.row, claim, NO_REASON)], time.time())
    ledger.end([(done.row, None)], "done", time.time() - 60)
    ledger.close()
    assert read_status(open_station(scheduled)[0]).left_s == 0


@pytest.mark.parametrize(
    ("left_s", "held", "paused", "expected"),
    [
        (0, 11_128, False, "60 an hour"),
        (0, 0, False, "60 an hour"),
        (20, 0, False, "60 an hour, less than a minute left"),
        (300, 0, False, "60 an hour, 5 min left"),
        (300, 7, False, "60 an hour, 5 min left without the 7 that wait for their hours"),
        (300, 0, True, "60 an hour, paused"),
        (None, 0, False, "60 an hour"),
    ],
)
def test_the_time_left_is_that_of_what_may_start_now(
    capsys: pytest.CaptureFixture[str], left_s: int | None, held: int, paused: bool, expected: str
) -> None:
    waiting = (HeldBackStatus("denoise", held, None, "denoise: waits"),) if held else ()
    found = StationStatus("s", paused, held_back=waiting, rate_per_h=60.0, left_s=left_s)
    print_status(found, Console(width=200))
    assert expected in capsys.readouterr().out.splitlines()


def test_trouble_of_a_former_daemon_is_told_no_more(root: Path, station: Station) -> None:
    ledger = Ledger(station.ledger)
    file = Notice(station.inbox / "a-a.jpg", "waits for its other half", 5.0)
    file.path.touch()
    ledger.set_notices([Notice(station.root, "the device is lost", 5.0), file])
    ledger.close()
    assert [notice.what for notice in read_status(station).notices] == ["waits for its other half"]
    file.path.unlink()
    with open_daemon(root) as daemon:
        daemon.turn(at_once=True)
        assert read_status(station).notices == ()


def test_a_daemon_that_has_ended_does_not_run(root: Path, station: Station) -> None:
    with open_daemon(root):
        assert is_daemon_running(station)
    assert not is_daemon_running(station)


def test_a_wrong_recipe_leaves_the_rest_of_the_status(
    scheduled: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (scheduled / "recipes/leap.toml").write_text("[schedule]\n")
    capsys.readouterr()
    assert exit_code(["--station", str(scheduled), "status"]) == 0
    told = capsys.readouterr().out
    assert "leap.toml: steps" in " ".join(told.split())
    assert "wait for" not in told


def test_several_workers_have_a_line_each(capsys: pytest.CaptureFixture[str]) -> None:
    workers = (
        WorkerState("1", "cuda:0", ready=True, models=("prior", "org/a"), in_flight=12),
        WorkerState("2", "cuda:1"),
        WorkerState("3", "cuda:2", hopeless="no driver"),
    )
    found = StationStatus("s", paused=False, models=("prior", "org/a"), workers=workers)
    print_status(found, Console(width=80))
    assert capsys.readouterr().out.splitlines()[-3:] == [
        "worker 1 (cuda:0): 12 in flight; loaded: prior, org/a",
        "worker 2 (cuda:1): starting",
        "worker 3 (cuda:2): missing",
    ]
    print_status(replace(found, workers=workers[:1]), Console(width=80))
    assert capsys.readouterr().out.splitlines()[-1] == "loaded: prior, org/a"


def test_status_says_which_models_a_daemon_has_loaded(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    exit_code(["init", str(tmp_path)])
    station = find_station(tmp_path)
    ledger = Ledger(station.ledger)
    status_publisher = StatusPublisher(station, ledger, SystemdNotifier(), None)

    def status() -> list[str]:
        capsys.readouterr()
        exit_code(["--station", str(tmp_path), "status", "--json"])
        models: list[str] = json.loads(capsys.readouterr().out)["models"]
        return models

    workers = WorkerTable()

    def publish(now: float, *reports: WorkerReport) -> None:
        for report in reports:
            workers.hear(report)
        state = DaemonState(0, 0, 0, full=False, workers=workers.states(()))
        status_publisher.publish((), state, now)

    publish(1.0, ModelLoaded("x/a", 1.0, 5), ModelLoaded("x/b", 1.0, 5))
    assert status() == ["x/a", "x/b"]
    publish(2.0, ModelLoaded("x/c", 1.0, 5, evicted=("x/a",)))
    assert status() == ["x/b", "x/c"]
    publish(3.0, WorkerDied((), "signal 9"))
    assert status() == []
    status_publisher.close()
    assert not station.loaded_models.exists()
    ledger.close()


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    """A station that tells of names which move the cursor, forge a line and turn it round."""
    exit_code(["init", str(tmp_path)])
    ledger = Ledger(tmp_path / ".restored/ledger.sqlite3")
    path = tmp_path / "inbox/写真\x1b[2J\nfailed: forged\u202e.jpg"
    path.touch()
    ledger.set_notices([Notice(path, "waits\nwaits: forged\x9b", 5.0)])
    ledger.close()
    return tmp_path


def test_status_escapes_names_for_people_and_keeps_them_for_programs(
    hostile: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert exit_code(["--station", str(hostile), "status"]) == 0
    told = capsys.readouterr().out.splitlines()[1:]
    assert " ".join(line.strip() for line in told) == (
        f"waits: {hostile}/inbox/写真\\x1b[2J\\nfailed: forged\\u202e.jpg: waits waits: forged\\x9b"
    )
    assert not any(line.startswith(("failed: forged", "waits: forged")) for line in told)
    assert exit_code(["--station", str(hostile), "status", "--json"]) == 0
    (notice,) = json.loads(capsys.readouterr().out)["notices"]
    assert notice["path"] == f"{hostile}/inbox/写真\x1b[2J\nfailed: forged\u202e.jpg"


@pytest.mark.parametrize("encoding", ["latin-1", "ascii", "cp1252"])
def test_status_survives_an_output_that_is_not_utf_8(hostile: Path, encoding: str) -> None:
    command = [sys.executable, "-m", "daemon", "--station", str(hostile), "status"]
    environment = os.environ | {"PYTHONIOENCODING": encoding}
    ran = subprocess.run(command, env=environment, capture_output=True, check=False)
    assert (ran.returncode, ran.stderr) == (0, b"")
    assert b"inbox/\\u5199\\u771f\\x1b[2J" in ran.stdout


def test_status_counts_the_notes_of_results_by_kind_and_says_where_they_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    exit_code(["init", str(tmp_path)])
    ledger = Ledger(tmp_path / ".restored/ledger.sqlite3")
    guess, depth = Note(NoteKind.GUESS, "a guess"), Note(NoteKind.DEPTH, "16-bit written as 8-bit")
    entries = [leased(ledger, tmp_path, f"{name}.jpg")[0] for name in "abc"]
    results = [(entry.row, entry.id, tmp_path / f"{entry.row}.png") for entry in entries]
    rows = [entry.row for entry in entries]
    ledger.publish(results, {rows[0]: (guess,), rows[1]: (guess, depth)})
    ledger.publish(results[:2], {rows[0]: (guess,), rows[1]: (guess, depth)})
    ledger.close()
    capsys.readouterr()
    exit_code(["--station", str(tmp_path), "status", "--json"])
    told = "2 results have notes: guessed colours (2), other bits than the file (1)"
    assert json.loads(capsys.readouterr().out)["notes"] == {
        "results": 2,
        "kinds": {"guess": 2, "depth": 1},
        "told": told,
    }
    exit_code(["--station", str(tmp_path), "status"])
    assert f"{told}; each record has its own" in " ".join(capsys.readouterr().out.split())
