"""Fixtures of the tests of bulk jobs."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


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
    """Write reports in this process."""
    monkeypatch.setattr("multiprocessing.get_context", lambda kind: InlineContext)


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    """A folder outside the station, to be submitted; made by the first photograph in it."""
    return tmp_path / "scans"
