"""A process of its own for a test: it owns a process executor until it is killed."""

import sys
import time

from daemon.executors.process import ProcessExecutor
from daemon.messages.reports import ModelLoaded, Report, WorkerReady
from daemon.messages.tasks import Compute
from tests.support.toy_worker import toy_worker


def main() -> None:
    """Print the worker's process id when it is ready, then wait to be killed."""

    def report_to_test(report: Report) -> None:
        if isinstance(report, WorkerReady):
            print(executor.pid, "torch" in sys.modules, flush=True)
        elif not isinstance(report, ModelLoaded):
            print(report, flush=True)

    executor = ProcessExecutor(Compute(device="cpu", threads=1), report_to_test, worker=toy_worker)
    executor.start()
    time.sleep(120)


if __name__ == "__main__":
    main()
