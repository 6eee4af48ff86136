"""Feeds readers with input that is led by the code it reaches, and says what must not come out.

    pip install -e '.[test,fuzz]'
    python -m benchmarks.fuzz headers --minutes 5
    python -m benchmarks.fuzz all --minutes 2 --seed 7 --corpus /var/tmp/corpus

A find is judged again without instrumentation, made small and saved, below `--finds`. Whoever
mends it moves it to `tests/benchmarks/finds/TARGET`, where the tests read it. The exit code is 1 if
there are finds. `--corpus` keeps inputs that reached new code from run to run.
"""

import argparse
import platform
import secrets
import sys
import tempfile
import time
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from benchmarks.fuzz.run import Run, Tally, remove, save
from benchmarks.fuzz.targets import TARGETS
from daemon.system.cgroups import core_count


def main(arguments: Sequence[str]) -> int:
    """Fuzz the targets one after the other; returns the exit code."""
    options = _parser().parse_args(arguments)
    if find_spec("atheris") is None:
        print("atheris is not installed: pip install -e '.[fuzz]'")
        return 2
    seed = secrets.randbelow(2**31) if options.seed is None else options.seed
    names = list(TARGETS) if options.target == "all" else [options.target]
    folder = Path(tempfile.mkdtemp(prefix="restored-fuzz-run-"))
    corpus: Path = options.corpus or folder / "corpus"
    day, version = time.strftime("%Y-%m-%d", time.gmtime()), platform.python_version()
    print(f"{day}, seed {seed}, {core_count()} cores, Python {version}", flush=True)
    print("| target | executions | minutes | corpus | starts | finds |\n|---|---|---|---|---|---|")
    found = 0
    for name in names:
        run = Run(TARGETS[name], folder / name, corpus / name, seed)
        tally = run.carry_out(60 * options.minutes)
        print(_row(name, tally), flush=True)
        saved = save(tally.finds, options.finds / name) if tally.finds else []
        for path, (kind, (_, find)) in zip(saved, tally.finds.items(), strict=True):
            print(f"FIND {path}: {kind}\n{find.detail}", file=sys.stderr, flush=True)
        found += len(saved)
    remove(folder)
    return 1 if found else 0


def _row(name: str, tally: Tally) -> str:
    finds = ", ".join(tally.finds) or "none"
    if tally.passing:
        finds += f" (under instrumentation only: {', '.join(tally.passing)})"
    cells = (name, f"{tally.executions:,}", f"{tally.seconds / 60:.1f}", tally.corpus)
    return f"| {' | '.join(map(str, cells))} | {tally.starts} | {finds} |"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Fuzz what reads input that others wrote.")
    add = parser.add_argument
    add("target", choices=(*TARGETS, "all"), help="what is fuzzed")
    add("--minutes", type=float, default=3.0, help="how long, each target")
    add("--seed", type=int, default=None, help="repeats a run, as far as time lets it")
    add("--corpus", type=Path, default=None, help="folder of inputs that is kept; default: none")
    add("--finds", type=Path, default=Path("finds"), help="folder where finds are saved")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
