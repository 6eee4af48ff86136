"""A stand-in for the worker without torch and networks, for many kills in little time.

It is a process of its own as the real one, at the other end of the same pipe, with the same
messages, decoder, writer and staging. It gives a photograph back as it is and takes a random while
for that, so that kills find work in flight; it starts within a second, not within several.
"""

import contextlib
import ctypes
import os
import random
import signal
import threading
import time
from collections.abc import Callable
from functools import partial
from multiprocessing.connection import Connection

from benchmarks.survival.stepped_clock import LIGHT
from daemon.executors.process import ProcessExecutor
from daemon.executors.worker import FromWorker, Replace, Stop, TaskStarted, ToWorker
from daemon.messages.reports import (
    Failed,
    HandedBack,
    Heartbeat,
    Inspected,
    Outcome,
    Rejected,
    Report,
    Restored,
    Timing,
    WorkerReady,
)
from daemon.messages.tasks import Compute, InspectTask, RestoreTask, Task

_PR_SET_PDEATHSIG = 1


class LightExecutor(ProcessExecutor):
    """The process executor with the light worker."""

    def __init__(self, compute: Compute, report: Callable[[Report], None]) -> None:
        super().__init__(compute, report, light_worker)


def light_worker(pipe: Connection, compute: Compute, parent: int) -> None:
    """Carry out tasks one by one until told to stop, or until the parent is gone."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        return
    send = partial(_send, pipe, threading.Lock())
    send(WorkerReady("light"))
    threading.Thread(target=_beat, args=(send,), daemon=True).start()
    with contextlib.suppress(EOFError, OSError):
        while not isinstance(message := _next(pipe), Stop | Replace):
            send(TaskStarted(message.fence))
            send(_outcome(message, compute))
        send(HandedBack(tuple(_left(pipe))))
    os._exit(0)


def _send(pipe: Connection, lock: threading.Lock, message: FromWorker) -> None:
    with lock:
        pipe.send(message)


def _beat(send: Callable[[FromWorker], None]) -> None:
    """Say every second that the worker lives, as the real one does also while it is idle."""
    with contextlib.suppress(OSError):
        while True:
            send(Heartbeat())
            time.sleep(1.0)


def _next(pipe: Connection) -> ToWorker:
    message: ToWorker = pipe.recv()
    return message


def _left(pipe: Connection) -> list[int]:
    """Fences of the tasks that were sent and not begun."""
    fences = []
    while pipe.poll():
        message = _next(pipe)
        if not isinstance(message, Stop | Replace):
            fences.append(message.fence)
    return fences


def _outcome(task: Task, compute: Compute) -> Outcome:
    from daemon.system.disk_space import is_no_space
    from daemon.system.errors import PhotoError, RestoredError, TruncatedError

    if isinstance(task, InspectTask):
        return Inspected(task.fence, (0.0,) * len(task.features))
    try:
        return _restored(task, compute)
    except PhotoError as error:
        truncated = isinstance(error, TruncatedError)
        return Rejected(task.fence, error.photo, error.why, error.remedy, truncated)
    except (RestoredError, OSError) as error:
        return Failed(task.fence, str(error), passing=True, no_space=is_no_space(error))


def _restored(task: RestoreTask, compute: Compute) -> Restored:
    from daemon.engine.result_writer import stage
    from daemon.photo.notes import each_once
    from daemon.photo.reading import read_picture

    began = time.monotonic()
    picture = read_picture(task.job.photos[0], compute.limits)
    time.sleep(random.random() * float(os.environ[LIGHT]))
    frames = 3 if task.job.recipe.photos == 2 else 1
    files, notes = stage((picture,) * frames, task.job, task.staging)
    seconds = time.monotonic() - began
    return Restored(
        task.fence, files, (), each_once(notes), Timing(0.0, seconds, 0.0, 0.0, 0, 0), "light"
    )
