"""The ledger's rows of bulk jobs."""

from pathlib import Path
from typing import Any

import pytest

from daemon.jobs.ledger import bulk as bulk_rows
from daemon.jobs.ledger.database import Database
from daemon.jobs.ledger.writer import Ledger


def test_queries_about_one_job_read_no_other(
    ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bulk_job = bulk_rows.BulkJob("job", "1", "denoise", (tmp_path,), 1.0, 0.0)
    plans: list[str] = []
    real = Database.select

    def select(self: Database, query: str, *values: object) -> Any:  # noqa: ANN401
        plan = real(self, f"EXPLAIN QUERY PLAN {query}", *values)
        plans.extend(row["detail"] for row in plan if "job" in row["detail"])
        return real(self, query, *values)

    monkeypatch.setattr(Database, "select", select)
    bulk_rows.counts(ledger, bulk_job)
    bulk_rows.has_open_jobs(ledger, "job")
    bulk_rows.set_held(ledger, "job", held=True)
    bulk_rows.done_since(ledger, "job", 0.0)
    bulk_rows.latest_paths(ledger, "job", 9)
    bulk_rows.ended_rows(ledger, "job", "done")
    bulk_rows.failed_entries(ledger, "job", 1.0, 9)
    searches = [plan for plan in plans if "INTEGER PRIMARY KEY" not in plan]
    assert len(searches) == 7
    assert [plan for plan in searches if "job_bulk" not in plan] == []
