"""Executors: where tasks run. This is the contract that each of them keeps.

- Reports go to the function that the executor was made with, from any thread.
- Exactly one report names the fence of each task that was submitted: an outcome, `HandedBack`,
  `WorkerDied` or `WorkerLost`; also when a worker dies, and after `stop`.
- `submit` never blocks. Many tasks are in flight at a time, and end in any order.
- Nothing is retried: what a failed task or a dead worker means is for the caller to decide.
- Heartbeats are reported while there is progress, and seldom while there is nothing to do: silence
  means a hang, or a process that was stopped.

- An executor of several workers names the worker in its reports, says when one starts, and to
  which one a task goes.

`inline` runs tasks in a thread of this process. `process` runs them in a spawned worker process, so
that this process never imports torch. `pool` has several of those. `ray` has them on the machines
of a cluster.
"""

from collections.abc import Callable
from importlib import import_module
from typing import Protocol

from daemon.messages.reports import Report
from daemon.messages.tasks import Compute, Task


class Executor(Protocol):
    """Carries out tasks; the contract is the docstring of this package."""

    def start(self) -> None:
        """Start; `WorkerReady` is reported when tasks are being carried out."""

    def submit(self, task: Task) -> None:
        """Take a task; from `start` on, before or after `WorkerReady`. Never blocks."""

    def stop(self, drain_s: float) -> None:
        """Finish what is in flight within `drain_s`, hand back the rest, and end every process.

        It blocks until that is done.
        """

    def replace_worker(self, why: str, worker: str) -> None:
        """Kill a worker process that does not get on, and start another; never blocks.

        `WorkerDied` gives `why`. Where tasks run in this process, nothing can be done.

        Args:
            why: What is wrong with it.
            worker: Its name.
        """


EXECUTORS = {
    "inline": "daemon.executors.inline:InlineExecutor",
    "process": "daemon.executors.process:ProcessExecutor",
    "pool": "daemon.executors.pool:PoolExecutor",
    "ray": "daemon.executors.cluster.executor:RayExecutor",
}
"""Executors by name, as "module:class"; each is made with a `Compute` and a report function."""


def make_executor(name: str, compute: Compute, report: Callable[[Report], None]) -> Executor:
    """Make an executor, importing its module only now.

    Args:
        name: A key of EXECUTORS.
        compute: How it may use this machine.
        report: Called with every report, from any thread.
    """
    module, attribute = EXECUTORS[name].split(":")
    executor: Executor = getattr(import_module(module), attribute)(compute, report)
    return executor
