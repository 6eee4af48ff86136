"""The workshop: the parts of one daemon, made together and closed together.

Comes in: a station, its settings, and what the loop lends them. Goes out: the parts, and what they
do together in one turn of the loop. It has no turn of its own and keeps no count.
"""

import contextlib
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass

import structlog

from daemon.bulk.manager import Bulks, Tell
from daemon.bulk.walk import is_away
from daemon.checkpoints.library import Library
from daemon.config.recipe import Recipe
from daemon.config.settings import Settings
from daemon.config.setup import known_recipes
from daemon.config.station import Notice, Station
from daemon.intake.arrivals import Arrival
from daemon.intake.claimer import Admission
from daemon.intake.inbox import Inbox
from daemon.intake.redo import Redoing
from daemon.intake.retry import take_requests
from daemon.intake.sorter import Intake
from daemon.jobs.ledger.entries import QueueCount
from daemon.jobs.ledger.reader import LedgerError
from daemon.jobs.ledger.writer import Ledger
from daemon.jobs.outcomes import Delivered, Delivery, Patience
from daemon.jobs.scheduler import Leasing
from daemon.jobs.stages import Took
from daemon.messages.reports import (
    Advanced,
    HandedBack,
    ModelLoaded,
    Outcome,
    Report,
    WorkerDied,
    WorkerReady,
)
from daemon.messages.tasks import Errand
from daemon.restorers.clip_check import check_clip
from daemon.restorers.registry import check_models
from daemon.service.dispatcher import Workforce
from daemon.service.housekeeping import Housekeeping, keep_of
from daemon.service.monitoring.systemd import Supervision
from daemon.service.runtime import inbox_folders, limits_of
from daemon.service.startup import only_daemon, open_ledger, prepare
from daemon.service.status_publisher import Bulletin
from daemon.system.disk_space import is_no_space
from daemon.system.errors import PassingError
from daemon.system.files import shown

_log = structlog.get_logger()

_ADMIT = 1024
"""Arrivals taken in one turn, so that results are published while a large inbox is admitted."""


@dataclass(frozen=True)
class Tools:
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
    supervision: Supervision
    wake: Callable[[], None]
    advanced: Callable[[], None]
    tell: Tell
    progress: Callable[[tuple[QueueCount, ...]], None] | None = None


@dataclass(frozen=True)
class Workshop:
    """The parts of a daemon at work on one station; each is described where it is made."""

    station: Station
    ledger: Ledger
    inbox: Inbox
    intake: Intake
    admission: Admission
    delivery: Delivery
    leasing: Leasing
    redoing: Redoing
    bulks: Bulks
    housekeeping: Housekeeping
    bulletin: Bulletin

    def recover(self, now: float) -> Delivered:
        """Finish or take back whatever a crash interrupted; `now` in UTC seconds.

        Raises:
            PassingError: The disk is too full for that.
        """
        try:
            self.delivery.crashed()
            self.admission.resume(now)
            finished = self.delivery.finish(now)
            self.delivery.discard_stale()
        except (LedgerError, OSError) as error:
            if is_no_space(error):
                root = shown(self.station.root)
                raise PassingError(f"{root}: {error}; free some space, then start again") from error
            raise
        return finished

    def hear(self, reports: Sequence[Report], workforce: Workforce, now: float) -> Delivered:
        """Act on what the executor reports.

        Args:
            reports: In their order.
            workforce: Holds the errands they are about.
            now: UTC seconds since the epoch.
        """
        outcomes: list[tuple[Errand, Outcome]] = []
        for report in reports:
            match report:
                case WorkerReady():
                    workforce.heard(report)
                case ModelLoaded():
                    self.bulletin.loaded(report)
                case Advanced():
                    pass
                case WorkerDied():
                    self.bulletin.died()
                    self.delivery.died(report.fences, report.reason)
                    workforce.heard(report)
                case HandedBack():
                    self.hand_back(report.fences, workforce)
                case _ if errand := workforce.errand(report.fence):
                    outcomes.append((errand, report))
        delivered = self.delivery.deliver(outcomes, now)
        workforce.forget([outcome.fence for _, outcome in outcomes])
        for entry in delivered.changed:
            if is_away(entry.claim.folder):
                continue  # it is queued, and waits until its disk is back
            _log.info("changed_while_processed", job=entry.row)
            self.admission.look_again(entry, now)
        return delivered

    def hand_back(self, fences: Collection[int], workforce: Workforce) -> None:
        """These were not finished, and nobody is at fault: they are queued again."""
        self.delivery.hand_back(fences)
        workforce.forget(fences)

    def arrivals(self, recipes: Sequence[Recipe], now: float, *, at_once: bool) -> list[Arrival]:
        """Take what people ask for, and what has settled in the inboxes, a turn's worth of each."""
        for path in take_requests(self.station):
            self.ledger.unsee([path])
            self.inbox.hint(path)
        self.admission.look_at_refused(now)
        self.redoing.take(recipes, now)
        return self.inbox.settled(time.monotonic(), _ADMIT, at_once=at_once)

    def admit(self, arrivals: Sequence[Arrival], now: float) -> list[Took]:
        """Queue what can be restored of what has settled; says how long that took."""
        unseen = self.admission.unseen(arrivals)
        decision = self.intake.consider(unseen, time.monotonic())
        for path in decision.again:
            self.inbox.hint(path)
        return self.admission.admit(decision.claims, now)

    def give_back_strays(self, workforce: Workforce) -> None:
        """Nothing may be leased that no executor holds."""
        leased = {entry.fence for entry in self.ledger.in_state("leased")}
        self.hand_back(leased.difference(workforce.fences), workforce)

    def waiting(self, *, at_once: bool) -> tuple[Notice, ...]:
        """What does not get on by itself, and why; `at_once` has no patience with it."""
        now = time.monotonic()
        return (
            *self.inbox.notices(now, at_once=at_once),
            *self.intake.waiting(now, at_once=at_once),
            *self.admission.notices(),
            *self.delivery.notices(),
        )


@contextlib.contextmanager
def open_workshop(
    station: Station, settings: Settings, recipes: Sequence[Recipe], tools: Tools
) -> Iterator[Workshop]:
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
        admission = Admission(station, ledger, limits, inbox.hint, tools.advanced)
        patience = Patience(
            settings.attempts, retry_s=settings.retry_s, arriving_s=settings.arriving_s
        )
        delivery = Delivery(station, ledger, access, patience)
        workshop = Workshop(
            station=station,
            ledger=ledger,
            inbox=inbox,
            intake=Intake(recipes, limits=limits, pair_wait_s=settings.pair_wait_s),
            admission=admission,
            delivery=delivery,
            leasing=Leasing(ledger, delivery, tools.library, tools.wake, settings.clip_model),
            redoing=Redoing(station, ledger, admission, tools.library),
            bulks=Bulks(station, ledger, admission, access, tools.tell),
            housekeeping=Housekeeping(station, ledger, keep_of(settings)),
            bulletin=Bulletin(station, ledger, tools.supervision, tools.progress),
        )
        try:
            yield workshop
        finally:
            inbox.stop()
            workshop.bulks.close()
            workshop.bulletin.close()
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
