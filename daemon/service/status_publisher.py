"""Publishes the daemon's state about once a second.

Notices and loaded models go to where `restored status` reads them, a line to the service manager,
counts to the terminal of whoever watches.
"""

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import structlog
from pydantic import BaseModel, Field

from daemon.config.station import Notice, Station
from daemon.jobs.ledger.entries import QueueCount
from daemon.jobs.ledger.writer import Ledger
from daemon.service.monitoring.systemd import SystemdNotifier
from daemon.service.workers import WorkerState
from daemon.system.clock import LATEST_S, is_over
from daemon.system.json_files import write_whole

_log = structlog.get_logger()

_INTERVAL_S = 1.0
"""Seconds between two publications."""

_FULL = "its disk is full; until it has room, nothing new is taken in"


class WorkersFile(BaseModel):
    """What `restored status` reads of the workers; that of an earlier daemon names no workers."""

    models: tuple[str, ...] = ()
    workers: tuple[WorkerState, ...] = ()


@dataclass(frozen=True)
class DaemonState:
    """The daemon's counts.

    Attributes:
        in_flight: Tasks the executor holds.
        done: Jobs restored since the start.
        failed: Jobs that ended in failed/ since the start.
        full: The disk is full.
        full_folder: A folder on that disk; None where that is not known.
        workers: The executor's workers.
    """

    in_flight: int
    done: int
    failed: int
    full: bool
    full_folder: Path | None = None
    workers: tuple[WorkerState, ...] = ()


class StatusPublisher:
    """Publishes; it remembers what it wrote last and writes only what has changed.

    Args:
        station: Its folders.
        ledger: Where `restored status` reads the notices.
        systemd: The service manager.
        progress: Called with how many jobs are in which state, or None.
    """

    def __init__(
        self,
        station: Station,
        ledger: Ledger,
        systemd: SystemdNotifier,
        progress: Callable[[tuple[QueueCount, ...]], None] | None,
    ) -> None:
        self._station = station
        self._ledger = ledger
        self._systemd = systemd
        self._progress = progress
        self._published_at = 0.0
        self._notices: list[tuple[object, str]] | None = None  # those of a former daemon
        self._written_workers: tuple[WorkerState, ...] | None = None
        self._refused = False
        self._trouble: str | None = None

    def close(self) -> None:
        """Remove what is only true while the daemon is at work."""
        for path in (self._station.loaded_models, self._station.trouble):
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)

    def turn_ended(self, why_failed: str, now: float) -> None:
        """Say in `status` why the loop does not get on, without the ledger, which may be why.

        Args:
            why_failed: Why the last turn failed, or "".
            now: UTC seconds since the epoch.
        """
        if why_failed == self._trouble:
            return
        # Where even this is refused, the log and the service manager still say it.
        with contextlib.suppress(OSError):
            if why_failed:
                write_whole(self._station.trouble, {"what": why_failed, "since": now})
                self._systemd.status(f"waits: {why_failed}")
            else:
                self._station.trouble.unlink(missing_ok=True)
            self._trouble = why_failed

    def _write_workers(self, workers: tuple[WorkerState, ...]) -> None:
        models = dict.fromkeys(model for worker in workers for model in worker.models)
        content = {"models": list(models), "workers": [asdict(worker) for worker in workers]}
        try:
            write_whole(self._station.loaded_models, content)
        except OSError as error:
            if not self._refused:
                _log.warning("status_not_written", why=str(error))
            self._refused = True
        else:
            self._refused = False
            self._written_workers = workers

    def is_due(self, now: float) -> bool:
        """Whether it is time to publish; `now` in UTC seconds since the epoch."""
        return is_over(self._published_at + _INTERVAL_S, now, _INTERVAL_S)

    def publish(self, waiting: Sequence[Notice], state: DaemonState, now: float) -> None:
        """Publish the state.

        Args:
            waiting: Files that wait, and why.
            state: The daemon's counts.
            now: UTC seconds since the epoch.
        """
        self._published_at = now
        paused = self._station.paused.exists()
        notices = list(waiting)
        if state.full:
            notices.append(Notice(state.full_folder or self._station.root, _FULL, now))
        written: list[tuple[object, str]] = [(notice.path, notice.what) for notice in notices]
        if written != self._notices:
            self._ledger.set_notices(notices)
            self._notices = written
        if state.workers != self._written_workers:
            self._write_workers(state.workers)
        prefix = "paused: " if paused else "disk full: " if state.full else ""
        self._systemd.status(
            f"{prefix}{state.in_flight} in flight; since the start "
            f"{state.done} restored, {state.failed} failed"
        )
        if self._progress is not None:
            counts = self._ledger.counts()
            try:
                self._progress(counts)
            except Exception as error:  # the terminal has gone: nobody watches any more
                self._progress = None
                _log.warning("progress_not_shown", why=str(error))


def read_workers(station: Station) -> WorkersFile:
    """The workers of a running daemon, and the models that they have loaded."""
    try:
        return WorkersFile.model_validate_json(station.loaded_models.read_bytes())
    except (OSError, ValueError):
        return WorkersFile()


def read_trouble(station: Station) -> Notice | None:
    """Why a running daemon does not get on, if it does not."""
    try:
        found = _Trouble.model_validate_json(station.trouble.read_bytes())
    except (OSError, ValueError):
        return None
    return Notice(station.root, found.what, found.since)


class _Trouble(BaseModel):
    what: str
    since: Annotated[float, Field(ge=0, le=LATEST_S)]
