"""Sends very many tiny photographs through a station at once, to find what grows with their number.

    python -m benchmarks.many_files --files 100000 --folder /dev/shm

Everything is the real program but the executor, which gives each photograph back as it is. It
prints, as the queue grows and shrinks, the CPU time a file, that of the longest turn of the loop,
the memory of the daemon and the CPU time of `restored status`. CPU time is that of the process
alone, so that others on the machine do not matter.
"""

import argparse
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

from daemon.config.station_setup import make_station, open_station
from daemon.executors import EXECUTORS
from daemon.messages.reports import HandedBack, Report, Restored, StagedFile, Timing, WorkerReady
from daemon.messages.tasks import Compute, RestoreTask
from daemon.service.daemon import Daemon
from daemon.system import logging as log

_SIDE = 8


class CopyingExecutor:
    """Gives every photograph back as it is, at once."""

    def __init__(self, compute: Compute, report: Callable[[Report], None]) -> None:
        self._report = report

    def start(self) -> None:
        """Report that it is ready."""
        self._report(WorkerReady("none"))

    def submit(self, task: RestoreTask) -> None:
        """Copy the photograph into the staging folder."""
        (photo,) = task.job.photos
        path = task.staging / "0.png"
        path.write_bytes(photo.path.read_bytes())
        file = StagedFile(path, "{stem}.png", photo.digest, _SIDE, _SIDE)
        timing = Timing(0.0, 0.0, 0.0, 0.0, 0, 0)
        self._report(Restored(task.fence, (file,), (), (), timing, "none"))

    def stop(self, drain_s: float) -> None:
        """Nothing is ever in flight."""
        self._report(HandedBack(()))


def main(arguments: Sequence[str]) -> None:
    """Run it and print a line for every tenth of the files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=100_000)
    parser.add_argument("--per-folder", type=int, default=100_000, help="files of one sub-folder")
    parser.add_argument("--folder", type=Path, help="where the station is made; it is removed")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(dir=options.folder) as root:
        _run(Path(root) / "station", options.files, options.per_folder)


def _run(root: Path, files: int, per_folder: int) -> None:
    make_station(root)
    (root / "restored.toml").write_text("settle_s = 0\nmin_free_mb = 0\n", encoding="utf-8")
    for number in range(files):
        folder = root / f"inbox/denoise/{number // per_folder:03}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number:06}.png").write_bytes(_png(number))
    log.configure()
    EXECUTORS["copying"] = "benchmarks.many_files:CopyingExecutor"
    station, settings = open_station(root)
    print("    done       s   CPU s  ms/file   turns max turn s    MB  status s", flush=True)
    with Daemon.open(station, settings, executor="copying") as daemon:
        _watch(daemon, files, lambda: _status_s(root))
        summary = daemon.once()
    print(f"restored {summary.done} of {files}")
    shutil.rmtree(root)


def _watch(daemon: Daemon, files: int, status_s: Callable[[], float]) -> None:
    """Print a line whenever another tenth is done."""
    turn = daemon.turn
    began = last = time.monotonic()
    used_before = time.process_time()
    turns, longest_s, done_before = 0, 0.0, 0

    def measured(*, at_once: bool) -> None:
        nonlocal turns, longest_s, last, done_before, used_before
        before = time.process_time()
        turn(at_once=at_once)
        turns, longest_s = turns + 1, max(longest_s, time.process_time() - before)
        done = daemon._done
        if done - done_before >= files / 10 or time.monotonic() - last > 30:
            used = time.process_time()
            each_ms = 1e3 * (used - used_before) / max(1, done - done_before)
            print(
                f"{done:8} {time.monotonic() - began:7.1f} {used:7.1f} {each_ms:8.2f} "
                f"{turns:7} {longest_s:10.2f} "
                f"{_memory_mb():5.0f} {status_s():9.2f}",
                flush=True,
            )
            turns, longest_s, last, done_before = 0, 0.0, time.monotonic(), done
            used_before = time.process_time()

    daemon.turn = measured  # type: ignore[method-assign]


def _status_s(root: Path) -> float:
    before = os.times().children_user + os.times().children_system
    command = [sys.executable, "-m", "daemon", "--station", str(root), "status"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return os.times().children_user + os.times().children_system - before


def _memory_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * 4096 / 1e6


def _png(number: int) -> bytes:
    """A PNG of 8 x 8 pixels, other ones for every number."""
    row = b"\0" + number.to_bytes(3, "big") + bytes(3 * (_SIDE - 1))
    header = struct.pack(">IIBBBBB", _SIDE, _SIDE, 8, 2, 0, 0, 0)
    data = zlib.compress(row * _SIDE, 1)
    chunks = ((b"IHDR", header), (b"IDAT", data), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(content))
        + kind
        + content
        + struct.pack(">I", zlib.crc32(kind + content))
        for kind, content in chunks
    )


if __name__ == "__main__":
    main(sys.argv[1:])
