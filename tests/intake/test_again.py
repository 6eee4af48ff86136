"""One photograph is restored several times, and somebody chooses among the results."""

import json
from pathlib import Path
from typing import Any

import pytest

from daemon.config.station import Station
from daemon.intake.again import UNCHOSEN
from daemon.intake.requests import AgainRequest, ChooseRequest, Request, answer_to, leave
from daemon.jobs.ledger.listing import ended_jobs, jobs_of_photograph
from daemon.jobs.ledger.reader import LedgerReader
from daemon.messages.reports import Failed
from daemon.service.daemon import RunSummary
from tests.support.fakes import FakeExecutor, everything_below
from tests.support.station_runs import (
    assert_no_leftovers,
    drop_photo,
    published_results,
    run_once,
    write_settings,
)


def ask(station: Station, request: Request) -> str:
    """Leave a request, run, and return why it was refused or ""."""
    request_id = leave(station, request)
    run_once(station.root)
    answer = answer_to(station, request_id)
    assert answer is not None
    return answer.reason


def records(root: Path) -> dict[str, dict[str, Any]]:
    return {
        str(path.relative_to(root / "outbox")): json.loads(path.read_text())
        for path in (root / "outbox").rglob("*.json")
    }


def test_other_values_make_more_results_of_one_original_that_stays_in_the_archive(
    root: Path, station: Station
) -> None:
    photo = drop_photo(root, "denoise/album/a.png")
    run_once(root)
    for realism in (0.2, 0.9):
        leave(station, AgainRequest(row=1, changes=(f"denoise.realism={realism}",)))
    assert run_once(root) == RunSummary(done=2)
    found = records(root)
    assert len(found) == 3
    assert all(name.startswith("denoise/album/a") for name in found)
    values = [record["steps"][0].get("realism", 0.0) for record in found.values()]
    assert sorted(values) == [0.0, 0.2, 0.9]
    assert len({r["seed"] for r in found.values()}) == 3
    assert everything_below(root / "archive") == {"denoise/album/a.png": photo}
    assert_no_leftovers(root)


def test_another_recipe_puts_its_result_into_its_own_folder(root: Path, station: Station) -> None:
    drop_photo(root, "denoise/a.png")
    run_once(root)
    assert ask(station, AgainRequest(row=1, recipe="super-resolve")) == ""
    assert ask(station, AgainRequest(row=2, recipe="colorize")) == ""
    assert sorted(published_results(root)) == [
        "colorize/a.png",
        "denoise/a.png",
        "super-resolve/a.png",
    ]
    ledger = LedgerReader(station.ledger)
    (first, *_) = ended_jobs(ledger, "done", 9)
    digest = first.entry.claim.files[0].digest
    assert [job.entry.row for job in jobs_of_photograph(ledger, digest, 9)] == [3, 2, 1]
    ledger.close()


def test_an_original_that_was_left_in_its_inbox_is_taken_from_there(
    root: Path, station: Station
) -> None:
    write_settings(root, originals="leave")
    photo = drop_photo(root, "denoise/a.png")
    run_once(root)
    assert ask(station, AgainRequest(row=1, recipe="restore")) == ""
    assert sorted(published_results(root)) == ["denoise/a.png", "restore/a.png"]
    assert everything_below(root / "inbox") == {"denoise/a.png": photo}


@pytest.mark.parametrize(
    ("request_", "why"),
    [
        (AgainRequest(row=7), "no job with the number 7"),
        (AgainRequest(row=1, recipe="no-such"), "no recipe is named"),
        (AgainRequest(row=1, changes=("denoise.realism=7",)), "realism"),
        (AgainRequest(row=1, changes=("denoise.model=/etc",)), "model of a step"),
        (AgainRequest(row=1, changes=('0.model = "/etc"',)), "model of a step"),
        (AgainRequest(row=1, recipe="interpolate"), "takes 2 photographs"),
        (AgainRequest(row=1, recipe="inpaint"), "needs a mask"),
        (ChooseRequest(row=1, others=(9,)), "no job with the number 9"),
    ],
)
def test_what_cannot_be_done_is_refused_with_its_reason(
    root: Path, station: Station, request_: Request, why: str
) -> None:
    drop_photo(root, "denoise/a.png")
    run_once(root)
    assert why in ask(station, request_)
    assert list(published_results(root)) == ["denoise/a.png"]


def test_an_original_that_somebody_changed_is_not_restored_again(
    root: Path, station: Station
) -> None:
    drop_photo(root, "denoise/a.png")
    run_once(root)
    (root / "archive/denoise/a.png").write_bytes(b"another")
    assert "not in the archive any more" in ask(station, AgainRequest(row=1))


def test_a_trial_that_fails_leaves_original_and_result_where_they_are(
    root: Path, station: Station, monkeypatch: pytest.MonkeyPatch
) -> None:
    photo = drop_photo(root, "denoise/a.png")
    run_once(root)
    monkeypatch.setattr(FakeExecutor, "restore", lambda self, task, name: Failed(task.fence, "no"))
    assert ask(station, AgainRequest(row=1, recipe="super-resolve")) == ""
    assert everything_below(root / "archive") == {"denoise/a.png": photo}
    assert list(published_results(root)) == ["denoise/a.png"]
    assert list(everything_below(root / "failed")) == ["super-resolve/a.png.error.json"]


def test_the_choice_is_what_stands_in_the_outbox_and_can_be_taken_back(
    root: Path, station: Station
) -> None:
    drop_photo(root, "denoise/a.png")
    run_once(root)
    before = everything_below(root / "outbox")
    assert ask(station, AgainRequest(row=1, recipe="super-resolve")) == ""
    assert ask(station, ChooseRequest(row=2, others=(1,))) == ""
    assert sorted(everything_below(root / "outbox")) == [
        f"{UNCHOSEN}/1/denoise/a.png",
        f"{UNCHOSEN}/1/denoise/a.png.json",
        "super-resolve/a.png",
        "super-resolve/a.png.json",
    ]
    assert ask(station, ChooseRequest(row=1, others=(2,))) == ""
    after = everything_below(root / "outbox")
    assert {name: after[name] for name in before} == before
    # `super-resolve` has an outbox of its own, in which it is set aside.
    assert f"super-resolve/{UNCHOSEN}/2/a.png" in after


def test_results_of_different_photographs_are_no_choice(root: Path, station: Station) -> None:
    drop_photo(root, "denoise/a.png")
    drop_photo(root, "denoise/b.png", "blue")
    run_once(root)
    why = ask(station, ChooseRequest(row=1, others=(2,)))
    assert why == "these are not results of one photograph"
    assert sorted(published_results(root)) == ["denoise/a.png", "denoise/b.png"]
