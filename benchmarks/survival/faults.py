"""Carrying out faults on the daemon, its disks, its ledger and its clock."""

import contextlib
import signal
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import assert_never

from benchmarks.survival.invariant import Violation
from benchmarks.survival.plan import MOUNT_FAULTS, Strike
from benchmarks.survival.process import DaemonProcess
from benchmarks.survival.world import World

_LEFT_STOPPED_S = 2.7
"""A worker that is stopped for longer is left to the daemon, which replaces it."""

_ENDED_WELL = (0, 75, 143, -signal.SIGTERM)
"""Exit codes after SIGTERM: drained, busy, and two of a daemon that had not begun to work yet."""


class Faults:
    """Strikes one world and counts.

    Attributes:
        counts: Faults by kind; those that could not be made are under "skipped: ...".
    """

    def __init__(
        self, world: World, daemon: DaemonProcess, look: Callable[[], list[Violation]]
    ) -> None:
        """Strike one world.

        Args:
            world: Its folders and disks.
            daemon: Its daemon.
            look: Called while the daemon is dead and all disks are there; returns what must not be.
        """
        self._world = world
        self._daemon = daemon
        self._look = look
        self.counts: Counter[str] = Counter()

    def strike(self, strike: Strike, meanwhile: Callable[[], None]) -> list[Violation]:
        """Carry out one fault and heal it; `meanwhile` is called while a lasting one lasts."""
        if strike.fault in MOUNT_FAULTS and not self._world.mounts:
            self.counts[f"skipped: {strike.fault}"] += 1
            return []
        daemon = self._daemon
        if strike.fault in ("kill worker", "stop worker") and not daemon.workers:
            self.counts["skipped: there was no worker"] += 1
            return []
        self.counts[strike.fault] += 1
        match strike.fault:
            case "kill daemon" | "kill both":
                if strike.fault == "kill both":
                    daemon.send(signal.SIGKILL, daemon=False, worker=True)
                return self._kill(self._look)
            case "kill worker":
                daemon.send(signal.SIGKILL, daemon=False, worker=True)
            case "terminate":
                return self._terminate()
            case "clock step":
                daemon.clock.set(strike.seconds)
            case "removed lock":
                self._world.station.lock.unlink(missing_ok=True)
            case "stop worker" | "stop daemon":
                self._stop(strike, meanwhile)
            case "full disk" | "read-only disk" | "unmounted disk" | "locked ledger":
                with self._lasting(strike):
                    meanwhile()
                    time.sleep(strike.seconds)
                    if strike.kill:
                        self.counts["kill daemon"] += 1
                        found = self._kill(lambda: [])
                        daemon.wait_started()  # the next one finds the fault as it is
                        time.sleep(strike.seconds)
                        return found
            case _:
                assert_never(strike.fault)
        return []

    def _kill(self, look: Callable[[], list[Violation]]) -> list[Violation]:
        alone = self._daemon.kill()
        found = look() if alone else [Violation("orphan", "worker", "it outlived the daemon")]
        self._daemon.start()
        return found

    def _terminate(self) -> list[Violation]:
        ended = self._daemon.stop()
        self._daemon.start()
        if ended.code in _ENDED_WELL:
            return []
        how = "had to be killed" if ended.code is None else f"ended with {ended.code}"
        return [Violation("stop", "daemon", f"{how} after SIGTERM and {ended.seconds:.0f} s")]

    def _stop(self, strike: Strike, meanwhile: Callable[[], None]) -> None:
        of_daemon = strike.fault == "stop daemon"
        self._daemon.send(signal.SIGSTOP, daemon=of_daemon, worker=not of_daemon)
        meanwhile()
        time.sleep(strike.seconds)
        if of_daemon or strike.seconds < _LEFT_STOPPED_S:
            self._daemon.send(signal.SIGCONT, daemon=of_daemon, worker=not of_daemon)

    @contextlib.contextmanager
    def _lasting(self, strike: Strike) -> Iterator[None]:
        """A fault that is healed at the end of the block."""
        world = self._world
        disk = world.station_disk if strike.target == "station" else world.disks[strike.target]
        match strike.fault:
            case "full disk":
                disk.fill()
            case "read-only disk":
                if not disk.set_read_only(read_only=True):
                    self.counts["skipped: a writer had the disk open"] += 1
            case "unmounted disk":
                disk.unmount()
            case _:
                with contextlib.closing(self._locked()):
                    yield
                return
        try:
            yield
        finally:
            world.heal()

    def _locked(self) -> sqlite3.Connection:
        """A connection that keeps every writer out of the ledger until it is closed."""
        ledger = sqlite3.connect(self._world.station.ledger, isolation_level=None, timeout=5)
        with contextlib.suppress(sqlite3.OperationalError):
            ledger.execute("BEGIN IMMEDIATE")
        return ledger
