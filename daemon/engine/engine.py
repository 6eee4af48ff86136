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

from daemon.engine.activity import Pulse
from daemon.engine.admission import Budget, next_turn
from daemon.engine.backend import Craft, real_craft
from daemon.engine.batcher import Ask, Groups
from daemon.engine.device import Device, Pass
from daemon.engine.failures import is_out_of_memory, outcome_of
from daemon.engine.hardware import (
    memory_budget,
    model_budget,
    pass_pixels,
    pick_device,
    use_threads,
)
from daemon.engine.model_cache import Slot, slot_of
from daemon.engine.runs import Asked, Course, Done, Step, Written, course_of
from daemon.engine.threads import Crew
from daemon.messages.reports import HandedBack, Report, Resident
from daemon.messages.tasks import Compute, Errand
from daemon.system.cgroups import core_count
from daemon.system.errors import CancelError

LINGER_S = 0.02
"""How long the device may idle for generators that would fill a group; a pass takes about 0.1 s."""


@dataclass(frozen=True)
class _Stop:
    deadline: float


_Event = Errand | _Stop | tuple[Course[Any], Step]


class Engine:
    """Carries out orders on one device until it is told to stop.

    Args:
        compute: How to use the machine.
        report: Is told everything.
        craft: The functions that do the work; the package's own by default.
        begun: Is told the fence of each order whose photographs are about to be read.
        watch: Is told of every forward pass.
        pulse: Is told whatever shows that the engine gets on.
        pixels: Pixels in one forward pass; the device's own number by default.
    """

    def __init__(
        self,
        compute: Compute,
        report: Callable[[Report], None],
        *,
        craft: Craft | None = None,
        begun: Callable[[int], None] = lambda fence: None,
        watch: Callable[[Pass], None] = lambda one: None,
        pulse: Pulse | None = None,
        pixels: int | None = None,
    ) -> None:
        """Take possession of the device.

        Raises:
            DeviceError: The device that is asked for is not there.
        """
        self._report, self._begun, self._watch = report, begun, watch
        self._pulse = pulse or Pulse()
        craft = craft or real_craft(compute)
        self._craft = replace(craft, load_model=self._pulse.loading(craft.load_model))
        device = pick_device(compute.device)
        model_bytes = compute.model_bytes or model_budget(device)
        self._device = Device(device, self._craft, model_bytes, self._tick, report)
        self._limits = compute.limits
        self._threads = compute.threads or core_count()
        pixels = pixels or pass_pixels(self._device.name)
        self._budget = Budget(compute.memory_bytes or memory_budget(), pixels)
        self._groups = Groups(pixels)
        self._events: queue.SimpleQueue[_Event] = queue.SimpleQueue()
        self._crew = Crew(self._threads, self._events.put, self._pulse.step)
        self._queue: deque[Course[Any]] = deque()
        self._flying: dict[int, Course[Any]] = {}
        self._finished: dict[int, Any] = {}
        self._deadline: float | None = None
        self._give_up_at = math.inf
        self._numbered = 0
        self._idle_since = 0.0
        self._ended = False

    def load(self, models: Sequence[str]) -> None:
        """Load models now rather than at their first call."""
        for reference in models:
            self._device.residency.get(Slot(reference, whole=False), ())

    def submit(self, errand: Errand) -> None:
        """Take an errand; exactly one report will name its fence. Never blocks; any thread."""
        self._events.put(errand)
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
    def residents(self) -> tuple[Resident, ...]:
        """The models that are loaded. Any thread."""
        return self._device.residency.residents()

    @property
    def ended(self) -> bool:
        """Whether it was stopped and has reported every order."""
        return self._ended

    def run(self) -> None:
        """Work until stopped and done. After an exception it can be called again.

        Raises:
            DeviceError: The device is lost; every order has been reported.
        """
        use_threads(self._threads)
        with self._crew.at_work():
            try:
                while not self._over():
                    self._turn()
            except BaseException as error:
                self._fail_all(error)
                raise
            finally:
                self._hand_back([*self._queue, *self._flying.values()])
                self._crew.rest()
                self._ended = self._deadline is not None
                self._return_late_orders()

    def _return_late_orders(self) -> None:
        """Hand back what came in after the loop ended."""
        while self._ended:
            try:
                event = self._events.get_nowait()
            except queue.Empty:
                return
            if isinstance(event, Errand):
                self._report(HandedBack((event.fence,)))

    def _tick(self) -> None:
        """Between the steps of a long pass: the loop itself does not turn meanwhile.

        Raises:
            CancelError: Time to finish is over.
        """
        self._pulse.tick()
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
            ready=lambda key: self._device.residency.admits(slot_of(key), busy),
        )
        if group:
            self._answer(group)
            self._take_events(wait_s=0)
            self._idle_since = time.monotonic()
        else:
            self._take_events(wait_s=self._wait_s(lingering=lingering))

    def _busy(self) -> frozenset[Slot]:
        """Models with work in flight."""
        return frozenset().union(*(course.asking for course in self._flying.values()))

    def _asking(self) -> int:
        return sum(
            not self._flying[number].writing for number in self._crew.stepping & set(self._flying)
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
        if isinstance(event, Errand):
            self._enqueue(event)
        elif isinstance(event, _Stop):
            self._deadline = event.deadline
            self._hand_back(list(self._queue))
        else:
            course, step = event
            self._crew.done(course.number)
            if course.number in self._flying:
                self._follow(course, step)
            else:
                course.close()

    def _enqueue(self, errand: Errand) -> None:
        if self._deadline is not None:
            self._report(HandedBack((errand.fence,)))
            return
        self._numbered += 1
        try:
            self._queue.append(course_of(self._numbered, errand, self._craft, self._limits))
        except Exception as error:
            self._report(outcome_of(errand.fence, error))

    def _admit(self) -> None:
        while self._queue:
            residency = self._device.residency
            index = next_turn(self._queue, self._busy(), residency, time.monotonic())
            if index is None or not self._budget.allows(self._queue[index], self._flying.values()):
                return
            course = self._queue[index]
            del self._queue[index]
            self._flying[course.number] = course
            self._begun(course.fence)
            self._crew.read_or_write(course, course.begin)

    def _follow(self, course: Course[Any], step: Step) -> None:
        if isinstance(step, Asked) and step.calls:
            now = time.monotonic()
            if not len(self._groups):
                self._idle_since = now
            course.answers = [None] * len(step.calls)
            course.asking = frozenset(slot_of(call.key) for call in step.calls)
            self._groups.add(course.number, step.calls, now)
        elif isinstance(step, Asked):
            self._crew.think(course, course.advance)
        elif isinstance(step, Done):
            course.writing = True
            course.asking = frozenset()
            self._finished[course.number] = step.finished
            self._crew.read_or_write(course, partial(course.write, step.finished))
        elif isinstance(step, Written):
            finished = self._finished[course.number]
            self._forget(course)
            self._report(course.outcome(finished, step, self.device))
        else:
            self._end(course, step.error)

    def _answer(self, group: Sequence[Ask]) -> None:
        """Put a group through its model, and let whoever has all answers go on."""
        key = group[0].call.key
        cap = self._groups.cap(key)
        began = time.monotonic()
        with self._pulse.device(by_processor=self.device == "cpu"):
            answers = self._device.predict([ask.call for ask in group], self._busy())
        seconds = time.monotonic() - began
        if isinstance(answers, Exception):
            self._refused(group, answers)
            return
        self._groups.fitted(key, len(group))
        courses = {ask.order: self._flying[ask.order] for ask in group}
        for course in courses.values():
            course.took_part()
        for ask, answer in zip(group, answers, strict=True):
            course = courses[ask.order]
            if course.answer(ask.index, answer, seconds / len(group)):
                self._crew.think(course, course.advance)
        members = tuple(
            (courses[ask.order].fence, courses[ask.order].name, ask.call.t) for ask in group
        )
        self._pulse.passed(len(group))
        self._watch(Pass(key, cap, began, seconds, members))

    def _refused(self, group: Sequence[Ask], error: Exception) -> None:
        """Halve what did not fit; find the one call whose fault it is."""
        key = group[0].call.key
        if is_out_of_memory(error):
            self._pulse.refused()
        if isinstance(error, CancelError):
            self._groups.put_back(group)
        elif len(group) == 1:
            course = self._flying[group[0].order]
            too_large = is_out_of_memory(error)
            self._end(course, self._device.too_large(key, error) if too_large else error)
        elif is_out_of_memory(error):
            self._groups.failed(key, len(group))
            self._groups.put_back(group)
        else:
            for ask in group:
                if ask.order in self._flying:
                    self._answer([ask])

    def _end(self, course: Course[Any], error: BaseException) -> None:
        self._forget(course)
        self._report(outcome_of(course.fence, error))

    def _forget(self, course: Course[Any]) -> None:
        del self._flying[course.number]
        self._finished.pop(course.number, None)
        self._groups.drop(course.number)
        if course.number not in self._crew.stepping:
            course.close()

    def _hand_back(self, courses: Sequence[Course[Any]]) -> None:
        for course in courses:
            if course.number in self._flying:
                self._forget(course)
        self._queue.clear()
        if courses:
            self._report(HandedBack(tuple(course.fence for course in courses)))

    def _fail_all(self, error: BaseException) -> None:
        for course in list(self._flying.values()):
            self._end(course, error)
