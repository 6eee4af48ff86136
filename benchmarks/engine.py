"""Measures the engine and the daemon: use of the device, intake rate, time from drop to result.

    python -m benchmarks.engine                    # in full: a quarter of an hour on two cores
    python -m benchmarks.engine --large 8 --small 60 --inbox 2000 --drops 5   # a first look

It works on photographs bundled with scikit-image, prints a table and writes it, with the machine
and the command, to docs/benchmarks.md.
"""

import argparse
import shlex
import sys
import tempfile
import textwrap
from collections.abc import Sequence
from pathlib import Path

from benchmarks.measuring import Row, machine, markdown_table, photographs, write_tasks
from daemon.executors.process_env import tune_process

PARTS = ("sharing", "admission", "latency")

EXPLANATION = """\
- Recipes are denoise, restyle, super-resolve x2 and colorize in turn, with ten evaluations each;
  colorize has one.
- The share is the time spent in forward passes over the wall time. The wall time includes reading
  and writing the photographs. Where the CPU is the device, decoding, encoding and the arithmetic
  between the evaluations take their time from the network's.
- The plain loop reads, restores and writes one photograph after the other, one tile at a time, with
  the same model and functions, in a process where OpenMP and malloc are as they come. It does the
  first part of the same photographs.
- Drop to result is from the rename into the inbox to the record beside the result, less the time of
  the network, with `settle_s` at its default.
"""
"""What the rows of docs/benchmarks.md mean."""


def main(arguments: Sequence[str]) -> None:
    """Measure the chosen parts and write the page."""
    options = _parser().parse_args(arguments)
    tune_process(options.threads)  # as the worker does, before torch is imported
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="restored-benchmark-") as folder:
        scratch = Path(folder)
        if "sharing" in options.parts:
            from benchmarks.sharing import measure_sharing

            for size_px, count in ((512, options.large), (96, options.small)):
                tasks = write_tasks(scratch / str(size_px), photographs(), size_px, count)
                _add(rows, measure_sharing(tasks, size_px, options.threads, options.loop_share))
        if "admission" in options.parts:
            from benchmarks.stations import measure_admission

            _add(rows, measure_admission(scratch / "admission", options.inbox))
        if "latency" in options.parts:
            from benchmarks.stations import measure_latency

            _add(rows, measure_latency(scratch / "latency", photographs(), options.drops))
    table = markdown_table(rows)
    print(table)
    command = shlex.join(["python", "-m", "benchmarks.engine", *arguments])
    options.out.write_text(_page(table, command, options.remark), encoding="utf-8")


def _add(rows: list[Row], measured: Sequence[Row]) -> None:
    """Keep the rows, and print them at once, as all parts together take long."""
    for row in measured:
        print(f"{row.what}: {row.measured}", flush=True)
    rows += measured


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Measure the engine and the daemon around it.")
    add = parser.add_argument
    add("--large", type=int, default=200, help="photographs of 512 px")
    add("--small", type=int, default=2000, help="photographs of 96 px")
    add("--inbox", type=int, default=20_000, help="files in the inbox for the admission rate")
    add("--drops", type=int, default=20, help="photographs dropped one by one")
    add("--loop-share", type=float, default=0.1, help="share of them that the plain loop does")
    add("--threads", type=int, default=None, help="CPU threads of the network")
    add("--parts", nargs="+", default=PARTS, choices=PARTS, help="what to measure")
    add("--remark", default="", help="what else the machine was doing")
    add("--out", type=Path, default=Path(__file__).parents[1] / "docs" / "benchmarks.md")
    return parser


def _page(table: str, command: str, remark: str) -> str:
    measured = textwrap.fill(f"Measured {machine(command)} {remark}".strip(), 100)
    return f"# Benchmarks\n\n{measured}\n\n{table}\n\n{EXPLANATION}"


if __name__ == "__main__":
    main(sys.argv[1:])
