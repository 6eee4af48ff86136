"""The report of a bulk job, and what people are told when it ends."""

import hashlib
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from daemon.bulk import report as bulk_report
from daemon.config.station_setup import find_station
from daemon.jobs.ledger import bulk as bulk_rows
from daemon.jobs.ledger.reader import LedgerReader
from daemon.jobs.ledger.writer import Ledger
from daemon.messages.reports import Restored
from daemon.messages.tasks import RestoreTask
from daemon.photo import Limits, contact_sheet
from daemon.service.housekeeping import Housekeeping, Retention
from daemon.service.monitoring.notifier import Notifier
from tests.support.bulk_runs import (
    ask_to_submit,
    bulk_command,
    bulk_status,
    read_report,
    save_photo,
    save_photos,
    submit,
    submit_and_run,
)
from tests.support.fakes import FakeExecutor, restored
from tests.support.station_runs import (
    drop_photo,
    run_once,
)


def test_people_get_a_message_when_it_ends(
    root: Path, scans: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[tuple[str, str, str]] = []
    monkeypatch.setattr(Notifier, "notify", lambda self, *what: told.append(what))
    save_photo(scans / "a.png")
    submit_and_run(root, scans)
    folder = root / "reports/job"
    assert told == [
        (
            "bulk-job-ended",
            "bulk job job ended",
            f"1 restored, 0 were there already, 0 failed, 0 taken off; report in {folder}",
        )
    ]


@pytest.mark.parametrize("name", ["report.json", "report.md", "contact-sheet.jpg"])
@pytest.mark.parametrize("content", ['{"name": "other"}', "mine", ""])
def test_a_report_is_never_written_over_a_file_that_is_not_its_own(
    root: Path, scans: Path, name: str, content: str
) -> None:
    save_photo(scans / "a.png")
    theirs = root / "reports/job" / name
    theirs.parent.mkdir(parents=True)
    theirs.write_text(content)
    assert submit_and_run(root, scans).done == 1
    assert bulk_status(root).state == "ended"
    assert {path.name: path.read_text() for path in theirs.parent.iterdir()} == {name: content}


def test_a_report_counts_the_notes_of_results_and_names_them(
    root: Path, scans: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a-noted.png", "b.png", "c-noted.png"):
        save_photo(scans / name)
    submit_and_run(root, scans)
    notes = read_report(root)["notes"]
    told = "2 results have notes: guessed colours (2)"
    assert (notes["results"], notes["kinds"], notes["told"]) == (2, {"guess": 2}, told)
    said = [{"kind": "guess", "note": "the colours are a guess"}]
    named = [str(scans / name) for name in ("a-noted.png", "c-noted.png")]
    assert notes["photos"] == [{"photo": name, "notes": said} for name in named]
    text = (root / "reports/job/report.md").read_text()
    assert f"\n{told}.\n" in text
    assert f"## Notes\n\n- `{named[0]}`: `the colours are a guess`\n" in text
    assert bulk_status(root).notes == told


def test_a_report_is_not_written_through_a_link(root: Path, scans: Path, tmp_path: Path) -> None:
    save_photo(scans / "a.png")
    outside = tmp_path / "outside"
    outside.mkdir()
    (root / "reports").mkdir(exist_ok=True)
    (root / "reports/job").symlink_to(outside)
    assert submit_and_run(root, scans).done == 1
    assert list(outside.iterdir()) == []


def test_a_report_that_cannot_be_written_ends_the_job_nonetheless(root: Path, scans: Path) -> None:
    save_photo(scans / "a.png")
    (root / "reports/job/report.json").mkdir(parents=True)
    assert submit_and_run(root, scans).done == 1
    assert bulk_status(root).state == "ended"
    assert bulk_status(root).report is None


def test_a_report_of_somebody_else_is_not_the_job_s_and_comes_once_that_is_away(
    root: Path, scans: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_photo(scans / "a.png")
    mine = root / "reports/job/report.md"
    mine.parent.mkdir(parents=True)
    mine.write_text("my own report\n")
    submit_and_run(root, scans)
    told = capsys.readouterr()
    assert "Traceback" not in told.out + told.err
    assert "it is no report of this bulk job" in told.out + told.err
    assert (bulk_status(root).state, bulk_status(root).report) == ("ended", None)
    bulk_command(root, "show")
    shown = capsys.readouterr().out
    assert str(mine) not in shown
    assert "`restored bulk retry job` has it written" in shown
    assert mine.read_text() == "my own report\n"
    mine.unlink()
    bulk_command(root, "retry")
    run_once(root)
    assert bulk_status(root).report == str(mine)
    bulk_command(root, "retry", expect=64)


def test_a_report_behind_a_link_is_not_the_job_s(root: Path, scans: Path) -> None:
    save_photo(scans / "a.png")
    submit_and_run(root, scans)
    folder = root / "reports/job"
    folder.rename(root / "elsewhere")
    folder.symlink_to(root / "elsewhere")
    assert bulk_status(root).report is None


def test_a_contact_sheet_that_cannot_be_drawn_leaves_the_report(
    root: Path, scans: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise ValueError("no font")

    monkeypatch.setattr(bulk_report, "_row", lambda *_: contact_sheet.Row("a", ()))
    monkeypatch.setattr(bulk_report, "draw_sheet", fail)
    save_photo(scans / "a.png")
    assert submit_and_run(root, scans).done == 1
    assert "contact-sheet.jpg" not in Path(bulk_status(root).report or "").read_text()


def test_housekeeping_keeps_rows_that_a_report_needs(root: Path, scans: Path) -> None:
    save_photo(scans / "a.png")
    submit_and_run(root, scans)
    station = find_station(root)
    ledger = Ledger(station.ledger)
    (bulk,) = bulk_rows.all_jobs(ledger)
    keeping = Housekeeping(station, ledger, Retention(ledger_days=1))
    later = time.time() + 10 * 86400
    bulk_rows.save(ledger, replace(bulk, state="working", summary=None))
    for turn in range(5):
        keeping.turn(later + turn * 86400, at_once=True)
    assert bulk_rows.counts(ledger, bulk_rows.all_jobs(ledger)[0]).done == 1
    bulk_rows.save(ledger, bulk)
    for turn in range(5, 10):
        keeping.turn(later + turn * 86400, at_once=True)
    assert ledger.select("SELECT * FROM job") == []
    assert bulk_rows.all_jobs(ledger) == []
    ledger.close()


def test_reports_that_cannot_be_written_hold_nothing_up(
    root: Path, scans: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    monkeypatch.setattr(Notifier, "notify", lambda self, kind, title, text: told.append(text))
    save_photo(scans / "a.png")
    (root / "reports").write_text("no folder")
    submit(root, scans)
    drop_photo(root, "denoise/mine.png", size=40)
    assert run_once(root).done == 2
    assert (bulk_status(root).state, bulk_status(root).report) == ("ended", None)
    assert told[0].endswith(f"no report: {root / 'reports/job'}: a file is where a folder must be")


def test_a_job_cancelled_before_its_time_was_never_begun(root: Path, scans: Path) -> None:
    save_photo(scans / "a.png")
    now = time.time()
    ask_to_submit(find_station(root), "job", "denoise", scans, at=now, starts_at=now + 3600)
    run_once(root)
    bulk_command(root, "cancel")
    run_once(root)
    assert bulk_status(root).standing == "cancelled"
    assert (read_report(root)["began"], read_report(root)["timings"]["took_s"]) == (None, 0.0)
    assert ", never begun, was cancelled " in (root / "reports/job/report.md").read_text()


def test_large_photographs_are_reduced_for_the_sheet(
    root: Path, scans: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[tuple[int, int]] = []
    real = contact_sheet.draw_sheet

    def draw_sheet(rows: Any) -> Any:  # noqa: ANN401
        sizes.extend(panel.size for row in rows for _, panel in row.panels)
        return real(rows)

    monkeypatch.setattr(bulk_report, "draw_sheet", draw_sheet)
    save_photo(scans / "a.png", 2000)
    monkeypatch.setattr(FakeExecutor, "restore", lambda self, task, name: _same(task))
    submit_and_run(root, scans)
    assert sizes == [(1024, 1024), (1024, 1024)]


def test_a_report_reads_a_sample_of_what_is_done_and_all_that_failed(
    root: Path, scans: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk_report, "_MAX_RECORDS", 3)
    save_photos(scans, 9)
    for number in range(9):
        save_photo(scans / f"broken{number}.png")
    read: list[int] = []
    real = bulk_rows.ended_entries

    def ended_entries(view: LedgerReader, rows: list[int]) -> Any:  # noqa: ANN401
        read.append(len(rows))
        return real(view, rows)

    monkeypatch.setattr(bulk_rows, "ended_entries", ended_entries)
    submit_and_run(root, scans)
    assert sorted(read) == [3, 9]
    assert read_report(root)["timings"]["records_read"] == 3
    assert len(read_report(root)["failed"]) == 9


def _same(task: RestoreTask) -> Restored:
    """The photograph itself as its result, which can be drawn."""
    given = restored(task)
    (file,) = given.files
    content = task.job.photos[0].path.read_bytes()
    file.path.write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    return replace(given, files=(replace(file, digest=digest),))


def test_a_fifo_in_the_place_of_an_original_does_not_hold_the_report_up(
    root: Path, scans: Path, tmp_path: Path
) -> None:
    save_photo(scans / "a.png")
    submit_and_run(root, scans)
    (scans / "a.png").unlink()
    os.mkfifo(scans / "a.png")
    station = find_station(root)
    bulk_report.write_report(station.ledger, "job", tmp_path / "report", Limits(), None)
    assert (tmp_path / "report/report.json").exists()
