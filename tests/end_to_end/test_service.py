"""The daemon's loop with a stand-in for the compute side: the protocol on disk, in one process."""

import errno
import io
import json
import os
import signal
import sqlite3
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from structlog.testing import capture_logs

from daemon.config.schedule import Schedule
from daemon.config.station import Station
from daemon.config.station_setup import known_recipes, open_station
from daemon.intake.arrivals import Arrival
from daemon.intake.retry import retry_failed
from daemon.jobs.ledger.reader import LedgerReader
from daemon.jobs.ledger.writer import Ledger
from daemon.jobs.publication import Publication
from daemon.messages.tasks import RestoreTask
from daemon.service.component_settings import inbox_folders
from daemon.service.daemon import Daemon, RunSummary
from daemon.service.startup import only_daemon
from daemon.service.status import read_status
from daemon.system import files
from daemon.system import logging as log
from daemon.system.errors import BusyError, ConfigError
from tests.support.fakes import everything_below, restored
from tests.support.station_runs import (
    NO_WAITS,
    assert_no_leftovers,
    cut_off_after,
    drop_photo,
    open_daemon,
    published_results,
    run_once,
    write_scheduled_recipe,
    write_settings,
)
from tests.support.waiting import wait_for


def test_a_photograph_goes_from_the_inbox_to_the_outbox_and_the_archive(root: Path) -> None:
    original = drop_photo(root, "denoise/album/scan.png")
    assert run_once(root) == RunSummary(done=1)
    assert published_results(root) == {"denoise/album/scan.png": original[::-1]}
    assert everything_below(root / "archive") == {"denoise/album/scan.png": original}
    assert everything_below(root / "inbox") == {}
    assert_no_leftovers(root)
    record = json.loads((root / "outbox/denoise/album/scan.png.json").read_text())
    assert record["recipe"] == "denoise"
    assert record["inputs"][0]["file"] == "denoise/album/scan.png"
    assert (record["inputs"][0]["width"], record["outputs"][0]["file"]) == (8, "scan.png")
    (line,) = [json.loads(t) for t in next((root / "logs").iterdir()).read_text().splitlines()]
    assert line["result"] == str(root / "outbox/denoise/album/scan.png")


def test_namesakes_in_other_folders_and_of_other_kinds_all_get_a_result(root: Path) -> None:
    one = drop_photo(root, "denoise/a/scan.png", "red")
    two = drop_photo(root, "denoise/b/scan.png", "blue")
    three = drop_photo(root, "denoise/a/scan.jpg", "green")
    assert run_once(root).done == 3
    found = published_results(root)
    assert found.pop("denoise/b/scan.png") == two[::-1]
    assert sorted(found.values()) == sorted([one[::-1], three[::-1]])
    assert len(found) == 2
    assert len(everything_below(root / "archive")) == 3


def test_bad_photographs_end_in_failed_with_their_reason_and_disturb_nobody(root: Path) -> None:
    good = drop_photo(root, "denoise/good.png")
    broken = drop_photo(root, "denoise/broken.png")
    bug = drop_photo(root, "denoise/bug.png", "blue")
    (root / "inbox/denoise/text.jpg").write_text("this is no picture")
    summary = run_once(root)
    assert (summary.done, summary.failed) == (1, 3)
    assert published_results(root) == {"denoise/good.png": good[::-1]}
    failed = everything_below(root / "failed")
    assert failed.pop("denoise/broken.png") == broken
    assert failed.pop("denoise/bug.png") == bug
    assert failed.pop("denoise/text.jpg") == b"this is no picture"
    why = {name: json.loads(text)["why"] for name, text in failed.items()}
    assert why["denoise/broken.png.error.json"] == "denoise/broken.png: it ends early"
    assert "KeyError: 'x'\nTraceback" in why["denoise/bug.png.error.json"]
    assert "text.jpg" in why["denoise/text.jpg.error.json"]
    assert_no_leftovers(root)


def test_the_reason_of_a_failed_pair_names_both_photographs(root: Path) -> None:
    drop_photo(root, "interpolate/broken_a.png")
    drop_photo(root, "interpolate/broken_b.png")
    assert run_once(root).failed == 1
    (reason,) = (root / "failed").rglob("*.error.json")
    named = json.loads(reason.read_text())["photos"]
    assert named == ["interpolate/broken_a.png", "interpolate/broken_b.png"]


def test_a_temporary_error_is_tried_again_and_fails_in_the_end(root: Path) -> None:
    write_settings(root, attempts=3)
    drop_photo(root, "denoise/passing.png")
    assert run_once(root).failed == 1
    error = json.loads((root / "failed/denoise/passing.png.error.json").read_text())
    assert (error["why"], error["attempts"]) == ("the device was lost", 3)


def test_a_photograph_that_kills_the_worker_is_found_and_its_neighbours_succeed(
    root: Path,
) -> None:
    for number in range(5):
        drop_photo(root, f"denoise/held-{number}.png", size=9 + number)
    drop_photo(root, "denoise/killer.png")
    summary = run_once(root)
    assert (summary.done, summary.failed) == (5, 1)
    assert len(published_results(root)) == 5
    why = json.loads((root / "failed/denoise/killer.png.error.json").read_text())["why"]
    assert why.startswith("the worker process died 3 times with this photograph")


def test_sigterm_drains_and_leaves_nothing_leased(root: Path, station: Station) -> None:
    original = drop_photo(root, "denoise/held.png")

    def leased() -> bool:
        try:
            ledger = LedgerReader(station.ledger)
        except ConfigError:  # it is being made
            return False
        try:
            return bool(ledger.in_state("leased"))
        finally:
            ledger.close()

    def stop() -> None:
        wait_for(lambda: station.ledger.exists() and leased())
        os.kill(os.getpid(), signal.SIGTERM)

    thread = threading.Thread(target=stop)
    thread.start()
    with open_daemon(root) as daemon:
        daemon.run()
    thread.join()
    ledger = Ledger(station.ledger)
    assert ledger.in_state("leased") == []
    (entry,) = ledger.in_state("queued")
    assert (entry.attempts, entry.deaths, entry.crashes) == (0, 0, 0)
    assert entry.claim.files[0].path.read_bytes() == original
    ledger.close()


def test_a_second_daemon_is_refused(root: Path) -> None:
    station, _ = open_station(root)
    with only_daemon(station), pytest.raises(BusyError, match=f"process {os.getpid()}"):
        run_once(root)


def test_a_file_dropped_again_is_not_computed_again_while_its_result_stands(root: Path) -> None:
    original = drop_photo(root, "denoise/scan.png")
    run_once(root)
    before = (root / "outbox/denoise/scan.png").stat().st_ino
    drop_photo(root, "denoise/scan.png")
    assert run_once(root) == RunSummary(done=1)
    assert (root / "outbox/denoise/scan.png").stat().st_ino == before
    assert set(everything_below(root / "archive").values()) == {original}
    (root / "outbox/denoise/scan.png").unlink()
    drop_photo(root, "denoise/scan.png")
    assert run_once(root) == RunSummary(done=1)
    assert published_results(root) == {"denoise/scan.png": original[::-1]}


def test_a_new_version_under_the_name_gets_a_result_of_its_own(root: Path) -> None:
    old = drop_photo(root, "denoise/scan.png", "red")
    run_once(root)
    new = drop_photo(root, "denoise/scan.png", "blue")
    run_once(root)
    assert sorted(published_results(root).values()) == sorted([old[::-1], new[::-1]])
    assert sorted(everything_below(root / "archive").values()) == sorted([old, new])


def test_paused_work_waits(root: Path) -> None:
    original = drop_photo(root, "denoise/scan.png")
    (root / ".restored/paused").touch()
    assert run_once(root).done == 0
    assert everything_below(root / "inbox") == {"denoise/scan.png": original}
    (root / ".restored/paused").unlink()
    assert run_once(root).done == 1


def test_originals_can_be_left_where_they_are_or_deleted(root: Path) -> None:
    write_settings(root, originals="leave")
    original = drop_photo(root, "denoise/scan.png")
    assert run_once(root).done == 1
    assert run_once(root).done == 0
    assert everything_below(root / "inbox") == {"denoise/scan.png": original}
    newer = drop_photo(root, "denoise/scan.png", "blue")
    assert run_once(root).done == 1
    assert sorted(published_results(root).values()) == sorted([original[::-1], newer[::-1]])
    write_settings(root, originals="delete")
    drop_photo(root, "denoise/other.png", "green")
    assert run_once(root).done >= 1
    assert "denoise/other.png" not in everything_below(root / "inbox")
    assert everything_below(root / "archive") == {}


def test_a_folder_outside_the_station_has_its_own_outbox(root: Path, tmp_path: Path) -> None:
    text = f'[[watch]]\npath = "{tmp_path}/scans"\nrecipe = "denoise"\noutbox = "{tmp_path}/done"\n'
    (root / "restored.toml").write_text(
        "\n".join(f"{k} = {json.dumps(v)}" for k, v in NO_WAITS.items()) + "\n" + text
    )
    Image.new("RGB", (8, 8)).save(root / "inbox" / "x.png")
    (tmp_path / "scans" / "1950").mkdir(parents=True)
    (root / "inbox" / "x.png").rename(tmp_path / "scans" / "1950" / "x.png")
    assert run_once(root).done == 1
    assert set(everything_below(tmp_path / "done")) == {"1950/x.png", "1950/x.png.json"}
    assert set(everything_below(root / "archive")) == {"scans/1950/x.png"}


def test_a_photograph_written_to_while_it_is_restored_is_restored_again(
    root: Path, station: Station
) -> None:
    drop_photo(root, "denoise/held.png")
    with open_daemon(root) as daemon:

        def rewrite_and_finish() -> None:
            wait_for(
                lambda: any(station.work.rglob("*held.png")) and len(daemon._parts.dispatcher) > 0
            )
            executor = daemon._parts.dispatcher._executor
            path = next(station.work.rglob("*held.png"))
            Image.new("RGB", (20, 20), "blue").save(path)
            task = executor.tasks.pop()  # type: ignore[union-attr]
            executor._report(executor.restore(task, "scan.png"))  # type: ignore[union-attr]
            wait_for(lambda: bool(executor.tasks))  # type: ignore[union-attr]
            task = executor.tasks.pop()  # type: ignore[union-attr]
            executor._report(executor.restore(task, "scan.png"))  # type: ignore[union-attr]

        thread = threading.Thread(target=rewrite_and_finish)
        thread.start()
        assert daemon.once().done == 1
        thread.join()
    record = json.loads((root / "outbox/denoise/held.png.json").read_text())
    assert record["inputs"][0]["width"] == 20


def test_sighup_reads_the_recipes_again_and_a_bad_one_keeps_the_old_set(root: Path) -> None:
    with open_daemon(root) as daemon:
        own = root / "recipes" / "mine.toml"

        def act() -> None:
            wait_for(lambda: daemon._parts.dispatcher._executor is not None)
            own.write_text('[[steps]]\nkind = "denoise"\n')
            os.kill(os.getpid(), signal.SIGHUP)
            wait_for(lambda: "mine" in {r.name for r in daemon._recipes})
            own.write_text('[[steps]]\nkind = "denoys"\n')
            os.kill(os.getpid(), signal.SIGHUP)
            drop_photo(root, "mine/scan.png")
            wait_for((root / "outbox/mine/scan.png.json").exists)
            os.kill(os.getpid(), signal.SIGTERM)

        thread = threading.Thread(target=act)
        thread.start()
        assert daemon.run().done == 1
        thread.join()


def test_a_full_disk_stops_claiming_and_loses_nothing(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    originals = [drop_photo(root, f"denoise/{n}.png", size=8 + n) for n in range(3)]
    left = 4
    real = os.fsync

    def fsync(handle: int) -> None:
        nonlocal left
        left -= 1
        if -6 < left < 0:
            raise OSError(errno.ENOSPC, "no space left on device")
        real(handle)

    monkeypatch.setattr("daemon.system.files.os.fsync", fsync)
    assert run_once(root).done == 3
    assert left < 0
    assert sorted(published_results(root).values()) == sorted(o[::-1] for o in originals)
    assert_no_leftovers(root)


def test_the_same_error_of_the_file_system_is_logged_again_after_a_good_turn(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drop_photo(root, "denoise/a.png")
    stream = io.StringIO()
    log.configure(stream)
    real, turns = Daemon._settle, 0

    def settle(daemon: Daemon, now: float, *, at_once: bool) -> list[Arrival]:
        nonlocal turns
        turns += 1
        if turns in (1, 2, 4):
            raise OSError(errno.EIO, "Input/output error")
        return real(daemon, now, at_once=at_once)

    monkeypatch.setattr(Daemon, "_settle", settle)
    assert run_once(root).done == 1
    assert turns > 4
    log.configure()
    assert stream.getvalue().count('"turn_failed"') == 2


@pytest.mark.parametrize("what", ["work", "staged"])
def test_a_disk_without_room_for_a_folder_is_tried_again(
    root: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """The claim's folder or the lease's: what was begun is taken up again in the same run."""
    originals = [drop_photo(root, f"denoise/{n}.png", size=8 + n) for n in range(3)]
    real, failures = Path.mkdir, 2

    def mkdir(path: Path, *args: object, **kwargs: object) -> None:
        nonlocal failures
        if path.parent.name == what and failures:
            failures -= 1
            raise OSError(errno.ENOSPC, "no space left on device", str(path))
        real(path, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(Path, "mkdir", mkdir)
    assert run_once(root).done == 3
    assert failures == 0
    assert sorted(published_results(root).values()) == sorted(o[::-1] for o in originals)
    assert_no_leftovers(root)


def test_once_ends_with_what_holds_it_up_when_the_disk_stays_full(root: Path) -> None:
    drop_photo(root, "denoise/a.png")
    write_settings(root, min_free_mb=1e12)
    assert "disk is full" in run_once(root).held_up
    assert set(everything_below(root / "inbox")) == {"denoise/a.png"}


def test_status_names_the_disk_that_is_full(
    root: Path, station: Station, monkeypatch: pytest.MonkeyPatch
) -> None:
    def free_bytes(folder: Path) -> int:
        return 0 if folder == station.outbox else 1 << 40

    write_settings(root, min_free_mb=1)
    monkeypatch.setattr("daemon.system.disk_space._free_bytes", free_bytes)
    with open_daemon(root) as daemon:
        daemon.turn(at_once=True)
        (notice,) = read_status(station).notices
        assert notice.path == str(station.outbox)
        assert notice.what.startswith("its disk is full")


def test_a_result_without_room_names_the_outbox_that_is_full(
    root: Path, station: Station, monkeypatch: pytest.MonkeyPatch
) -> None:
    def publish(publications: Sequence[Publication], *_: object) -> list[OSError]:
        return [OSError(errno.ENOSPC, "No space left on device") for _ in publications]

    monkeypatch.setattr("daemon.jobs.publisher.publish", publish)
    drop_photo(root, "denoise/a.png")
    with open_daemon(root) as daemon:
        while not daemon._parts.space.full:
            daemon.turn(at_once=True)
        assert daemon._parts.space.full_folder == station.outbox
        (notice,) = daemon._parts.publisher.notices()
    assert notice.what == f"No space left on device: {station.outbox}; it is tried again"


def test_once_ends_while_the_outbox_is_away_and_the_next_run_publishes(
    root: Path, station: Station, monkeypatch: pytest.MonkeyPatch
) -> None:
    originals = [drop_photo(root, f"denoise/{n}.png", size=8 + n) for n in range(30)]
    monkeypatch.setattr("daemon.jobs.publisher._GIVES_UP_S", 0.1)
    real = files.make_folder

    def read_only(folder: Path, group: int | None = None) -> None:
        if folder.is_relative_to(station.outbox):
            raise OSError(errno.EROFS, "Read-only file system", str(folder))
        real(folder, group)

    with monkeypatch.context() as patch:
        for module in ("publication", "case_folding"):
            patch.setattr(f"daemon.jobs.{module}.make_folder", read_only)
        summary = run_once(root)
    assert (summary.done, summary.failed) == (0, 0)
    away = "Read-only file system; 30 photographs wait for it"
    assert summary.held_up == f"{station.outbox}: {away}"
    (notice,) = summary.waiting
    assert (notice.path, notice.what) == (station.outbox, f"{away}; it is tried again")
    assert run_once(root) == RunSummary(done=30)
    assert sorted(published_results(root).values()) == sorted(o[::-1] for o in originals)
    assert_no_leftovers(root)


def test_once_ends_while_a_twin_of_what_cannot_be_published_waits_for_it(
    root: Path, station: Station, monkeypatch: pytest.MonkeyPatch
) -> None:
    drop_photo(root, "denoise/a.png")
    monkeypatch.setattr("daemon.jobs.publisher._GIVES_UP_S", 0.1)
    monkeypatch.setattr("daemon.service.daemon._TURN_S", 0.05)
    with monkeypatch.context() as patch:

        def read_only(*_: object) -> None:
            raise OSError(errno.EROFS, "Read-only file system", str(station.outbox))

        patch.setattr("daemon.jobs.publication._place_files", read_only)
        with open_daemon(root) as daemon:
            turn, ends_at = daemon.turn, time.monotonic() + 10

            def timed_turn(*, at_once: bool) -> None:
                assert time.monotonic() < ends_at, "once does not end"
                turn(at_once=at_once)

            patch.setattr(daemon, "turn", timed_turn)
            while not daemon._parts.ledger.in_state("publishing"):
                daemon.turn(at_once=True)
            drop_photo(root, "denoise/a.png")
            assert "Read-only file system" in daemon.once().held_up
    assert run_once(root) == RunSummary(done=2)


def test_a_photograph_whose_result_has_too_long_a_path_ends_in_failed_with_the_reason(
    root: Path,
) -> None:
    folder = root / "inbox/denoise"
    left = os.pathconf(root, "PC_PATH_MAX") - len(os.fsencode(folder)) - len("/x.png") - 2
    while left > 0:
        folder /= "d" * min(200, left - 1)
        left -= 201
    original = drop_photo(root, str((folder / "x.png").relative_to(root / "inbox")))
    with open_daemon(root) as daemon:
        turn, ends_at = daemon.turn, time.monotonic() + 20

        def timed_turn(*, at_once: bool) -> None:
            assert time.monotonic() < ends_at, "once does not end"
            turn(at_once=at_once)

        daemon.turn = timed_turn  # type: ignore[method-assign]
        summary = daemon.once()
    assert (summary.done, summary.failed) == (0, 1)
    assert (root / "failed/x.png").read_bytes() == original
    reason = json.loads((root / "failed/x.png.error.json").read_text())
    assert "File name too long" in reason["why"]
    assert published_results(root) == {}
    assert_no_leftovers(root)


@pytest.mark.parametrize("code", [errno.EROFS, errno.ENOTCONN, errno.ESTALE, errno.EIO])
def test_a_daemon_starts_and_ends_while_the_outbox_cannot_be_asked(
    root: Path, station: Station, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    drop_photo(root, "denoise/a.png")
    monkeypatch.setattr("daemon.jobs.publisher._GIVES_UP_S", 0.1)
    real = {name: getattr(Path, name) for name in ("exists", "is_dir", "mkdir")}
    with monkeypatch.context() as patch:
        for name, call in real.items():

            def refuse(path: Path, *args: object, call: Any = call, **kwargs: object) -> object:  # noqa: ANN401
                if path.is_relative_to(station.outbox):
                    raise OSError(code, os.strerror(code), str(path))
                return call(path, *args, **kwargs)

            patch.setattr(Path, name, refuse)
        assert os.strerror(code) in run_once(root).held_up
    assert run_once(root) == RunSummary(done=1)


def test_the_same_photograph_in_two_watched_folders_gets_two_results(
    root: Path, tmp_path: Path
) -> None:
    lines = (root / "restored.toml").read_text()
    for person in ("anna", "ben"):
        folder = tmp_path / person / "scans"
        folder.mkdir(parents=True)
        Image.new("RGB", (8, 8), "red").save(folder / "x.png")
        lines += f"\n[[watch]]\npath = '{folder}'\nrecipe = 'denoise'\noutbox = '{folder}-out'"
    (root / "restored.toml").write_text(lines)
    assert run_once(root).done == 2
    for person in ("anna", "ben"):
        assert set(everything_below(tmp_path / person / "scans-out")) == {"x.png", "x.png.json"}
    archived = [name.split("/")[0] for name in everything_below(root / "archive")]
    assert len(set(archived)) == 2


def test_a_photograph_that_cannot_be_moved_waits_with_its_reason(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = drop_photo(root, "denoise/holiday/mine.png")
    drop_photo(root, "denoise/other.png", size=9)
    real = os.rename

    def rename(path: str, target: Path, **folders: int) -> None:
        if path == "mine.png":
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        real(path, target, **folders)

    monkeypatch.setattr(os, "rename", rename)
    summary = run_once(root)
    assert (summary.done, [notice.path.name for notice in summary.waiting]) == (1, ["mine.png"])
    assert "holiday: Permission denied" in summary.waiting[0].what
    assert everything_below(root / "inbox") == {"denoise/holiday/mine.png": original}
    assert list((root / ".restored" / "work").iterdir()) == []


def test_an_original_that_cannot_be_archived_is_tried_again(root: Path) -> None:
    original = drop_photo(root, "denoise/a.png")
    (root / "archive" / "denoise").write_text("in the way")
    write_settings(root, retry_s=0.2)
    with open_daemon(root) as daemon:

        def act() -> None:
            wait_for((root / "outbox/denoise/a.png.json").exists)
            drop_photo(root, "restyle/b.png", size=9)
            wait_for((root / "archive/restyle/b.png").exists)
            (root / "archive" / "denoise").unlink()
            wait_for((root / "archive/denoise/a.png").exists)
            daemon.stop()

        thread = threading.Thread(target=act)
        thread.start()
        assert daemon.run().done == 2
        thread.join()
    assert everything_below(root / "archive")["denoise/a.png"] == original
    assert_no_leftovers(root)


def test_an_outbox_that_somebody_removes_is_made_again(root: Path) -> None:
    with open_daemon(root) as daemon:

        def act() -> None:
            wait_for(lambda: daemon._may_start and (root / ".restored/lock").exists())
            (root / "outbox").rmdir()
            drop_photo(root, "denoise/a.png")
            wait_for(lambda: (root / "outbox/denoise/a.png.json").exists())
            daemon.stop()

        thread = threading.Thread(target=act)
        thread.start()
        assert daemon.run().done == 1
        thread.join()


def test_a_truncated_photograph_dated_in_the_future_fails_in_the_end(root: Path) -> None:
    write_settings(root, arriving_s=0.5, retry_s=0.1)
    drop_photo(root, "denoise/broken.png")
    os.utime(root / "inbox/denoise/broken.png", (4e9, 4e9))
    assert run_once(root).failed == 1


def test_a_daemon_whose_executor_has_ended_does_not_sleep_once_more(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("daemon.service.daemon._TURN_S", 200.0)
    with open_daemon(root) as daemon:
        daemon.stop()
        wait_for(lambda: daemon._parts.dispatcher.ended)
        daemon.turn(at_once=False)  # takes the last event
        began = time.monotonic()
        assert daemon.once() == RunSummary()
        assert time.monotonic() - began < 100


def test_once_names_everything_that_waits(root: Path) -> None:
    drop_photo(root, "interpolate/pair-a.png")
    (root / "inbox/denoise/empty.png").touch()
    drop_photo(root, "denoize/slip.png")
    summary = run_once(root)
    waiting = {notice.path.name: notice.what for notice in summary.waiting}
    assert set(waiting) == {"pair-a.png", "empty.png", "slip.png"}
    assert "unpaired" in waiting["pair-a.png"]
    assert "did you mean denoise?" in waiting["slip.png"]


def test_a_watched_folder_whose_recipe_is_unknown_is_told_of_though_it_is_empty(
    root: Path, station: Station, tmp_path: Path
) -> None:
    watched, out = tmp_path / "watched", tmp_path / "out"
    watched.mkdir()
    out.mkdir()
    write_settings(root)
    table = f'[[watch]]\npath = "{watched}"\nrecipe = "denoize"\noutbox = "{out}"\n'
    (root / "restored.toml").write_text((root / "restored.toml").read_text() + "\n" + table)
    with capture_logs() as logs:
        summary = run_once(root)
    (notice,) = summary.waiting
    assert notice.path == watched
    assert notice.what.startswith("no recipe is named 'denoize'; nothing in this watched folder")
    assert [one["folder"] for one in logs if one["event"] == "watched_recipe_unknown"] == [
        str(watched)
    ]
    assert [one.what for one in read_status(station).notices] == [notice.what]


def test_a_crash_at_any_point_loses_nothing_and_doubles_nothing(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every file system call of a whole run is once the last one before the process is gone."""
    calls = 0
    while True:
        names = [f"denoise/{calls}/good.png", f"denoise/{calls}/broken.png"]
        good, broken = (drop_photo(root, name, size=8 + calls % 50) for name in names)
        child = os.fork()
        if child == 0:
            with monkeypatch.context() as patch:
                cut_off_after(calls, patch)
                run_once(root)
            os._exit(0)
        finished = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        run_once(root)
        found = {
            n: c for n, c in published_results(root).items() if n.startswith(f"denoise/{calls}/")
        }
        assert found == {names[0]: good[::-1]}, f"after {calls} calls"
        archived = everything_below(root / "archive" / "denoise" / str(calls))
        assert archived == {"good.png": good}, f"after {calls} calls"
        failed = everything_below(root / "failed" / "denoise" / str(calls))
        assert failed["broken.png"] == broken, f"after {calls} calls"
        assert set(failed) == {"broken.png", "broken.png.error.json"}, f"after {calls} calls"
        assert not everything_below(root / "inbox")
        assert_no_leftovers(root)
        if finished:
            break
        calls += 1
    assert calls > 30
    with sqlite3.connect(root / ".restored/ledger.sqlite3") as db:
        states = dict(db.execute("SELECT state, count(*) FROM job GROUP BY state").fetchall())
    assert set(states) == {"done", "failed"}


def test_retry_takes_failed_originals_again_even_where_they_were_left(root: Path) -> None:
    write_settings(root, originals="leave")
    drop_photo(root, "denoise/broken.png")
    assert run_once(root) == RunSummary(failed=1)
    assert run_once(root) == RunSummary()
    station, settings = open_station(root)
    retry_failed(station, inbox_folders(station, settings), known_recipes(station), [])
    assert run_once(root) == RunSummary(failed=1)
    write_settings(root)
    (root / "inbox/denoise/broken.png").unlink()
    drop_photo(root, "denoise/1/broken.png")
    assert run_once(root).failed == 1
    station, settings = open_station(root)
    retry_failed(station, inbox_folders(station, settings), known_recipes(station), [])
    assert run_once(root).failed == 1
    assert [n for n in everything_below(root / "failed") if n.endswith("1/broken.png")]


def hours(monkeypatch: pytest.MonkeyPatch, *, open_now: bool) -> None:
    monkeypatch.setattr(Schedule, "is_open", lambda self, at: open_now or self.always_open)


def test_once_outside_a_window_does_the_rest_and_says_what_waits(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_scheduled_recipe(root, "nightly", 'window = "22:00-06:00"', 'timezone = "Europe/Berlin"')
    monkeypatch.setattr(
        "daemon.service.daemon.time.time", lambda: 1_795_604_400.0
    )  # 12:00 in Berlin
    original = drop_photo(root, "nightly/a.png")
    drop_photo(root, "denoise/b.png")
    summary = run_once(root)
    assert (summary.done, summary.failed, summary.waiting, summary.held_up) == (1, 0, (), "")
    assert [held.describe(1_795_604_400.0) for held in summary.held_back] == [
        "nightly: 1 waits for 22:00 CET"
    ]
    monkeypatch.setattr("daemon.service.daemon.time.time", lambda: 1_795_640_400.0)  # 22:00
    assert run_once(root) == RunSummary(done=1)
    assert published_results(root)["nightly/a.png"] == original[::-1]


def test_once_between_two_firings_of_cron_leaves_what_has_come_since(root: Path) -> None:
    write_scheduled_recipe(root, "yearly", 'cron = "0 0 1 1 *"')
    drop_photo(root, "yearly/a.png")
    summary = run_once(root)
    assert (summary.done, [held.jobs for held in summary.held_back]) == (0, [1])


@pytest.mark.parametrize("late_s", [3, 9 * 3600])
def test_once_after_a_firing_of_cron_does_what_lay_there_by_then(
    root: Path, monkeypatch: pytest.MonkeyPatch, late_s: float
) -> None:
    """A timer fires in the same minute, or in the morning, because the machine was off."""
    write_scheduled_recipe(root, "nightly", 'cron = "0 22 * * *"', 'timezone = "Europe/Berlin"')
    drop_photo(root, "nightly/a.png")
    nightly = next(r for r in known_recipes(open_station(root)[0]) if r.name == "nightly")
    clock = nightly.schedule.next_firing(time.time()) + late_s
    monkeypatch.setattr("daemon.service.daemon.time.time", lambda: clock)
    assert run_once(root) == RunSummary(done=1)


def test_the_loop_starts_what_waits_when_its_window_opens(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_scheduled_recipe(root, "nightly", 'window = "22:00-06:00"')
    hours(monkeypatch, open_now=False)
    drop_photo(root, "nightly/a.png")
    with open_daemon(root) as daemon:
        turns = 0
        real = Daemon._lease

        def lease(self: Daemon, now: float) -> None:
            nonlocal turns
            real(self, now)
            turns += bool(self._parts.ledger.in_state("queued"))

        monkeypatch.setattr(Daemon, "_lease", lease)

        def act() -> None:
            try:
                wait_for(lambda: turns >= 2)
                assert len(daemon._parts.dispatcher) == 0
                assert published_results(root) == {}
                opened_at, turns_before = time.monotonic(), turns
                hours(monkeypatch, open_now=True)
                wait_for((root / "outbox/nightly/a.png.json").exists)
                assert time.monotonic() - opened_at < 10
                assert turns - turns_before <= 2  # it sleeps; it does not poll
            finally:
                os.kill(os.getpid(), signal.SIGTERM)

        thread = threading.Thread(target=act)
        thread.start()
        assert daemon.run().done == 1
        thread.join()


def test_what_is_in_flight_when_its_window_ends_is_finished(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_scheduled_recipe(root, "nightly", 'window = "22:00-06:00"')
    hours(monkeypatch, open_now=True)
    original = drop_photo(root, "nightly/held.png")
    with open_daemon(root) as daemon:

        def act() -> None:
            wait_for(lambda: len(daemon._parts.dispatcher) > 0)
            hours(monkeypatch, open_now=False)
            drop_photo(root, "nightly/late.png", colour="blue")
            wait_for(lambda: not (root / "inbox/nightly/late.png").exists())
            task = daemon._parts.dispatcher.task(*daemon._parts.dispatcher.fences)
            assert isinstance(task, RestoreTask)
            daemon._parts.events.put(restored(task))

        thread = threading.Thread(target=act)
        thread.start()
        summary = daemon.once()
        thread.join()
    assert (summary.done, [held.jobs for held in summary.held_back]) == (1, [1])
    assert published_results(root) == {"nightly/held.png": original[::-1]}
