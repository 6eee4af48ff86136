from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from daemon.jobs.ledger.writer import Ledger


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    ledger = Ledger(tmp_path / "ledger.sqlite3")
    yield ledger
    ledger.close()


@pytest.fixture
def log_as_before() -> Iterator[None]:
    """A command sends the log of this process to the stderr of its test."""
    before = structlog.get_config()
    yield
    structlog.configure(**before)
