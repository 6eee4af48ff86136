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
from daemon.jobs.ledger.reader import LedgerError
from daemon.jobs.outcomes import Delivered
from daemon.jobs.timetable import HeldBack, held_back
from daemon.messages.reports import Report, WorkerDied, WorkerReady
from daemon.service.components import Tools, open_workshop, usable_recipes
from daemon.service.dispatcher import Workforce
from daemon.service.events import Mailbox
from daemon.service.monitoring.monitor import Lookout
from daemon.service.monitoring.systemd import Supervision
from daemon.service.runtime import compute_of, outlook_of
from daemon.service.status_publisher import Standing
from daemon.system.disk_space import Space, is_no_space
from daemon.system.errors import ConfigError
from daemon.system.files import shown

_log = structlog.get_logger()

_TURN_S = 1.0
"""Longest sleep of the loop, so that `pause` and a freed disk are noticed."""

_GRACE_S = 30.0
"""Beyond `drain_s`: to kill a worker that does not end and to publish what came in."""

_HOPELESS_TURNS = 30
"""After so many failed turns in a row, about a second each, `once` gives up."""


@dataclass(frozen=True)
class Tally:
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


class Service:
    """One daemon at work on one station."""

    def __init__(
        self,
        station: Station,
        settings: Settings,
        *,
        executor: str = "process",
        progress: Callable[[tuple[QueueCount, ...]], None] | None = None,
        supervision: Supervision | None = None,
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
        self._supervision = supervision or Supervision()
        self._mailbox = Mailbox()
        self._space = Space((station.state, station.outbox), settings.min_free_mb * 1e6)
        self._lookout = Lookout(
            station, self._supervision.vitals, outlook_of(settings), lambda: self._space.full
        )
        self._lookout.know([recipe.name for recipe in self._recipes])
        self._workforce = Workforce(executor, compute_of(settings), self._mailbox)
        self._undelivered: tuple[Report, ...] = ()
        self._failed_turns = 0
        self._failure = ""
        self._open_for_work = True
        self._much_to_keep = False
        self._done = self._failed = 0

    def run(self) -> Tally:
        """Work until SIGTERM or SIGINT; SIGHUP reads the recipes anew."""
        with self._at_work(), self._lookout.serving():
            self._workforce.start()
            while not self._workforce.stopping:
                self._turn(at_once=False)
            return self._drain()

    def once(self) -> Tally:
        """Work until nothing is left that can be restored now, or nothing may be started."""
        with self._at_work():
            while not self._workforce.stopping:
                self._turn(at_once=True)
                idle = not len(self._workforce)
                hopeless = self._workforce.missing
                if hopeless or (idle and (self._held_up() or not self._more_to_do())):
                    break
            return replace(self._drain(), held_up=self._held_up())

    def _more_to_do(self) -> bool:
        if self._failed_turns or self._shop.inbox.unsettled() or self._much_to_keep:
            return True
        if self._shop.redoing.waiting():
            return True
        if self._shop.bulks.more_to_do(self._recipes, time.time()):
            return True
        return self._shop.ledger.open_jobs() > sum(held.jobs for held in self._held_back())

    def _held_back(self) -> tuple[HeldBack, ...]:
        return held_back(self._shop.ledger, self._recipes, time.time())

    def _held_up(self) -> str:
        if self._station.paused.exists():
            return "the station is paused; `restored resume` goes on"
        if self._space.stays_full(time.monotonic()):
            return "the disk is full; free some space"
        if self._failed_turns > _HOPELESS_TURNS:
            return self._failure
        return self._workforce.missing

    @contextlib.contextmanager
    def _at_work(self) -> Iterator[None]:
        tools = Tools(
            self._library,
            self._supervision,
            wake=self._mailbox.wake,
            advanced=self._advanced,
            tell=self._lookout.tell,
            progress=self._progress,
        )
        opened = open_workshop(self._station, self._settings, self._recipes, tools)
        with self._mailbox.signals(), opened as self._shop:
            try:
                self._delivered(self._shop.recover(time.time()))
                self._shop.inbox.start()
                _log.info("started", station=shown(self._station.root), recipes=len(self._recipes))
                yield
            finally:
                self._workforce.kill()
                with contextlib.suppress(LedgerError):  # a full disk is told of at the next start
                    self._shop.ledger.set_notices(self._waiting())
                self._lookout.close()
                _log.info("stopped", done=self._done, failed=self._failed)

    def _advanced(self) -> None:
        self._supervision.advanced(time.monotonic(), working=len(self._workforce) > 0)

    def _turn(self, *, at_once: bool) -> None:
        reports = self._wait()
        self._lookout.heard(reports)
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
            if not self._workforce.stopping:
                self._much_to_keep = self._shop.housekeeping.turn(now, at_once=at_once)
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
        self._lookout.stands(len(self._workforce))

    def _say_failed(self, error: OSError) -> None:
        """The file system refused something that stops a whole turn; it is tried again."""
        if str(error) != self._failure:
            self._failure = str(error)
            _log.error("turn_failed", why=self._failure, what_to_do="mend it; it is tried again")

    def _mend(self, now: float) -> None:
        """Take up what an interrupted turn left: half-made claims, leases without an order."""
        self._shop.admission.resume(now)
        self._shop.give_back_strays(self._workforce)

    def _wait(self) -> tuple[Report, ...]:
        """Sleep until there is something to do; signals are seen to at once."""
        due_s = self._shop.inbox.next_due_s(time.monotonic()) if self._open_for_work else _TURN_S
        due_s = 0.0 if self._much_to_keep else due_s
        self._much_to_keep = False  # said anew by each turn that gets so far
        mail = self._mailbox.take(min(_TURN_S, due_s))
        if mail.reload:
            self._reload()
        if mail.stop:
            self._stop()
        return mail.reports

    def _handle(self, reports: Sequence[Report], now: float) -> bool:
        """Act on reports; says whether the disk was full for one of them."""
        for report in reports:
            ready, died = isinstance(report, WorkerReady), isinstance(report, WorkerDied)
            self._supervision.heard(time.monotonic(), ready=ready, died=died)
        delivered = self._shop.hear(reports, self._workforce, now)
        self._delivered(delivered)
        if delivered.no_space:
            self._space.ran_out("a result or a record could not be written", time.monotonic())
        return delivered.no_space

    def _admit(self, now: float, *, at_once: bool) -> None:
        arrivals = self._shop.arrivals(self._recipes, now, at_once=at_once)
        self._lookout.arrived(arrivals)
        self._lookout.took(self._shop.admit(arrivals, now))
        if self._shop.bulks.turn(self._recipes, now):
            self._mailbox.wake()

    def _lease(self, now: float) -> None:
        errands = self._shop.leasing.errands(self._recipes, len(self._workforce), now)
        self._workforce.send(errands)
        self._lookout.sent(errands)

    def _may_work(self) -> bool:
        if self._workforce.stopping or self._station.paused.exists():
            return False
        return self._space.look(time.monotonic())

    def _tell(self, now: float) -> None:
        if self._shop.bulletin.is_due(now):
            standing = Standing(
                len(self._workforce), self._done, self._failed, full=self._space.full
            )
            self._shop.bulletin.tell(self._waiting(), standing, now)

    def _waiting(self, *, at_once: bool = False) -> tuple[Notice, ...]:
        """What does not get on by itself, and why; `at_once` has no patience with it."""
        missing = self._workforce.missing
        told = (Notice(self._station.root, missing, time.time()),) if missing else ()
        bulks = self._shop.bulks.notices(self._recipes)
        return (*self._shop.waiting(at_once=at_once), *bulks, *told)

    def _reload(self) -> None:
        with self._supervision.reloading(time.monotonic()):
            try:
                self._recipes = usable_recipes(self._station, self._settings, self._library)
            except ConfigError as error:
                _log.error("recipes_not_reloaded", why=str(error), kept=len(self._recipes))
                return
            self._shop.intake.set_recipes(self._recipes)
            self._lookout.know([recipe.name for recipe in self._recipes])
        _log.info("recipes_reloaded", recipes=len(self._recipes))

    def _stop(self) -> None:
        """Begin to drain: no intake, no leases, what is in flight may finish."""
        if not self._workforce.stopping:
            drain_s = self._settings.drain_s
            _log.info("stopping", in_flight=len(self._workforce), drain_s=drain_s)
            self._supervision.stopping(drain_s + _GRACE_S)
            self._workforce.stop(drain_s)

    def _drain(self) -> Tally:
        """Publish what still comes, hand back the rest, leave nothing leased."""
        self._stop()
        while not self._workforce.ended:
            self._turn(at_once=False)
        self._turn(at_once=False)
        try:
            self._shop.hand_back(self._workforce.fences, self._workforce)
            self._shop.give_back_strays(self._workforce)
        except LedgerError as error:
            if not is_no_space(error):
                raise
            _log.warning("leases_stand", why=str(error), what_to_do="the next start takes them")
        self._lookout.stands(len(self._workforce))
        waiting = self._waiting(at_once=True)
        return Tally(self._done, self._failed, waiting, held_back=self._held_back())

    def _delivered(self, delivered: Delivered) -> None:
        self._done += delivered.done
        self._failed += delivered.failed
        self._lookout.delivered(delivered.ended, delivered.took)
