"""Monitoring of one daemon: metrics and health over HTTP, messages to people.

The loop records here what it has done. That never blocks the loop and never changes what it does.
"""

import contextlib
import functools
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import ParamSpec

import structlog

from daemon.config.station import Station
from daemon.intake.arrivals import Arrival
from daemon.jobs.accounting import JobEnded, StageDuration
from daemon.jobs.ledger.entries import Waiting
from daemon.jobs.ledger.reader import LedgerReader
from daemon.messages.reports import (
    BatchCounts,
    Heartbeat,
    ModelLoaded,
    Report,
    WorkerDied,
    WorkerLost,
    WorkerReady,
)
from daemon.messages.tasks import RestoreTask, Task
from daemon.service.monitoring.alarms import Alarms
from daemon.service.monitoring.health import Health
from daemon.service.monitoring.http_server import HttpAnswer, MonitoringServer
from daemon.service.monitoring.metrics import CONTENT_TYPE, Metrics
from daemon.service.monitoring.notifier import Address, Notifier
from daemon.service.monitoring.station_sizes import StationSizes
from daemon.system.errors import ConfigError, LedgerError
from daemon.system.text import printable

_log = structlog.get_logger()

_CLOSE_S = 5.0
"""Seconds for messages that are still to be sent when the daemon ends."""


P = ParamSpec("P")


def _never_raises(record: Callable[P, None]) -> Callable[P, None]:
    """Have a bug in monitoring logged, once for each kind; the daemon's work goes on."""
    said: set[str] = set()

    @functools.wraps(record)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            record(*args, **kwargs)
        except Exception as error:
            if type(error).__name__ not in said:
                said.add(type(error).__name__)
                _log.exception("monitoring_failed", what=record.__name__)

    return guarded


@dataclass(frozen=True)
class MonitorSettings:
    """Settings of monitoring: what is served, and who gets messages.

    Attributes:
        port: TCP port of the pages; None serves none, 0 takes a free port.
        interface: Address they are served on.
        addresses: Where messages go.
        quiet_s: Seconds after a message in which others of its kind are held back.
        failures_per_hour: Failed jobs in an hour; one more is worth a message.
    """

    port: int | None = None
    interface: str = "127.0.0.1"
    addresses: tuple[Address, ...] = ()
    quiet_s: float = 3600
    failures_per_hour: int = 10


class Monitor:
    """Owned by the loop; its pages are read by other threads."""

    def __init__(
        self,
        station: Station,
        health: Health,
        monitor_settings: MonitorSettings,
        full: Callable[[], bool],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Monitor one daemon; nothing is served or sent yet.

        Args:
            station: Its queue is counted when the metrics are asked for.
            health: Its health.
            monitor_settings: What is served, and who gets messages.
            full: Whether the disk is full; called from any thread.
            clock: Monotonic seconds.
        """
        self._station = station
        self._health = health
        self._monitor_settings = monitor_settings
        self._full = full
        self._clock = clock
        self._sizes = StationSizes(station)
        self._metrics = Metrics(self, clock)
        self._notifier = Notifier(monitor_settings.addresses, monitor_settings.quiet_s, clock=clock)
        self._alarms = Alarms(self.notify, station.root.name, monitor_settings.failures_per_hour)

    @contextlib.contextmanager
    def serving(self) -> Iterator[None]:
        """Serve the pages until the block ends.

        Raises:
            ConfigError: The port or the address cannot be listened on.
        """
        port, interface = self._monitor_settings.port, self._monitor_settings.interface
        if port is None:
            yield
            return
        pages = {"/metrics": self._page, "/livez": self._livez, "/readyz": self._readyz}
        server = MonitoringServer(interface, port, pages)
        try:
            server.start()
            _log.info("metrics_served", address=interface, port=server.port)
            yield
        finally:
            server.stop()

    def close(self) -> None:
        """Send what is still to be sent, for a few seconds at most."""
        self._notifier.close(_CLOSE_S)

    @_never_raises
    def notify(self, kind: str, title: str, text: str) -> None:
        """Send a message to people; see `Notifier.notify`. Any thread may call it."""
        self._notifier.notify(kind, title, text)

    @_never_raises
    def set_recipes(self, recipes: Collection[str]) -> None:
        """Set the names of the recipes."""
        self._metrics.set_recipes(recipes)

    @_never_raises
    def record_arrivals(self, arrivals: Sequence[Arrival]) -> None:
        """Record files that have settled."""
        self._metrics.count_rescan_finds(sum(arrival.missed for arrival in arrivals))

    @_never_raises
    def record_durations(self, stages: Sequence[StageDuration]) -> None:
        """Record how long photographs spent in stages."""
        self._metrics.observe_durations(stages)

    @_never_raises
    def record_leases(self, tasks: Sequence[Task]) -> None:
        """Record tasks that were handed to the worker, and how long they were queued."""
        restoring = [task for task in tasks if isinstance(task, RestoreTask)]
        self.record_durations(
            [StageDuration("queue", task.job.recipe.name, task.queued_s) for task in restoring]
        )

    @_never_raises
    def record_ended(self, ended: Sequence[JobEnded], took: Sequence[StageDuration]) -> None:
        """Record jobs that ended."""
        self._metrics.count_ended(ended)
        self._metrics.observe_durations(took)
        failed = sum(job.how in ("rejected", "failed") for job in ended)
        self._alarms.jobs_failed(failed, self._clock())

    @_never_raises
    def record_reports(self, reports: Sequence[Report]) -> None:
        """Record reports of the executor; each must be passed once."""
        for report in reports:
            match report:
                case WorkerReady():
                    counts, models = BatchCounts(), report.loaded_models
                    self._metrics.record_batches(counts, models, report.worker)
                case Heartbeat():
                    counts, models = report.counts, report.loaded_models
                    self._metrics.record_batches(counts, models, report.worker)
                case ModelLoaded():
                    self._metrics.count_model_load(report.reference, report.worker)
                case WorkerLost():
                    self._metrics.count_worker_loss(report.worker)
                case WorkerDied():
                    self._metrics.count_worker_death(report.worker)
                    self._alarms.worker_died(report.reason, self._clock())

    @_never_raises
    def record_in_flight(self, in_flight: int) -> None:
        """Record how many tasks the worker holds, and whether the disk is full."""
        self._metrics.set_in_flight(in_flight)
        self._alarms.disk_checked(full=self._full())

    def queue(self) -> Sequence[Waiting]:
        """Queued jobs by recipe; read from the ledger by any thread."""
        try:
            view = LedgerReader(self._station.ledger)
        except (ConfigError, LedgerError):
            return ()
        try:
            return view.waiting(time.time())
        except LedgerError:
            return ()
        finally:
            view.close()

    def flags(self) -> dict[str, bool]:
        """Gauges that are 0 or 1, by name; any thread may call it."""
        return {
            "disk_full": self._full(),
            "paused": self._station.paused.exists(),
        }

    def sizes(self) -> dict[str, float]:
        """Sizes of the station; any thread may call it."""
        return self._sizes.read()

    def workers_ready(self) -> dict[str, bool]:
        """Whether each worker accepts tasks, by name; any thread may call it."""
        return self._health.worker_loaded()

    def _page(self) -> HttpAnswer:
        return HttpAnswer(200, self._metrics.page(), CONTENT_TYPE)

    def _livez(self) -> HttpAnswer:
        return _health_answer(self._health.why_not_alive(self._clock()), "alive")

    def _readyz(self) -> HttpAnswer:
        why_not = self._health.why_not_ready(full=self._full(), now=self._clock())
        held = self._health.held_recipes.items()
        lines = ["ready", *(f"{name or 'by content'} is held back: {why}" for name, why in held)]
        return _health_answer(why_not, "\n".join(lines))

    def held_recipes(self) -> Collection[str]:
        """Recipes that are held back; any thread may call it."""
        return self._health.held_recipes.keys()


def _health_answer(why_not: str, word: str) -> HttpAnswer:
    return HttpAnswer(503 if why_not else 200, f"{printable(why_not) or word}\n".encode())
