"""The lookout: what the daemon's work looks like from outside.

Comes in: what the loop has just done. Goes out: metrics and health over HTTP, and messages to
people. It never holds the loop up, and nothing but its own pages depends on it.
"""

import contextlib
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass

import structlog

from daemon.config.station import Station
from daemon.intake.arrivals import Arrival
from daemon.jobs.ledger.entries import Waiting
from daemon.jobs.ledger.reader import LedgerReader
from daemon.jobs.stages import JobEnded, StageDuration
from daemon.messages.reports import (
    BatchCounts,
    Heartbeat,
    ModelLoaded,
    Report,
    WorkerDied,
    WorkerReady,
)
from daemon.messages.tasks import RestoreTask, Task
from daemon.service.monitoring.alarms import Alarms
from daemon.service.monitoring.health import Health
from daemon.service.monitoring.http_server import HttpAnswer, MonitoringServer
from daemon.service.monitoring.metrics import CONTENT_TYPE, Metrics
from daemon.service.monitoring.notifier import Address, Notifier
from daemon.system.errors import ConfigError, LedgerError

_log = structlog.get_logger()

_FAREWELL_S = 5.0
"""For messages that are still to be sent when the daemon ends."""


@dataclass(frozen=True)
class MonitorSettings:
    """What of the work is shown, and to whom.

    Attributes:
        port: Of the pages; None for none, 0 for any.
        interface: The address they are served on.
        addresses: Where messages go.
        quiet_s: After a message, others of its kind are held back so long.
        failures_per_hour: More are worth a message.
    """

    port: int | None = None
    interface: str = "127.0.0.1"
    addresses: tuple[Address, ...] = ()
    quiet_s: float = 3600
    failures_per_hour: int = 10


class Monitor:
    """Owned and told by the loop; its pages are read by other threads."""

    def __init__(
        self,
        station: Station,
        health: Health,
        monitor_settings: MonitorSettings,
        full: Callable[[], bool],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Look at one daemon; nothing is served or sent yet.

        Args:
            station: Whose queue is counted when the metrics are asked for.
            vitals: The signs of life.
            outlook: What is shown to whom.
            full: Says whether the disk is, to any thread.
            clock: Monotonic seconds.
        """
        self._station = station
        self._health = health
        self._monitor_settings = monitor_settings
        self._full = full
        self._clock = clock
        self._metrics = Metrics(self, clock)
        self._notifier = Notifier(monitor_settings.addresses, monitor_settings.quiet_s, clock=clock)
        self._alarms = Alarms(self.tell, station.root.name, monitor_settings.failures_per_hour)

    @contextlib.contextmanager
    def serving(self) -> Iterator[None]:
        """Serve the pages meanwhile.

        Raises:
            ConfigError: The port or the address cannot be had.
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
        """Send what is still to be sent, as far as that goes quickly."""
        self._notifier.close(_FAREWELL_S)

    def tell(self, kind: str, title: str, text: str) -> None:
        """Tell people; see `Notifier.tell`. Any thread."""
        self._notifier.tell(kind, title, text)

    def know(self, recipes: Collection[str]) -> None:
        """These are the names of the recipes from now on."""
        self._metrics.know(recipes)

    def arrived(self, arrivals: Sequence[Arrival]) -> None:
        """Files have settled."""
        self._metrics.found(sum(arrival.missed for arrival in arrivals))

    def took(self, stages: Sequence[StageDuration]) -> None:
        """Photographs have passed through stages."""
        self._metrics.took(stages)

    def sent(self, tasks: Sequence[Task]) -> None:
        """Errands were handed to the worker."""
        orders = [task for task in tasks if isinstance(task, RestoreTask)]
        self.took(
            [StageDuration("queue", order.job.recipe.name, order.queued_s) for order in orders]
        )

    def delivered(self, ended: Sequence[JobEnded], took: Sequence[StageDuration]) -> None:
        """Jobs have come to their end."""
        self._metrics.ended(ended)
        self._metrics.took(took)
        failed = sum(job.how in ("rejected", "failed") for job in ended)
        self._alarms.failed(failed, self._clock())

    def heard(self, reports: Sequence[Report]) -> None:
        """The executor has reported; each report is passed on once."""
        for report in reports:
            match report:
                case WorkerReady():
                    self._metrics.worked(BatchCounts(), report.loaded_models)
                case Heartbeat():
                    self._metrics.worked(report.counts, report.loaded_models)
                case ModelLoaded():
                    self._metrics.loaded(report.reference)
                case WorkerDied():
                    self._metrics.died()
                    self._alarms.died(report.reason, self._clock())

    def stands(self, in_flight: int) -> None:
        """How many errands the worker holds now."""
        self._metrics.holds(in_flight)
        self._alarms.disk(full=self._full())

    def queue(self) -> Sequence[Waiting]:
        """What is queued, by recipe; read beside the loop, from any thread."""
        try:
            view = LedgerReader(self._station.ledger)
        except ConfigError:
            return ()
        try:
            return view.waiting(time.time())
        except LedgerError:
            return ()
        finally:
            view.close()

    def flags(self) -> dict[str, bool]:
        """What is so or not; any thread."""
        return {
            "worker_ready": self._health.loaded,
            "disk_full": self._full(),
            "paused": self._station.paused.exists(),
        }

    def _page(self) -> HttpAnswer:
        return HttpAnswer(200, self._metrics.page(), CONTENT_TYPE)

    def _livez(self) -> HttpAnswer:
        return _health(self._health.why_not_alive(self._clock()), "alive")

    def _readyz(self) -> HttpAnswer:
        return _health(self._health.why_not_ready(full=self._full()), "ready")


def _health(why_not: str, word: str) -> HttpAnswer:
    return HttpAnswer(503 if why_not else 200, f"{why_not or word}\n".encode())
