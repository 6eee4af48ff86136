"""What is removed, what is left alone, and what is remembered of it."""

from collections import namedtuple
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from daemon.config.station_setup import open_station
from daemon.jobs.job_log import JobLog
from daemon.jobs.ledger import originals as original_rows
from daemon.jobs.ledger import retention as retention_rows
from daemon.jobs.ledger.originals import jobs
from daemon.jobs.ledger.writer import Ledger
from daemon.service.daemon import RunSummary
from daemon.service.events import EventQueue, LoopEvents
from daemon.service.housekeeping import Housekeeping, Retention
from daemon.service.status import read_status
from tests.support.fakes import everything_below
from tests.support.station_runs import drop_photo, published_results, run_once, write_settings

DAY_S = 86400.0
Usage = namedtuple("Usage", "total used free")


class FinishedStation:
    """A station after a run, its ledger, and a clock that a test moves on."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.station = open_station(folder)[0]
        self.ledger = Ledger(self.station.ledger)
        self.finished_at = float(self.ledger.select("SELECT max(ended_at) FROM job")[0][0])

    def clean(self, days_later: float = 0, **retention: Any) -> None:  # noqa: ANN401
        """Keep house until nothing is left to do."""
        now = self.finished_at + days_later * DAY_S + 1
        housekeeping = Housekeeping(self.station, self.ledger, Retention(**retention))
        for _ in range(1000):
            if not housekeeping.turn(now, at_once=False):
                return
        raise AssertionError("it never comes to rest")

    def archived(self) -> set[str]:
        return set(everything_below(self.station.archive))

    def rows(self) -> int:
        return int(self.ledger.select("SELECT count(*) FROM job")[0][0])


RunWith = Callable[..., FinishedStation]
"""Drops these photographs, each of another size, and runs until all are restored."""


@pytest.fixture
def run_with(root: Path) -> RunWith:
    def run(*names: str) -> FinishedStation:
        for number, name in enumerate(names):
            drop_photo(root, name, size=8 + number)
        run_once(root)
        return FinishedStation(root)

    return run


def test_nothing_is_removed_unless_the_settings_say_so(root: Path, run_with: RunWith) -> None:
    finished = run_with("denoise/a.png")
    finished.clean(days_later=10_000)
    assert finished.archived() == {"denoise/a.png"}
    assert finished.rows() == 1


def test_old_archived_originals_are_removed_and_foreign_files_stay(
    root: Path,
    run_with: RunWith,
) -> None:
    finished = run_with("denoise/a.png", "denoise/album/b.png", "denoise/broken.png")
    (root / "archive/denoise/mine.png").write_bytes(b"put here by a person")
    finished.clean(days_later=29, archive_days=30)
    assert len(finished.archived()) == 3
    with capture_logs() as log:
        finished.clean(days_later=31, archive_days=30)
    assert finished.archived() == {"denoise/mine.png"}
    assert not (root / "archive/denoise/album").exists()
    assert "denoise/broken.png" in everything_below(root / "failed")
    assert sorted(published_results(root)) == ["denoise/a.png", "denoise/album/b.png"]
    (line,) = [entry for entry in log if entry["event"] == "archive_cleared"]
    assert (line["files"], line["why"]) == (2, "older than keep_archive_days = 30")


def test_an_original_that_somebody_changed_is_kept(
    root: Path,
    run_with: RunWith,
) -> None:
    finished = run_with("denoise/a.png", "denoise/b.png")
    (root / "archive/denoise/a.png").write_bytes(b"better scan")
    (root / "archive/denoise/b.png").unlink()
    (root / "archive/denoise/b.png").symlink_to(root / "archive/denoise/a.png")
    finished.clean(days_later=31, archive_days=30)
    assert (root / "archive/denoise/a.png").read_bytes() == b"better scan"
    assert (root / "archive/denoise/b.png").is_symlink()
    assert original_rows.oldest(finished.ledger, 10) == []


def test_beyond_a_size_the_oldest_are_removed(root: Path, run_with: RunWith) -> None:
    sizes = []
    for name in ("a", "b", "c"):
        sizes.append(len(drop_photo(root, f"denoise/{name}.png", size=10 + ord(name))))
        finished = run_with()
    finished.clean(archive_gb=(sizes[1] + sizes[2]) / 1e9)
    assert finished.archived() == {"denoise/b.png", "denoise/c.png"}
    finished.clean(archive_gb=0)
    assert finished.archived() == set()


def test_the_oldest_are_removed_until_enough_space_is_free(
    root: Path,
    run_with: RunWith,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    finished = run_with(*(f"denoise/{number:03}.png" for number in range(100)))
    whole = sum(o.size_bytes for o in original_rows.oldest(finished.ledger, 1000))
    taken = 10**9 - whole

    def usage(_: Path) -> Usage:
        here = sum(len(content) for content in everything_below(finished.station.archive).values())
        return Usage(10**9, 0, 10**9 - taken - here)

    monkeypatch.setattr("daemon.service.housekeeping.shutil.disk_usage", usage)
    finished.clean(free_gb=whole / 2 / 1e9)
    left = sum(o.size_bytes for o in original_rows.oldest(finished.ledger, 1000))
    assert whole / 2 - 2000 < left <= whole / 2


def test_removing_stops_where_it_frees_nothing(
    root: Path,
    run_with: RunWith,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    finished = run_with(*(f"denoise/{number:03}.png" for number in range(200)))
    monkeypatch.setattr(
        "daemon.service.housekeeping.shutil.disk_usage", lambda _: Usage(10**9, 0, 0)
    )
    with capture_logs() as log:
        finished.clean(free_gb=1)
    assert len(finished.archived()) == 200 - 64
    assert [e["event"] for e in log] == ["archive_cleared", "space_not_freed"]


def test_an_archive_on_an_unmounted_disk_does_not_count_as_empty(
    root: Path,
    run_with: RunWith,
) -> None:
    finished = run_with("denoise/a.png")
    (root / "archive").rename(root / "elsewhere")
    (root / "archive").mkdir()
    finished.clean(days_later=400, archive_days=30, ledger_days=30)
    assert len(original_rows.oldest(finished.ledger, 10)) == 1
    assert finished.rows() == 1


def test_what_cannot_be_removed_is_logged_and_tried_again_later(
    root: Path,
    run_with: RunWith,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    finished = run_with("denoise/a.png")
    housekeeping = Housekeeping(finished.station, finished.ledger, Retention(archive_days=1))
    now = finished.finished_at + 2 * DAY_S

    def refuse(path: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    with monkeypatch.context() as patch, capture_logs() as log:
        patch.setattr(Path, "unlink", refuse)
        assert not housekeeping.turn(now, at_once=False)
        assert not housekeeping.turn(now + 60, at_once=False)
    assert [e["event"] for e in log] == ["not_removed"]
    assert log[0]["path"].endswith("archive/denoise/a.png")
    assert housekeeping.turn(now + 3601, at_once=False)
    assert finished.archived() == set()


def test_old_job_logs_are_removed_by_the_day_in_their_names(root: Path, run_with: RunWith) -> None:
    finished = run_with("denoise/a.png")
    for days_before in (1, 9, 11):
        JobLog(finished.station.logs).append({}, finished.finished_at - days_before * DAY_S)
    (finished.station.logs / "jobs-other.jsonl").touch()
    before = set(everything_below(finished.station.logs))
    finished.clean(logs_days=10)
    assert len(before - set(everything_below(finished.station.logs))) == 1
    assert (finished.station.logs / "jobs-other.jsonl").exists()


def test_rows_are_removed_after_their_originals_and_results_are_not_made_twice(
    root: Path,
    run_with: RunWith,
) -> None:
    original = drop_photo(root, "denoise/a.png")
    drop_photo(root, "denoise/b.png", "blue")
    finished = run_with()
    finished.clean(days_later=400, ledger_days=365)
    assert finished.rows() == 2
    finished.clean(days_later=400, archive_days=30, ledger_days=365)
    assert finished.rows() == 0
    assert [(c.recipe, c.done) for c in finished.ledger.counts()] == [("denoise", 2)]
    finished.ledger.close()
    drop_photo(root, "denoise/a.png")
    with capture_logs() as log:
        assert run_once(root) == RunSummary(done=1)
    assert [(row.recipe, row.done) for row in read_status(finished.station).recipes] == [
        ("denoise", 3)
    ]
    assert "already_restored" in [entry["event"] for entry in log]
    assert published_results(root)["denoise/a.png"] == original[::-1]
    assert len(published_results(root)) == 2


def test_rows_of_originals_that_a_person_removed_are_removed_too(
    root: Path,
    run_with: RunWith,
) -> None:
    finished = run_with("denoise/a.png", "denoise/b.png")
    (root / "archive/denoise/a.png").unlink()
    finished.clean(days_later=400, ledger_days=365)
    finished.clean(days_later=400, ledger_days=365)
    assert finished.rows() == 1
    assert [result.name for _, result in jobs(finished.ledger)] == ["b.png"]


def test_a_result_that_a_person_removed_is_forgotten(
    root: Path,
    run_with: RunWith,
) -> None:
    for name in ("a", "b"):
        drop_photo(root, f"denoise/{name}.png", size=ord(name))
    finished = run_with()
    (root / "outbox/denoise/a.png").unlink()
    finished.clean(days_later=400, archive_days=30, ledger_days=365)
    assert [one.result.name for one in retention_rows.results_after(finished.ledger, "", 10)] == [
        "b.png"
    ]
    (root / "outbox").rename(root / "unmounted")
    (root / "outbox").mkdir()
    finished.clean(days_later=500, ledger_days=365)
    assert len(retention_rows.results_after(finished.ledger, "", 10)) == 1
    (root / "outbox").rmdir()
    (root / "unmounted").rename(root / "outbox")
    (root / "outbox/denoise/b.png").unlink()
    finished.clean(days_later=500, ledger_days=365)
    assert retention_rows.results_after(finished.ledger, "", 10) == []


def test_rows_of_failures_stay_while_the_photograph_lies_in_failed(
    root: Path,
    run_with: RunWith,
) -> None:
    finished = run_with("denoise/a.png", "denoise/broken.png", "denoise/1/broken.png")
    (root / "failed/denoise/1/broken.png.error.json").unlink()
    finished.clean(days_later=400, ledger_days=365)
    assert [f.path.parent.name for f in finished.ledger.failures(10)] == ["denoise"]
    assert finished.rows() == 2


def test_the_daemon_removes_old_originals_while_it_runs(root: Path) -> None:
    write_settings(root, keep_archive_gb=0)
    for number in range(200):
        drop_photo(root, f"denoise/{number}.png", size=8 + number)
    assert run_once(root).done == 200
    assert everything_below(root / "archive") == {}
    assert len(published_results(root)) == 200


def test_a_crash_while_it_removes_leaves_only_entries_without_files(
    root: Path,
    run_with: RunWith,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    finished = run_with(*(f"denoise/{number}.png" for number in range(5)))
    with monkeypatch.context() as patch:

        def cut(*_: object) -> None:
            raise KeyboardInterrupt

        patch.setattr("daemon.service.housekeeping.original_rows.remove", cut)
        with pytest.raises(KeyboardInterrupt):
            finished.clean(days_later=31, archive_days=30)
    assert finished.archived() == set()
    assert len(original_rows.oldest(finished.ledger, 10)) == 5
    finished.clean(days_later=31, archive_days=30)
    assert original_rows.oldest(finished.ledger, 10) == []


def test_a_crash_does_not_lose_the_path_of_an_archived_original(root: Path) -> None:
    drop_photo(root, "denoise/a.png")
    run_once(root)
    station = open_station(root)[0]
    ledger = Ledger(station.ledger)
    (known,) = original_rows.oldest(ledger, 10)
    assert known.path == root / "archive/denoise/a.png"
    with ledger.transaction() as db:
        db.execute("UPDATE job SET state = 'published', ended_at = 0")
        db.execute("DELETE FROM original")
    ledger.close()
    run_once(root)
    ledger = Ledger(station.ledger)
    (again,) = original_rows.oldest(ledger, 10)
    assert (again.path, again.row, again.size_bytes) == (known.path, known.row, known.size_bytes)


def test_one_original_that_cannot_be_removed_does_not_stop_the_others(
    root: Path,
    run_with: RunWith,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    finished = run_with(*(f"denoise/{number:03}.png" for number in range(100)))
    real = Path.unlink
    stuck = {original.path for original in original_rows.oldest(finished.ledger, 70)}

    def refuse_some(path: Path, missing_ok: bool = False) -> None:
        if path in stuck:
            raise PermissionError(13, "Permission denied", str(path))
        real(path, missing_ok=missing_ok)

    with monkeypatch.context() as patch, capture_logs() as log:
        patch.setattr(Path, "unlink", refuse_some)
        finished.clean(days_later=31, archive_days=30)
    assert finished.archived() == {
        str(path.relative_to(finished.station.archive)) for path in stuck
    }
    assert [e["event"] for e in log].count("not_removed") == 1
    finished.clean(days_later=32, archive_days=30)
    assert finished.archived() == set()


def test_what_cannot_be_removed_does_not_stop_other_duties(
    root: Path,
    run_with: RunWith,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    finished = run_with("denoise/a.png")
    JobLog(finished.station.logs).append({}, finished.finished_at - 11 * DAY_S)

    def refuse(folder: object) -> None:
        raise PermissionError(13, "Permission denied", str(folder))

    with monkeypatch.context() as patch:
        patch.setattr("daemon.service.housekeeping.is_there", refuse)
        finished.clean(days_later=31, archive_days=30, logs_days=35)
    assert finished.archived() == {"denoise/a.png"}
    assert len(everything_below(finished.station.logs)) == 1


def test_young_originals_are_not_looked_at_one_by_one(
    root: Path,
    run_with: RunWith,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    finished = run_with(*(f"denoise/{number:03}.png" for number in range(200)))
    housekeeping = Housekeeping(finished.station, finished.ledger, Retention(ledger_days=365))
    looked = 0
    real = Path.exists

    def exists(path: Path) -> bool:
        nonlocal looked
        looked += finished.station.archive in path.parents
        return real(path)

    monkeypatch.setattr(Path, "exists", exists)
    assert not housekeeping.turn(finished.finished_at + 1, at_once=True)
    assert looked == 0


def test_originals_that_a_person_removed_do_not_count_in_the_size(
    root: Path, run_with: RunWith
) -> None:
    for name in ("a", "b", "c"):
        drop_photo(root, f"denoise/{name}.png", size=10 + ord(name))
        finished = run_with()
    whole = original_rows.size_bytes(finished.ledger)
    (root / "archive/denoise/c.png").unlink()
    finished.clean(archive_gb=(whole - 1) / 1e9)
    assert finished.archived() == {"denoise/a.png", "denoise/b.png"}


def test_the_loop_does_not_sleep_while_there_is_something_to_remove(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(200):
        drop_photo(root, f"denoise/{number}.png", size=8 + number)
    run_once(root)
    write_settings(root, keep_archive_gb=0)
    waits: list[float] = []
    real = EventQueue.take

    def take(events: EventQueue, wait_s: float) -> LoopEvents:
        waits.append(wait_s)
        return real(events, 0)

    monkeypatch.setattr(EventQueue, "take", take)
    assert run_once(root) == RunSummary()
    assert everything_below(root / "archive") == {}
    assert waits[1:4] == [0.0, 0.0, 0.0]


def test_originals_left_in_place_are_remembered_while_they_are_there(
    root: Path, run_with: RunWith
) -> None:
    write_settings(root, originals="leave")
    finished = run_with("denoise/a.png", "denoise/deep/b.png")
    assert len(finished.ledger.taken_after(None, 10)) == 2
    (root / "inbox/denoise/deep/b.png").unlink()
    (root / "inbox/denoise/deep").rmdir()
    finished.clean(ledger_days=365)
    assert finished.ledger.taken_after(None, 10) == [root / "inbox/denoise/a.png"]
    # An inbox that holds nothing may be a disk that is not mounted.
    (root / "inbox").rename(root / "unmounted")
    (root / "inbox").mkdir()
    finished.clean(ledger_days=365)
    assert len(finished.ledger.taken_after(None, 10)) == 1


def test_answers_about_a_photograph_are_removed_with_its_row(root: Path, run_with: RunWith) -> None:
    own = '[match]\ngrey = true\n[[steps]]\nkind = "denoise"\n'
    (root / "recipes/aaa.toml").write_text(own)
    for name in ("grey.png", "grey-broken.png"):
        drop_photo(root, name, colour="white" if name == "grey.png" else "black")
    finished = run_with()
    (kept,) = finished.ledger.select("SELECT DISTINCT photo FROM look")
    finished.clean(days_later=400, ledger_days=365)
    assert finished.ledger.select("SELECT DISTINCT photo FROM look") == [kept]
    finished.clean(days_later=400, archive_days=30, ledger_days=365)
    assert finished.ledger.select("SELECT * FROM look") == []
