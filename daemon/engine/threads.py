"""The threads beside the engine's loop: they read, run generators and write.

Comes in: a step of a course. Goes out: what comes next, told from the thread that did it. Each
course has one step at a time.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import Any

from daemon.engine.hardware import use_threads
from daemon.engine.runs import Step, StepFailed, TaskRun


class EngineThreads:
    """Two pools: reading and writing a large file must not keep generators waiting.

    Args:
        threads: Of each pool, at least 2.
        tell: Is told what comes next, from any thread.
        around: Is entered around each step, in its thread.
    """

    def __init__(
        self,
        threads: int,
        tell: Callable[[tuple[TaskRun[Any], Step]], None],
        around: Callable[[], AbstractContextManager[None]],
    ) -> None:
        self._threads = max(2, threads)
        self._tell = tell
        self._around = around
        self.stepping: set[int] = set()

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """While the loop turns."""
        single = partial(use_threads, 1)
        with (
            ThreadPoolExecutor(self._threads, "generator", single) as self._generators,
            ThreadPoolExecutor(self._threads, "file", single) as self._files,
        ):
            yield

    def think(self, run: TaskRun[Any], work: Callable[[], Step]) -> None:
        """Let a generator run to its next question."""
        self._step(self._generators, run, work)

    def read_or_write(self, run: TaskRun[Any], work: Callable[[], Step]) -> None:
        """Read photographs, or write results."""
        self._step(self._files, run, work)

    def done(self, number: int) -> None:
        """The loop has taken note of a course's step."""
        self.stepping.discard(number)

    def rest(self) -> None:
        """Begin nothing more."""
        self._generators.shutdown(cancel_futures=True)
        self._files.shutdown(cancel_futures=True)

    def _step(self, pool: ThreadPoolExecutor, run: TaskRun[Any], work: Callable[[], Step]) -> None:
        def carry_out() -> None:
            try:
                with self._around():
                    step = work()
            except BaseException as error:  # one job's fault, whatever it is, stays its own
                step = StepFailed(error)
            self._tell((run, step))

        self.stepping.add(run.number)
        pool.submit(carry_out)
