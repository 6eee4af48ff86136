"""The daemon as processes: started, killed, stopped and measured."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.survival.stepped_clock import ClockFile
from benchmarks.survival.world import World

_PROJECT = Path(__file__).parents[2]
_SAMPLE_S = 0.5
_END_S = 60.0
"""Seconds within which the daemon must end after SIGTERM and its worker after the daemon."""


@dataclass(frozen=True)
class Vitals:
    """What the daemon used at one time.

    Attributes:
        at: Monotonic seconds.
        descriptors: Open files.
        memory_mb: Resident memory, in megabytes (MiB).
    """

    at: float
    descriptors: int
    memory_mb: float


@dataclass(frozen=True)
class Ended:
    """How a command ended: its exit code, None if it had to be killed, and its seconds."""

    code: int | None
    seconds: float


class DaemonProcess:
    """`restored run` on one station, and commands beside it.

    Attributes:
        lives: What each daemon used while it lived, in order of their starts.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()
        self.lives: list[list[Vitals]] = []
        self.clock = ClockFile(world.root / "clock")
        self._done = threading.Event()
        self._sampler = threading.Thread(target=self._sample, daemon=True)
        self._sampler.start()

    @property
    def pid(self) -> int | None:
        """Process id of the daemon, while it lives."""
        process = self._process
        return process.pid if process is not None and process.poll() is None else None

    @property
    def workers(self) -> list[int]:
        """Process ids of the spawned children: the worker, and what draws a report."""
        return [] if self.pid is None else _spawned(self.pid)

    def ended_by_itself(self) -> int | None:
        """The exit code of a daemon that ended although nobody ended it; None if none did."""
        process = self._process
        code = process.poll() if process is not None else None
        if code is not None:
            self._process = None
        return code

    def start(self) -> None:
        """Start it, unless it lives."""
        if self.pid is not None:
            return
        with self._world.log.open("ab") as log, self._lock:
            self._process = subprocess.Popen(
                self._command("run"), cwd=_PROJECT, stdout=log, stderr=log, env=_environment()
            )
            self.lives.append([])

    def wait_started(self) -> None:
        """Wait until the daemon holds the station's lock, or has ended, or too long."""
        lock, until = self._world.station.lock, time.monotonic() + _END_S
        while self.pid is not None and time.monotonic() < until:
            with contextlib.suppress(OSError, ValueError):
                if int(lock.read_text()) == self.pid:
                    return
            time.sleep(0.05)

    def send(self, number: signal.Signals, *, daemon: bool, worker: bool) -> None:
        """Send a signal to the worker, the daemon, or both in this order."""
        for pid in self.workers if worker else ():
            _kill(pid, number)
        if daemon and self.pid is not None:
            _kill(self.pid, number)

    def kill(self) -> bool:
        """Kill the daemon; returns whether its children ended with it."""
        process, children = self._process, self.workers
        if process is None:
            return True
        process.kill()
        process.wait()
        self._process = None
        return _all_gone(children)

    def stop(self) -> Ended:
        """End it by SIGTERM."""
        process, began, children = self._process, time.monotonic(), self.workers
        self._process = None
        if process is None or process.poll() is not None:
            return Ended(0, 0.0)
        for pid in (process.pid, *children):
            _kill(pid, signal.SIGCONT)
        process.terminate()
        try:
            code: int | None = process.wait(_END_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            code = None
        _all_gone(children)
        return Ended(code, time.monotonic() - began)

    def once(self, limit_s: float) -> Ended:
        """Run `restored once`; killed after `limit_s`."""
        return self._run(self._command("once"), limit_s)

    def command(self, *arguments: str, limit_s: float = 120.0) -> Ended:
        """Run another command of `restored` on the station."""
        return self._run(self._command(*arguments), limit_s)

    def close(self) -> None:
        """Kill what is left and end the sampling."""
        self._done.set()
        self.kill()
        self._sampler.join()

    def _run(self, command: list[str], limit_s: float) -> Ended:
        began = time.monotonic()
        with self._world.log.open("ab") as log:
            process = subprocess.Popen(
                command, cwd=_PROJECT, stdout=log, stderr=log, env=_environment()
            )
            try:
                code: int | None = process.wait(limit_s)
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGABRT)
                process.kill()
                process.wait()
                code = None
        return Ended(code, time.monotonic() - began)

    def _command(self, *arguments: str) -> list[str]:
        clock = str(self._world.root / "clock")
        module = ["-m", "benchmarks.survival.stepped_clock", clock]
        station = ["--station", str(self._world.station_root)]
        return [sys.executable, *module, *station, *arguments]

    def _sample(self) -> None:
        while not self._done.wait(_SAMPLE_S):
            with self._lock:
                pid, life = self.pid, self.lives[-1] if self.lives else []
            with contextlib.suppress(OSError, StopIteration, IndexError):
                if pid is not None:
                    life.append(_vitals(pid))


def _environment() -> dict[str, str]:
    paths = [str(_PROJECT), os.environ.get("PYTHONPATH", "")]
    joined = os.pathsep.join(filter(None, paths))
    return os.environ | {"PYTHONPATH": joined, "OMP_NUM_THREADS": "1"}


def _vitals(pid: int) -> Vitals:
    status = Path(f"/proc/{pid}/status").read_text("ascii")
    resident = next(line for line in status.splitlines() if line.startswith("VmRSS:"))
    descriptors = len(os.listdir(f"/proc/{pid}/fd"))  # noqa: PTH208
    return Vitals(time.monotonic(), descriptors, int(resident.split()[1]) / 1024)


def _spawned(pid: int) -> list[int]:
    found = []
    with contextlib.suppress(OSError):
        for thread in Path(f"/proc/{pid}/task").iterdir():
            for child in (thread / "children").read_text().split():
                if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes():
                    found.append(int(child))
    return found


def _kill(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def _all_gone(pids: list[int]) -> bool:
    until = time.monotonic() + _END_S
    while any(Path(f"/proc/{pid}").exists() and not _is_zombie(pid) for pid in pids):
        if time.monotonic() > until:
            return False
        time.sleep(0.02)
    return True


def _is_zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1].startswith("Z")
    except OSError:
        return True
