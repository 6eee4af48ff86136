"""`restored` with a clock that can be stepped and made to run faster, and if asked a light worker.

    python -m benchmarks.survival.stepped_clock CLOCK.FILE --station DIR run

Only what this process asks `time.time` is changed. Waits, which use the monotonic clock, the times
of files and the clock of the worker stay as they are: no shim stands between the processes and the
kernel, whose clock is that of the whole machine.
"""

import mmap
import os
import struct
import sys
import time
from pathlib import Path

LIGHT = "SURVIVAL_LIGHT_WORKER"
"""Environment variable with which the daemon has the light worker in place of its own; its value is
the longest time in seconds for which that holds a photograph."""

_FORM = struct.Struct("=ddd")


class ClockFile:
    """A file that says how far the stepped clock is from the real one and how fast it runs.

    Attributes:
        rate: How many times as fast as the real one it runs from the next `set` on.
    """

    def __init__(self, path: Path) -> None:
        """Use the file at `path`; it is made if it is missing."""
        self._path = path
        self._real = time.time
        self.rate = 1.0
        if not path.exists():
            self.set(0.0)

    def set(self, offset_s: float) -> None:
        """Let the clock be `offset_s` ahead of the real one now and run `rate` times as fast."""
        packed = _FORM.pack(offset_s, self.rate, self._real())
        if not self._path.exists():
            self._path.write_bytes(packed)
        with self._path.open("r+b") as file:
            file.write(packed)

    def install(self) -> None:
        """Make `time.time` of this process the stepped clock."""
        real = self._real
        with self._path.open("rb") as file:
            shared = mmap.mmap(file.fileno(), _FORM.size, access=mmap.ACCESS_READ)

        def stepped() -> float:
            offset_s, rate, since = _FORM.unpack(shared[: _FORM.size])
            return float(since + (real() - since) * rate + offset_s)

        time.time = stepped


def main() -> None:
    """Run `restored` with the arguments behind the clock's file."""
    clock = ClockFile(Path(sys.argv[1]))
    clock.install()
    sys.argv = ["restored", *sys.argv[2:]]
    # The daemon's modules keep the `time.time` that they find when they are imported.
    from daemon import executors
    from daemon.cli.main import main as restored

    if LIGHT in os.environ:
        executors.EXECUTORS["process"] = "benchmarks.survival.light_worker:LightExecutor"
    restored()


if __name__ == "__main__":
    main()
