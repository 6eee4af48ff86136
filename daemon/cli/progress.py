"""Progress of the daemon as one line on a terminal; nothing where stderr is no terminal."""

import contextlib
from collections.abc import Iterator

from rich.console import Console

from daemon.jobs.ledger.entries import QueueCount
from daemon.service.components import Progress
from daemon.system import logging as log


@contextlib.contextmanager
def show_progress() -> Iterator[Progress | None]:
    """Show a line until the block ends, with the log above it; without a terminal, only the log.

    Yields:
        What the daemon calls with its counts, or None.
    """
    console = Console(stderr=True)
    if not console.is_terminal:
        log.configure()
        yield None
        return
    with console.status("starting") as line:
        log.configure()  # now, since rich has replaced stderr to keep the line below the log
        yield lambda counts: line.update(summary(counts))
    log.configure()


def summary(counts: tuple[QueueCount, ...]) -> str:
    """Counts in words, such as "12 queued, 4 in flight, 80 done, 1 failed"."""
    names = ("queued", "in_flight", "done", "failed")
    sums = [(sum(getattr(count, name) for count in counts), name) for name in names]
    return ", ".join(f"{number} {name.replace('_', ' ')}" for number, name in sums)
