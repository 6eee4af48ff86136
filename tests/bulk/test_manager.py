"""Bulk jobs: folders are restored where they lie, whatever happens meanwhile."""

import errno
import hashlib
import json
import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from daemon.bulk import manager
from daemon.bulk import report as bulk_report
from daemon.bulk import walk as bulk_walk
from daemon.bulk.requests import BulkRequest, ask, asked
from daemon.bulk.status import read_bulk
from daemon.cli.main import exit_code
from daemon.config.recipe import recipe_named
from daemon.config.setup import find_station, known_recipes
from daemon.jobs.ledger import bulk as bulk_rows
from daemon.jobs.ledger.reader import LedgerReader
from daemon.jobs.ledger.writer import Ledger
from daemon.jobs.scheduler import Scheduler
from daemon.messages import tasks as job_orders
from daemon.messages.reports import Failed, Restored
from daemon.photo import contact_sheet
from daemon.service.events import EventQueue
from daemon.service.housekeeping import Housekeeping, Retention
from daemon.service.monitoring.notifier import Notifier
from daemon.service.status import read_status
from tests.support.fakes import FakeExecutor, everything_below, restored
from tests.support.station_runs import (
    assert_no_leftovers,
    cut_off_after,
    drop_photo,
    open_daemon,
    published_results,
    run_once,
)


class InlineProcess:
    """Writes the report where it is started, so that a run needs no second Python."""

    def __init__(self, target: Callable[..., None], args: tuple[Any, ...], *, daemon: bool) -> None:
        self._target, self._args = target, args
        self.exitcode: int | None = None

    def start(self) -> None:
        try:
            self._target(*self._args)
            self.exitcode = 0
        except OSError:
            self.exitcode = 1

    def kill(self) -> None:
        pass

    def join(self) -> None:
        pass


class InlineContext:
    Process = InlineProcess


@pytest.fixture(autouse=True)
def reports_inline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("multiprocessing.get_context", lambda kind: InlineContext)


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    return tmp_path / "scans"


def put(path: Path, size: int = 8) -> bytes:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (size, size), "blue").save(path, format="PNG")
    return path.read_bytes()


def submit(root: Path, *paths: Path, name: str = "job", recipe: str = "denoise") -> None:
    command = ["--station", str(root), "submit", *map(str, paths), "--recipe", recipe]
    assert exit_code([*command, "--name", name]) == 0


def tell(root: Path, what: str, name: str = "job", expect: int = 0) -> None:
    assert exit_code(["--station", str(root), "bulk", what, name]) == expect


def job(root: Path, name: str = "job") -> dict[str, Any]:
    return next(one for one in read_bulk(find_station(root)) if one["name"] == name)


def numbers(root: Path, name: str = "job") -> dict[str, int]:
    one = job(root, name)
    keys = ("found", "done", "skipped", "failed", "taken_off", "passed_over", "queued")
    return {key: one[key] for key in keys if one[key]}


def report(root: Path, name: str = "job") -> dict[str, Any]:
    found: dict[str, Any] = json.loads((root / "reports" / name / "report.json").read_text())
    return found


def test_a_tree_is_restored_where_it_lies(root: Path, scans: Path) -> None:
    names = ("a.png", "b/a.png", "b/c/d.png", "b.c/e.png")
    originals = {name: put(scans / name, 8 + n) for n, name in enumerate(names)}
    (scans / "notes.txt").write_text("no photograph")
    before = everything_below(scans)
    submit(root, scans)
    tally = run_once(root)
    assert (tally.done, tally.failed, tally.waiting) == (4, 0, ())
    assert published_results(root) == {f"denoise/scans/{n}": c[::-1] for n, c in originals.items()}
    assert everything_below(scans) == before
    assert numbers(root) == {"found": 4, "done": 4, "passed_over": 1}
    assert job(root)["state"] == "ended"
    assert report(root)["passed_over"] == [
        {
            "path": str(scans / "notes.txt"),
            "why": "its name ends with none of .jpg, .jpeg, .png, .webp, .tif, .tiff, .bmp, .gif",
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
        put(scans / name)
    submit(root, scans, recipe="mine")
    run_once(root)
    put(scans / "b/b.png", 20)
    put(scans / "new.png")
    submit(root, scans / "b", scans / "a.png", scans, name="again", recipe="mine")
    run_once(root)
    assert numbers(root, "again") == {"found": 3, "done": 2, "skipped": 1}
    mine.write_text('[[steps]]\nkind = "denoise"\nrealism = 0.9\n')
    submit(root, scans, name="changed", recipe="mine")
    run_once(root)
    assert numbers(root, "changed") == {"found": 3, "done": 3}
    result = next((root / "outbox/mine/scans").glob("a*.png"))
    for path in (root / "outbox/mine/scans").glob("a*"):
        path.unlink()
    submit(root, scans, name="gone", recipe="mine")
    run_once(root)
    assert numbers(root, "gone") == {"found": 3, "done": 1, "skipped": 2}
    assert result.parent.is_dir()


def test_a_crash_at_any_point_loses_nothing_and_doubles_nothing(
    root: Path, scans: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk_walk, "_FILES", 1)
    calls = 0
    while True:
        folder = scans / str(calls)
        names = ("a.png", "b.png", "c/broken.png")
        originals = {name: put(folder / name, 8 + calls % 50) for name in names}
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
        assert numbers(root, str(calls)) == {"found": 3, "done": 2, "failed": 1}, f"after {calls}"
        assert everything_below(folder) == originals
        assert asked(find_station(root)) == []
        assert_no_leftovers(root)
        if finished:
            break
        calls += 1
    assert calls > 20


def test_killed_between_two_transactions_it_counts_each_photograph_once(
    root: Path, scans: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The queue knows of photographs that the bulk job does not know it has looked at."""
    monkeypatch.setattr(bulk_walk, "_FILES", 2)
    for number in range(7):
        put(scans / f"{number}.png", 8 + number)
    submit(root, scans)
    real, keeps = bulk_rows.keep, 0

    def keep(ledger: Ledger, bulk: bulk_rows.BulkJob) -> None:
        nonlocal keeps
        keeps += 1
        if keeps == 4:
            os._exit(137)
        real(ledger, bulk)

    child = os.fork()
    if child == 0:
        monkeypatch.setattr(bulk_rows, "keep", keep)
        run_once(root)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 137
    run_once(root)
    assert numbers(root) == {"found": 7, "done": 7}


def test_it_is_paused_and_goes_on(root: Path, scans: Path) -> None:
    for number in range(3):
        put(scans / f"{number}.png", 8 + number)
    submit(root, scans)
    tell(root, "pause")
    original = drop_photo(root, "denoise/mine.png")
    tally = run_once(root)
    assert (tally.done, tally.failed) == (1, 0)
    assert published_results(root) == {"denoise/mine.png": original[::-1]}
    assert job(root)["standing"] == "paused"
    assert exit_code(["--station", str(root), "bulk", "show", "job"]) == 0
    tell(root, "resume")
    assert run_once(root).done == 3
    tell(root, "resume", expect=64)


def test_what_is_queued_of_a_paused_job_stays_queued(
    root: Path, scans: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(5):
        put(scans / f"{number}.png", 8 + number)
    submit(root, scans)
    with monkeypatch.context() as patch:
        patch.setattr("daemon.jobs.scheduler.Scheduler.tasks", lambda *_: [])
        _turns(root, 4)
    assert numbers(root) == {"found": 5, "queued": 5}
    drop_photo(root, "denoise/mine.png", size=40)
    tell(root, "pause")
    assert run_once(root).done == 1
    assert numbers(root) == {"found": 5, "queued": 5}
    assert read_status(find_station(root))["left_s"] == 0
    tell(root, "resume")
    assert run_once(root).done == 5


def _turns(root: Path, number: int) -> None:
    """A daemon that is stopped after a few turns."""
    with open_daemon(root) as daemon:
        for _ in range(number):
            daemon.turn(at_once=True)


def test_a_cancelled_job_leaves_what_it_has_not_begun(
    root: Path, scans: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk_walk, "_FILES", 2)
    for number in range(5):
        put(scans / f"{number}.png", 8 + number)
    submit(root, scans)
    with monkeypatch.context() as patch:
        patch.setattr("daemon.jobs.scheduler.Scheduler.tasks", lambda *_: [])
        _turns(root, 2)
    assert numbers(root)["queued"] == 2
    tell(root, "cancel")
    assert run_once(root).done == 0
    assert numbers(root) == {"found": 2, "taken_off": 2}
    assert (job(root)["state"], job(root)["standing"]) == ("ended", "cancelled")
    assert report(root)["cancelled"] is True
    assert len(everything_below(scans)) == 5
    tell(root, "cancel", expect=64)


def test_what_failed_is_tried_again(root: Path, scans: Path) -> None:
    put(scans / "good.png")
    put(scans / "b/broken.png")
    submit(root, scans)
    run_once(root)
    reason = root / "failed/denoise/scans/b/broken.png.error.json"
    why = json.loads(reason.read_text())
    assert why["bulk"] == "job" and "restored bulk retry job" in why["what_to_do"]
    assert report(root)["failed"] == [
        {"photo": str(scans / "b/broken.png"), "why": "b/broken.png: it ends early"}
    ]
    tell(root, "retry")
    assert run_once(root).failed == 1
    assert numbers(root) == {"found": 2, "done": 1, "failed": 1}
    assert reason.exists()
    tell(root, "retry", "good", expect=64)


def test_plain_retry_leaves_photographs_of_bulk_jobs_alone(
    root: Path, scans: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put(scans / "broken.png")
    drop_photo(root, "denoise/broken.png")
    submit(root, scans)
    run_once(root)
    capsys.readouterr()
    failed = root / "failed/denoise/scans/broken.png"
    assert exit_code(["--station", str(root), "retry", str(failed)]) == 64
    assert "of the bulk job 'job'" in capsys.readouterr().err
    assert exit_code(["--station", str(root), "retry"]) == 0
    assert capsys.readouterr().out.endswith("1 put back\n")
    assert failed.with_name("broken.png.error.json").exists()


def test_nothing_is_read_before_its_time(root: Path, scans: Path) -> None:
    put(scans / "a.png")
    station = find_station(root)
    now = time.time()
    ask(station, BulkRequest("submit", "later", "denoise", (scans,), now, now + 3600))
    tally = run_once(root)
    assert (tally.done, tally.waiting) == (0, ())
    assert job(root, "later")["standing"].startswith("waits until ")
    assert numbers(root, "later") == {}
    ledger = Ledger(station.ledger)
    (bulk,) = bulk_rows.all_of(ledger)
    bulk_rows.keep(ledger, replace(bulk, starts_at=now - 1))
    ledger.close()
    assert run_once(root).done == 1


def test_what_is_dropped_goes_before_what_bulk_jobs_found(
    root: Path, scans: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(30):
        put(scans / f"{number}.png", 8 + number)
    submit(root, scans)
    with monkeypatch.context() as patch:
        patch.setattr("daemon.jobs.scheduler.Scheduler.tasks", lambda *_: [])
        _turns(root, 3)
        drop_photo(root, "denoise/mine.png", size=50)
        _turns(root, 3)
    view = LedgerReader(root / ".restored/ledger.sqlite3")
    rows = view.ready("denoise", float("inf"), 4, time.time(), alone=False)
    names = [entry.claim.files[0].relative.name for entry in view.entries(rows)]
    view.close()
    assert names == ["mine.png", "0.png", "1.png", "10.png"]


def test_folders_of_one_name_keep_their_results_apart(root: Path, tmp_path: Path) -> None:
    one, two = put(tmp_path / "x/scans/a.png", 9), put(tmp_path / "y/scans/a.png", 10)
    submit(root, tmp_path / "x/scans", tmp_path / "y/scans")
    run_once(root)
    assert published_results(root) == {
        "denoise/scans/a.png": one[::-1],
        "denoise/scans-2/a.png": two[::-1],
    }


def test_side_files_and_pairs_go_with_their_photographs(
    root: Path, scans: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk_walk, "_FILES", 1)
    for name in ("a.png", "a.mask.png", "b.png", "b.mask.png", "lone.png"):
        put(scans / name)
    submit(root, scans, recipe="inpaint")
    run_once(root)
    assert set(published_results(root)) == {"inpaint/scans/a.png", "inpaint/scans/b.png"}
    assert report(root)["passed_over"] == [
        {
            "path": str(scans / "lone.png"),
            "why": "waits for lone.mask.png, which must be white where the picture is lost",
        }
    ]
    record = json.loads((root / "outbox/inpaint/scans/b.png.json").read_text())
    assert [given["role"] for given in record["inputs"]] == ["photo", "mask"]
    for name in ("p-a.png", "p-b.png", "q_1.png"):
        put(scans.with_name("pairs") / name)
    submit(root, scans.with_name("pairs"), name="pairs", recipe="interpolate")
    run_once(root)
    assert numbers(root, "pairs") == {"found": 1, "done": 1, "passed_over": 1}


def test_odd_names_links_and_what_vanishes_disturb_nobody(
    root: Path, scans: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    odd = Path(os.fsdecode(os.fsencode(scans) + b"/f\xff/\xfe.png"))
    put(odd)
    for name in ("a.png", "gone.png", "z" * 250 + ".png"):
        put(scans / name)
    (scans / "link").symlink_to("/etc")
    (scans / "link.png").symlink_to(scans / "a.png")
    (scans / "no.png").write_text("no picture")
    submit(root, scans)
    real = bulk_walk.Slice.claims

    def claims(self: bulk_walk.Slice, *given: Any) -> Any:  # noqa: ANN401
        found = real(self, *given)
        (scans / "gone.png").unlink(missing_ok=True)
        return found

    monkeypatch.setattr(bulk_walk.Slice, "claims", claims)
    run_once(root)
    assert numbers(root) == {"found": 5, "done": 3, "failed": 2, "passed_over": 2}
    failed = {Path(one["photo"]).name: one["why"] for one in report(root)["failed"]}
    assert set(failed) == {"gone.png", "no.png"}
    assert "No such file" in failed["gone.png"]
    assert len(published_results(root)) == 3


@pytest.mark.parametrize("where", ["missing", "station", "station/inbox", ".", "empty"])
def test_paths_that_cannot_be_restored_are_refused(root: Path, where: str) -> None:
    (root.parent / "empty").mkdir()
    path = root.parent / where
    command = ["--station", str(root), "submit", str(path), "--recipe", "denoise"]
    assert exit_code(command) == 64
    assert asked(find_station(root)) == []


def test_results_of_folders_watched_elsewhere_are_not_restored_again(
    root: Path, scans: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outbox = root.parent / "albums"
    put(outbox / "old/a.png")
    put(scans / "a.png")
    with (root / "restored.toml").open("a") as settings:
        settings.write(f'\n[[watch]]\npath = "{scans}"\nrecipe = "denoise"\noutbox = "{outbox}"\n')
    command = ["--station", str(root), "submit", str(outbox / "old"), "--recipe", "denoise"]
    assert exit_code(command) == 64
    assert f"{outbox}, where results go" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "code", "said"),
    [
        (["--recipe", "none"], 78, "none"),
        (["--recipe", "denoise", "--at", "25:00"], 64, "a time such as 22:00"),
        (["--recipe", "denoise", "--at", "2020-01-01T10:00"], 64, "this is past"),
        (["--recipe", "denoise", "--name", "a/b"], 64, "no /"),
        (["--recipe", "denoise", "--name", ".."], 64, "no . or - first"),
        (["--recipe", "denoise", "--name", "job"], 64, "is called so already"),
    ],
)
def test_wrong_submissions_say_what_is_wrong(
    root: Path,
    scans: Path,
    capsys: pytest.CaptureFixture[str],
    more: list[str],
    code: int,
    said: str,
) -> None:
    put(scans / "a.png")
    submit(root, scans)
    assert exit_code(["--station", str(root), "submit", str(scans), *more]) == code
    assert said in capsys.readouterr().err


def test_a_job_that_nobody_knows_is_named_with_those_there_are(
    root: Path, scans: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put(scans / "a.png")
    submit(root, scans)
    tell(root, "pause", "jbo", expect=64)
    assert "no bulk job is called 'jbo'; there are: job" in capsys.readouterr().err


def test_two_submissions_of_one_name_both_count(root: Path, scans: Path) -> None:
    put(scans / "a.png")
    for _ in range(2):
        ask(find_station(root), BulkRequest("submit", "same", "denoise", (scans,), 1.0))
    run_once(root)
    assert numbers(root, "same") == {"found": 1, "done": 1}
    assert numbers(root, "same-2") == {"found": 1, "skipped": 1}


def test_what_is_no_order_is_put_aside(root: Path) -> None:
    folder = find_station(root).state / "bulk"
    folder.mkdir()
    (folder / "1.json").write_text('["submit"]')
    assert run_once(root).done == 0
    assert [path.name for path in folder.iterdir()] == ["1.refused"]


def test_people_are_told_when_it_ends(
    root: Path, scans: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[tuple[str, str, str]] = []
    monkeypatch.setattr(Notifier, "tell", lambda self, *what: told.append(what))
    put(scans / "a.png")
    submit(root, scans)
    run_once(root)
    folder = root / "reports/job"
    assert told == [
        (
            "bulk-job-ended",
            "bulk job job ended",
            f"1 restored, 0 were there already, 0 failed, 0 taken off; report in {folder}",
        )
    ]


def test_a_report_that_cannot_be_written_ends_the_job_nonetheless(root: Path, scans: Path) -> None:
    put(scans / "a.png")
    (root / "reports/job/report.json").mkdir(parents=True)
    submit(root, scans)
    assert run_once(root).done == 1
    assert job(root)["state"] == "ended"
    assert job(root)["report"] is None


def test_without_its_recipe_it_waits_and_says_so(root: Path, scans: Path) -> None:
    put(scans / "a.png")
    ask(find_station(root), BulkRequest("submit", "job", "gone", (scans,), 1.0))
    tally = run_once(root)
    assert [notice.what for notice in tally.waiting] == [
        "bulk job job: there is no recipe gone any more; write it, or cancel"
    ]
    (root / "recipes").mkdir(exist_ok=True)
    (root / "recipes/gone.toml").write_text('[[steps]]\nkind = "denoise"\n')
    assert run_once(root).done == 1


def test_housekeeping_spares_what_a_report_will_tell_of(root: Path, scans: Path) -> None:
    put(scans / "a.png")
    submit(root, scans)
    run_once(root)
    station = find_station(root)
    ledger = Ledger(station.ledger)
    (bulk,) = bulk_rows.all_of(ledger)
    keeping = Housekeeping(station, ledger, Retention(ledger_days=1))
    later = time.time() + 10 * 86400
    bulk_rows.keep(ledger, replace(bulk, state="working", summary=None))
    for turn in range(5):
        keeping.turn(later + turn * 86400, at_once=True)
    assert bulk_rows.counts(ledger, bulk_rows.all_of(ledger)[0]).done == 1
    bulk_rows.keep(ledger, bulk)
    for turn in range(5, 10):
        keeping.turn(later + turn * 86400, at_once=True)
    assert ledger.select("SELECT * FROM job") == []
    assert bulk_rows.all_of(ledger) == []
    ledger.close()


def test_an_older_ledger_gets_what_it_lacks(root: Path, scans: Path) -> None:
    drop_photo(root, "denoise/a.png")
    run_once(root)
    ledger = Ledger(find_station(root).ledger)
    with ledger.transaction() as db:
        db.execute("DROP INDEX job_turn")
        db.execute("DROP INDEX job_bulk")
        db.execute("ALTER TABLE job DROP COLUMN bulk")
        db.execute("DROP TABLE bulk")
        db.execute("PRAGMA user_version = 0")
    ledger.close()
    assert read_bulk(find_station(root)) == []
    assert exit_code(["--station", str(root), "status"]) == 0
    put(scans / "a.png")
    submit(root, scans)
    assert run_once(root).done == 1
    assert numbers(root) == {"found": 1, "done": 1}


def test_a_disk_that_is_away_is_waited_for(
    root: Path, scans: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its mount point is empty meanwhile; what was in flight has neither failed nor is done."""
    monkeypatch.setattr(bulk_walk, "_FILES", 2)
    for number in range(5):
        put(scans / f"{number}.png", 8 + number)
    submit(root, scans)
    away, real, leased = scans.with_name("away"), Scheduler.tasks, 0

    def tasks(self: Scheduler, *given: Any) -> Any:  # noqa: ANN401
        nonlocal leased
        found = real(self, *given)
        leased += len(found)
        if found:
            scans.rename(away)
            scans.mkdir()
        return found

    with monkeypatch.context() as patch:
        patch.setattr(Scheduler, "tasks", tasks)
        patch.setattr(FakeExecutor, "answer", lambda self, order, name: _unreadable(order.fence))
        tally = run_once(root)
    assert (tally.done, tally.failed, leased) == (0, 0, 2)
    assert [notice.what for notice in tally.waiting] == [
        f"bulk job job: {scans}: it is empty or gone; is its disk mounted? It goes on when that is "
        "back, or cancel it"
    ]
    assert numbers(root) == {"found": 2, "queued": 2}
    assert (job(root)["standing"], job(root)["left_s"]) == ("waits for its disk", None)
    scans.rmdir()
    assert run_once(root).waiting[0].what.startswith(f"bulk job job: {scans}: it is empty or gone")
    away.rename(scans)
    assert run_once(root).done == 5
    assert numbers(root) == {"found": 5, "done": 5}


def _unreadable(fence: int) -> Failed:
    return Failed(fence, "No such file or directory")


def test_a_folder_that_vanishes_while_it_is_walked_does_not_count_as_looked_at(
    root: Path, scans: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a/a.png", "b/b.png"):
        put(scans / name)
    submit(root, scans)
    away, real = scans.with_name("away"), os.scandir

    def scandir(path: str) -> Any:  # noqa: ANN401
        if str(path).endswith("/b") and not away.exists():
            scans.rename(away)
        return real(path)

    monkeypatch.setattr("daemon.intake.scanner.os.scandir", scandir)
    assert run_once(root).done == 0
    assert job(root)["state"] == "looking"
    away.rename(scans)
    away.mkdir()
    assert run_once(root).done == 2
    assert numbers(root) == {"found": 2, "done": 2}


def test_of_single_files_only_their_folder_must_be_there(root: Path, scans: Path) -> None:
    for name in ("a.png", "b.png"):
        put(scans / name)
    submit(root, scans / "a.png", scans / "b.png")
    (scans / "a.png").unlink()
    assert run_once(root).done == 1
    assert report(root)["passed_over"] == [
        {"path": str(scans / "a.png"), "why": "No such file or folder"}
    ]


def test_a_disk_that_is_full_for_a_moment_costs_no_photograph(
    root: Path, scans: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk_walk, "_FILES", 2)
    for number in range(5):
        put(scans / f"{number}.png", 8 + number)
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
    assert numbers(root) == {"found": 5, "done": 5}


def test_a_job_that_cannot_go_on_holds_up_no_other(
    root: Path, scans: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(scans / "a.png")
    put(scans.with_name("barred") / "a.png")
    ask(find_station(root), BulkRequest("submit", "orphan", "gone", (scans,), 1.0))
    submit(root, scans.with_name("barred"), name="barred")
    submit(root, scans)
    real = bulk_walk.Slice.claims

    def claims(self: bulk_walk.Slice, *given: Any) -> Any:  # noqa: ANN401
        if self.path.name == "barred":
            raise PermissionError(errno.EACCES, "Permission denied", str(self.path))
        return real(self, *given)

    monkeypatch.setattr(bulk_walk.Slice, "claims", claims)
    drop_photo(root, "denoise/mine.png", size=40)
    tally = run_once(root)
    assert (tally.done, tally.failed) == (2, 0)
    assert [notice.what.partition(":")[0] for notice in tally.waiting] == [
        "bulk job orphan",
        "bulk job barred",
    ]
    assert "Permission denied" in tally.waiting[1].what
    assert job(root)["state"] == "ended"


def test_reports_that_cannot_be_written_hold_nothing_up(
    root: Path, scans: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    monkeypatch.setattr(Notifier, "tell", lambda self, kind, title, text: told.append(text))
    put(scans / "a.png")
    (root / "reports").write_text("no folder")
    submit(root, scans)
    drop_photo(root, "denoise/mine.png", size=40)
    assert run_once(root).done == 2
    assert (job(root)["state"], job(root)["report"]) == ("ended", None)
    assert told[0].endswith(f"no report, since {root / 'reports/job'} could not be written")


def test_files_passed_over_are_counted_once_whatever_restarts(root: Path, scans: Path) -> None:
    names = ("a.png", "b.txt", "c.png", "d.txt", "e.png", "f.txt")
    for name in names:
        put(scans / name)
    submit(root, scans)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bulk_walk, "_FILES", 1)
        _turns(root, 2)
        _turns(root, 1)
    assert job(root)["state"] == "looking"
    run_once(root)
    assert numbers(root) == {"found": 3, "done": 3, "passed_over": 3}


def test_after_a_restart_folders_that_were_looked_at_are_not_listed_again(
    root: Path, scans: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a/1.png", "a/x/1.png", "b/1.png", "b/2.png", "c/1.png"):
        put(scans / name)
    bulk = bulk_rows.BulkJob(
        "job", "1", "denoise", (scans,), 1.0, 0.0, looked_at='[0, ["b"], "1.png"]'
    )
    listed: list[str] = []
    real = os.scandir

    def scandir(path: str) -> Any:  # noqa: ANN401
        listed.append(Path(path).name)
        return real(path)

    recipe = recipe_named("denoise", known_recipes(find_station(root)))
    monkeypatch.setattr("daemon.intake.scanner.os.scandir", scandir)
    found = bulk_walk.slices(bulk, recipe, find_station(root), set())
    assert [(part.path.name, part.names) for part in found] == [
        ("b", ("2.png",)),
        ("c", ("1.png",)),
    ]
    assert listed == ["scans", "b", "c"]


def test_killed_between_two_transactions_halves_of_pairs_are_not_passed_over(
    root: Path, scans: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("p-a.png", "p-b.png"):
        put(scans / name)
    submit(root, scans, recipe="interpolate")
    with monkeypatch.context() as patch:
        patch.setattr(bulk_rows.BulkJob, "with_notes", lambda *_: (_ for _ in ()).throw(KeyError()))
        with pytest.raises(KeyError):
            run_once(root)
    run_once(root)
    assert numbers(root) == {"found": 1, "done": 1}


def test_many_small_folders_are_looked_at_together(
    root: Path, scans: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk_walk, "_LOOK_S", 60.0)
    for number in range(40):
        put(scans / f"{number}/a.png")
    submit(root, scans)
    with monkeypatch.context() as patch:
        patch.setattr(Scheduler, "tasks", lambda *_: [])
        _turns(root, 2)
    assert numbers(root) == {"found": 40, "queued": 40}


def test_jobs_are_looked_at_in_turn(
    root: Path, scans: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk_walk, "_FILES", 1)
    for number in range(9):
        put(scans / f"{number}.png", 8 + number)
    put(scans.with_name("few") / "a.png")
    submit(root, scans, name="many")
    submit(root, scans.with_name("few"), name="few")
    with monkeypatch.context() as patch:
        patch.setattr(Scheduler, "tasks", lambda *_: [])
        _turns(root, 4)
    assert numbers(root, "few") == {"found": 1, "queued": 1}
    assert job(root, "many")["state"] == "looking"


def test_a_changed_recipe_counts_for_what_was_not_yet_looked_at(
    root: Path, scans: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk_walk, "_FILES", 1)
    (root / "recipes").mkdir(exist_ok=True)
    mine = root / "recipes/mine.toml"
    mine.write_text('[[steps]]\nkind = "denoise"\n')
    for name in ("a.png", "b.png", "c.png"):
        put(scans / name)
    submit(root, scans, recipe="mine")
    with open_daemon(root) as daemon:
        for _ in range(2):
            daemon.turn(at_once=True)
        mine.write_text('[[steps]]\nkind = "denoise"\n[match]\nnames = ["b*"]\n')
        daemon.reload()
        for _ in range(5):
            daemon.turn(at_once=True)
    assert numbers(root) == {"found": 2, "done": 2, "passed_over": 1}


def test_a_job_cancelled_before_its_time_was_never_begun(root: Path, scans: Path) -> None:
    put(scans / "a.png")
    now = time.time()
    ask(find_station(root), BulkRequest("submit", "job", "denoise", (scans,), now, now + 3600))
    run_once(root)
    tell(root, "cancel")
    run_once(root)
    assert job(root)["standing"] == "cancelled"
    assert (report(root)["began"], report(root)["timings"]["took_s"]) == (None, 0.0)
    assert ", never begun, was cancelled " in (root / "reports/job/report.md").read_text()


def test_what_failed_is_tried_again_a_few_in_a_turn_and_each_once(
    root: Path, scans: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(manager, "_RETRIED", 2)
    for number in range(5):
        put(scans / f"broken-{number}.png", 8 + number)
    submit(root, scans)
    run_once(root)
    turns: list[int] = []
    real, turn = bulk_rows.try_again, manager.BulkManager.turn

    def one_turn(self: manager.BulkManager, *given: Any) -> bool:  # noqa: ANN401
        turns.append(0)
        return turn(self, *given)

    def try_again(ledger: Ledger, rows: list[int]) -> None:
        turns[-1] += len(rows)
        real(ledger, rows)

    monkeypatch.setattr(manager.BulkManager, "turn", one_turn)
    monkeypatch.setattr(bulk_rows, "try_again", try_again)
    tell(root, "retry")
    assert run_once(root).failed == 5
    assert [number for number in turns if number] == [2, 2, 1]
    assert numbers(root) == {"found": 5, "failed": 5}


def test_what_stands_already_is_told_in_few_transactions_and_without_a_rest(
    root: Path, scans: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("daemon.jobs.scheduler.IN_FLIGHT", 8)
    for number in range(24):
        put(scans / f"{number:02}.png", 8 + number)
    submit(root, scans)
    run_once(root)
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
    assert numbers(root, "again") == {"found": 24, "skipped": 24}
    assert groups == [8, 8, 8]
    assert wakes >= 3


def test_the_name_of_a_job_is_taken_while_a_photograph_of_it_is_known(
    root: Path, scans: Path
) -> None:
    put(scans / "broken.png")
    submit(root, scans)
    run_once(root)
    station = find_station(root)
    ledger = Ledger(station.ledger)
    keeping = Housekeeping(station, ledger, Retention(ledger_days=1))
    keeping.turn(time.time() + 10 * 86400, at_once=True)
    assert [known.name for known in bulk_rows.all_of(ledger)] == ["job"]
    ledger.close()


def test_of_large_photographs_little_is_kept_for_the_sheet(
    root: Path, scans: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[tuple[int, int]] = []
    real = contact_sheet.draw_sheet

    def draw_sheet(rows: Any) -> Any:  # noqa: ANN401
        sizes.extend(panel.size for row in rows for _, panel in row.panels)
        return real(rows)

    monkeypatch.setattr(bulk_report, "draw_sheet", draw_sheet)
    put(scans / "a.png", 2000)
    monkeypatch.setattr(FakeExecutor, "answer", lambda self, order, name: _same(order))
    submit(root, scans)
    run_once(root)
    assert sizes == [(1024, 1024), (1024, 1024)]


def test_a_report_reads_a_sample_of_what_is_done_and_all_that_failed(
    root: Path, scans: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk_report, "_TIMED", 3)
    for number in range(9):
        put(scans / f"{number}.png", 8 + number)
        put(scans / f"broken{number}.png")
    read: list[int] = []
    real = bulk_rows.ended_entries

    def ended_entries(view: LedgerReader, rows: list[int]) -> Any:  # noqa: ANN401
        read.append(len(rows))
        return real(view, rows)

    monkeypatch.setattr(bulk_rows, "ended_entries", ended_entries)
    submit(root, scans)
    run_once(root)
    assert sorted(read) == [3, 9]
    assert report(root)["timings"]["records_read"] == 3
    assert len(report(root)["failed"]) == 9


def _same(order: job_orders.RestoreTask) -> Restored:
    """The photograph itself as its result, which can be drawn."""
    given = restored(order)
    (file,) = given.files
    content = order.job.photos[0].path.read_bytes()
    file.path.write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    return replace(given, files=(replace(file, digest=digest),))


def test_queries_about_one_job_read_no_other(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_once(root)
    ledger = Ledger(find_station(root).ledger)
    bulk_job = bulk_rows.BulkJob("job", "1", "denoise", (root,), 1.0, 0.0)
    plans: list[str] = []
    real = LedgerReader.select

    def select(self: LedgerReader, query: str, *values: object) -> Any:  # noqa: ANN401
        plan = real(self, f"EXPLAIN QUERY PLAN {query}", *values)
        plans.extend(row["detail"] for row in plan if "job" in row["detail"])
        return real(self, query, *values)

    monkeypatch.setattr(LedgerReader, "select", select)
    bulk_rows.counts(ledger, bulk_job)
    bulk_rows.is_at_work(ledger, "job")
    bulk_rows.hold(ledger, "job", back=False)
    bulk_rows.done_since(ledger, "job", 0.0)
    bulk_rows.latest_places(ledger, "job", 9)
    bulk_rows.ended_rows(ledger, "job", "done")
    bulk_rows.failed_entries(ledger, "job", 1.0, 9)
    ledger.close()
    searches = [plan for plan in plans if "INTEGER PRIMARY KEY" not in plan]
    assert len(searches) == 7
    assert [plan for plan in searches if "job_bulk" not in plan] == []
