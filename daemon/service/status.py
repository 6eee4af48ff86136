"""What a station is doing, read from its ledger without disturbing the daemon.

Comes in: a station. Goes out: plain values for `--json`, or a table. Never writes.
"""

import contextlib
import json
import math
import time
from collections import Counter
from typing import Any

from rich.console import Console
from rich.table import Table

from daemon.bulk.status import read_bulk, told
from daemon.config.setup import known_recipes
from daemon.config.station import Station
from daemon.jobs.ledger.reader import LedgerReader
from daemon.jobs.pace import RATE_WINDOW_S, rate_per_s
from daemon.jobs.reasons import has_reason
from daemon.jobs.timetable import HeldBack, held_back
from daemon.system.clock import iso
from daemon.system.errors import ConfigError
from daemon.system.files import shown

_FAILURES_SHOWN = 10


def read_status(station: Station) -> dict[str, Any]:
    """Counts by recipe, failures, notices, rate (jobs an hour) and time left (s, or None).

    Time left is that of the jobs that no schedule, pause or absent disk holds back.
    """
    found: dict[str, Any] = {
        "station": shown(station.root),
        "paused": station.paused.exists(),
        "recipes": [],
        "held_back": [],
        "problem": None,
        "failures": [],
        "notices": [],
        "bulk": [],
        "models": [],
        "rate_per_h": 0.0,
        "left_s": None,
    }
    with contextlib.suppress(OSError, ValueError, KeyError):
        found["models"] = json.loads(station.loaded_models.read_text("utf-8"))["models"]
    if not station.ledger.exists():
        return found
    ledger = LedgerReader(station.ledger)
    try:
        counts = ledger.counts()
        # The row of what was retried since stays; its photograph has left failed/ with its reason.
        standing = {f.path: f for f in reversed(ledger.failures(-1)) if has_reason(f.path)}
        failed = Counter(failure.recipe for failure in standing.values())
        now = time.time()
        found["bulk"] = read_bulk(station, ledger)
        done, first = ledger.finished_since(now - RATE_WINDOW_S)
        try:
            held = held_back(ledger, known_recipes(station), now)
        except ConfigError as error:  # the daemon goes on with the recipes that it read before
            held = ()
            found["problem"] = f"{error}: so nothing can be said of schedules"
        found["held_back"] = [_row(line, now) for line in held]
        waiting = sum(count.queued + count.in_flight for count in counts)
        waiting -= sum(line.jobs for line in held)
        waiting -= ledger.held_jobs()
        rate = rate_per_s(done, first, now)
        found["rate_per_h"] = round(rate * 3600, 1)
        found["left_s"] = round(waiting / rate) if rate else None
        found["recipes"] = [
            {
                "recipe": count.recipe,
                "queued": count.queued,
                "in_flight": count.in_flight,
                "done": count.done,
                "failed": failed[count.recipe],
            }
            for count in counts
        ]
        found["failures"] = [
            {"path": shown(f.path), "recipe": f.recipe, "reason": f.reason, "at": f.at}
            for f in sorted(standing.values(), key=lambda f: -f.at)[:_FAILURES_SHOWN]
        ]
        found["notices"] = [
            {"path": shown(n.path), "what": n.what, "since": n.since} for n in ledger.notices()
        ]
    finally:
        ledger.close()
    return found


def show(found: dict[str, Any], out: Console) -> None:
    """Print a status for people."""
    table = Table("recipe", "queued", "in flight", "done", "failed")
    for row in found["recipes"]:
        numbers = (str(row[key]) for key in ("queued", "in_flight", "done", "failed"))
        looked_at = "(being looked at)" if row["queued"] + row["in_flight"] else "(none matches)"
        table.add_row(row["recipe"] or looked_at, *numbers)
    out.print(table)
    left = "" if found["left_s"] is None else f", {found['left_s'] / 60:.0f} min left"
    out.print(f"{found['rate_per_h']:.0f} an hour{left}{', paused' if found['paused'] else ''}")
    if found["problem"]:
        out.print(found["problem"], markup=False)
    for bulk in found["bulk"]:
        if bulk["state"] != "ended":
            out.print(f"bulk job {told(bulk)}", markup=False)
    for held in found["held_back"]:
        out.print(held["told"], markup=False)
    if found["models"]:
        out.print(f"loaded: {', '.join(found['models'])}", markup=False)
    for failure in found["failures"]:
        out.print(f"failed: {failure['path']}: {failure['reason']}", markup=False)
    for notice in found["notices"]:
        out.print(f"waits: {notice['path']}: {notice['what']}", markup=False)


def _row(held: HeldBack, now: float) -> dict[str, Any]:
    until = None if math.isinf(held.until) else iso(held.until, held.zone)
    return {"recipe": held.recipe, "jobs": held.jobs, "until": until, "told": held.told(now)}
