"""The ledger's rows of bulk jobs."""

from pathlib import Path
from typing import Any

import pytest

from daemon.config.setup import find_station
from daemon.jobs.ledger import bulk as bulk_rows
from daemon.jobs.ledger.reader import LedgerReader
from daemon.jobs.ledger.writer import Ledger
from tests.support.station_runs import (
    run_once,
)


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
