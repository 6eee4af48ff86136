"""Files get names on other disks: copied and compared at once, or by a process in the background.

On one disk a second name is a hard link, which is instant. A copy of a large file to a slow share
takes minutes, in which the daemon's loop must go on: whoever asks for it is told "not yet" and asks
again in a later turn.
"""

import contextlib
import errno
import os
import queue
import threading
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path
from typing import Protocol

import structlog

from daemon.jobs.copy_process import (
    Answer,
    Compared,
    CompareQuestion,
    CopyQuestion,
    Question,
    run_copier,
    unequal_at_sight,
)
from daemon.system import files
from daemon.system.files import NO_LINKS, give_name, part_path, shown
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
"""Seconds for a copy however small its file: a disk that spins up takes ten."""

_BYTES_PER_S = 1e6
"""Slowest copying that counts as progress: a share over a bad radio link."""

_READS = 2
"""How often a question goes over the bytes of its file: to write and to sync, or to read two."""

_END_S = 10.0
"""Seconds that the processes are given to end when the daemon does."""

_LANES = 4
"""Copy processes: beside a disk that hangs, copies to three others go on."""


class CopyPendingError(Exception):
    """Files are still copied or compared; whoever asked repeats the call once that has ended.

    Attributes:
        questions: What is not answered yet.
    """

    def __init__(self, questions: Collection[Question]) -> None:
        super().__init__("files are still being copied")
        self.questions = frozenset(questions)


class FileCopies(Protocol):
    """Whoever gives files second names, see `system.files.place`, now or later."""

    def prepare(self, moves: Iterable[tuple[Path, Path]]) -> None:
        """Copy each file that cannot be linked to its target, so that `place` is instant.

        Raises:
            CopyPendingError: Copies go on.
            OSError: A copy failed; nothing is left of it.
        """

    def place(self, source: Path, target: Path) -> bool:
        """As `system.files.place`; raises as `prepare` does."""

    def same_content(self, one: Path, other: Path) -> bool:
        """As `system.files.same_content`; raises as `prepare` does."""

    def is_pending(self, questions: Collection[Question]) -> bool:
        """Whether any of these is still to be answered."""

    def deliver(self) -> None:
        """Take the answers that have come."""

    def forget(self, sources: Collection[Path]) -> None:
        """Remove copies that got no name: these files have theirs, or will never get any."""

    @property
    def busy(self) -> bool:
        """Whether files are still copied or compared."""


class DirectCopies:
    """Copies and compares while it is asked."""

    busy = False

    def prepare(self, moves: Iterable[tuple[Path, Path]]) -> None:
        """Nothing: `place` copies."""

    def place(self, source: Path, target: Path) -> bool:
        """As `system.files.place`."""
        return files.place(source, target)

    def same_content(self, one: Path, other: Path) -> bool:
        """As `system.files.same_content`."""
        return files.same_content(one, other)

    def is_pending(self, questions: Collection[Question]) -> bool:
        """Nothing is."""
        return False

    def deliver(self) -> None:
        """Nothing comes later."""

    def forget(self, sources: Collection[Path]) -> None:
        """Nothing is remembered."""


class BackgroundCopies:
    """Has processes copy and compare; only the loop may call this.

    A part file belongs to one question at a time: while that is pending nobody else touches it,
    and it gets a name only once its answer says that it is whole.
    """

    def __init__(
        self, wake: Callable[[], None], start: Callable[[], HelperHandle] | None = None
    ) -> None:
        """Prepare; a process is started with the first question about its disk.

        Args:
            wake: Ends the loop's sleep when an answer is there; called from other threads.
            start: Starts a copy process; a spawned one if None.
        """
        self._wake = wake
        self._start = start or start_copier
        self._answered: queue.SimpleQueue[tuple[Question, Answer]] = queue.SimpleQueue()
        self._pending: set[Question] = set()
        self._unwanted: set[Question] = set()
        self._answers: dict[Question, Answer] = {}
        self._without_links: set[Path] = set()
        self._lanes: list[_Lane] = []
        self._lane_of: dict[int, int] = {}

    @property
    def busy(self) -> bool:
        """Whether files are still copied or compared for somebody."""
        return not self._pending <= self._unwanted

    def prepare(self, moves: Iterable[tuple[Path, Path]]) -> None:
        """Ask for all copies at once, so that files of a group get their names in one go."""
        pending: set[Question] = set()
        for source, target in moves:
            if os.path.lexists(target) or not self._needs_copy(source, target.parent):
                continue
            try:
                self._copied(source, target.parent)
            except CopyPendingError as error:
                pending |= error.questions
        if pending:
            raise CopyPendingError(pending)

    def place(self, source: Path, target: Path) -> bool:
        """Link a file, or give its copy the name; False if that holds other content."""
        try:
            os.link(source, target)
        except FileExistsError:
            if not self.same_content(source, target):
                return False
            _remove(part_path(source, target.parent))  # of a daemon that was killed
        except OSError as error:
            if error.errno not in NO_LINKS | {errno.EXDEV}:
                raise
            self._without_links.add(target.parent)
            if not self._name_copy(source, target):
                return False
        self.forget([source])
        return True

    def same_content(self, one: Path, other: Path) -> bool:
        """Whether two files hold the same bytes."""
        found = unequal_at_sight(one, other)
        if not isinstance(found, CompareQuestion):
            return not found
        answer = self._answer(found, other.parent)
        return isinstance(answer, Compared) and answer.same

    def is_pending(self, questions: Collection[Question]) -> bool:
        """Whether any of these is still to be answered."""
        return not self._pending.isdisjoint(questions)

    def deliver(self) -> None:
        """Take the answers that have come."""
        with contextlib.suppress(queue.Empty):
            while True:
                question, answer = self._answered.get_nowait()
                self._pending.discard(question)
                if question in self._unwanted:
                    self._unwanted.discard(question)
                    _remove_part(question)
                else:
                    self._answers[question] = answer

    def forget(self, sources: Collection[Path]) -> None:
        """Remove what was copied of files and got no name."""
        wanted = set(sources)
        for question in [one for one in self._answers if one.source in wanted]:
            del self._answers[question]
            _remove_part(question)
        self._unwanted |= {one for one in self._pending if one.source in wanted}

    def close(self) -> None:
        """End the copy processes; what they were at is left to the next start."""
        for lane in self._lanes:
            lane.close()
        until = time.monotonic() + _END_S
        ended = [lane.has_ended(until) for lane in self._lanes]
        if all(ended):  # or a disk hangs, and would hang this process too
            self.deliver()
            for question in self._answers:
                _remove_part(question)

    def _needs_copy(self, source: Path, folder: Path) -> bool:
        with contextlib.suppress(FileNotFoundError):  # `place` tells whoever asks
            return folder in self._without_links or source.stat().st_dev != folder.stat().st_dev
        return False

    def _name_copy(self, source: Path, target: Path) -> bool:
        question = self._copied(source, target.parent)
        try:
            # If the name is taken, the copy is kept and gets another.
            return give_name(question.part, target, None) or self.same_content(source, target)
        except OSError:
            self.forget([source])
            raise

    def _copied(self, source: Path, folder: Path) -> CopyQuestion:
        """The question whose answer is a whole copy of a file."""
        question = CopyQuestion.about(source, folder)
        self._answer(question, folder)
        with contextlib.suppress(FileNotFoundError):
            if question.part.lstat().st_size == question.size_bytes:
                return question
        del self._answers[question]  # somebody removed or changed the copy
        self._answer(question, folder)
        raise AssertionError("a question that was just asked has no answer yet")

    def _answer(self, question: Question, folder: Path) -> Answer:
        """The answer to a question; it is asked if it was not.

        Raises:
            CopyPendingError: It is not answered yet.
            OSError: The file system refused.
        """
        answer = self._answers.get(question)
        if isinstance(answer, OSError):
            del self._answers[question]
            raise answer
        if answer is not None:
            return answer
        self._unwanted.discard(question)
        if question not in self._pending:
            lane = self._lane(folder.stat().st_dev)
            self._pending.add(question)
            lane.ask(question)
        raise CopyPendingError([question])

    def _lane(self, device: int) -> "_Lane":
        """The process for a disk; beyond `_LANES` disks share one."""
        number = self._lane_of.setdefault(device, len(self._lane_of) % _LANES)
        if number == len(self._lanes):
            lane = _Lane(f"file-copier-{number}", self._start, self._keep)
            try:
                lane.start()
            except RuntimeError as error:
                raise OSError(errno.EAGAIN, f"no thread can be started: {error}") from error
            self._lanes.append(lane)
        return self._lanes[number]

    def _keep(self, question: Question, answer: Answer) -> None:
        """Keep an answer for the loop; called by the lanes, from their threads."""
        self._answered.put((question, answer))
        self._wake()


def place_all(moves: Sequence[tuple[Path, Path]], copies: FileCopies) -> bool:
    """Give files names that were free, all or none; the files stay.

    Returns:
        False if somebody took a name meanwhile.
    """
    new: list[Path] = []
    try:
        for source, target in moves:
            was_free = not os.path.lexists(target)
            if not copies.place(source, target):
                _take_back(new)
                return False
            new += [target] if was_free else []
    except CopyPendingError:
        _take_back(new)
        raise
    return True


def _take_back(placed: Sequence[Path]) -> None:
    for path in placed:
        with contextlib.suppress(FileNotFoundError):
            path.unlink()


class _Lane(threading.Thread):
    """One copy process after another, and the question that it is asked now.

    The thread must outlive the processes it starts, which end with it (PR_SET_PDEATHSIG).
    """

    def __init__(
        self,
        name: str,
        start: Callable[[], HelperHandle],
        answered: Callable[[Question, Answer], None],
    ) -> None:
        super().__init__(name=name, daemon=True)
        self._start_copier = start
        self._answered = answered
        self._questions: queue.SimpleQueue[Question | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._copier: HelperHandle | None = None
        self._closed = False

    def ask(self, question: Question) -> None:
        """Have a question answered after those asked before."""
        self._questions.put(question)

    def close(self) -> None:
        """End the process and start no other."""
        with self._lock:
            self._closed = True
            if self._copier is not None:
                self._copier.kill()
        self._questions.put(None)

    def has_ended(self, until: float) -> bool:
        """Wait for the end after `close`, until a monotonic time; returns whether it came."""
        self.join(max(0.0, until - time.monotonic()))
        return not self.is_alive()

    def run(self) -> None:
        """Answer questions until closed."""
        prepare_thread()
        while (question := self._questions.get()) is not None and not self._closed:
            try:
                answer: Answer = self._ask(question)
            except Exception as error:  # a process that is killed while it sends: a torn message
                answer = self._died_of(question, str(error))
            self._answered(question, answer)
            if isinstance(answer, OSError):
                with contextlib.suppress(OSError):
                    _remove_part(question)
        self._end_copier()

    def _ask(self, question: Question) -> Answer:
        within_s = HUNG_S + _READS * question.size_bytes / _BYTES_PER_S
        copier = self._copier or self._new_copier()
        copier.pipe.send(question)
        if copier.pipe.poll(within_s):
            answer: Answer = copier.pipe.recv()
            return answer
        copier.kill()
        return self._died_of(question, "", f"took longer than {within_s:.0f} s")

    def _new_copier(self) -> HelperHandle:
        with self._lock:
            if self._closed:
                raise OSError("the daemon ends")
            self._copier = copier = self._start_copier()
        if copier.pipe.poll(START_S) and isinstance(copier.pipe.recv(), Ready):
            return copier
        raise OSError(f"it said nothing for {START_S:.0f} s")

    def _died_of(self, question: Question, why: str, how: str = "") -> OSError:
        """Say how the process ended; its disk counts as away, since a copy is no file's fault."""
        death = self._end_copier()
        how = how or (death.how if death is not None else f"could not be started: {why}")
        if not self._closed:
            _log.warning("copier_died", file=shown(question.source.name), why=how)
        return OSError(errno.ETIMEDOUT, f"the process that copies to it {how}", _goes_to(question))

    def _end_copier(self) -> Death | None:
        with self._lock:
            copier, self._copier = self._copier, None
        return copier.end() if copier is not None else None


def start_copier() -> HelperHandle:
    """Start a copy process."""
    return HelperProcess(run_copier)


def _goes_to(question: Question) -> str:
    folder = question.folder if isinstance(question, CopyQuestion) else question.other.parent
    return str(folder)


def _remove_part(question: Question) -> None:
    if isinstance(question, CopyQuestion):
        with contextlib.suppress(OSError):  # a disk that is away; whoever repeats the copy does it
            _remove(question.part)


def _remove(path: Path) -> None:
    path.unlink(missing_ok=True)
