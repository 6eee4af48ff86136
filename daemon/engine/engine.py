"""The worker's event loop: generators ask, the device answers, many photographs share a pass.

Comes in: orders, from any thread. Goes out: reports, all from the loop's own thread, which alone
touches the device. Decoding, generators and encoding run in threads beside it. Never retries an
order and never lets the fault of one reach another.
"""

import math
import queue
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from daemon.engine.activity import Activity
from daemon.engine.admission import InFlightLimit, next_to_start
from daemon.engine.backend import Backend, torch_backend
from daemon.engine.batcher import Batcher, PendingCall
from daemon.engine.device import Device, ForwardPass
from daemon.engine.failures import is_out_of_memory, outcome_of
from daemon.engine.hardware import (
    memory_budget,
    model_budget,
    pass_pixels,
    pick_device,
    use_threads,
)
from daemon.engine.model_cache import Slot, slot_of
from daemon.engine.runs import CallsMade, GeneratorEnded, ResultsStaged, Step, TaskRun, run_of
from daemon.engine.threads import EngineThreads
from daemon.messages.reports import HandedBack, LoadedModel, Report
from daemon.messages.tasks import Compute, Task
from daemon.system.cgroups import core_count
from daemon.system.errors import CancelError

LINGER_S = 0.02
"""How long the device may idle for generators that would fill a group; a pass takes about 0.1 s."""


@dataclass(frozen=True)
class _Stop:
    deadline: float


_Event = Task | _Stop | tuple[TaskRun[Any], Step]


class Engine:
    """Carries out orders on one device until it is told to stop.

    Args:
        compute: How to use the machine.
        report: Is told everything.
        backend: The functions that do the work; the package's own by default.
        begun: Is told the fence of each order whose photographs are about to be read.
        watch: Is told of every forward pass.
        activity: Is told whatever shows that the engine gets on.
        pixels: Pixels in one forward pass; the device's own number by default.
    """

    def __init__(
        self,
        compute: Compute,
        report: Callable[[Report], None],
        *,
        backend: Backend | None = None,
        begun: Callable[[int], None] = lambda fence: None,
        watch: Callable[[ForwardPass], None] = lambda one: None,
        activity: Activity | None = None,
        pixels: int | None = None,
    ) -> None:
        """Take possession of the device.

        Raises:
            DeviceError: The device that is asked for is not there.
        """
        self._report, self._begun, self._watch = report, begun, watch
        self._activity = activity or Activity()
        backend = backend or torch_backend(compute)
        self._backend = replace(backend, load_model=self._activity.loading(backend.load_model))
        device = pick_device(compute.device)
        model_bytes = compute.model_bytes or model_budget(device)
        self._device = Device(device, self._backend, model_bytes, self._tick, report)
        self._limits = compute.limits
        self._cores = compute.threads or core_count()
        pixels = pixels or pass_pixels(self._device.name)
        self._budget = InFlightLimit(compute.memory_bytes or memory_budget(), pixels)
        self._groups = Batcher(pixels)
        self._events: queue.SimpleQueue[_Event] = queue.SimpleQueue()
        self._threads = EngineThreads(self._cores, self._events.put, self._activity.step)
        self._queue: deque[TaskRun[Any]] = deque()
        self._flying: dict[int, TaskRun[Any]] = {}
        self._finished: dict[int, Any] = {}
        self._deadline: float | None = None
        self._give_up_at = math.inf
        self._numbered = 0
        self._idle_since = 0.0
        self._ended = False

    def load(self, models: Sequence[str]) -> None:
        """Load models now rather than at their first call."""
        for reference in models:
            self._device.model_cache.get(Slot(reference, as_pipeline=False), ())

    def submit(self, task: Task) -> None:
        """Take an errand; exactly one report will name its fence. Never blocks; any thread."""
        self._events.put(task)
        self._return_late_orders()

    def stop(self, drain_s: float) -> None:
        """Let what is in flight finish within `drain_s`, hand back the rest. Any thread."""
        self._give_up_at = time.monotonic() + drain_s
        self._events.put(_Stop(self._give_up_at))

    @property
    def device(self) -> str:
        """Name of the device."""
        return self._device.name

    @property
    def loaded_models(self) -> tuple[LoadedModel, ...]:
        """The models that are loaded. Any thread."""
        return self._device.model_cache.loaded_models()

    @property
    def ended(self) -> bool:
        """Whether it was stopped and has reported every order."""
        return self._ended

    def run(self) -> None:
        """Work until stopped and done. After an exception it can be called again.

        Raises:
            DeviceError: The device is lost; every order has been reported.
        """
        use_threads(self._cores)
        with self._threads.at_work():
            try:
                while not self._over():
                    self._turn()
            except BaseException as error:
                self._fail_all(error)
                raise
            finally:
                self._hand_back([*self._queue, *self._flying.values()])
                self._threads.rest()
                self._ended = self._deadline is not None
                self._return_late_orders()

    def _return_late_orders(self) -> None:
        """Hand back what came in after the loop ended."""
        while self._ended:
            try:
                event = self._events.get_nowait()
            except queue.Empty:
                return
            if isinstance(event, Task):
                self._report(HandedBack((event.fence,)))

    def _tick(self) -> None:
        """Between the steps of a long pass: the loop itself does not turn meanwhile.

        Raises:
            CancelError: Time to finish is over.
        """
        self._activity.tick()
        if time.monotonic() >= self._give_up_at:
            raise CancelError("stopped before it was done")

    def _over(self) -> bool:
        if self._deadline is None:
            return False
        return not self._flying or time.monotonic() >= self._deadline

    def _turn(self) -> None:
        self._admit()
        now = time.monotonic()
        lingering = bool(self._asking()) and now - self._idle_since < LINGER_S
        busy = self._busy()
        group = self._groups.pick(
            now,
            more_coming=lingering,
            ready=lambda key: self._device.model_cache.admits(slot_of(key), busy),
        )
        if group:
            self._answer(group)
            self._take_events(wait_s=0)
            self._idle_since = time.monotonic()
        else:
            self._take_events(wait_s=self._wait_s(lingering=lingering))

    def _busy(self) -> frozenset[Slot]:
        """Models with work in flight."""
        return frozenset().union(*(run.asking for run in self._flying.values()))

    def _asking(self) -> int:
        return sum(
            not self._flying[number].writing
            for number in self._threads.stepping & set(self._flying)
        )

    def _wait_s(self, *, lingering: bool) -> float | None:
        if lingering and len(self._groups):
            return LINGER_S
        if self._deadline is not None:
            return max(0.0, self._deadline - time.monotonic())
        return None

    def _take_events(self, wait_s: float | None) -> None:
        """Handle every event that is there; wait for the first one (None: for ever)."""
        try:
            event = self._events.get(timeout=wait_s) if wait_s != 0 else self._events.get_nowait()
            while True:
                self._handle(event)
                event = self._events.get_nowait()
        except queue.Empty:
            return

    def _handle(self, event: _Event) -> None:
        if isinstance(event, Task):
            self._enqueue(event)
        elif isinstance(event, _Stop):
            self._deadline = event.deadline
            self._hand_back(list(self._queue))
        else:
            run, step = event
            self._threads.done(run.number)
            if run.number in self._flying:
                self._follow(run, step)
            else:
                run.close()

    def _enqueue(self, task: Task) -> None:
        if self._deadline is not None:
            self._report(HandedBack((task.fence,)))
            return
        self._numbered += 1
        try:
            self._queue.append(run_of(self._numbered, task, self._backend, self._limits))
        except Exception as error:
            self._report(outcome_of(task.fence, error))

    def _admit(self) -> None:
        while self._queue:
            model_cache = self._device.model_cache
            index = next_to_start(self._queue, self._busy(), model_cache, time.monotonic())
            if index is None or not self._budget.allows(self._queue[index], self._flying.values()):
                return
            run = self._queue[index]
            del self._queue[index]
            self._flying[run.number] = run
            self._begun(run.fence)
            self._threads.read_or_write(run, run.begin)

    def _follow(self, run: TaskRun[Any], step: Step) -> None:
        if isinstance(step, CallsMade) and step.calls:
            now = time.monotonic()
            if not len(self._groups):
                self._idle_since = now
            run.answers = [None] * len(step.calls)
            run.asking = frozenset(slot_of(call.key) for call in step.calls)
            self._groups.add(run.number, step.calls, now)
        elif isinstance(step, CallsMade):
            self._threads.think(run, run.advance)
        elif isinstance(step, GeneratorEnded):
            run.writing = True
            run.asking = frozenset()
            self._finished[run.number] = step.finished
            self._threads.read_or_write(run, partial(run.write, step.finished))
        elif isinstance(step, ResultsStaged):
            finished = self._finished[run.number]
            self._forget(run)
            self._report(run.outcome(finished, step, self.device))
        else:
            self._end(run, step.error)

    def _answer(self, group: Sequence[PendingCall]) -> None:
        """Put a group through its model, and let whoever has all answers go on."""
        key = group[0].call.key
        cap = self._groups.cap(key)
        began = time.monotonic()
        with self._activity.device(by_processor=self.device == "cpu"):
            answers = self._device.predict([ask.call for ask in group], self._busy())
        seconds = time.monotonic() - began
        if isinstance(answers, Exception):
            self._refused(group, answers)
            return
        self._groups.fitted(key, len(group))
        runs = {ask.order: self._flying[ask.order] for ask in group}
        for run in runs.values():
            run.took_part()
        for ask, answer in zip(group, answers, strict=True):
            run = runs[ask.order]
            if run.answer(ask.index, answer, seconds / len(group)):
                self._threads.think(run, run.advance)
        members = tuple((runs[ask.order].fence, runs[ask.order].name, ask.call.t) for ask in group)
        self._activity.passed(len(group))
        self._watch(ForwardPass(key, cap, began, seconds, members))

    def _refused(self, group: Sequence[PendingCall], error: Exception) -> None:
        """Halve what did not fit; find the one call whose fault it is."""
        key = group[0].call.key
        if is_out_of_memory(error):
            self._activity.refused()
        if isinstance(error, CancelError):
            self._groups.put_back(group)
        elif len(group) == 1:
            run = self._flying[group[0].order]
            too_large = is_out_of_memory(error)
            self._end(run, self._device.too_large(key, error) if too_large else error)
        elif is_out_of_memory(error):
            self._groups.failed(key, len(group))
            self._groups.put_back(group)
        else:
            for ask in group:
                if ask.order in self._flying:
                    self._answer([ask])

    def _end(self, run: TaskRun[Any], error: BaseException) -> None:
        self._forget(run)
        self._report(outcome_of(run.fence, error))

    def _forget(self, run: TaskRun[Any]) -> None:
        del self._flying[run.number]
        self._finished.pop(run.number, None)
        self._groups.drop(run.number)
        if run.number not in self._threads.stepping:
            run.close()

    def _hand_back(self, runs: Sequence[TaskRun[Any]]) -> None:
        for run in runs:
            if run.number in self._flying:
                self._forget(run)
        self._queue.clear()
        if runs:
            self._report(HandedBack(tuple(run.fence for run in runs)))

    def _fail_all(self, error: BaseException) -> None:
        for run in list(self._flying.values()):
            self._end(run, error)
