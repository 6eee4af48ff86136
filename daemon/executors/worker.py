"""The worker process: an engine at the other end of the process executor's pipe.

The parent sends tasks and, once, a `Stop`; the worker sends reports, `TaskStarted` and, if it
cannot start, `StartFailed`. It ignores Ctrl-C and SIGTERM, which are the parent's to act on, and
ends when the parent ends, however that ends.
"""

import os
import signal
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING

from daemon.config.model_reference import PRIOR
from daemon.engine.activity import Activity
from daemon.executors.heartbeat import HeartbeatThread
from daemon.executors.process_env import tune_process
from daemon.messages.reports import Report, WorkerReady
from daemon.messages.tasks import Compute, Task
from daemon.system.errors import RestoredError
from daemon.system.processes import end_with_parent

if TYPE_CHECKING:
    from daemon.engine.backend import Backend

_EXIT_BUG = 70


@dataclass(frozen=True)
class Stop:
    """To a worker, or to all of a pool: finish within `drain_s` seconds."""

    drain_s: float


@dataclass(frozen=True)
class Replace:
    """To a pool or a gateway, which have workers of their own: replace one of them."""

    why: str
    worker: str


@dataclass(frozen=True)
class TaskStarted:
    """From the worker: the photographs of this task are about to be read."""

    fence: int


@dataclass(frozen=True)
class StartFailed:
    """From the worker: it ends for this reason, and has taken no task."""

    reason: str


ToWorker = Task | Stop | Replace
"""Messages that the parent sends."""

FromWorker = Report | TaskStarted | StartFailed
"""Messages that the worker sends."""


def run_worker(
    pipe: Connection,
    compute: Compute,
    parent: int,
    make_backend: "Callable[[], Backend] | None" = None,
) -> None:
    """Carry out tasks until stopped; the main function of the worker process.

    Args:
        pipe: Connection to the parent.
        compute: How to use the machine.
        parent: Process id of the parent.
        make_backend: Makes the functions that do the work; by default those of this package.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    end_with_parent(parent)
    tune_process(compute.threads)
    send, activity = partial(_send, pipe, threading.Lock()), Activity()
    try:
        from daemon.engine.engine import Engine

        backend = None if make_backend is None else make_backend()
        engine = Engine(
            compute,
            send,
            backend=backend,
            on_start=lambda fence: send(TaskStarted(fence)),
            activity=activity,
        )
        engine.load([PRIOR] if compute.networks else [])
    except Exception as error:
        known = isinstance(error, RestoredError)
        send(StartFailed(str(error) if known else f"{type(error).__name__}: {error}"))
        sys.exit(_EXIT_BUG)
    send(WorkerReady(engine.device, engine.loaded_models))
    heartbeat = HeartbeatThread(
        activity, lambda: engine.loaded_models, send, lambda: engine.is_idle
    )
    heartbeat.start()
    threading.Thread(target=_receive, args=(pipe, engine.submit, engine.stop), daemon=True).start()
    try:
        engine.run()
    except Exception as error:
        # Every task in flight has been reported. A new process will have a new device context.
        print(f"restored worker: {type(error).__name__}: {error}", file=sys.stderr)
        sys.exit(_EXIT_BUG)
    finally:
        heartbeat.stop()


def _send(pipe: Connection, lock: threading.Lock, message: FromWorker) -> None:
    """Send one message at a time: the engine and its heartbeat send from threads of their own."""
    with lock:
        pipe.send(message)


def _receive(
    pipe: Connection, submit: Callable[[Task], None], stop: Callable[[float], None]
) -> None:
    try:
        while True:
            message: ToWorker = pipe.recv()
            match message:
                case Stop(drain_s):
                    stop(drain_s)
                case Replace():
                    pass  # it has no workers of its own
                case _:
                    submit(message)
    except (EOFError, OSError):
        os._exit(0)  # the parent is gone, and with it whoever waits for results
