"""Proves on the running program that nothing is lost: random work, random faults, then a check.

    python -m benchmarks.survival --minutes 10             # everything mixed
    python -m benchmarks.survival --mode kills --minutes 10 --seed 7 --light
    python -m benchmarks.survival --mode disks --minutes 10
    python -m benchmarks.survival --mode images --minutes 10
    python -m benchmarks.survival --mode files --files 100000 --minutes 60
    python -m benchmarks.survival --mode time --minutes 5 --rate 100   # 8 hours

The seed repeats the same plan of work and faults. Where this process may mount (as root), it does
so in a mount namespace of its own and strikes disks, too; otherwise it says that it skips that.
A broken invariant is printed with its photograph, the world is kept, and the exit code is 1.
"""

import argparse
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from benchmarks.measuring import Row, markdown_table
from benchmarks.survival import pictures
from benchmarks.survival.figures import growth, rows_of
from benchmarks.survival.plan import Mode, rounds
from benchmarks.survival.run import Run
from benchmarks.survival.stepped_clock import LIGHT
from benchmarks.survival.world import make_world, remove_world

_NAMESPACE = "SURVIVAL_MOUNT_NAMESPACE"
"""Environment variable that tells the program that it runs in a mount namespace of its own."""


def main(arguments: Sequence[str]) -> int:
    """Run the plan; returns the exit code."""
    options = _parser().parse_args(arguments)
    if options.light:
        os.environ[LIGHT] = "0" if options.mode == "files" else "0.2"
    if _NAMESPACE not in os.environ and not options.no_mounts:
        _enter_namespace(arguments)
    mounts = os.environ.get(_NAMESPACE) == "yes"
    seed = secrets.randbelow(2**32) if options.seed is None else options.seed
    if not mounts:
        print("this process may not mount: faults of disks are skipped", flush=True)
    if missing := pictures.missing_formats():
        print(f"no sample is written of {', '.join(missing)}", flush=True)
    root = Path(tempfile.mkdtemp(prefix="restored-survival-", dir=options.folder))
    world = make_world(
        root,
        mounts=mounts,
        size=16 if options.mode == "files" else 1,
        cleared=options.mode == "time",
        prompts=options.mode == "mixed" and not options.light,
    )
    run = Run(world)
    if options.mode == "time":
        run.daemon.clock.rate = options.rate
        run.daemon.clock.set(0.0)
    began = time.monotonic()
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    try:
        run.carry_out_plan(
            rounds(seed, options.mode, count=options.files),
            until=began + 60 * options.minutes,
            cycles=options.cycles,
        )
        run.note(growth(run.daemon.lives))
    finally:
        run.close()
    seconds = time.monotonic() - began
    worker = "light" if options.light else "the real one"
    rows = [Row("plan", f"mode {options.mode}, seed {seed}"), Row("worker", worker)]
    rows += rows_of(run, seconds)
    if options.mode == "time":
        rows.insert(2, Row("time of the clock", f"{seconds * options.rate / 3600:.1f} h", "8 h"))
    print(markdown_table(rows))
    if run.tally.violations:
        print(f"{len(run.tally.violations)} invariants are broken; the world is in {root}")
        return 1
    if not options.keep:
        remove_world(world)
    return 0


def _enter_namespace(arguments: Sequence[str]) -> None:
    """Go on in a mount namespace of this process, which leaves no mount behind however it ends."""
    unshare = shutil.which("unshare")
    may = (
        unshare
        and os.geteuid() == 0
        and subprocess.run(["unshare", "--mount", "true"]).returncode == 0
    )
    environment = os.environ | {_NAMESPACE: "yes" if may else "no"}
    command = [sys.executable, "-m", "benchmarks.survival", *arguments]
    if may:
        command = ["unshare", "--mount", *command]
    os.execvpe(command[0], command, environment)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Prove that the running program loses nothing.")
    add = parser.add_argument
    add("--minutes", type=float, default=3.0, help="how long; the last check comes after that")
    add("--seed", type=int, default=None, help="repeats a plan; default: a new one")
    add("--cycles", type=int, default=None, help="at most so many rounds of the plan")
    add("--mode", choices=get_args(Mode), default="mixed", help="which work and faults")
    add("--files", type=int, default=100_000, help="photographs of the mode files")
    add("--rate", type=float, default=100.0, help="how fast the clock of the mode time runs")
    add("--folder", type=Path, default=None, help="where the world is made; default: /tmp")
    add("--light", action="store_true", help="a worker without torch, which starts at once")
    add("--keep", action="store_true", help="keep the world, with the daemon's log")
    add("--no-mounts", action="store_true", help="do not mount, and strike no disk")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
