"""The gateway: a process that is the driver of a Ray cluster, at the end of an executor's pipe.

The daemon sends tasks, `Replace` and, once, a `Stop`; the gateway sends reports, `TaskStarted` for
each task that a machine is given, and, if it cannot join the cluster, `StartFailed`.
"""

import math
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from multiprocessing.connection import Connection

from daemon.executors.cluster.handshake import hello
from daemon.executors.cluster.membership import join, nodes
from daemon.executors.pool import PoolExecutor, PoolWorker
from daemon.executors.worker import (
    FromWorker,
    Replace,
    StartFailed,
    Stop,
    TaskStarted,
    ToWorker,
    run_worker,
)
from daemon.messages.reports import Report, TaskAssigned
from daemon.messages.tasks import Cluster, Compute
from daemon.system.errors import RestoredError
from daemon.system.processes import end_with_parent

_EXIT_FAILED = 70

WorkerMain = Callable[[Connection, Compute, int], None]


def run_gateway(
    pipe: Connection, compute: Compute, parent: int, worker: WorkerMain = run_worker
) -> None:
    """Carry out tasks on a cluster until stopped; the main function of the gateway's process.

    Args:
        pipe: Connection to the daemon.
        compute: How to use the cluster.
        parent: Process id of the daemon.
        worker: Main function of the worker processes; importable by name on every machine.
    """
    _ignore_signals()
    end_with_parent(parent)
    send = partial(_send, pipe, threading.Lock())
    cluster = compute.cluster or Cluster()
    try:
        join(cluster)
        shares = _shares(compute, cluster)
    except Exception as error:
        known = isinstance(error, RestoredError)
        send(StartFailed(str(error) if known else f"{type(error).__name__}: {error}"))
        sys.exit(_EXIT_FAILED)
    _ignore_signals()  # Ray has taken over SIGTERM

    def report(one: Report) -> None:
        if isinstance(one, TaskAssigned):
            # From now on a machine may work on it, so that it must not be sent again as it is.
            send(TaskStarted(one.fence))
        send(one)

    pool = PoolExecutor(compute, report, _maker(worker), lambda _: shares)
    pool.start()
    _receive(pipe, pool)


def _shares(compute: Compute, cluster: Cluster) -> Sequence[Compute]:
    """How each worker may use the machine on which it comes to lie."""
    each = cluster.gpus_per_worker
    machines = nodes()
    room = [node.workers(each) for node in machines]
    count = cluster.workers or max(1, sum(room) if each else sum(map(bool, room)))
    beside = max(1, *room) if each else math.ceil(count / max(1, sum(map(bool, room))))
    on_device = max(1, round(1 / each)) if each else beside
    memory = None if compute.memory_bytes is None else compute.memory_bytes // beside
    share = replace(
        compute,
        device="auto",
        devices=(),
        memory_bytes=memory,
        workers=beside,
        device_workers=on_device,
    )
    return [share] * count


def _maker(worker: WorkerMain) -> Callable[..., PoolWorker]:
    from daemon.executors.cluster.remote_worker import RemoteWorker

    ours = hello()

    def make(
        share: Compute, report: Callable[[Report], None], started: Callable[[int], None]
    ) -> PoolWorker:
        return RemoteWorker(share, report, started, ours, worker)

    return make


def _send(pipe: Connection, lock: threading.Lock, message: FromWorker) -> None:
    """Send one message at a time; the pool reports from threads of its own."""
    with lock:
        pipe.send(message)


def _receive(pipe: Connection, pool: PoolExecutor) -> None:
    try:
        while True:
            message: ToWorker = pipe.recv()
            match message:
                case Stop(drain_s):
                    pool.stop(drain_s)
                    return
                case Replace(why, worker):
                    pool.replace_worker(why, worker)
                case _:
                    pool.submit(message)
    except (EOFError, OSError):
        os._exit(0)  # the daemon is gone, and with it whoever waits for results


def _ignore_signals() -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
