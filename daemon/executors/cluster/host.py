"""The far end of a worker: an actor on a machine of the cluster, which runs a process executor.

The gateway asks it for what there is to tell. It keeps photographs and results that were sent in a
scratch folder, which the next one on this machine removes if it was killed.
"""

import contextlib
import fcntl
import os
import queue
import shutil
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path

from daemon.engine.failures import outcome_of
from daemon.executors.cluster.files import SentFile, read_results, unpack
from daemon.executors.cluster.handshake import Hello, hello, why_not_here
from daemon.executors.process import ProcessExecutor
from daemon.executors.worker import TaskStarted, run_worker
from daemon.messages.reports import Report, Restored, fences_of
from daemon.messages.tasks import Compute, RestoreTask, Task
from daemon.system.cgroups import core_count

_LOCK = "lock"


@dataclass(frozen=True)
class Arrived:
    """A result, with its files where they are sent.

    Attributes:
        restored: As it is staged on the worker's machine.
        staging: The staging folder there.
        files: Its files.
    """

    restored: Restored
    staging: Path
    files: tuple[SentFile, ...]


@dataclass(frozen=True)
class Refused:
    """This machine cannot do a task as the daemon's would; it takes no more."""

    reason: str


@dataclass(frozen=True)
class Ended:
    """It was stopped, and has told everything."""


FromHost = Report | TaskStarted | Arrived | Refused | Ended
"""What a host tells the gateway."""

WorkerMain = Callable[[Connection, Compute, int], None]


class Host:
    """Runs one worker for the gateway; its methods are called from several threads.

    Args:
        compute: How to use the machine; `workers` of them share it.
        worker: Main function of the worker process.
        files_come: Photographs come as bytes, and results go as bytes.
    """

    def __init__(
        self, compute: Compute, worker: WorkerMain = run_worker, *, files_come: bool
    ) -> None:
        # A spawned process would import Ray's own main module first.
        sys.modules["__main__"].__file__ = None
        threads = compute.threads or max(1, core_count() // compute.workers)
        self._compute = replace(compute, threads=threads)
        self._news: queue.SimpleQueue[FromHost] = queue.SimpleQueue()
        self._scratch = make_scratch() if files_come else None
        self._stagings: dict[int, Path] = {}
        self._executor = ProcessExecutor(self._compute, self._hear, worker, started=self._started)

    def hello(self) -> Hello:
        """What this machine says of itself."""
        return hello()

    def start(self) -> None:
        """Start the worker process."""
        self._executor.start()

    def submit(self, task: Task, files: Sequence[SentFile]) -> None:
        """Take a task, with its files where they are sent."""
        try:
            if why := why_not_here(task, self._compute.models_dir) or self._why_not_seen(task):
                self._news.put(Refused(why))
                return
            if self._scratch is not None:
                folder = self._scratch / str(task.fence)
                folder.mkdir()
                task = unpack(task, files, folder)
            if isinstance(task, RestoreTask):
                self._stagings[task.fence] = task.staging
        except Exception as error:
            self._news.put(outcome_of(task.fence, error))
            return
        self._executor.submit(task)

    def poll(self, wait_s: float) -> tuple[FromHost, ...]:
        """What there is to tell, after waiting for it `wait_s` seconds at most."""
        news: list[FromHost] = []
        with contextlib.suppress(queue.Empty):
            news.append(self._news.get(timeout=wait_s))
            while True:
                news.append(self._news.get_nowait())
        return tuple(map(self._with_files, news))

    def replace_worker(self, why: str) -> None:
        """Kill the worker process; another is started."""
        self._executor.replace_worker(why)

    def stop(self, drain_s: float) -> None:
        """Finish within `drain_s`, then tell that it has ended."""

        def stop() -> None:
            self._executor.stop(drain_s)
            self._news.put(Ended())

        threading.Thread(target=stop, daemon=True).start()

    def worker_pid(self) -> int | None:
        """Process id of the worker process, while there is one."""
        return self._executor.pid

    def _why_not_seen(self, task: Task) -> str:
        """Why this machine does not see a task's files, where they are shared; or ""."""
        if self._scratch is not None or not isinstance(task, RestoreTask):
            return ""
        if task.staging.is_dir():
            return ""
        return (
            f"{hello().machine} does not see {task.staging}; mount the station's disk there by the "
            'same path, or set files = "send"'
        )

    def _hear(self, report: Report) -> None:
        self._news.put(report)
        if not isinstance(report, Restored):
            self._forget(fences_of(report))

    def _started(self, fence: int) -> None:
        self._news.put(TaskStarted(fence))

    def _with_files(self, one: FromHost) -> FromHost:
        if not isinstance(one, Restored) or self._scratch is None:
            return one
        staging = self._stagings[one.fence]
        try:
            return Arrived(one, staging, read_results(one, staging))
        except OSError as error:
            return outcome_of(one.fence, error)
        finally:
            self._forget([one.fence])

    def _forget(self, fences: Sequence[int]) -> None:
        for fence in fences:
            self._stagings.pop(fence, None)
            if self._scratch is not None:
                shutil.rmtree(self._scratch / str(fence), ignore_errors=True)


def make_scratch(base: Path | None = None) -> Path:
    """Make a scratch folder for this process, and remove those whose processes have ended."""
    base = base or Path(tempfile.gettempdir()) / f"restored-workers-{os.getuid()}"
    base.mkdir(mode=0o700, exist_ok=True)
    if base.is_symlink() or base.stat().st_uid != os.getuid():
        raise PermissionError(f"{base} belongs to somebody else; remove it")
    for folder in _abandoned(base):
        shutil.rmtree(folder, ignore_errors=True)
    scratch = Path(tempfile.mkdtemp(dir=base))
    # The lock is held until this process ends, however that happens.
    lock = os.open(scratch / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    return scratch


def _abandoned(base: Path) -> Iterator[Path]:
    """Scratch folders whose lock nobody holds."""
    for folder in list(base.iterdir()):
        try:
            lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            continue  # it is being made
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield folder
        except OSError:
            continue
        finally:
            os.close(lock)
