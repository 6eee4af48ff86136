"""The state of a station and of its bulk jobs as text for people."""

import shlex
import time

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

from daemon.bulk.status import BulkStatus
from daemon.cli.context import say
from daemon.cli.text_layout import FileMatter, matter_lines, say_wrapped
from daemon.service.status import RecipeStatus, StationStatus
from daemon.system.clock import instant_in_words, local_zone
from daemon.system.text import printable

NO_DAEMON = "no daemon runs on this station now; `restored run` or `once` will take it up"

_COUNTED = ("in inbox", "queued", "in flight", "done", "failed")
"""What the numbers of a recipe count."""

_ANY_WIDTH = 10_000
"""Cells of a line that nothing is too wide for."""


def print_status(status: StationStatus, to: Console) -> None:
    """Print the state of a station: a table of recipes, then a few lines for each matter."""
    if not status.running:
        say_wrapped(NO_DAEMON, to)
    if status.recipes:
        _print_counts(status, to)
    if not status.inbox_counted:
        say_wrapped("more lies in the inboxes than could be counted at once", to)
    known = status.running and status.rate_per_h
    pace = (
        f"{status.rate_per_h:.0f} an hour{_time_left(status)}" if known else "",
        "paused" if status.paused else "",
        f"nothing may start before {status.opens}" if status.opens else "",
    )
    if told := ", ".join(filter(None, pace)):
        say_wrapped(told, to)
    lines = [
        *([status.problem] if status.problem else []),
        *(f"bulk job {bulk_line(bulk)}" for bulk in status.bulk if bulk.state != "ended"),
        *(held.told for held in status.held_back),
        *_worker_lines(status),
        *([f"{status.notes.told}; each record has its own"] if status.notes.told else []),
    ]
    for line in lines:
        say_wrapped(line, to)
    failed = (FileMatter(f.path, f.reason.removeprefix(f"{f.label}: ")) for f in status.failures)
    waiting = (FileMatter(notice.path, notice.what) for notice in status.notices)
    for line in matter_lines("failed", failed, to.width):
        say(line, to)
    if unnamed := sum(row.failed for row in status.recipes) - len(status.failures):
        say_wrapped(f"failed: {unnamed} more, older", to)
    for line in matter_lines("waits", waiting, to.width):
        say(line, to)


def _worker_lines(status: StationStatus) -> list[str]:
    """What the workers do: a line for each of several, else what the only one has loaded."""
    if len(status.workers) < 2:
        return [f"loaded: {', '.join(status.models)}"] if status.models else []
    lines = []
    for worker in status.workers:
        missing = "missing" if worker.hopeless else "starting"
        parts = [f"{worker.in_flight} in flight" if worker.ready else missing]
        parts += [f"loaded: {', '.join(worker.models)}"] if worker.models else []
        lines.append(f"worker {worker.name} ({worker.device}): {'; '.join(parts)}")
    return lines


def _print_counts(status: StationStatus, to: Console) -> None:
    """Print the counts as a table, or as lines where a table would cut names and numbers."""
    wide = to.options.update(width=_ANY_WIDTH)
    if Measurement.get(to, wide, _table(status)).maximum <= to.width:
        to.print(_table(status))
        return
    for row in status.recipes:
        counts = zip(_counts(row), _COUNTED, strict=True)
        told = ", ".join(f"{count} {what}" for count, what in counts if count)
        say_wrapped(f"{printable(row.recipe) or _unnamed(row)}: {told or 'nothing'}", to)


def _table(status: StationStatus) -> Table:
    table = Table("recipe", *_COUNTED)
    for row in status.recipes:
        table.add_row(printable(row.recipe) or _unnamed(row), *map(str, _counts(row)))
    return table


def _counts(row: RecipeStatus) -> tuple[int, ...]:
    """The numbers of a row, in the order of `_COUNTED`."""
    return row.in_inbox, row.queued, row.in_flight, row.done, row.failed


def _unnamed(row: RecipeStatus) -> str:
    """Name of a row while no recipe is chosen."""
    if row.queued + row.in_flight:
        return "(being inspected)"
    if not row.in_inbox:
        return "(none matches)"
    return "(no recipe)" if row.done + row.failed else "(not sorted yet)"


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
        parts.append(f"{bulk.rate_per_h:.0f} an hour, ready about {_ready(bulk)}")
    return ", ".join(parts)


def _ready(bulk: BulkStatus) -> str:
    """When a bulk job may be ready: "22:00 CET"."""
    now = time.time()
    return instant_in_words(now + (bulk.left_s or 0), now, local_zone())


def bulk_details(bulk: BulkStatus) -> list[str]:
    """Lines of `bulk show` below the first: paths, files passed over, notes, the report."""
    lines = [f"  {printable(path)}" for path in bulk.paths]
    if bulk.passed_over:
        lines.append(f"  {bulk.passed_over} files passed over, named in the report")
    if bulk.notes:
        lines.append(f"  {bulk.notes}; the report and the records name them")
    if bulk.report:
        lines.append(f"  report: {printable(bulk.report)}")
    elif bulk.state == "ended":
        lines.append("  no report could be written, the log says why (bulk_report_failed);")
        lines.append(f"  then `restored bulk retry {shlex.quote(bulk.name)}` has it written")
    return lines
