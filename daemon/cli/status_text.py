"""The state of a station and of its bulk jobs as text for people."""

from rich.console import Console
from rich.table import Table

from daemon.bulk.status import BulkStatus
from daemon.cli.context import say
from daemon.service.status import StationStatus
from daemon.system.text import printable


def print_status(status: StationStatus, to: Console) -> None:
    """Print the state of a station: a table of recipes, then a line for each matter."""
    table = Table("recipe", "queued", "in flight", "done", "failed")
    for row in status.recipes:
        unnamed = "(being inspected)" if row.queued + row.in_flight else "(none matches)"
        counts = (row.queued, row.in_flight, row.done, row.failed)
        table.add_row(printable(row.recipe) or unnamed, *map(str, counts))
    to.print(table)
    paused = ", paused" if status.paused else ""
    say(f"{status.rate_per_h:.0f} an hour{_time_left(status)}{paused}", to)
    lines = [
        *([status.problem] if status.problem else []),
        *(f"bulk job {bulk_line(bulk)}" for bulk in status.bulk if bulk.state != "ended"),
        *(held.told for held in status.held_back),
        *([f"loaded: {', '.join(status.models)}"] if status.models else []),
        *([f"{status.notes.told}; each record has its own"] if status.notes.told else []),
        *(f"failed: {printable(failure.path)}: {failure.reason}" for failure in status.failures),
        *(f"waits: {printable(notice.path)}: {notice.what}" for notice in status.notices),
    ]
    for line in lines:
        say(line, to)


def _time_left(status: StationStatus) -> str:
    """The time left for what may start now, such as ", 5 min left"; "" where that is nothing."""
    if not status.left_s or status.paused:
        return ""
    time_left = f"{status.left_s / 60:.0f} min" if status.left_s >= 60 else "less than a minute"
    later = sum(held.jobs for held in status.held_back)
    return f", {time_left} left" + (f" without the {later} that wait for their hours" * bool(later))


def bulk_line(bulk: BulkStatus) -> str:
    """A line such as "scans (denoise): working, 120 of 400 done, 3 failed"."""
    parts = [f"{bulk.name} ({bulk.recipe}): {bulk.standing}"]
    if bulk.found:
        parts.append(f"{bulk.done + bulk.skipped} of {bulk.found} done")
    counts = (
        (bulk.skipped, "there already"),
        (bulk.failed, "failed"),
        (bulk.taken_off, "taken off"),
    )
    parts += [f"{number} {word}" for number, word in counts if number]
    if bulk.left_s is not None:
        parts.append(f"{bulk.rate_per_h:.0f} an hour, ready about {bulk.ready_at}")
    return ", ".join(parts)


def bulk_details(bulk: BulkStatus) -> list[str]:
    """Lines of `bulk show` below the first: paths, files passed over, notes, the report."""
    lines = [f"  {printable(path)}" for path in bulk.paths]
    if bulk.passed_over:
        lines.append(f"  {bulk.passed_over} files passed over, named in the report")
    if bulk.notes:
        lines.append(f"  {bulk.notes}; the report and the records name them")
    if bulk.report:
        lines.append(f"  report: {printable(bulk.report)}")
    return lines
