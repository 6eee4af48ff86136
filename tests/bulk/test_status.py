"""How bulk jobs stand before, while and after they are at work."""

import time
from dataclasses import replace
from pathlib import Path

from daemon.bulk.status import read_bulk
from daemon.cli.main import exit_code
from daemon.config.station_setup import find_station
from daemon.jobs.ledger import bulk as bulk_rows
from daemon.jobs.ledger.writer import Ledger
from daemon.service.housekeeping import Housekeeping, Retention
from tests.support.bulk_runs import (
    ask_to_submit,
    bulk_counts,
    bulk_status,
    save_photo,
    submit_and_run,
)
from tests.support.station_runs import (
    drop_photo,
    run_once,
)


def test_nothing_is_read_before_its_time(root: Path, scans: Path) -> None:
    save_photo(scans / "a.png")
    station = find_station(root)
    now = time.time()
    ask_to_submit(station, "later", "denoise", scans, at=now, starts_at=now + 3600)
    summary = run_once(root)
    assert (summary.done, summary.waiting) == (0, ())
    assert bulk_status(root, "later").standing.startswith("waits until ")
    assert bulk_counts(root, "later") == {}
    ledger = Ledger(station.ledger)
    (bulk,) = bulk_rows.all_jobs(ledger)
    bulk_rows.save(ledger, replace(bulk, starts_at=now - 1))
    ledger.close()
    assert run_once(root).done == 1


def test_without_its_recipe_it_waits_and_says_so(root: Path, scans: Path) -> None:
    save_photo(scans / "a.png")
    ask_to_submit(find_station(root), "job", "gone", scans, at=1.0)
    summary = run_once(root)
    assert [notice.what for notice in summary.waiting] == [
        "bulk job job: there is no recipe gone any more; write it, or cancel"
    ]
    (root / "recipes").mkdir(exist_ok=True)
    (root / "recipes/gone.toml").write_text('[[steps]]\nkind = "denoise"\n')
    assert run_once(root).done == 1


def test_an_older_ledger_is_brought_up_to_date(root: Path, scans: Path) -> None:
    drop_photo(root, "denoise/a.png")
    run_once(root)
    ledger = Ledger(find_station(root).ledger)
    with ledger.transaction() as db:
        db.execute("DROP INDEX job_turn")
        db.execute("DROP INDEX job_bulk")
        db.execute("ALTER TABLE job DROP COLUMN bulk")
        db.execute("ALTER TABLE job DROP COLUMN remedy")
        db.execute("DROP TABLE bulk")
        db.execute("PRAGMA user_version = 0")
    ledger.close()
    assert read_bulk(find_station(root)) == ()
    assert exit_code(["--station", str(root), "status"]) == 0
    save_photo(scans / "a.png")
    assert submit_and_run(root, scans).done == 1
    assert bulk_counts(root) == {"found": 1, "done": 1}


def test_the_name_of_a_job_is_taken_while_a_photograph_of_it_is_known(
    root: Path, scans: Path
) -> None:
    save_photo(scans / "broken.png")
    submit_and_run(root, scans)
    station = find_station(root)
    ledger = Ledger(station.ledger)
    keeping = Housekeeping(station, ledger, Retention(ledger_days=1))
    keeping.turn(time.time() + 10 * 86400, at_once=True)
    assert [known.name for known in bulk_rows.all_jobs(ledger)] == ["job"]
    ledger.close()
