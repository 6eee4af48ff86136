"""Run by a test as a process of its own: owns a process executor until it is killed."""

import sys
import time

from daemon.executors.process import ProcessExecutor
from daemon.messages.reports import ModelLoaded, Report, WorkerReady
from daemon.messages.tasks import Compute
from tests.support.toy_worker import toy_worker


def main() -> None:
    """Print the worker's process id when it is ready, then wait to be killed."""

    def heard(report: Report) -> None:
        if isinstance(report, WorkerReady):
            print(executor.pid, "torch" in sys.modules, flush=True)
        elif not isinstance(report, ModelLoaded):
            print(report, flush=True)

    executor = ProcessExecutor(Compute(device="cpu", threads=1), heard, worker=toy_worker)
    executor.start()
    time.sleep(120)


if __name__ == "__main__":
    main()
