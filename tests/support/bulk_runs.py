"""Bulk jobs of a station in this process: save photographs, submit, run, read status and report."""

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from daemon.bulk.status import BulkStatus, read_bulk
from daemon.cli.main import exit_code
from daemon.config.station import Station
from daemon.config.station_setup import find_station
from daemon.intake.requests import BulkSubmitRequest, leave
from daemon.jobs.scheduler import Scheduler
from daemon.service.daemon import RunSummary
from tests.support.station_runs import open_daemon, run_once


def save_photo(path: Path, size: int = 8) -> bytes:
    """Save a plain PNG, whatever its suffix says; returns its bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (size, size), "blue").save(path, format="PNG")
    return path.read_bytes()


def save_photos(folder: Path, number: int) -> None:
    """Save 0.png, 1.png, ..., each of another size."""
    for index in range(number):
        save_photo(folder / f"{index}.png", 8 + index)


def submit(root: Path, *paths: Path, name: str = "job", recipe: str = "denoise") -> None:
    """Submit files and folders by the command."""
    command = ["--station", str(root), "submit", *map(str, paths), "--recipe", recipe]
    assert exit_code([*command, "--name", name]) == 0


def submit_and_run(
    root: Path, *paths: Path, name: str = "job", recipe: str = "denoise"
) -> RunSummary:
    """Submit files and folders, and restore what can be restored."""
    submit(root, *paths, name=name, recipe=recipe)
    return run_once(root)


def bulk_command(root: Path, command: str, name: str = "job", *, expect: int = 0) -> None:
    """Run `restored bulk COMMAND NAME`, which must end with the exit code `expect`."""
    assert exit_code(["--station", str(root), "bulk", command, name]) == expect


def bulk_status(root: Path, name: str = "job") -> BulkStatus:
    """How a bulk job stands."""
    return next(one for one in read_bulk(find_station(root)) if one.name == name)


def bulk_counts(root: Path, name: str = "job") -> dict[str, int]:
    """How many photographs of a bulk job are where, without those that are none."""
    status = bulk_status(root, name)
    keys = ("found", "done", "skipped", "failed", "taken_off", "passed_over", "queued")
    return {key: number for key in keys if (number := getattr(status, key))}


def read_report(root: Path, name: str = "job") -> dict[str, Any]:
    """The report of a bulk job that has ended."""
    found: dict[str, Any] = json.loads((root / "reports" / name / "report.json").read_text())
    return found


def take_turns(root: Path, number: int) -> None:
    """Run a daemon that is stopped after a few turns."""
    with open_daemon(root) as daemon:
        for _ in range(number):
            daemon.turn(at_once=True)


def take_turns_without_leasing(root: Path, number: int) -> None:
    """Run a daemon that queues what it finds and starts none of it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Scheduler, "tasks", lambda *_, **__: [])
        take_turns(root, number)


def ask_to_submit(
    station: Station, name: str, recipe: str, scans: Path, at: float, starts_at: float = 0.0
) -> None:
    """Ask as the command does, without what it checks."""
    request = BulkSubmitRequest(
        name=name, recipe=recipe, roots=(scans,), at=at, starts_at=starts_at
    )
    leave(station, request)
