"""Progress of the daemon for a person who watches a terminal.

Comes in: counts by recipe. Goes out: one moving line on stderr; nothing where nobody watches.
"""

import contextlib
from collections.abc import Callable, Iterator

from rich.console import Console

from daemon.jobs.ledger.entries import QueueCount
from daemon.system import logging as log

Tell = Callable[[tuple[QueueCount, ...]], None]


@contextlib.contextmanager
def watched() -> Iterator[Tell | None]:
    """Show a line while at work and send the log above it; JSON log lines where it is no terminal.

    Yields:
        What the service is to call with its counts, or None.
    """
    console = Console(stderr=True)
    if not console.is_terminal:
        log.configure()
        yield None
        return
    with console.status("starting") as line:
        log.configure()  # now, because stderr is what keeps the line below the log
        yield lambda counts: line.update(summary(counts))
    log.configure()


def summary(counts: tuple[QueueCount, ...]) -> str:
    """Such as "12 queued, 4 in flight, 80 done, 1 failed"."""
    names = ("queued", "in_flight", "done", "failed")
    sums = [(sum(getattr(count, name) for count in counts), name) for name in names]
    return ", ".join(f"{number} {name.replace('_', ' ')}" for number, name in sums)
