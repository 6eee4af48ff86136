"""The parts of one daemon, built together and closed together.

`open_components` builds every part whole, in the order in which they need each other, and closes
them in the opposite order. How the parts work together is in `daemon`.
"""

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import structlog

from daemon.bulk.manager import BulkManager
from daemon.checkpoints.library import Library
from daemon.config.daemon_environment import write_environment
from daemon.config.recipe import Recipe
from daemon.config.settings import Settings, daemon_variables
from daemon.config.station import Station
from daemon.config.station_setup import known_recipes
from daemon.intake.again import Again, Choose
from daemon.intake.claimer import Claimer
from daemon.intake.file_reader import FileReader, FileReads
from daemon.intake.inbox import Inbox
from daemon.intake.late_companions import LateCompanions
from daemon.intake.older_requests import take_over
from daemon.intake.redo import Redo
from daemon.intake.requests import RequestFolder
from daemon.intake.retry import RetryTaker
from daemon.intake.sorter import Sorter
from daemon.jobs.access import Access
from daemon.jobs.file_copies import BackgroundCopies
from daemon.jobs.ledger.entries import QueueCount
from daemon.jobs.ledger.writer import Ledger
from daemon.jobs.outcomes import OutcomePolicy, RetryPolicy
from daemon.jobs.publisher import Publisher
from daemon.jobs.recipe_holds import RecipeHolds
from daemon.jobs.recovery import CrashRecovery
from daemon.jobs.scheduler import Scheduler
from daemon.jobs.staging import Staging
from daemon.photo.content_credentials import check_signing
from daemon.restorers.registry import check_clip, check_models
from daemon.service.component_settings import (
    compute_of,
    inbox_folders,
    limits_of,
    monitor_settings,
    signing_of,
    station_folders,
    unknown_watch_recipes,
)
from daemon.service.dispatcher import Dispatcher
from daemon.service.events import EventQueue
from daemon.service.housekeeping import Housekeeping, retention_of
from daemon.service.monitoring.monitor import Monitor
from daemon.service.monitoring.systemd import SystemdNotifier
from daemon.service.page_process import PageProcess, page_command
from daemon.service.request_handler import RequestHandler
from daemon.service.standstill import StandstillWatch
from daemon.service.startup import StationLock, only_daemon, open_ledger, prepare, when_unlocked
from daemon.service.status_publisher import StatusPublisher
from daemon.system.disk_space import DiskSpace
from daemon.system.files import shown

_log = structlog.get_logger()

Progress = Callable[[tuple[QueueCount, ...]], None]
"""Called about once a second with how many jobs are in which state."""


@dataclass(frozen=True)
class Foundation:
    """The parts that all others stand on; each is described where it is defined.

    Attributes:
        recipes: The recipes as they were when the daemon started.
        access: Permissions of what is written.
    """

    station: Station
    settings: Settings
    library: Library
    recipes: tuple[Recipe, ...]
    events: EventQueue
    space: DiskSpace
    dispatcher: Dispatcher
    systemd: SystemdNotifier
    monitor: Monitor
    access: Access
    lock: StationLock
    ledger: Ledger
    reader: FileReader
    copies: BackgroundCopies


@dataclass(frozen=True)
class Components(Foundation):
    """The parts of a daemon at work on one station; each is described where it is defined."""

    inbox: Inbox
    sorter: Sorter
    claimer: Claimer
    late_companions: LateCompanions
    outcomes: OutcomePolicy
    publisher: Publisher
    recovery: CrashRecovery
    scheduler: Scheduler
    requests: RequestHandler
    bulk_manager: BulkManager
    housekeeping: Housekeeping
    status_publisher: StatusPublisher
    page: PageProcess


@contextlib.contextmanager
def open_components(
    station: Station,
    settings: Settings,
    *,
    executor: str,
    progress: Progress | None,
    systemd: SystemdNotifier,
) -> Iterator[Components]:
    """Build the parts, and hold the station's lock until the block ends.

    Recipes and addresses are checked before anything on disk is touched.

    Args:
        station: Its folders.
        settings: Its settings.
        executor: Name of an entry of EXECUTORS.
        progress: Called with how many jobs are in which state, or None.
        systemd: The service manager to report to.

    Raises:
        BusyError: Another daemon works on the station.
        ConfigError, AccessError: A recipe or a setting is wrong.
        PassingError: The disk is too full to open the ledger.
    """
    library = Library(settings.models_dir)
    recipes = usable_recipes(station, settings, library)
    check_signing(signing_of(settings))
    events = EventQueue()
    space = DiskSpace((station.state, station.outbox), settings.min_free_mb * 1e6)
    dispatcher = Dispatcher(executor, compute_of(settings), events)
    monitor = Monitor(station, systemd.health, monitor_settings(settings), lambda: space.full)
    monitor.set_recipes([recipe.name for recipe in recipes])

    def show_alive() -> None:
        working = dispatcher.workers.busy(dispatcher.fences)
        systemd.loop_advanced(time.monotonic(), working=working)

    with contextlib.ExitStack() as closing:
        closing.enter_context(events.receiving_signals())
        access = prepare(station, settings)
        lock = closing.enter_context(only_daemon(station))
        ledger = when_unlocked(lambda: open_ledger(station, access), events, show_alive)
        closing.callback(ledger.close)
        reader = FileReader(limits_of(settings), events.wake, settings.attempts)
        closing.callback(reader.close)
        copies = BackgroundCopies(events.wake)
        closing.callback(copies.close)
        take_over(station)
        write_environment(station.root, daemon_variables())
        base = Foundation(
            *(station, settings, library, recipes, events, space, dispatcher, systemd, monitor),
            *(access, lock, ledger, reader, copies),
        )
        parts = _joined(base, progress)
        closers = (
            parts.status_publisher.close,
            parts.bulk_manager.close,
            parts.inbox.stop,
            parts.page.close,
        )
        for close in (*closers, monitor.close, dispatcher.kill):
            closing.callback(close)
        folders = station_folders(station, settings)
        watch = StandstillWatch(station, folders, systemd.health, parts.publisher.disks)
        closing.enter_context(watch.watching())
        yield parts


def _joined(base: Foundation, progress: Progress | None) -> Components:
    """Build the parts that need no closing of their own, or only once all are built."""
    station, settings, ledger, access = base.station, base.settings, base.ledger, base.access
    retries = _retries(settings)
    inbox = _inbox(station, settings, base.events, base.reader)
    claimer = _claimer(station, ledger, base.reader, inbox, retries)
    staging = Staging(station.staged, ledger)
    publisher = _publisher(base)
    bulk_manager = BulkManager(station, ledger, claimer, access, base.monitor.notify)
    clip = settings.clip_model
    return Components(
        **vars(base),
        inbox=inbox,
        sorter=Sorter(base.recipes, reads=base.reader, pair_wait_s=settings.pair_wait_s),
        claimer=claimer,
        late_companions=LateCompanions(ledger),
        outcomes=OutcomePolicy(ledger, staging, retries, RecipeHolds(base.library)),
        publisher=publisher,
        recovery=CrashRecovery(station, ledger, staging, publisher, retries.crashes),
        scheduler=Scheduler(ledger, staging, base.library, base.events.wake, clip),
        requests=RequestHandler(
            RequestFolder(station, access.group),
            RetryTaker(ledger, inbox),
            Redo(ledger, claimer, base.library),
            bulk_manager,
            again=Again(ledger, claimer),
            choose=Choose(ledger),
            paused=station.paused,
            own_folders=_own_folders(station, settings),
        ),
        bulk_manager=bulk_manager,
        housekeeping=Housekeeping(station, ledger, retention_of(settings)),
        status_publisher=StatusPublisher(station, ledger, base.systemd, progress),
        page=PageProcess(page_command(station, settings)),
    )


def _own_folders(station: Station, settings: Settings) -> tuple[Path, ...]:
    """Folders that results go to: no bulk job reads them."""
    return (station.root, *(watch.outbox for watch in settings.watch))


def _retries(settings: Settings) -> RetryPolicy:
    return RetryPolicy(settings.attempts, retry_s=settings.retry_s, arriving_s=settings.arriving_s)


def _claimer(
    station: Station, ledger: Ledger, reader: FileReader, inbox: Inbox, retries: RetryPolicy
) -> Claimer:
    return Claimer(
        station,
        ledger,
        reader,
        inbox.look_again,
        crashes=retries.crashes,
        attempts=retries.attempts,
    )


def _publisher(base: Foundation) -> Publisher:
    """A publisher that knows on which disks the station's folders lie."""
    publisher = Publisher(
        *(base.station, base.ledger, base.access, base.copies),
        attempts=base.settings.attempts,
        retry_s=base.settings.retry_s,
    )
    for folder in station_folders(base.station, base.settings):
        if publisher.disks.answers(folder):
            publisher.mounts.is_gone(folder)
    return publisher


def _inbox(station: Station, settings: Settings, events: EventQueue, reads: FileReads) -> Inbox:
    return Inbox(
        inbox_folders(station, settings),
        settle_s=settings.settle_s,
        settle_polled_s=settings.settle_polled_s,
        rescan_s=settings.rescan_s,
        arriving_s=settings.arriving_s,
        reads=reads,
        wake=events.wake,
    )


def usable_recipes(station: Station, settings: Settings, library: Library) -> tuple[Recipe, ...]:
    """The station's recipes, each with a model that can do what it asks.

    Raises:
        ConfigError: A recipe is wrong.
    """
    recipes = known_recipes(station)
    check_models(recipes, library)
    check_clip(recipes, settings.clip_model, library)
    for notice in unknown_watch_recipes(settings, recipes, time.time()):
        _log.warning("watched_recipe_unknown", folder=shown(notice.path), why=notice.what)
    return recipes
