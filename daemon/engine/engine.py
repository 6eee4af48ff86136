"""The engine: an event loop that batches the model calls of many tasks on one device.

A task's generator yields model calls and waits; the loop answers the calls of all tasks in batches.
So a task that arrives late can share its first forward pass with the tenth of another.

Threads: `Engine.run` is the loop. Its thread alone touches the device, the batcher and the states
of the runs, and makes every report, except those on tasks that come after its end. Photographs are
read, generators run and results are written in the threads of `EngineThreads`. `submit` and `stop`
may be called from any thread: they only put an event into the loop's queue.

Exactly one report names the fence of each task. The engine never retries a task, and an exception
in the code of one never reaches another.
"""

import math
import queue
import time
from collections import deque
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import assert_never

from daemon.engine.activity import Activity
from daemon.engine.admission import Admission, models_in_use
from daemon.engine.backend import Backend, torch_backend
from daemon.engine.batcher import Batcher, PendingCall, rows_of
from daemon.engine.device import BatchMember, Device, ForwardPass
from daemon.engine.failures import is_out_of_memory, outcome_of
from daemon.engine.hardware import (
    NO_DEVICE,
    memory_budget,
    model_budget,
    pass_pixels,
    pick_device,
    task_budget,
    use_threads,
)
from daemon.engine.model_cache import ModelKey, model_key
from daemon.engine.pass_memory import PassMemory
from daemon.engine.runs import (
    AnyRun,
    CallsMade,
    GeneratorEnded,
    ResultsStaged,
    RunState,
    StepFailed,
    make_run,
)
from daemon.engine.threads import EngineThreads, StepEnded
from daemon.messages.reports import HandedBack, LoadedModel, Report
from daemon.messages.tasks import Compute, Task
from daemon.models.calls import Reply
from daemon.system.cgroups import core_count
from daemon.system.errors import CancelError


@dataclass(frozen=True)
class _Stop:
    deadline: float


_Event = Task | _Stop | StepEnded


class Engine:
    """Carries out tasks on one device until it is stopped.

    Args:
        compute: How to use the machine.
        report: Called with every report.
        backend: The functions that do the work; those of this package by default.
        on_start: Called with the fence of each task whose photographs are about to be read.
        on_pass: Called after every forward pass.
        activity: Told of whatever shows that the engine makes progress.
        pixels: Pixels worth putting through one forward pass; by default the device's own number.

    Raises:
        DeviceError: The chosen device is not there.
    """

    def __init__(
        self,
        compute: Compute,
        report: Callable[[Report], None],
        *,
        backend: Backend | None = None,
        on_start: Callable[[int], None] = lambda fence: None,
        on_pass: Callable[[ForwardPass], None] = lambda one: None,
        activity: Activity | None = None,
        pixels: int | None = None,
    ) -> None:
        self._report, self._on_start, self._on_pass = report, on_start, on_pass
        self._activity = activity or Activity()
        backend = backend or torch_backend(compute)
        self._backend = replace(backend, load_model=self._activity.loading(backend.load_model))
        device = pick_device(compute.device) if compute.networks else NO_DEVICE
        if compute.networks:
            from daemon.models.transfers import use_device  # which imports torch

            use_device(device)
        model_bytes = compute.model_bytes or model_budget(device) // compute.device_workers
        self._device = Device(device, self._backend, model_bytes, self._tick, report)
        self._limits = compute.limits
        self._cores = compute.threads or max(1, core_count() // compute.workers)
        pixels = pixels or pass_pixels(self._device.name)
        memory_bytes = compute.memory_bytes or memory_budget() // compute.workers
        memory_bytes = min(memory_bytes, task_budget(device))
        self._admission = Admission(memory_bytes, pixels, self._device.model_cache)
        self._pass_memory = PassMemory(self._device.room_bytes)
        self._batcher = Batcher(pixels, self._pass_memory)
        self._events: queue.SimpleQueue[_Event] = queue.SimpleQueue()
        self._threads = EngineThreads(self._cores, self._events.put, self._activity.step)
        self._waiting: deque[AnyRun] = deque()
        self._in_flight: dict[int, AnyRun] = {}
        self._tasks_taken = 0
        self._deadline: float | None = None
        self._cancel_at = math.inf
        self._ended = False

    def load(self, models: Sequence[str]) -> None:
        """Load models now rather than at their first call; only before `run`."""
        for reference in models:
            self._device.model_cache.get(ModelKey(reference), ())

    def submit(self, task: Task) -> None:
        """Take a task; exactly one report will name its fence. Never blocks. Any thread."""
        self._events.put(task)
        self._hand_back_late_tasks()

    def stop(self, drain_s: float) -> None:
        """Finish the tasks in flight within `drain_s` and hand back the rest. Any thread."""
        self._cancel_at = time.monotonic() + drain_s
        self._events.put(_Stop(self._cancel_at))

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
        """Whether it was stopped and has reported every task."""
        return self._ended

    @property
    def is_idle(self) -> bool:
        """Whether it has no task, neither begun nor waiting. Any thread."""
        return not self._in_flight and not self._waiting and self._events.empty()

    def run(self) -> None:
        """Work until stopped and drained. After an exception it can be called again.

        Raises:
            DeviceError: The device is lost; every task in flight has been reported.
        """
        use_threads(self._cores)
        with self._threads.running():
            try:
                while not self._is_drained():
                    self._iterate()
            except BaseException as error:
                self._fail_all(error)
                raise
            finally:
                self._hand_back([*self._waiting, *self._in_flight.values()])
                self._threads.shut_down()
                self._ended = self._deadline is not None
                self._hand_back_late_tasks()

    def _hand_back_late_tasks(self) -> None:
        """Hand back tasks that came after the loop had ended."""
        while self._ended:
            try:
                event = self._events.get_nowait()
            except queue.Empty:
                return
            if isinstance(event, Task):
                self._report(HandedBack((event.fence,)))

    def _tick(self) -> None:
        """Called between the steps of a long pass, while the loop waits for it.

        Raises:
            CancelError: The time to drain is over.
        """
        self._activity.tick()
        if time.monotonic() >= self._cancel_at:
            raise CancelError("stopped before it was done")

    def _is_drained(self) -> bool:
        if self._deadline is None:
            return False
        return not self._in_flight or time.monotonic() >= self._deadline

    def _iterate(self) -> None:
        """Start tasks, answer a batch if there is one to answer, and handle events."""
        self._start_tasks()
        busy = models_in_use(self._in_flight.values())
        choice = self._batcher.pick(
            time.monotonic(),
            generating=self._generating(),
            ready=lambda key: self._device.model_cache.can_load(model_key(key), busy),
        )
        if choice.batch:
            self._run_batch(choice.batch)
            self._handle_events(wait_s=0)
        else:
            self._handle_events(self._wait_s(choice.wait_s))

    def _generating(self) -> Collection[int]:
        """Numbers of the runs that may make calls soon."""
        return [
            number for number, run in self._in_flight.items() if run.state is RunState.RESTORING
        ]

    def _wait_s(self, choice_s: float | None) -> float | None:
        """Seconds to wait for an event; None waits as long as it takes."""
        if self._deadline is None:
            return choice_s
        left_s = max(0.0, self._deadline - time.monotonic())
        return left_s if choice_s is None else min(left_s, choice_s)

    def _handle_events(self, wait_s: float | None) -> None:
        """Handle all events that have come, after waiting for the first one.

        Args:
            wait_s: Seconds to wait at most; None waits as long as it takes.
        """
        try:
            event = self._events.get(timeout=wait_s) if wait_s != 0 else self._events.get_nowait()
            while True:
                self._handle(event)
                event = self._events.get_nowait()
        except queue.Empty:
            return

    def _handle(self, event: _Event) -> None:
        match event:
            case _Stop():
                self._deadline = event.deadline
                self._hand_back(list(self._waiting))
            case StepEnded():
                if event.run.end_step():
                    self._advance(event)
            case _:
                self._enqueue(event)

    def _enqueue(self, task: Task) -> None:
        if self._deadline is not None:
            self._report(HandedBack((task.fence,)))
            return
        self._tasks_taken += 1
        try:
            self._waiting.append(make_run(self._tasks_taken, task, self._backend, self._limits))
        except Exception as error:
            self._report(outcome_of(task.fence, error))

    def _start_tasks(self) -> None:
        while self._waiting:
            index = self._admission.next_to_start(
                self._waiting, self._in_flight.values(), time.monotonic()
            )
            if index is None:
                return
            run = self._waiting[index]
            del self._waiting[index]
            self._in_flight[run.number] = run
            self._on_start(run.fence)
            run.admit()
            self._threads.start(run)

    def _advance(self, step: StepEnded) -> None:
        """Let a run go on after one of its steps."""
        run = step.run
        match step.result:
            case CallsMade(calls):
                run.wait_for(calls)
                self._batcher.add(run.number, calls, time.monotonic())
            case GeneratorEnded():
                run.finish_generator()
                self._batcher.drop(run.number)
                self._threads.write(run)
            case ResultsStaged():
                outcome = run.outcome(self.device)
                self._remove(run)
                self._report(outcome)
            case StepFailed(error):
                self._fail(run, error)
            case _:
                assert_never(step.result)

    def _run_batch(self, batch: Sequence[PendingCall]) -> None:
        """Put a batch through its model, and hand the answers to the runs."""
        key = batch[0].call.key
        cap = self._batcher.cap(key)
        began = time.monotonic()
        with self._activity.forward_pass(on_cpu=self.device == "cpu"):
            answers = self._device.predict(
                [pending.call for pending in batch], models_in_use(self._in_flight.values())
            )
        ended = time.monotonic()
        seconds = ended - began
        if isinstance(answers, Exception):
            self._handle_failed_batch(batch, answers)
            return
        self._batcher.fitted(key, rows_of(batch))
        self._batcher.passed(key, seconds, ended)
        if self._device.peak_bytes is not None:
            self._pass_memory.note(key, rows_of(batch), self._device.peak_bytes)
        members = tuple(
            BatchMember(run.fence, run.name, pending.call.t)
            for pending in batch
            for run in [self._in_flight[pending.run]]
        )
        self._hand_out(batch, answers, seconds)
        self._activity.count_batch(len(batch))
        self._on_pass(ForwardPass(key, cap, began, seconds, members))

    def _hand_out(
        self, batch: Sequence[PendingCall], answers: Sequence[Reply], seconds: float
    ) -> None:
        """Hand each answer to its run; runs that have all of theirs go on."""
        for number in {pending.run for pending in batch}:
            self._in_flight[number].count_pass()
        for pending, answer in zip(batch, answers, strict=True):
            run = self._in_flight[pending.run]
            if run.take_answer(pending.index, answer, seconds / len(batch)):
                self._threads.resume(run)

    def _handle_failed_batch(self, batch: Sequence[PendingCall], error: Exception) -> None:
        """Halve a batch that did not fit into memory; find the one call that is at fault."""
        key = batch[0].call.key
        if is_out_of_memory(error):
            self._activity.count_out_of_memory()
        if isinstance(error, CancelError):
            self._batcher.put_back(batch)
        elif len(batch) == 1:
            run = self._in_flight[batch[0].run]
            too_large = is_out_of_memory(error)
            self._fail(run, self._device.too_large(key, error) if too_large else error)
        elif is_out_of_memory(error):
            self._batcher.failed(key, rows_of(batch))
            self._batcher.put_back(batch)
        else:
            for pending in batch:
                if pending.run in self._in_flight:
                    self._run_batch([pending])

    def _fail(self, run: AnyRun, error: BaseException) -> None:
        self._remove(run)
        self._report(outcome_of(run.fence, error, run.photos))

    def _fail_all(self, error: BaseException) -> None:
        for run in list(self._in_flight.values()):
            self._fail(run, error)

    def _hand_back(self, runs: Sequence[AnyRun]) -> None:
        """Hand back tasks, in flight or waiting; none is left waiting."""
        for run in runs:
            if run.number in self._in_flight:
                self._remove(run)
        self._waiting.clear()
        if runs:
            self._report(HandedBack(tuple(run.fence for run in runs)))

    def _remove(self, run: AnyRun) -> None:
        """Take a run out of flight; its fence is about to be reported."""
        del self._in_flight[run.number]
        self._batcher.drop(run.number)
        run.end()
