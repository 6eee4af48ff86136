"""The worker process: what runs on the other side of the process executor's pipe.

Comes in: orders and, once, a stop. Goes out: reports. It ignores Ctrl-C and SIGTERM, which are
the parent's to act on, and ends when the parent ends, however that ends.
"""

import ctypes
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
from daemon.executors.heartbeat import Beat
from daemon.executors.process_env import tune_process
from daemon.messages.reports import Report, WorkerReady
from daemon.messages.tasks import Compute, Task
from daemon.system.errors import RestoredError

if TYPE_CHECKING:
    from daemon.engine.backend import Backend

_PR_SET_PDEATHSIG = 1
_BUG = 70


@dataclass(frozen=True)
class Stop:
    """To the worker: finish within so many seconds."""

    drain_s: float


@dataclass(frozen=True)
class TaskStarted:
    """From the worker: this order's photographs are about to be read."""

    fence: int


@dataclass(frozen=True)
class StartFailed:
    """From the worker: it ends because of this before it took any order."""

    reason: str


def work(
    pipe: Connection,
    compute: Compute,
    parent: int,
    make_backend: "Callable[[], Backend] | None" = None,
) -> None:
    """Serve orders until stopped; the only function that runs in the worker process.

    Args:
        pipe: The way to the parent.
        compute: How to use the machine.
        parent: Process id of the parent.
        make_backend: Makes the functions that do the work; the package's own by default.
    """
    for one in (signal.SIGINT, signal.SIGTERM):
        signal.signal(one, signal.SIG_IGN)
    _die_with(parent)
    tune_process(compute.threads)
    tell, activity = partial(_tell, pipe, threading.Lock()), Activity()
    try:
        from daemon.engine.engine import Engine

        backend = None if make_backend is None else make_backend()
        engine = Engine(
            compute,
            tell,
            backend=backend,
            on_start=lambda fence: tell(TaskStarted(fence)),
            activity=activity,
        )
        engine.load([PRIOR])
    except Exception as error:
        known = isinstance(error, RestoredError)
        tell(StartFailed(str(error) if known else f"{type(error).__name__}: {error}"))
        sys.exit(_BUG)
    tell(WorkerReady(engine.device, engine.loaded_models))
    beat = Beat(activity, lambda: engine.loaded_models, tell)
    beat.start()
    threading.Thread(target=_receive, args=(pipe, engine.submit, engine.stop), daemon=True).start()
    try:
        engine.run()
    except Exception as error:
        # Every order has its outcome; a new process has a new device context.
        print(f"restored worker: {type(error).__name__}: {error}", file=sys.stderr)
        sys.exit(_BUG)
    finally:
        beat.stop()


def _tell(
    pipe: Connection, lock: threading.Lock, message: Report | TaskStarted | StartFailed
) -> None:
    """Send whole messages: the engine and its beat speak from threads of their own."""
    with lock:
        pipe.send(message)


def _receive(
    pipe: Connection, submit: Callable[[Task], None], stop: Callable[[float], None]
) -> None:
    try:
        while True:
            message = pipe.recv()
            if isinstance(message, Stop):
                stop(message.drain_s)
            else:
                submit(message)
    except (EOFError, OSError):
        os._exit(0)  # the parent is gone: nobody is left to finish for


def _die_with(parent: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(0)
