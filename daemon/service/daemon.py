"""The daemon's loop: settle -> admit -> lease -> publish.

Comes in: a station and its settings. Goes out: restored photographs. This process imports no torch
and decodes no pixels; whatever waits, waits in the mailbox, so that the loop sleeps when nothing
happens.
"""

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import structlog

from daemon.checkpoints.library import Library
from daemon.config.settings import Settings
from daemon.config.station import Notice, Station
from daemon.jobs.ledger.entries import QueueCount
from daemon.jobs.stages import Delivered
from daemon.jobs.timetable import HeldBack, held_back
from daemon.messages.reports import Report, WorkerDied, WorkerReady
from daemon.service.components import LoopHooks, open_components, usable_recipes
from daemon.service.dispatcher import Dispatcher
from daemon.service.events import EventQueue
from daemon.service.monitoring.monitor import Monitor
from daemon.service.monitoring.systemd import SystemdNotifier
from daemon.service.runtime import compute_of, monitor_settings
from daemon.service.status_publisher import DaemonState
from daemon.system.disk_space import DiskSpace, is_no_space
from daemon.system.errors import ConfigError, LedgerError
from daemon.system.files import shown

_log = structlog.get_logger()

_TURN_S = 1.0
"""Longest sleep of the loop, so that `pause` and a freed disk are noticed."""

_GRACE_S = 30.0
"""Beyond `drain_s`: to kill a worker that does not end and to publish what came in."""

_HOPELESS_TURNS = 30
"""After so many failed turns in a row, about a second each, `once` gives up."""


@dataclass(frozen=True)
class RunSummary:
    """What a run came to.

    Attributes:
        done: Jobs whose result stands.
        failed: Jobs that ended in failed/.
        waiting: What is still in an inbox, and why.
        held_up: Why nothing more could be started, or "".
        held_back: What is queued and waits for its recipe's schedule.
    """

    done: int = 0
    failed: int = 0
    waiting: tuple[Notice, ...] = ()
    held_up: str = ""
    held_back: tuple[HeldBack, ...] = ()


class Daemon:
    """One daemon at work on one station."""

    def __init__(
        self,
        station: Station,
        settings: Settings,
        *,
        executor: str = "process",
        progress: Callable[[tuple[QueueCount, ...]], None] | None = None,
        systemd: SystemdNotifier | None = None,
    ) -> None:
        """Read the recipes and prepare; nothing on disk is touched yet.

        Args:
            station: Its folders.
            settings: Its settings.
            executor: Name of an entry of EXECUTORS.
            progress: Called about once a second with how many jobs are where.
            supervision: The service manager to report to.
        """
        self._station = station
        self._settings = settings
        self._library = Library(settings.models_dir)
        self._recipes = usable_recipes(self._station, self._settings, self._library)
        self._progress = progress
        self._systemd = systemd or SystemdNotifier()
        self._events = EventQueue()
        self._space = DiskSpace((station.state, station.outbox), settings.min_free_mb * 1e6)
        self._monitor = Monitor(
            station, self._systemd.health, monitor_settings(settings), lambda: self._space.full
        )
        self._monitor.know([recipe.name for recipe in self._recipes])
        self._dispatcher = Dispatcher(executor, compute_of(settings), self._events)
        self._undelivered: tuple[Report, ...] = ()
        self._failed_turns = 0
        self._failure = ""
        self._open_for_work = True
        self._much_to_keep = False
        self._done = self._failed = 0

    def run(self) -> RunSummary:
        """Work until SIGTERM or SIGINT; SIGHUP reads the recipes anew."""
        with self._at_work(), self._monitor.serving():
            self._dispatcher.start()
            while not self._dispatcher.stopping:
                self._turn(at_once=False)
            return self._drain()

    def once(self) -> RunSummary:
        """Work until nothing is left that can be restored now, or nothing may be started."""
        with self._at_work():
            while not self._dispatcher.stopping:
                self._turn(at_once=True)
                idle = not len(self._dispatcher)
                hopeless = self._dispatcher.missing
                if hopeless or (idle and (self._held_up() or not self._more_to_do())):
                    break
            return replace(self._drain(), held_up=self._held_up())

    def _more_to_do(self) -> bool:
        if self._failed_turns or self._components.inbox.unsettled() or self._much_to_keep:
            return True
        if self._components.redo.waiting():
            return True
        if self._components.bulk_manager.more_to_do(self._recipes, time.time()):
            return True
        return self._components.ledger.open_jobs() > sum(held.jobs for held in self._held_back())

    def _held_back(self) -> tuple[HeldBack, ...]:
        return held_back(self._components.ledger, self._recipes, time.time())

    def _held_up(self) -> str:
        if self._station.paused.exists():
            return "the station is paused; `restored resume` goes on"
        if self._space.stays_full(time.monotonic()):
            return "the disk is full; free some space"
        if self._failed_turns > _HOPELESS_TURNS:
            return self._failure
        return self._dispatcher.missing

    @contextlib.contextmanager
    def _at_work(self) -> Iterator[None]:
        tools = LoopHooks(
            self._library,
            self._systemd,
            wake=self._events.wake,
            advanced=self._advanced,
            tell=self._monitor.tell,
            progress=self._progress,
        )
        opened = open_components(self._station, self._settings, self._recipes, tools)
        with self._events.signals(), opened as self._components:
            try:
                self._delivered(self._components.recover(time.time()))
                self._components.inbox.start()
                _log.info("started", station=shown(self._station.root), recipes=len(self._recipes))
                yield
            finally:
                self._dispatcher.kill()
                with contextlib.suppress(LedgerError):  # a full disk is told of at the next start
                    self._components.ledger.set_notices(self._waiting())
                self._monitor.close()
                _log.info("stopped", done=self._done, failed=self._failed)

    def _advanced(self) -> None:
        self._systemd.advanced(time.monotonic(), working=len(self._dispatcher) > 0)

    def _turn(self, *, at_once: bool) -> None:
        reports = self._wait()
        self._monitor.heard(reports)
        self._undelivered += reports
        self._advanced()
        now = time.time()
        try:
            full = self._handle(self._undelivered, now)
            self._undelivered = ()
            self._open_for_work = self._may_work()
            if self._open_for_work:
                if self._failed_turns:
                    self._mend(now)
                self._admit(now, at_once=at_once)
                self._lease(now)
            if not self._dispatcher.stopping:
                self._much_to_keep = self._components.housekeeping.turn(now, at_once=at_once)
            self._tell(now)
            self._failed_turns, self._failure = 0, ""
            if not full:
                self._space.sufficed()
        except (LedgerError, OSError) as error:
            # What came stays undelivered: the leases stand, so that it can be delivered later.
            self._failed_turns += 1
            self._open_for_work = False
            if is_no_space(error):
                self._space.ran_out(str(error), time.monotonic())
            elif isinstance(error, OSError):
                self._say_failed(error)
            else:
                raise
        # Whatever became of the turn: a disk without room for a notice is worth a message.
        self._monitor.stands(len(self._dispatcher))

    def _say_failed(self, error: OSError) -> None:
        """The file system refused something that stops a whole turn; it is tried again."""
        if str(error) != self._failure:
            self._failure = str(error)
            _log.error("turn_failed", why=self._failure, what_to_do="mend it; it is tried again")

    def _mend(self, now: float) -> None:
        """Take up what an interrupted turn left: half-made claims, leases without an order."""
        self._components.admission.resume(now)
        self._components.give_back_strays(self._dispatcher)

    def _wait(self) -> tuple[Report, ...]:
        """Sleep until there is something to do; signals are seen to at once."""
        due_s = (
            self._components.inbox.next_due_s(time.monotonic()) if self._open_for_work else _TURN_S
        )
        due_s = 0.0 if self._much_to_keep else due_s
        self._much_to_keep = False  # said anew by each turn that gets so far
        mail = self._events.take(min(_TURN_S, due_s))
        if mail.reload:
            self._reload()
        if mail.stop:
            self._stop()
        return mail.reports

    def _handle(self, reports: Sequence[Report], now: float) -> bool:
        """Act on reports; says whether the disk was full for one of them."""
        for report in reports:
            ready, died = isinstance(report, WorkerReady), isinstance(report, WorkerDied)
            self._systemd.heard(time.monotonic(), ready=ready, died=died)
        delivered = self._components.hear(reports, self._dispatcher, now)
        self._delivered(delivered)
        if delivered.no_space:
            self._space.ran_out("a result or a record could not be written", time.monotonic())
        return delivered.no_space

    def _admit(self, now: float, *, at_once: bool) -> None:
        arrivals = self._components.arrivals(self._recipes, now, at_once=at_once)
        self._monitor.arrived(arrivals)
        self._monitor.took(self._components.admit(arrivals, now))
        if self._components.bulk_manager.turn(self._recipes, now):
            self._events.wake()

    def _lease(self, now: float) -> None:
        tasks = self._components.scheduler.tasks(self._recipes, len(self._dispatcher), now)
        self._dispatcher.send(tasks)
        self._monitor.sent(tasks)

    def _may_work(self) -> bool:
        if self._dispatcher.stopping or self._station.paused.exists():
            return False
        return self._space.look(time.monotonic())

    def _tell(self, now: float) -> None:
        if self._components.status_publisher.is_due(now):
            standing = DaemonState(
                len(self._dispatcher), self._done, self._failed, full=self._space.full
            )
            self._components.status_publisher.tell(self._waiting(), standing, now)

    def _waiting(self, *, at_once: bool = False) -> tuple[Notice, ...]:
        """What does not get on by itself, and why; `at_once` has no patience with it."""
        missing = self._dispatcher.missing
        told = (Notice(self._station.root, missing, time.time()),) if missing else ()
        bulk_manager = self._components.bulk_manager.notices(self._recipes)
        return (*self._components.waiting(at_once=at_once), *bulk_manager, *told)

    def _reload(self) -> None:
        with self._systemd.reloading(time.monotonic()):
            try:
                self._recipes = usable_recipes(self._station, self._settings, self._library)
            except ConfigError as error:
                _log.error("recipes_not_reloaded", why=str(error), kept=len(self._recipes))
                return
            self._components.intake.set_recipes(self._recipes)
            self._monitor.know([recipe.name for recipe in self._recipes])
        _log.info("recipes_reloaded", recipes=len(self._recipes))

    def _stop(self) -> None:
        """Begin to drain: no intake, no leases, what is in flight may finish."""
        if not self._dispatcher.stopping:
            drain_s = self._settings.drain_s
            _log.info("stopping", in_flight=len(self._dispatcher), drain_s=drain_s)
            self._systemd.stopping(drain_s + _GRACE_S)
            self._dispatcher.stop(drain_s)

    def _drain(self) -> RunSummary:
        """Publish what still comes, hand back the rest, leave nothing leased."""
        self._stop()
        while not self._dispatcher.ended:
            self._turn(at_once=False)
        self._turn(at_once=False)
        try:
            self._components.hand_back(self._dispatcher.fences, self._dispatcher)
            self._components.give_back_strays(self._dispatcher)
        except LedgerError as error:
            if not is_no_space(error):
                raise
            _log.warning("leases_stand", why=str(error), what_to_do="the next start takes them")
        self._monitor.stands(len(self._dispatcher))
        waiting = self._waiting(at_once=True)
        return RunSummary(self._done, self._failed, waiting, held_back=self._held_back())

    def _delivered(self, delivered: Delivered) -> None:
        self._done += delivered.done
        self._failed += delivered.failed
        self._monitor.delivered(delivered.ended, delivered.took)
