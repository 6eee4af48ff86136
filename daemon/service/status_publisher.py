"""The bulletin: what the daemon tells those who watch it, about once a second.

Comes in: how things stand. Goes out: notices for `status`, a line for the service manager, counts
for a terminal. Decides nothing.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

import structlog

from daemon.config.station import Notice, Station
from daemon.jobs.ledger.entries import QueueCount
from daemon.jobs.ledger.writer import Ledger
from daemon.messages.reports import ModelLoaded
from daemon.service.monitoring.systemd import SystemdNotifier
from daemon.system.clock import is_over
from daemon.system.files import write_whole

_log = structlog.get_logger()

EVERY_S = 1.0


@dataclass(frozen=True)
class DaemonState:
    """How things stand.

    Attributes:
        in_flight: Orders the executor holds.
        done: Jobs restored since the start.
        failed: Jobs that ended in failed/ since the start.
        full: The disk is full.
    """

    in_flight: int
    done: int
    failed: int
    full: bool


class StatusPublisher:
    """Tells; remembers what it told last, so that only news is written.

    Args:
        station: Whose.
        ledger: Where `status` finds the notices.
        supervision: The service manager.
        progress: Is told how many jobs are where, or None.
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
        self._told_at = 0.0
        self._told: list[tuple[object, str]] = []
        self._loaded: tuple[str, ...] = ()
        self._shown: tuple[str, ...] | None = None

    def loaded(self, model: ModelLoaded) -> None:
        """The worker has loaded a model; others may have gone for it."""
        _log.info("model_loaded", **asdict(model))
        staying = [other for other in self._loaded if other not in model.evicted]
        self._loaded = tuple(dict.fromkeys((*staying, model.reference)))

    def died(self) -> None:
        """The worker has ended, and with it what it had loaded."""
        self._loaded = ()

    def close(self) -> None:
        """The daemon ends: nothing is loaded any more."""
        self._station.loaded_models.unlink(missing_ok=True)

    def is_due(self, now: float) -> bool:
        """Whether it is time to tell again; `now` in UTC seconds since the epoch."""
        return is_over(self._told_at + EVERY_S, now, EVERY_S)

    def tell(self, waiting: Sequence[Notice], standing: DaemonState, now: float) -> None:
        """Tell how things stand.

        Args:
            waiting: What lies in the inboxes, and why.
            standing: The rest.
            now: UTC seconds since the epoch.
        """
        self._told_at = now
        paused = self._station.paused.exists()
        notices = list(waiting)
        if standing.full:
            notices.append(Notice(self._station.root, "the disk is full: intake waits", now))
        told: list[tuple[object, str]] = [(notice.path, notice.what) for notice in notices]
        if told != self._told:
            self._ledger.set_notices(notices)
            self._told = told
        if self._loaded != self._shown:
            _write_loaded_models(self._station, self._loaded)
            self._shown = self._loaded
        state = "paused: " if paused else "disk full: " if standing.full else ""
        self._systemd.status(
            f"{state}{standing.in_flight} in flight; since the start "
            f"{standing.done} restored, {standing.failed} failed"
        )
        if self._progress is not None:
            self._progress(self._ledger.counts())


def read_loaded_models(station: Station) -> tuple[str, ...]:
    """References of the models that a running daemon has loaded."""
    try:
        return tuple(json.loads(station.loaded_models.read_text("utf-8"))["models"])
    except (OSError, ValueError, KeyError):
        return ()


def _write_loaded_models(station: Station, models: Sequence[str]) -> None:
    write_whole(station.loaded_models, {"models": models})
