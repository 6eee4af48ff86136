"""Asks the reader process about files, so that no file holds up or ends the daemon's loop.

The loop asks and goes on; the answer is given to whoever asked in a later turn. A file that hangs
or kills its reader is tried again after what was asked meanwhile, and then counts as at fault.
"""

import contextlib
import errno
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Protocol, assert_never

import structlog

from daemon.intake.reader_process import (
    Answer,
    Began,
    ClaimQuestion,
    EndQuestion,
    EndRead,
    FromReader,
    HeaderQuestion,
    NotTaken,
    Question,
    Refused,
    run_reader,
)
from daemon.photo import Limits
from daemon.system.files import shown
from daemon.system.helper_process import (
    START_S,
    Death,
    HelperHandle,
    HelperProcess,
    Ready,
    prepare_thread,
)

_log = structlog.get_logger()

HUNG_S = 60.0
"""Seconds for a step however small its file: a disk that spins up takes ten."""

_BYTES_PER_S = 1e6
"""Slowest reading that counts as progress: a share over a bad radio link."""

_COPY_READS = 3
"""How often a copy reads as much as its file holds: to copy it, and twice to compare."""

_LANES = 2
"""Reader processes: beside a file that is read for minutes, or hangs, the others go on."""

_BUSY_S = 1.0
"""Seconds that a question must keep a reader busy before another reader is started."""

_WAKE_S = 0.1
"""Seconds in which answers are collected while more are asked: they share commits."""

_MANY = 256
"""Answers that wake the loop at once."""

_HOPELESS_AFTER = 3
"""Failed starts in a row after which the reader is reported as hopeless; it is still tried."""

_MAX_INTERRUPTIONS = 20
"""Ends of its reader by somebody else that a question survives: who kills that often goes on."""

_LONGEST_PAUSE_S = 60.0

Answered = Callable[[Answer], None]
"""Called in the loop's thread with the answer to a question; raises nothing."""


class FileReads(Protocol):
    """Whoever answers questions about files, now or later."""

    @property
    def limits(self) -> Limits:
        """Larger photographs are refused."""

    def ask(self, question: Question, answered: Answered) -> None:
        """Have a question answered, in this call or after it."""


class ReaderProcess(HelperProcess):
    """A reader in a spawned process."""

    def __init__(
        self, limits: Limits, main: Callable[[Connection, Limits, int], None] = run_reader
    ) -> None:
        """Start it.

        Args:
            limits: Larger photographs are refused.
            main: Main function of the process; importable by name, as the process is spawned.

        Raises:
            OSError: The system has no room for another process.
        """
        super().__init__(main, limits)


@dataclass
class _Asked:
    question: Question
    answered: Answered
    tries: int = 0
    interruptions: int = 0


class FileReader:
    """Questions of the loop and the readers that answer them."""

    def __init__(
        self,
        limits: Limits,
        wake: Callable[[], None],
        attempts: int,
        start: Callable[[Limits], HelperHandle] | None = None,
    ) -> None:
        """Prepare; a reader is started with the first question.

        Args:
            limits: Larger photographs are refused.
            wake: Ends the loop's sleep when there are answers; called from another thread.
            attempts: How often a file may hang or kill a reader before it counts as at fault.
            start: Starts a reader; `ReaderProcess` if None.
        """
        self.limits = limits
        self._wake = wake
        self._attempts = attempts
        self.start_reader = start or ReaderProcess
        self._questions: queue.SimpleQueue[_Asked | None] = queue.SimpleQueue()
        self._answers: queue.SimpleQueue[tuple[Answered, Answer]] = queue.SimpleQueue()
        self._woken_at = 0.0
        self._open = 0
        self._lanes: list[_Lane] = []
        self._closing = threading.Event()
        self._failed_starts = 0
        self._why_no_reader = ""

    @property
    def busy(self) -> bool:
        """Whether an answer is still to be delivered."""
        return self._open > 0

    @property
    def why_no_reader(self) -> str:
        """Why no reader can be started, after some tries, or ""."""
        return self._why_no_reader

    def ask(self, question: Question, answered: Answered) -> None:
        """Have a question answered in a later turn; only the loop may call this."""
        self._open += 1
        self._questions.put(_Asked(question, answered))
        self._add_lane()

    def deliver(self) -> None:
        """Give the answers that have come to whoever asked; only the loop may call this."""
        with contextlib.suppress(queue.Empty):
            while True:
                answered, answer = self._answers.get_nowait()
                self._open -= 1
                answered(answer)
        self._add_lane()

    def close(self) -> None:
        """End the readers; what was asked is not answered any more."""
        self._closing.set()
        for lane in self._lanes:
            self._questions.put(None)
            lane.kill()
        for lane in self._lanes:
            lane.join(10.0)

    def _add_lane(self) -> None:
        """Start a reader if there is none, or another if all are busy for long and more waits."""
        busy = all(lane.is_busy(time.monotonic()) for lane in self._lanes)
        wanted = busy and not self._questions.empty() and not self._closing.is_set()
        if wanted and len(self._lanes) < _LANES:
            lane = _Lane(self, f"file-reader-{len(self._lanes)}")
            self._lanes.append(lane)
            lane.start()

    # What follows is called by the lanes, from their threads.

    def next_question(self) -> _Asked | None:
        """Wait for a question; None once the readers are to end."""
        asked = self._questions.get()
        return None if self._closing.is_set() else asked

    def started(self) -> None:
        """Note that a reader has started."""
        if self._why_no_reader:
            _log.info("reader_ready")
        self._failed_starts, self._why_no_reader = 0, ""

    def not_started(self, why: str) -> None:
        """Note that a reader could not be started, and wait before the next try."""
        self._failed_starts += 1
        if self._failed_starts == 1:
            what = "the daemon tries again; free some memory, or see that Python is whole"
            _log.error("no_reader", why=why, what_to_do=what)
        if self._failed_starts >= _HOPELESS_AFTER:
            self._why_no_reader = f"the process that reads files cannot be started: {why}"
            self._wake()
        self._closing.wait(min(_LONGEST_PAUSE_S, 2.0 ** (self._failed_starts - 1)))

    def answer(self, asked: _Asked, answer: Answer) -> None:
        """Keep an answer for the loop, and wake that unless more is about to come."""
        self._answers.put((asked.answered, answer))
        now = time.monotonic()
        if (
            self._questions.empty()
            or self._answers.qsize() >= _MANY
            or now - self._woken_at >= _WAKE_S
        ):
            self._woken_at = now
            self._wake()

    def died_of(self, asked: _Asked, step: Began | None, death: Death) -> None:
        """Ask again what a reader died of, after what waits already, or give it up."""
        if self._closing.is_set():
            return
        if death.outside and asked.interruptions < _MAX_INTERRUPTIONS:
            asked.interruptions += 1
        else:
            asked.tries += 1
        label = _label(asked.question, step)
        _log.warning("reader_died", file=label, why=death.how, deaths=asked.tries)
        if asked.tries < self._attempts and not isinstance(asked.question, EndQuestion):
            self._questions.put(asked)
        else:
            self.answer(asked, _given_up(asked, step, death.how))


class _Lane(threading.Thread):
    """One reader after another, and the question that it is asked now.

    The thread must outlive the readers it starts, which end with it (PR_SET_PDEATHSIG).
    """

    def __init__(self, owner: FileReader, name: str) -> None:
        super().__init__(name=name, daemon=True)
        self._owner = owner
        self._lock = threading.Lock()
        self._reader: HelperHandle | None = None
        self._closed = False
        self._asked_at: float | None = None

    def is_busy(self, now: float) -> bool:
        """Whether one question has kept it for long."""
        asked_at = self._asked_at
        return asked_at is not None and now - asked_at >= _BUSY_S

    def kill(self) -> None:
        """End its reader and start no other."""
        with self._lock:
            self._closed = True
            if self._reader is not None:
                self._reader.kill()

    def run(self) -> None:
        """Answer questions until closed."""
        prepare_thread()
        while (asked := self._owner.next_question()) is not None:
            self._asked_at = time.monotonic()
            while not self._closed and not self._has_reader():
                pass
            if self._closed:
                break
            self._ask(asked)
            self._asked_at = None
        self._end_reader()

    def _has_reader(self) -> bool:
        """Start a reader unless there is one; returns whether there is one now."""
        if self._reader is not None:
            return True
        try:
            with self._lock:
                if self._closed:
                    return False
                self._reader = reader = self._owner.start_reader(self._owner.limits)
            if reader.pipe.poll(START_S) and isinstance(reader.pipe.recv(), Ready):
                self._owner.started()
                return True
            why = f"it said nothing for {START_S:.0f} s"
        except (EOFError, OSError) as error:
            why = str(error)
        death = self._end_reader()
        why = death.how if death is not None else why
        if not self._closed:
            self._owner.not_started(why)
        return False

    def _ask(self, asked: _Asked) -> None:
        """Have one question answered, or find that the reader hangs or dies of it."""
        reader = self._reader
        if reader is None:
            raise RuntimeError("a question was asked without a reader")
        step: Began | None = None
        within_s = HUNG_S
        until = time.monotonic() + within_s
        try:
            reader.pipe.send(asked.question)
            while reader.pipe.poll(max(0.0, until - time.monotonic())):
                message: FromReader = reader.pipe.recv()
                match message:
                    case Began():
                        step = message
                        reads = 1 if step.taken_from is None else _COPY_READS
                        within_s = HUNG_S + reads * step.size_bytes / _BYTES_PER_S
                        until = time.monotonic() + within_s
                    case Ready():
                        pass
                    case _:
                        self._owner.answer(asked, message)
                        return
            death = Death(f"took longer than {within_s:.0f} s", outside=reader.is_stopped())
            reader.kill()
            self._end_reader()
        except Exception:  # a reader that is killed while it sends leaves a torn message
            death = self._end_reader() or Death("ended")
        self._owner.died_of(asked, step, death)

    def _end_reader(self) -> Death | None:
        """End the reader, if there is one, and say how it ended."""
        with self._lock:
            reader, self._reader = self._reader, None
        return reader.end() if reader is not None else None


def _label(question: Question, step: Began | None) -> str:
    if step is not None:
        return step.label
    match question:
        case EndQuestion():
            return shown(question.path)
        case HeaderQuestion():
            return shown(question.relative)
        case ClaimQuestion():
            return shown(question.claim.files[0].relative)
        case _:
            assert_never(question)


def _given_up(asked: _Asked, step: Began | None, how: str) -> Answer:
    """The answer about a file that no reader survives."""
    times = f"{asked.tries} times" if asked.tries > 1 else "once"
    match asked.question:
        case EndQuestion():
            return EndRead(truncated=False)
        case ClaimQuestion() if step is not None and step.taken_from is not None:
            why = f"the process that copied it {how}, {times}"
            return NotTaken(step.taken_from, OSError(errno.ETIMEDOUT, why, str(step.taken_from)))
        case HeaderQuestion() | ClaimQuestion():
            label = _label(asked.question, step)
            return Refused(f"{label}: the process that read this {how}, {times}")
        case _:
            assert_never(asked.question)
