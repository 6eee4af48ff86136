"""What a ledger does inside SQLite, counted."""

from collections.abc import Callable

from daemon.jobs.ledger.reader import LedgerReader


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
