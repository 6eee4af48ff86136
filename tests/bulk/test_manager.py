"""Bulk jobs: folders are restored where they lie, whatever happens meanwhile."""

import errno
import json
import os
import time
from pathlib import Path
from typing import Any

import pytest
import structlog

from daemon.bulk import manager
from daemon.bulk import walk as bulk_walk
from daemon.cli.main import exit_code
from daemon.config.station_setup import find_station
from daemon.intake.requests import waiting_requests
from daemon.jobs.ledger import bulk as bulk_rows
from daemon.jobs.ledger.reader import LedgerReader
from daemon.jobs.ledger.writer import Ledger
from daemon.jobs.scheduler import Scheduler
from daemon.messages.reports import Failed
from daemon.service.events import EventQueue
from daemon.service.request_handler import RequestHandler
from daemon.service.status import read_status
from tests.support.bulk_runs import (
    ask_to_submit,
    bulk_command,
    bulk_counts,
    bulk_status,
    read_report,
    save_photo,
    save_photos,
    submit,
    submit_and_run,
    take_turns,
    take_turns_without_leasing,
)
from tests.support.fakes import FakeExecutor, everything_below
from tests.support.station_runs import (
    assert_no_leftovers,
    cut_off_after,
    drop_photo,
    open_daemon,
    published_results,
    run_once,
)


def test_photographs_that_are_read_at_once_have_one_line_in_the_log(
    root: Path, scans: Path
) -> None:
    for number in range(5):
        save_photo(scans / f"{number}.png", 8 + number)
    drop_photo(root, "denoise/own.png")
    with structlog.testing.capture_logs() as lines:
        submit_and_run(root, scans)
    assert [line["photo"] for line in lines if line["event"] == "claimed"] == ["denoise/own.png"]
    told = [line for line in lines if line["event"] == "bulk_claimed"]
    assert {line["bulk"] for line in told} == {"job"}
    assert sum(line["jobs"] for line in told) == 5
    assert len(told) < 5, "those that are read at once have one line"


def test_a_tree_is_restored_where_it_lies(root: Path, scans: Path) -> None:
    names = ("a.png", "b/a.png", "b/c/d.png", "b.c/e.png")
    originals = {name: save_photo(scans / name, 8 + n) for n, name in enumerate(names)}
    (scans / "notes.txt").write_text("no photograph")
    before = everything_below(scans)
    summary = submit_and_run(root, scans)
    assert (summary.done, summary.failed, summary.waiting) == (4, 0, ())
    assert published_results(root) == {f"denoise/scans/{n}": c[::-1] for n, c in originals.items()}
    assert everything_below(scans) == before
    assert bulk_counts(root) == {"found": 4, "done": 4, "passed_over": 1}
    assert bulk_status(root).state == "ended"
    assert read_report(root)["passed_over"] == [
        {
            "path": str(scans / "notes.txt"),
            "why": "its name ends with none of .jpg, .jpeg, .png, .webp, .tif, .tiff, .bmp, .gif "
            "and 46 others",
        }
    ]
    assert "| 4 | 4 | 0 | 0 | 0 | 1 |" in (root / "reports/job/report.md").read_text()
    assert_no_leftovers(root)


def test_what_is_done_is_skipped_unless_recipe_or_photograph_changed(
    root: Path, scans: Path
) -> None:
    (root / "recipes").mkdir(exist_ok=True)
    mine = root / "recipes/mine.toml"
    mine.write_text('[[steps]]\nkind = "denoise"\nrealism = 0.1\n')
    for name in ("a.png", "b/b.png"):
        save_photo(scans / name)
    submit_and_run(root, scans, recipe="mine")
    save_photo(scans / "b/b.png", 20)
    save_photo(scans / "new.png")
    submit_and_run(root, scans / "b", scans / "a.png", scans, name="again", recipe="mine")
    assert bulk_counts(root, "again") == {"found": 3, "done": 2, "skipped": 1}
    mine.write_text('[[steps]]\nkind = "denoise"\nrealism = 0.9\n')
    submit_and_run(root, scans, name="changed", recipe="mine")
    assert bulk_counts(root, "changed") == {"found": 3, "done": 3}
    result = next((root / "outbox/mine/scans").glob("a*.png"))
    for path in (root / "outbox/mine/scans").glob("a*"):
        path.unlink()
    submit_and_run(root, scans, name="gone", recipe="mine")
    assert bulk_counts(root, "gone") == {"found": 3, "done": 1, "skipped": 2}
    assert result.parent.is_dir()


def test_a_crash_at_any_point_loses_nothing_and_doubles_nothing(
    root: Path, scans: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk_walk, "_MAX_FILES", 1)
    calls = 0
    while True:
        folder = scans / str(calls)
        names = ("a.png", "b.png", "c/broken.png")
        originals = {name: save_photo(folder / name, 8 + calls % 50) for name in names}
        submit(root, folder, name=str(calls))
        child = os.fork()
        if child == 0:
            with monkeypatch.context() as patch:
                cut_off_after(calls, patch)
                run_once(root)
            os._exit(0)
        finished = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        run_once(root)
        place = f"denoise/{calls}/"
        found = {n: c for n, c in published_results(root).items() if n.startswith(place)}
        assert found == {
            f"{place}{name}": content[::-1]
            for name, content in originals.items()
            if "broken" not in name
        }, f"after {calls} calls"
        assert bulk_counts(root, str(calls)) == {"found": 3, "done": 2, "failed": 1}, (
            f"after {calls}"
        )
        assert everything_below(folder) == originals
        assert waiting_requests(find_station(root)) == []
        assert_no_leftovers(root)
        if finished:
            break
        calls += 1
    assert calls > 20


def test_killed_between_two_transactions_it_counts_each_photograph_once(
    root: Path, scans: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The queue knows of photographs that the bulk job does not know it has looked at."""
    monkeypatch.setattr(bulk_walk, "_MAX_FILES", 2)
    save_photos(scans, 7)
    submit(root, scans)
    real, saves = bulk_rows.save, 0

    def save(ledger: Ledger, bulk: bulk_rows.BulkJob) -> None:
        nonlocal saves
        saves += 1
        if saves == 4:
            os._exit(137)
        real(ledger, bulk)

    child = os.fork()
    if child == 0:
        monkeypatch.setattr(bulk_rows, "save", save)
        run_once(root)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 137
    run_once(root)
    assert bulk_counts(root) == {"found": 7, "done": 7}


def test_it_is_paused_and_goes_on(root: Path, scans: Path) -> None:
    save_photos(scans, 3)
    submit(root, scans)
    bulk_command(root, "pause")
    original = drop_photo(root, "denoise/mine.png")
    summary = run_once(root)
    assert (summary.done, summary.failed) == (1, 0)
    assert published_results(root) == {"denoise/mine.png": original[::-1]}
    assert bulk_status(root).standing == "paused"
    assert exit_code(["--station", str(root), "bulk", "show", "job"]) == 0
    bulk_command(root, "resume")
    assert run_once(root).done == 3
    bulk_command(root, "resume", expect=64)


@pytest.mark.usefixtures("read_at_once")
def test_what_is_queued_of_a_paused_job_stays_queued(root: Path, scans: Path) -> None:
    save_photos(scans, 5)
    submit(root, scans)
    take_turns_without_leasing(root, 4)
    assert bulk_counts(root) == {"found": 5, "queued": 5}
    drop_photo(root, "denoise/mine.png", size=40)
    bulk_command(root, "pause")
    assert run_once(root).done == 1
    assert bulk_counts(root) == {"found": 5, "queued": 5}
    assert read_status(find_station(root)).left_s == 0
    bulk_command(root, "resume")
    assert run_once(root).done == 5


@pytest.mark.usefixtures("read_at_once")
def test_a_cancelled_job_leaves_what_it_has_not_begun(
    root: Path, scans: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk_walk, "_MAX_FILES", 2)
    save_photos(scans, 5)
    submit(root, scans)
    take_turns_without_leasing(root, 2)
    assert bulk_counts(root)["queued"] == 2
    bulk_command(root, "cancel")
    assert run_once(root).done == 0
    assert bulk_counts(root) == {"found": 2, "taken_off": 2}
    assert (bulk_status(root).state, bulk_status(root).standing) == ("ended", "cancelled")
    assert read_report(root)["cancelled"] is True
    assert len(everything_below(scans)) == 5
    bulk_command(root, "cancel", expect=64)


def test_what_failed_is_tried_again(root: Path, scans: Path) -> None:
    save_photo(scans / "good.png")
    save_photo(scans / "b/broken.png")
    submit_and_run(root, scans)
    reason = root / "failed/denoise/scans/b/broken.png.error.json"
    why = json.loads(reason.read_text())
    assert why["bulk"] == "job"
    assert why["what_to_do"] == (
        "Fix the cause named in `why`, then run `restored bulk retry job`."
    )
    assert read_report(root)["failed"] == [
        {"photo": str(scans / "b/broken.png"), "why": "it ends early"}
    ]
    bulk_command(root, "retry")
    assert run_once(root).failed == 1
    assert bulk_counts(root) == {"found": 2, "done": 1, "failed": 1}
    assert reason.exists()
    bulk_command(root, "retry", "good", expect=64)


@pytest.mark.usefixtures("read_at_once")
def test_dropped_photographs_go_before_those_of_bulk_jobs(
    root: Path, scans: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_photos(scans, 30)
    submit(root, scans)
    with monkeypatch.context() as patch:
        patch.setattr("daemon.jobs.scheduler.Scheduler.tasks", lambda *_, **__: [])
        take_turns(root, 3)
        drop_photo(root, "denoise/mine.png", size=50)
        take_turns(root, 3)
    view = LedgerReader(root / ".restored/ledger.sqlite3")
    rows = view.ready("denoise", float("inf"), 4, time.time(), alone=False)
    names = [entry.claim.files[0].relative.name for entry in view.entries(rows)]
    view.close()
    assert names == ["mine.png", "0.png", "1.png", "10.png"]


@pytest.mark.usefixtures("read_at_once")
def test_a_bulk_job_waits_for_its_disk(
    root: Path, scans: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its mount point is empty meanwhile; what was in flight has neither failed nor is done."""
    monkeypatch.setattr(bulk_walk, "_MAX_FILES", 2)
    save_photos(scans, 5)
    submit(root, scans)
    away, real, leased = scans.with_name("away"), Scheduler.tasks, 0
    real_look = manager.BulkManager._look

    def look(self: manager.BulkManager, bulk: bulk_rows.BulkJob, *given: Any) -> bool:  # noqa: ANN401
        """Look at two files only, however many turns the reader takes for them."""
        return bulk_rows.counts(self._ledger, bulk).found < 2 and real_look(self, bulk, *given)

    def tasks(self: Scheduler, *given: Any, **named: Any) -> Any:  # noqa: ANN401
        nonlocal leased
        if len(self._ledger.in_state("queued")) < 2:  # the reader may answer one after the other
            return ()
        found = real(self, *given, **named)
        leased += len(found)
        if found:
            scans.rename(away)
            scans.mkdir()
        return found

    with monkeypatch.context() as patch:
        patch.setattr(Scheduler, "tasks", tasks)
        patch.setattr(manager.BulkManager, "_look", look)
        patch.setattr(FakeExecutor, "restore", lambda self, task, name: _unreadable(task.fence))
        summary = run_once(root)
    assert (summary.done, summary.failed, leased) == (0, 0, 2)
    assert [notice.what for notice in summary.waiting] == [
        f"bulk job job: {scans}: it is empty or gone; is its disk mounted? It goes on when that is "
        "back, or cancel it"
    ]
    assert bulk_counts(root) == {"found": 2, "queued": 2}
    status = bulk_status(root)
    assert (status.standing, status.left_s) == ("waits for its disk", None)
    scans.rmdir()
    assert run_once(root).waiting[0].what.startswith(f"bulk job job: {scans}: it is empty or gone")
    away.rename(scans)
    assert run_once(root).done == 5
    assert bulk_counts(root) == {"found": 5, "done": 5}


def _unreadable(fence: int) -> Failed:
    return Failed(fence, "No such file or directory")


def test_a_disk_that_is_full_for_a_moment_costs_no_photograph(
    root: Path, scans: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk_walk, "_MAX_FILES", 2)
    save_photos(scans, 5)
    submit(root, scans)
    real, calls = Ledger.intend, 0

    def intend(self: Ledger, claims: Any) -> Any:  # noqa: ANN401
        nonlocal calls
        calls += 1
        if calls == 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(self, claims)

    monkeypatch.setattr(Ledger, "intend", intend)
    assert run_once(root).done == 5
    assert bulk_counts(root) == {"found": 5, "done": 5}


def test_a_job_that_cannot_go_on_holds_up_no_other(
    root: Path, scans: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_photo(scans / "a.png")
    save_photo(scans.with_name("barred") / "a.png")
    ask_to_submit(find_station(root), "orphan", "gone", scans, at=1.0)
    submit(root, scans.with_name("barred"), name="barred")
    submit(root, scans)
    real = bulk_walk.Slice.claims

    def claims(self: bulk_walk.Slice, *given: Any) -> Any:  # noqa: ANN401
        if self.path.name == "barred":
            raise PermissionError(errno.EACCES, "Permission denied", str(self.path))
        return real(self, *given)

    monkeypatch.setattr(bulk_walk.Slice, "claims", claims)
    drop_photo(root, "denoise/mine.png", size=40)
    summary = run_once(root)
    assert (summary.done, summary.failed) == (2, 0)
    assert [notice.what.partition(":")[0] for notice in summary.waiting] == [
        "bulk job orphan",
        "bulk job barred",
    ]
    assert "Permission denied" in summary.waiting[1].what
    assert bulk_status(root).state == "ended"


@pytest.mark.usefixtures("read_at_once")
def test_bulk_jobs_take_turns_in_walking(
    root: Path, scans: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk_walk, "_MAX_FILES", 1)
    save_photos(scans, 9)
    save_photo(scans.with_name("few") / "a.png")
    submit(root, scans, name="many")
    submit(root, scans.with_name("few"), name="few")
    take_turns_without_leasing(root, 4)
    assert bulk_counts(root, "few") == {"found": 1, "queued": 1}
    assert bulk_status(root, "many").state == "looking"


@pytest.mark.usefixtures("read_at_once")
def test_a_changed_recipe_counts_for_what_was_not_yet_looked_at(
    root: Path, scans: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk_walk, "_MAX_FILES", 1)
    (root / "recipes").mkdir(exist_ok=True)
    mine = root / "recipes/mine.toml"
    mine.write_text('[[steps]]\nkind = "denoise"\n')
    for name in ("a.png", "b.png", "c.png"):
        save_photo(scans / name)
    submit(root, scans, recipe="mine")
    with open_daemon(root) as daemon:
        for _ in range(2):
            daemon.turn(at_once=True)
        mine.write_text('[[steps]]\nkind = "denoise"\n[match]\nnames = ["b*"]\n')
        daemon.reload()
        for _ in range(5):
            daemon.turn(at_once=True)
    assert bulk_counts(root) == {"found": 2, "done": 2, "passed_over": 1}


def test_a_running_daemon_takes_a_job_for_a_recipe_written_meanwhile(
    root: Path, scans: Path
) -> None:
    save_photo(scans / "a.png")
    with open_daemon(root) as daemon:
        daemon.turn(at_once=True)
        (root / "recipes/new.toml").write_text('[[steps]]\nkind = "denoise"\n')
        submit(root, scans, recipe="new")
        assert daemon.once().done == 1
    assert (root / "inbox/new").is_dir()


def test_a_reload_makes_the_inbox_of_a_new_recipe(root: Path) -> None:
    with open_daemon(root) as daemon:
        (root / "recipes/new.toml").write_text('[[steps]]\nkind = "denoise"\n')
        daemon.reload()
        assert (root / "inbox/new").is_dir()
        (root / "recipes/other.toml").write_text('[[steps]]\nkind = "denoise"\n')
        (root / "inbox/other").write_text("in the way")
        daemon.reload()  # what is in the way ends nothing
        drop_photo(root, "new/a.png")
        assert daemon.once().done == 1


def test_what_failed_is_tried_again_a_few_in_a_turn_and_each_once(
    root: Path, scans: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(manager, "_RETRY_BATCH", 2)
    for number in range(5):
        save_photo(scans / f"broken-{number}.png", 8 + number)
    submit_and_run(root, scans)
    turns: list[int] = []
    real, turn = bulk_rows.try_again, RequestHandler.turn

    def one_turn(self: RequestHandler, *given: Any) -> bool:  # noqa: ANN401
        turns.append(0)
        return turn(self, *given)

    def try_again(ledger: Ledger, rows: list[int]) -> None:
        turns[-1] += len(rows)
        real(ledger, rows)

    monkeypatch.setattr(RequestHandler, "turn", one_turn)
    monkeypatch.setattr(bulk_rows, "try_again", try_again)
    bulk_command(root, "retry")
    assert run_once(root).failed == 5
    assert [number for number in turns if number] == [2, 2, 1]
    assert bulk_counts(root) == {"found": 5, "failed": 5}


def test_existing_results_take_few_transactions_and_no_sleep(
    root: Path, scans: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("daemon.jobs.scheduler.MAX_IN_FLIGHT", 8)
    for number in range(24):
        save_photo(scans / f"{number:02}.png", 8 + number)
    submit_and_run(root, scans)
    groups: list[int] = []
    real, wakes = Ledger.publish, 0

    def publish(self: Ledger, results: Any) -> None:  # noqa: ANN401
        groups.append(len(results))
        real(self, results)

    def wake(self: EventQueue) -> None:
        nonlocal wakes
        wakes += 1

    submit(root, scans, name="again")
    monkeypatch.setattr(Ledger, "publish", publish)
    monkeypatch.setattr(EventQueue, "wake", wake)
    run_once(root)
    assert bulk_counts(root, "again") == {"found": 24, "skipped": 24}
    assert groups == [8, 8, 8]
    assert wakes >= 3
