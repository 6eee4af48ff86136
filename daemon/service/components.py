"""The workshop: the parts of one daemon, made together and closed together.

Comes in: a station, its settings, and what the loop lends them. Goes out: the parts, and what they
do together in one turn of the loop. It has no turn of its own and keeps no count.
"""

import contextlib
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace

import structlog

from daemon.bulk.manager import BulkManager, Tell
from daemon.bulk.walk import is_away
from daemon.checkpoints.library import Library
from daemon.config.recipe import Recipe
from daemon.config.settings import Settings
from daemon.config.setup import known_recipes
from daemon.config.station import Notice, Station
from daemon.intake.arrivals import Arrival
from daemon.intake.claimer import Claimer
from daemon.intake.inbox import Inbox
from daemon.intake.redo import RedoRequests
from daemon.intake.retry import take_requests
from daemon.intake.sorter import Sorter
from daemon.jobs.ledger.entries import QueueCount
from daemon.jobs.ledger.writer import Ledger
from daemon.jobs.outcomes import OutcomeHandler, RetryPolicy
from daemon.jobs.publisher import Publisher
from daemon.jobs.recovery import CrashRecovery
from daemon.jobs.scheduler import Scheduler
from daemon.jobs.stages import Delivered, StageDuration
from daemon.jobs.staging import Staging
from daemon.messages.reports import (
    HandedBack,
    Heartbeat,
    ModelLoaded,
    Outcome,
    Report,
    WorkerDied,
    WorkerReady,
)
from daemon.messages.tasks import Task
from daemon.restorers.clip_check import check_clip
from daemon.restorers.registry import check_models
from daemon.service.dispatcher import Dispatcher
from daemon.service.housekeeping import Housekeeping, retention_of
from daemon.service.monitoring.systemd import SystemdNotifier
from daemon.service.runtime import inbox_folders, limits_of
from daemon.service.startup import only_daemon, open_ledger, prepare
from daemon.service.status_publisher import StatusPublisher

_log = structlog.get_logger()

_ADMIT = 1024
"""Arrivals taken in one turn, so that results are published while a large inbox is admitted."""


@dataclass(frozen=True)
class LoopHooks:
    """What the loop lends its parts.

    Attributes:
        library: The models of this machine.
        supervision: The service manager.
        wake: Ends the loop's sleep; any thread.
        advanced: Is told of each file that was hashed.
        tell: Tells people something.
        progress: Is told about once a second how many jobs are where, or None.
    """

    library: Library
    systemd: SystemdNotifier
    wake: Callable[[], None]
    advanced: Callable[[], None]
    tell: Tell
    progress: Callable[[tuple[QueueCount, ...]], None] | None = None


@dataclass(frozen=True)
class Components:
    """The parts of a daemon at work on one station; each is described where it is made."""

    station: Station
    ledger: Ledger
    inbox: Inbox
    intake: Sorter
    admission: Claimer
    outcomes: OutcomeHandler
    publisher: Publisher
    recovery: CrashRecovery
    scheduler: Scheduler
    redo: RedoRequests
    bulk_manager: BulkManager
    housekeeping: Housekeeping
    status_publisher: StatusPublisher

    def recover(self, now: float) -> Delivered:
        """Finish or take back whatever a crash interrupted; `now` in UTC seconds.

        Raises:
            PassingError: The disk is too full for that.
        """
        return self.recovery.run(self.admission.resume, now)

    def hear(self, reports: Sequence[Report], dispatcher: Dispatcher, now: float) -> Delivered:
        """Act on what the executor reports.

        Args:
            reports: In their order.
            dispatcher: Holds the errands they are about.
            now: UTC seconds since the epoch.
        """
        outcomes: list[tuple[Task, Outcome]] = []
        for report in reports:
            match report:
                case WorkerReady():
                    dispatcher.heard(report)
                case ModelLoaded():
                    self.status_publisher.loaded(report)
                case Heartbeat():
                    pass
                case WorkerDied():
                    self.status_publisher.died()
                    self.outcomes.died(report.fences, report.reason)
                    dispatcher.heard(report)
                case HandedBack():
                    self.hand_back(report.fences, dispatcher)
                case _ if task := dispatcher.task(report.fence):
                    outcomes.append((task, report))
        decided = self.outcomes.decide(outcomes, now)
        delivered = self.publisher.finish(now, decided.at_fault)
        dispatcher.forget([outcome.fence for _, outcome in outcomes])
        for entry in decided.changed:
            if is_away(entry.claim.folder):
                continue  # it is queued, and waits until its disk is back
            _log.info("changed_while_processed", job=entry.row)
            self.admission.look_again(entry, now)
        return replace(
            delivered,
            took=(*decided.took, *delivered.took),
            no_space=decided.no_space or delivered.no_space,
        )

    def hand_back(self, fences: Collection[int], dispatcher: Dispatcher) -> None:
        """These were not finished, and nobody is at fault: they are queued again."""
        self.outcomes.hand_back(fences)
        dispatcher.forget(fences)

    def arrivals(self, recipes: Sequence[Recipe], now: float, *, at_once: bool) -> list[Arrival]:
        """Take what people ask for, and what has settled in the inboxes, a turn's worth of each."""
        for path in take_requests(self.station):
            self.ledger.unsee([path])
            self.inbox.hint(path)
        self.admission.look_at_refused(now)
        self.redo.take(recipes, now)
        return self.inbox.settled(time.monotonic(), _ADMIT, at_once=at_once)

    def admit(self, arrivals: Sequence[Arrival], now: float) -> list[StageDuration]:
        """Queue what can be restored of what has settled; says how long that took."""
        unseen = self.admission.unseen(arrivals)
        decision = self.intake.consider(unseen, time.monotonic())
        for path in decision.again:
            self.inbox.hint(path)
        return self.admission.admit(decision.claims, now)

    def give_back_strays(self, dispatcher: Dispatcher) -> None:
        """Nothing may be leased that no executor holds."""
        leased = {entry.fence for entry in self.ledger.in_state("leased")}
        self.hand_back(leased.difference(dispatcher.fences), dispatcher)

    def waiting(self, *, at_once: bool) -> tuple[Notice, ...]:
        """What does not get on by itself, and why; `at_once` has no patience with it."""
        now = time.monotonic()
        return (
            *self.inbox.notices(now, at_once=at_once),
            *self.intake.waiting(now, at_once=at_once),
            *self.admission.notices(),
            *self.publisher.notices(),
        )


@contextlib.contextmanager
def open_components(
    station: Station, settings: Settings, recipes: Sequence[Recipe], tools: LoopHooks
) -> Iterator[Components]:
    """The parts while this daemon, and no other, works on the station.

    Args:
        station: Its folders.
        settings: Its settings.
        recipes: The recipes as they are now.
        tools: What the loop lends.

    Raises:
        BusyError: Another daemon works there.
        ConfigError, AccessError: Something of the settings cannot be had.
    """
    access = prepare(station, settings)
    limits = limits_of(settings)
    with only_daemon(station):
        ledger = open_ledger(station, access)
        inbox = Inbox(
            inbox_folders(station, settings),
            settle_s=settings.settle_s,
            settle_polled_s=settings.settle_polled_s,
            rescan_s=settings.rescan_s,
            arriving_s=settings.arriving_s,
            wake=tools.wake,
        )
        admission = Claimer(station, ledger, limits, inbox.hint, tools.advanced)
        retries = RetryPolicy(
            settings.attempts, retry_s=settings.retry_s, arriving_s=settings.arriving_s
        )
        staging = Staging(station.staged, ledger)
        publisher = Publisher(
            station, ledger, access, attempts=settings.attempts, retry_s=settings.retry_s
        )
        components = Components(
            station=station,
            ledger=ledger,
            inbox=inbox,
            intake=Sorter(recipes, limits=limits, pair_wait_s=settings.pair_wait_s),
            admission=admission,
            outcomes=OutcomeHandler(ledger, staging, retries),
            publisher=publisher,
            recovery=CrashRecovery(station, ledger, staging, publisher, access, retries.crashes),
            scheduler=Scheduler(ledger, staging, tools.library, tools.wake, settings.clip_model),
            redo=RedoRequests(station, ledger, admission, tools.library),
            bulk_manager=BulkManager(station, ledger, admission, access, tools.tell),
            housekeeping=Housekeeping(station, ledger, retention_of(settings)),
            status_publisher=StatusPublisher(station, ledger, tools.systemd, tools.progress),
        )
        try:
            yield components
        finally:
            inbox.stop()
            components.bulk_manager.close()
            components.status_publisher.close()
            ledger.close()


def usable_recipes(station: Station, settings: Settings, library: Library) -> tuple[Recipe, ...]:
    """The station's recipes, each with a model that can do what it asks.

    Raises:
        ConfigError: A recipe is wrong.
    """
    recipes = known_recipes(station)
    check_models(recipes, library)
    check_clip(recipes, settings.clip_model, library)
    return recipes
