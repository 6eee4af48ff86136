"""The engine's threads: they read photographs, run generators and write results.

They run the steps of runs, one at a time for each run, and tell the loop how each step ended.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial

from daemon.engine.hardware import use_threads
from daemon.engine.runs import AnyRun, StepFailed, StepResult


@dataclass(frozen=True)
class StepEnded:
    """A step of a run has ended; the run belongs to the loop again."""

    run: AnyRun
    result: StepResult


class EngineThreads:
    """Two pools, so that reading or writing a large file keeps no generator waiting.

    Args:
        threads: Threads in each pool; at least 2 are made.
        tell: Called in the step's thread when it has ended.
        around: Entered around each step, in its thread.
    """

    def __init__(
        self,
        threads: int,
        tell: Callable[[StepEnded], None],
        around: Callable[[], AbstractContextManager[None]],
    ) -> None:
        self._threads = max(2, threads)
        self._tell = tell
        self._around = around

    @contextmanager
    def running(self) -> Iterator[None]:
        """Keep the pools while the loop runs."""
        single = partial(use_threads, 1)
        with (
            ThreadPoolExecutor(self._threads, "generator", single) as self._generators,
            ThreadPoolExecutor(self._threads, "file", single) as self._files,
        ):
            yield

    def start(self, run: AnyRun) -> None:
        """Read the photographs of a run and run its generator to its first calls."""
        self._submit(self._files, run, run.start)

    def resume(self, run: AnyRun) -> None:
        """Run the generator of a run to its next calls."""
        self._submit(self._generators, run, run.resume)

    def write(self, run: AnyRun) -> None:
        """Stage the results of a run."""
        self._submit(self._files, run, run.write)

    def shut_down(self) -> None:
        """Begin no more steps, and wait for those that are running."""
        self._generators.shutdown(cancel_futures=True)
        self._files.shutdown(cancel_futures=True)

    def _submit(
        self, pool: ThreadPoolExecutor, run: AnyRun, step: Callable[[], StepResult]
    ) -> None:
        def carry_out() -> None:
            try:
                with self._around():
                    result = step()
            except BaseException as error:  # whatever one task raises stays with that task
                result = StepFailed(error)
            self._tell(StepEnded(run, result))

        pool.submit(carry_out)
