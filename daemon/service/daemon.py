"""The daemon's loop, in the parent process: its phases in a turn.

A turn hears reports (and publishes what they decide), takes requests, claims files that have
settled, leases tasks to the executor, keeps house and publishes the status.

This process imports no torch, decodes no pixels and reads no photograph. Whatever it waits for
comes through the event queue, so the loop sleeps while nothing happens. A turn that the file system
interrupts is tried again: reports stay undelivered, and their leases stand, until a turn has dealt
with them.
"""

import contextlib
import math
import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Self, assert_never

import structlog

from daemon.config.settings import Settings
from daemon.config.station import Notice, Station
from daemon.config.station_setup import group_id, make_inboxes, recipe_files
from daemon.intake.arrivals import Arrival
from daemon.intake.scanner import is_away
from daemon.jobs.accounting import Delivered
from daemon.jobs.timetable import HeldBack, held_back
from daemon.messages.reports import (
    Failed,
    HandedBack,
    Heartbeat,
    Inspected,
    ModelLoaded,
    Outcome,
    Rejected,
    Report,
    Restored,
    TaskAssigned,
    WorkerDied,
    WorkerLost,
    WorkerReady,
    WorkerReport,
    WorkerStarts,
)
from daemon.messages.tasks import Task
from daemon.service.component_settings import executor_of
from daemon.service.components import Components, Progress, open_components, usable_recipes
from daemon.service.monitoring.systemd import SystemdNotifier
from daemon.service.notices import notices, why_hopeless, why_no_work
from daemon.service.startup import when_unlocked
from daemon.service.status_publisher import DaemonState
from daemon.system.disk_space import is_no_space
from daemon.system.errors import ConfigError, LedgerError
from daemon.system.files import shown

_log = structlog.get_logger()

_TURN_S = 1.0
"""Longest sleep of the loop in seconds, so that `pause` and a freed disk are noticed."""

_GRACE_S = 30.0
"""Seconds beyond `drain_s` to kill a worker that does not end and to publish what came in."""

_MAX_FAILED_TURNS = 30
"""Failed turns in a row, about a second each, after which `once` gives up."""

_MAX_ARRIVALS = 1024
"""Arrivals taken in one turn, so that results are published while a large inbox is claimed."""


@dataclass(frozen=True)
class RunSummary:
    """The outcome of a run.

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
    """One daemon at work on one station; made by `open`, and whole for as long as its block."""

    def __init__(self, components: Components) -> None:
        """Take over parts that are open; nothing is started yet."""
        self._parts = components
        self._recipes = components.recipes
        self._recipe_files: frozenset[tuple[str, int, int, int]] | None = None  # may have changed
        self._undelivered: tuple[Report, ...] = ()
        self._failed_turns = 0
        self._failure = ""
        self._may_start = True
        self._more_housekeeping = False
        self._done = self._failed = 0

    @classmethod
    @contextlib.contextmanager
    def open(
        cls,
        station: Station,
        settings: Settings,
        *,
        executor: str | None = None,
        progress: Progress | None = None,
        systemd: SystemdNotifier | None = None,
    ) -> Iterator[Self]:
        """A daemon that has the station to itself until the block ends.

        What a crash interrupted is finished or taken back before the block begins.

        Args:
            station: Its folders.
            settings: Its settings.
            executor: Name of an entry of EXECUTORS; None for the one that the settings ask for.
            progress: Called about once a second with how many jobs are in which state.
            systemd: The service manager to report to.

        Raises:
            BusyError: Another daemon works on the station.
            ConfigError, AccessError: A recipe or a setting is wrong.
            PassingError: The disk is too full.
        """
        opened = open_components(
            station,
            settings,
            executor=executor or executor_of(settings),
            progress=progress,
            systemd=systemd or SystemdNotifier(),
        )
        with opened as components:
            daemon = cls(components)
            try:
                daemon._recover()
                components.inbox.start()
                _log.info("started", station=shown(station.root), recipes=len(components.recipes))
                yield daemon
            finally:
                with contextlib.suppress(LedgerError):  # the next start reports a full disk
                    components.ledger.set_notices(notices(components, daemon._recipes))
                    components.claimer.close()
                _log.info("stopped", done=daemon._done, failed=daemon._failed)

    def _recover(self) -> None:
        """Finish or take back what a crash interrupted."""
        parts = self._parts

        def recover() -> Delivered:
            return parts.recovery.run(parts.claimer.recover, time.time())

        self._count(when_unlocked(recover, parts.events, self._show_alive))

    def run(self) -> RunSummary:
        """Work until SIGTERM or SIGINT; SIGHUP reads the recipes again."""
        with self._parts.monitor.serving():
            self._parts.dispatcher.start()
            while not self._parts.dispatcher.stopping:
                self.turn(at_once=False)
                self._parts.page.turn(time.monotonic())
            return self._drain()

    def once(self) -> RunSummary:
        """Work until nothing is left that can be restored now, or nothing may be started."""
        dispatcher = self._parts.dispatcher
        while not dispatcher.stopping:
            self.turn(at_once=True)
            try:
                if self._may_end():
                    break
            except LedgerError as error:
                self._note_failed_turn(error)
        held_up = self._held_up()  # now: a turn that only drains may succeed and hide it
        if not held_up and self._jobs_of_held_recipes():
            held_up = self._parts.outcomes.holds.held[0].describe()
        summary = self._drain()
        return replace(summary, held_up=held_up or self._parts.publisher.held_up(time.time()))

    def turn(self, *, at_once: bool) -> None:
        """One turn of the loop.

        Args:
            at_once: Take what lies in the inboxes without waiting for anything to join it.
        """
        self._undelivered += self._wait()
        self._show_alive()
        now = time.time()
        try:
            self._parts.lock.check()
            result_lacked_space = self._hear(now)
            self._replace_stalled_workers()
            self._parts.systemd.health.held_up = why_no_work(self._parts, now)
            held = self._parts.outcomes.holds.held
            self._parts.systemd.health.held_recipes = {one.recipe: one.why for one in held}
            self._parts.requests.take_pauses(now)
            self._may_start = self._is_allowed_to_start()
            if self._may_start or self._parts.dispatcher.stopping:
                self._take_answers(now)
            if self._may_start:
                if self._failed_turns:
                    self._repair(now)
                self._take_requests(now)
                self._claim(self._settle(now, at_once=at_once), now)
                self._follow_photographs(now, at_once=at_once)
                self._lease(now)
            if not self._parts.dispatcher.stopping:
                self._more_housekeeping = self._parts.housekeeping.turn(now, at_once=at_once)
            self._publish_status(now)
        except (LedgerError, OSError) as error:
            self._note_failed_turn(error)
        else:
            if self._failure:
                _log.info("turn_succeeded", failed_turns=self._failed_turns)
            self._failed_turns, self._failure = 0, ""
            if not result_lacked_space:
                self._parts.space.sufficed()
        self._parts.status_publisher.turn_ended(self._failure, time.time())
        # After a failed turn, too: a disk without room for a notice is worth a message.
        self._parts.monitor.record_in_flight(len(self._parts.dispatcher))

    def reload(self) -> None:
        """Read the recipes again and make the inboxes of new ones.

        If a recipe is wrong, those read before stay.
        """
        parts = self._parts
        self._recipe_files = recipe_files(parts.station)
        with parts.systemd.reloading(time.monotonic()):
            try:
                self._recipes = usable_recipes(parts.station, parts.settings, parts.library)
            except ConfigError as error:
                _log.error("recipes_not_reloaded", why=str(error), kept=len(self._recipes))
                return
            parts.sorter.set_recipes(self._recipes)
            parts.monitor.set_recipes([recipe.name for recipe in self._recipes])
            self._make_inboxes()
        _log.info("recipes_reloaded", recipes=len(self._recipes))

    def _make_inboxes(self) -> None:
        station, settings = self._parts.station, self._parts.settings
        try:
            make_inboxes(station, self._recipes, settings, group_id(settings))
        except OSError as error:  # whoever wants to drop something can make it, too
            what = shown(error.filename or station.inbox)
            _log.warning("inbox_not_made", folder=what, why=error.strerror or str(error))

    def stop(self) -> None:
        """Begin to drain: nothing is claimed or leased, what is in flight may finish."""
        dispatcher = self._parts.dispatcher
        if not dispatcher.stopping:
            drain_s = self._parts.settings.drain_s
            _log.info("stopping", in_flight=len(dispatcher), drain_s=drain_s)
            self._parts.systemd.stopping(drain_s + _GRACE_S)
            dispatcher.stop(drain_s)

    def _wait(self) -> tuple[Report, ...]:
        """Sleep until there is something to do; act on signals; return the reports that came."""
        inbox = self._parts.inbox
        due_s = inbox.next_due_s(time.monotonic()) if self._may_start else _TURN_S
        ended = self._parts.dispatcher.ended and not self._parts.copies.busy
        if self._more_housekeeping or ended:  # nothing more will wake it
            due_s = 0.0
        self._more_housekeeping = False  # each turn that gets so far sets it again
        events = self._parts.events.take(min(_TURN_S, due_s))
        self._parts.monitor.record_reports(events.reports)
        if events.reload:
            self.reload()
        if events.stop:
            self.stop()
        return events.reports

    def _hear(self, now: float) -> bool:
        """Act on what the executor reported; returns whether the disk was too full for a result."""
        parts = self._parts
        outcomes: list[tuple[Task, Outcome]] = []
        for report in self._undelivered:
            self._hear_worker(report)
            match report:
                case WorkerStarts() | WorkerReady() | Heartbeat():
                    pass
                case ModelLoaded():
                    _log.info("model_loaded", **asdict(report))
                case TaskAssigned():
                    parts.dispatcher.workers.assigned(report)
                case WorkerDied():
                    parts.outcomes.died(report, now)
                    parts.dispatcher.forget(report.fences)
                case WorkerLost():
                    _log.warning(
                        "worker_lost",
                        why=report.reason,
                        worker=report.worker,
                        in_flight=len(report.fences),
                    )
                    self._requeue(report.fences)
                case HandedBack():
                    self._requeue(report.fences)
                case Restored() | Inspected() | Rejected() | Failed():
                    if task := parts.dispatcher.task(report.fence):
                        outcomes.append((task, report))
                case _:
                    assert_never(report)
        no_space = self._deliver(outcomes, now)
        self._undelivered = ()
        return no_space

    def _hear_worker(self, report: Report) -> None:
        """Note what a report says of the worker that it comes from."""
        workers = self._parts.dispatcher.workers
        if isinstance(report, WorkerReport):
            workers.hear(report)
            worker = report.worker
        elif isinstance(report, TaskAssigned | HandedBack):
            return  # an executor of several workers says these itself
        else:
            worker = workers.of(report.fence)
        self._parts.systemd.worker_reported(
            time.monotonic(),
            ready=isinstance(report, WorkerReady),
            died=isinstance(report, WorkerDied | WorkerLost),
            worker=worker,
        )

    def _deliver(self, outcomes: Sequence[tuple[Task, Outcome]], now: float) -> bool:
        """Publish, reject or queue again; returns whether the disk was too full for a result."""
        parts = self._parts
        workers = {
            outcome.fence: parts.dispatcher.workers.of(outcome.fence) for _, outcome in outcomes
        }
        decided = parts.outcomes.decide(outcomes, now, workers)
        delivered = parts.publisher.finish(now, decided.at_fault)
        parts.dispatcher.forget([outcome.fence for _, outcome in outcomes])
        for entry in decided.changed:
            if is_away(entry.claim.folder):
                continue  # it stays queued until its disk is back
            _log.info("changed_while_processed", row=entry.row)
            parts.claimer.read_changed(entry)
        parts.monitor.record_durations(decided.durations)
        self._count(delivered)
        no_space = decided.no_space or delivered.no_space
        if no_space:
            full = parts.publisher.full_folder or parts.station.staged
            why = "a result or a record could not be written"
            parts.space.ran_out(why, time.monotonic(), full)
        return no_space

    def _replace_stalled_workers(self) -> None:
        """Have stopped, hung or swapped-out workers replaced; their reports have been heard."""
        parts = self._parts
        for worker, why in parts.systemd.health.stalled(time.monotonic()).items():
            parts.dispatcher.replace_worker(why, worker)

    def _take_answers(self, now: float) -> None:
        """Take what the reader process found, and queue the jobs whose files have been read."""
        self._parts.reader.deliver()
        self._parts.claimer.queue_read(now)

    def _take_requests(self, now: float) -> None:
        """Carry out what people ask of the running daemon."""
        if self._parts.requests.waiting():
            self._parts.outcomes.holds.try_now()
            # Whoever asks for a recipe has read it as it is now, and is to get that.
            changed = recipe_files(self._parts.station) != self._recipe_files
            if changed and self._parts.requests.name_recipes():
                self.reload()
        if self._parts.requests.turn(self._recipes, now):
            self._parts.events.wake()

    def _settle(self, now: float, *, at_once: bool) -> list[Arrival]:
        """Return files that have settled in the inboxes."""
        parts = self._parts
        if parts.claimer.is_full or parts.sorter.is_full:
            return []
        parts.claimer.retry_refused(now)
        return parts.inbox.settled(time.monotonic(), _MAX_ARRIVALS, at_once=at_once)

    def _claim(self, arrivals: Sequence[Arrival], now: float) -> None:
        """Queue what can be restored of the settled files, and a little of each bulk job."""
        parts = self._parts
        parts.monitor.record_arrivals(arrivals)
        decision = parts.sorter.sort(parts.claimer.unseen(arrivals), time.monotonic())
        for path in decision.again:
            parts.inbox.look_again(path)
        parts.monitor.record_durations(parts.claimer.claim(decision.claims, now))
        if parts.bulk_manager.turn(self._recipes, now):
            parts.events.wake()
        parts.claimer.queue_read(now)  # what is refused at once needs no answer

    def _follow_photographs(self, now: float, *, at_once: bool) -> None:
        """Send companions that came late after their photographs, into the archive."""
        sorter = self._parts.sorter
        strays = sorter.strays(time.monotonic(), at_once=at_once)
        sorter.forget(self._parts.late_companions.turn(strays, now))

    def _lease(self, now: float) -> None:
        """Give the executor as many tasks as it has room for."""
        dispatcher, outcomes = self._parts.dispatcher, self._parts.outcomes
        if outcomes.deaths.why_waiting(now):
            return
        tasks = self._parts.scheduler.tasks(
            self._recipes,
            len(dispatcher),
            now,
            control=outcomes.deaths.needs_control,
            holds=outcomes.holds,
            workers=dispatcher.workers.count,
        )
        dispatcher.send(tasks)
        self._parts.monitor.record_leases(tasks)

    def _publish_status(self, now: float) -> None:
        publisher = self._parts.status_publisher
        if publisher.is_due(now):
            in_flight, full = len(self._parts.dispatcher), self._parts.space.full
            where = self._parts.space.full_folder
            workers = self._parts.dispatcher.workers.states(self._parts.dispatcher.fences)
            state = DaemonState(
                *(in_flight, self._done, self._failed),
                full=full,
                full_folder=where,
                workers=workers,
            )
            publisher.publish(notices(self._parts, self._recipes), state, now)

    def _note_failed_turn(self, error: LedgerError | OSError) -> None:
        """Log once why a turn failed; reports stay undelivered, and their leases stand.

        A full disk, one that is away and a ledger that another program has locked all pass.
        """
        self._failed_turns += 1
        self._may_start = False
        why = str(error)
        if is_no_space(error):
            of_ledger = isinstance(error, LedgerError)
            folder = self._parts.station.state if of_ledger else None
            self._parts.space.ran_out(why, time.monotonic(), folder)
        elif why != self._failure:
            _log.error("turn_failed", why=why, what_to_do="fix the cause; the daemon tries again")
        self._failure = why

    def _repair(self, now: float) -> None:
        """Take up what a failed turn left: half-made claims, leases without a task."""
        self._parts.claimer.resume(now)
        self._requeue_strays()

    def _requeue(self, fences: Collection[int]) -> None:
        """Queue again what was not finished, without counting it as a failed attempt."""
        self._parts.outcomes.requeue(fences)
        self._parts.dispatcher.forget(fences)

    def _requeue_strays(self) -> None:
        """Queue again what is leased although no executor holds it."""
        leased = {entry.fence for entry in self._parts.ledger.in_state("leased")}
        self._requeue(leased.difference(self._parts.dispatcher.fences))

    def _drain(self) -> RunSummary:
        """Publish what still comes and queue the rest again, so that nothing stays leased."""
        parts = self._parts
        until = time.monotonic() + parts.settings.drain_s
        self.stop()
        while not parts.dispatcher.ended:
            self.turn(at_once=False)
        self.turn(at_once=False)
        while parts.copies.busy and time.monotonic() < until:
            self.turn(at_once=False)
        if parts.copies.busy:
            _log.warning("copies_stopped", what_to_do="nothing: the next start copies again")
        try:
            self._requeue(parts.dispatcher.fences)
            self._requeue_strays()
        except LedgerError as error:
            _log.warning("leases_stand", why=str(error), what_to_do="the next start takes them")
        parts.monitor.record_in_flight(len(parts.dispatcher))
        waiting = notices(self._parts, self._recipes, at_once=True)
        return RunSummary(self._done, self._failed, waiting, held_back=self._held_back())

    def _is_allowed_to_start(self) -> bool:
        """Whether anything new may be claimed or leased."""
        if self._parts.dispatcher.stopping or self._parts.station.paused.exists():
            return False
        return self._parts.space.look(time.monotonic())

    def _more_to_do(self) -> bool:
        parts = self._parts
        if self._failed_turns or parts.inbox.unsettled() or self._more_housekeeping:
            return True
        if parts.reader.busy:
            return True
        if parts.requests.waiting() or parts.bulk_manager.more_to_do(self._recipes, time.time()):
            return True
        given_up = parts.publisher.given_up(time.time())
        if given_up and parts.scheduler.all_wait:
            return False
        waiting = sum(held.jobs for held in self._held_back()) + self._jobs_of_held_recipes()
        return parts.ledger.open_jobs() > given_up + parts.claimer.away + waiting

    def _may_end(self) -> bool:
        """Whether `once` is at its end, because of a worker that is not to be had or otherwise."""
        if why_hopeless(self._parts):
            return True
        return not len(self._parts.dispatcher) and bool(self._held_up() or not self._more_to_do())

    def _held_back(self) -> tuple[HeldBack, ...]:
        return held_back(self._parts.ledger, self._recipes, time.time())

    def _jobs_of_held_recipes(self) -> int:
        """Jobs that wait for a model, and for no schedule besides."""
        parts = self._parts
        names = {held.recipe for held in parts.outcomes.holds.held}
        names -= {held.recipe for held in self._held_back()}
        return sum(parts.ledger.queued_between(name, -math.inf, math.inf) for name in names)

    def _held_up(self) -> str:
        """Why nothing may be started, or ""."""
        if self._parts.station.paused.exists():
            return "the station is paused; `restored resume` goes on"
        if self._parts.space.stays_full(time.monotonic()):
            full = self._parts.space.full_folder or self._parts.station.root
            return f"{shown(full)}: its disk is full; free some space"
        if self._failed_turns > _MAX_FAILED_TURNS:
            return self._failure
        return why_hopeless(self._parts)

    def _count(self, delivered: Delivered) -> None:
        self._done += delivered.done
        self._failed += delivered.failed
        self._parts.monitor.record_ended(delivered.ended, delivered.durations)

    def _show_alive(self) -> None:
        dispatcher = self._parts.dispatcher
        working = dispatcher.workers.busy(dispatcher.fences)
        self._parts.systemd.loop_advanced(time.monotonic(), working=working)
