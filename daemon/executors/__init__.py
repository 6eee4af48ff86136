"""The seam to compute: who carries out orders, and where.

Comes in: orders. Goes out: reports, through the function given at construction (it may be called
from any thread). `inline` works in a thread of this process, `process` in one spawned worker
process per device, so that the parent never imports torch.
"""

from collections.abc import Callable
from importlib import import_module
from typing import Protocol

from daemon.messages.reports import Report
from daemon.messages.tasks import Compute, Task


class Executor(Protocol):
    """Carries out orders, many at a time, in whatever order keeps the device busy."""

    def start(self) -> None:
        """Begin; `WorkerReady` is reported when orders are being worked on."""

    def submit(self, task: Task) -> None:
        """Take an errand; exactly one report will name its fence. Never blocks."""

    def stop(self, drain_s: float) -> None:
        """Finish what is in flight within `drain_s`, hand back the rest, end every process."""


EXECUTORS = {
    "inline": "daemon.executors.inline:InlineExecutor",
    "process": "daemon.executors.process:ProcessExecutor",
}


def make_executor(name: str, compute: Compute, report: Callable[[Report], None]) -> Executor:
    """Make the executor of that name, importing its module only now."""
    module, attribute = EXECUTORS[name].split(":")
    executor: Executor = getattr(import_module(module), attribute)(compute, report)
    return executor
