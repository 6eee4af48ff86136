from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon.jobs.ledger.writer import Ledger


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    ledger = Ledger(tmp_path / "ledger.sqlite3")
    yield ledger
    ledger.close()
