"""What a ledger does inside SQLite, counted."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from daemon.jobs.ledger.database import Database
from daemon.jobs.ledger.reader import LedgerReader
from daemon.service.events import EventQueue, LoopEvents


def vm_steps(ledger: LedgerReader, ask: Callable[[], None]) -> int:
    """How many instructions SQLite carries out while something is asked."""
    counted = 0

    def count() -> None:
        nonlocal counted
        counted += 1

    connection = ledger._db._connection
    connection.set_progress_handler(count, 1)
    try:
        ask()
    finally:
        connection.set_progress_handler(None, 1)
    return counted


@dataclass
class TracedTurns:
    """What SQLite was asked on the daemon's connection, by turn of the loop.

    Attributes:
        turns: The statements of each turn; the last may not have ended.
    """

    turns: list[list[str]] = field(default_factory=lambda: [[]])

    def of_last(self, number: int) -> list[str]:
        """The statements of the last turns that have ended."""
        return [statement for turn in self.turns[-number - 1 : -1] for statement in turn]


def trace_turns(monkeypatch: pytest.MonkeyPatch) -> TracedTurns:
    """Have the statements of every daemon's turns traced, and its loop not sleep for long."""
    traced = TracedTurns()
    open_to_write, take = Database.to_write, EventQueue.take

    def traced_open(path: Path) -> Database:
        database = open_to_write(path)
        database._connection.set_trace_callback(lambda text: traced.turns[-1].append(text))
        return database

    def take_soon(events: EventQueue, wait_s: float) -> LoopEvents:
        traced.turns.append([])
        return take(events, min(wait_s, 0.05))

    monkeypatch.setattr(Database, "to_write", traced_open)
    monkeypatch.setattr(EventQueue, "take", take_soon)
    return traced
