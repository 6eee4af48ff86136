"""How bulk jobs stand, read from the ledger without disturbing the daemon.

Comes in: a station. Goes out: plain values for `--json`, and a line for people. Never writes.
"""

import time
from dataclasses import asdict
from typing import Any

from daemon.bulk import requests as bulk_requests
from daemon.config.station import Station
from daemon.jobs.ledger import bulk as bulk_rows
from daemon.jobs.ledger.bulk import BulkJob
from daemon.jobs.ledger.reader import LedgerReader
from daemon.jobs.pace import RATE_WINDOW_S, rate_per_s
from daemon.system.clock import iso, local_zone, spoken
from daemon.system.files import fit_name, shown

_WORDS = (("skipped", "there already"), ("failed", "failed"), ("taken_off", "taken off"))


def read_bulk(station: Station, view: LedgerReader | None = None) -> list[dict[str, Any]]:
    """Every bulk job that a daemon has taken, the oldest first.

    Args:
        station: Where.
        view: Its ledger, if that is open already.
    """
    now = time.time()
    found: list[dict[str, Any]] = []
    if view is not None:
        found = [_standing(station, view, bulk, now) for bulk in bulk_rows.all_of(view)]
    elif station.ledger.exists():
        view = LedgerReader(station.ledger)
        try:
            found = read_bulk(station, view)
        finally:
            view.close()
    return found


def pending(station: Station) -> list[str]:
    """Names of the bulk jobs that were submitted and that no daemon has taken yet."""
    orders = (order for _, order in bulk_requests.asked(station) if order is not None)
    return [order.name for order in orders if order.what == "submit"]


def told(one: dict[str, Any]) -> str:
    """A line for people, such as "scans (denoise): working, 120 of 400 done, 3 failed"."""
    parts = [f"{one['name']} ({one['recipe']}): {one['standing']}"]
    if one["found"]:
        parts.append(f"{one['done'] + one['skipped']} of {one['found']} done")
    parts += [f"{one[key]} {word}" for key, word in _WORDS if one[key]]
    if one["left_s"] is not None:
        parts.append(f"{one['rate_per_h']:.0f} an hour, ready about {one['ready_at']}")
    return ", ".join(parts)


def _standing(station: Station, view: LedgerReader, bulk: BulkJob, now: float) -> dict[str, Any]:
    numbers = bulk_rows.counts(view, bulk)
    rate = 0.0
    if numbers.open:
        done, first = bulk_rows.done_since(view, bulk.name, now - RATE_WINDOW_S)
        rate = rate_per_s(done, first, now)
    held = bulk_rows.is_held(view, bulk.name)
    known = rate > 0 and bulk.state == "working" and not (bulk.paused or held)
    left_s = numbers.open / rate if known else None
    return {
        "name": bulk.name,
        "recipe": bulk.recipe,
        "paths": [shown(root) for root in bulk.roots],
        "state": bulk.state,
        "paused": bulk.paused,
        "cancelled": bulk.cancelled,
        "standing": _said(bulk, now, held=held),
        "found": numbers.found,
        **asdict(numbers),
        "passed_over": bulk.passed_over,
        "rate_per_h": round(rate * 3600, 1),
        "left_s": None if left_s is None else round(left_s),
        "ready_at": None if left_s is None else iso(now + left_s, local_zone()),
        "report": _report(station, bulk),
    }


def _report(station: Station, bulk: BulkJob) -> str | None:
    path = station.reports / fit_name(bulk.name) / "report.md"
    return shown(path) if bulk.state == "ended" and path.exists() else None


def _said(bulk: BulkJob, now: float, *, held: bool) -> str:
    if bulk.state == "ended":
        return "cancelled" if bulk.cancelled else "ended"
    if bulk.paused:
        return "paused"
    if held:
        return "waits for its disk"
    if bulk.state == "waiting" and bulk.starts_at > now:
        return f"waits until {spoken(bulk.starts_at, now, local_zone())}"
    return {"looking": "working, still looking", "reporting": "writing its report"}.get(
        bulk.state, bulk.state
    )
