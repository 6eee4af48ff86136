"""Readers of files without a process: in the call itself, or in a thread of this process."""

import threading
from collections.abc import Callable
from multiprocessing import Pipe

from daemon.intake.file_reader import Answered
from daemon.intake.reader_process import Question, answer, serve
from daemon.photo import Limits
from daemon.system.helper_process import Death


class ReadsNow:
    """Answers each question while it is asked."""

    def __init__(self, limits: Limits | None = None) -> None:
        self.limits = limits or Limits()

    def ask(self, question: Question, answered: Answered) -> None:
        answered(answer(question, self.limits, lambda began: None))


class FileReaderNow(ReadsNow):
    """Stands for the daemon's reader where a test counts turns of the loop."""

    busy = False
    why_no_reader = ""

    def __init__(self, limits: Limits, wake: Callable[[], None], attempts: int) -> None:
        super().__init__(limits)

    def deliver(self) -> None:
        """Nothing: no answer waits."""

    def close(self) -> None:
        """Nothing: no reader runs."""


class ReaderThread:
    """A reader in a thread, so that a test can replace what it calls; it cannot be killed."""

    def __init__(self, limits: Limits) -> None:
        self.pipe, theirs = Pipe()
        self._thread = threading.Thread(target=serve, args=(theirs, limits), daemon=True)
        self._thread.start()

    def kill(self) -> None:
        """Nothing: it ends with its pipe."""

    def is_stopped(self) -> bool:
        return False

    def end(self) -> Death:
        self.pipe.close()
        return Death("ended")
