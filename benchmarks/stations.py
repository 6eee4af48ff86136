"""Measures the daemon around the engine: intake of a full inbox, time from drop to result."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.measuring import Row, crop
from daemon.config.station_setup import make_station, open_station
from daemon.executors import EXECUTORS
from daemon.jobs.ledger.entries import QueueCount
from daemon.messages.reports import HandedBack, Report, WorkerReady
from daemon.messages.tasks import Compute, RestoreTask
from daemon.service.daemon import Daemon

_TIMEOUT_S = 300.0


class IdleExecutor:
    """Takes tasks and does nothing, so that only the intake is measured."""

    def __init__(self, compute: Compute, report: Callable[[Report], None]) -> None:
        self._report = report
        self._fences: list[int] = []

    def start(self) -> None:
        """Report that it is ready."""
        self._report(WorkerReady("none"))

    def submit(self, task: RestoreTask) -> None:
        """Keep the task."""
        self._fences.append(task.fence)

    def stop(self, drain_s: float) -> None:
        """Hand back all tasks."""
        self._report(HandedBack(tuple(self._fences)))


def measure_admission(root: Path, count: int) -> list[Row]:
    """Measure row (c): from the daemon's start until every file of the inbox is a job."""
    make_station(root)
    (root / "restored.toml").write_text("settle_s = 0\nmin_free_mb = 0\n", encoding="utf-8")
    inbox = root / "inbox" / "denoise"
    for index in range(count):
        pixels = np.full((4, 4, 3), index % 251, np.uint8)
        pixels[0, :2] = index >> 16 & 255, index >> 8 & 255, index & 255
        folder = inbox / f"{index // 1000:03}"
        folder.mkdir(exist_ok=True)
        Image.fromarray(pixels).save(folder / f"{index:06}.png")
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_admit, args=(root, count, theirs))
    process.start()
    seconds, memory_mb = ours.recv()
    process.join()
    return [
        Row(f"(c) admission of {count} small files", f"{count / seconds:.0f} files/s", "1000"),
        Row("(c) memory of the parent process", f"{memory_mb:.0f} MB", "under 300 MB"),
    ]


def _admit(root: Path, count: int, answer: Connection) -> None:
    """Run the daemon in this process, which has its own peak of memory, without its log."""
    with open(os.devnull, "w") as devnull:  # noqa: PTH123
        os.dup2(devnull.fileno(), 1)
    EXECUTORS["idle"] = "benchmarks.stations:IdleExecutor"
    began = time.monotonic()
    sent = False

    def progress(queues: tuple[QueueCount, ...]) -> None:
        nonlocal sent
        if not sent and sum(one.queued + one.in_flight for one in queues) >= count:
            sent = True
            answer.send((time.monotonic() - began, _peak_memory_mb()))
            os.kill(os.getpid(), signal.SIGTERM)

    with Daemon.open(*open_station(root), executor="idle", progress=progress) as daemon:
        daemon.run()


def _peak_memory_mb() -> float:
    """Peak memory of this process; getrusage would include its parent's peak."""
    lines = Path("/proc/self/status").read_text("ascii").splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM:"))


def measure_latency(root: Path, sources: Sequence[NDArray[np.uint8]], drops: int) -> list[Row]:
    """Measure row (d): photographs dropped into the inbox of a running daemon, one by one."""
    make_station(root)
    command = [sys.executable, "-m", "daemon", "--station", str(root), "run"]
    waits_s = []
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as daemon:
        try:
            for index in range(drops + 1):
                wait_s = _drop(root, index, crop(sources, 256, index))
                if index:  # the first one waits for the worker to start
                    waits_s.append(wait_s)
        finally:
            daemon.send_signal(signal.SIGTERM)
    return [
        Row(
            f"(d) from drop to result less network time, {drops} photographs of 256 px",
            f"median {median(waits_s):.2f} s, longest {max(waits_s):.2f} s",
            "under 0.5 s",
        )
    ]


def _drop(root: Path, index: int, pixels: NDArray[np.uint8]) -> float:
    """Seconds from the rename into the inbox to the record, less the network's."""
    path = root / f"{index:03}.png"
    Image.fromarray(pixels).save(path)
    record = root / "outbox" / "denoise" / f"{path.name}.json"
    began = time.monotonic()
    path.rename(root / "inbox" / "denoise" / path.name)
    while not record.exists():
        if time.monotonic() - began > _TIMEOUT_S:
            raise RuntimeError(f"{record} did not appear within {_TIMEOUT_S:g} s")
        time.sleep(0.005)
    seconds = time.monotonic() - began
    timing = json.loads(record.read_text("utf-8"))["timing"]
    return seconds - float(timing["device_s"])
