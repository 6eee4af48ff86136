"""Measures the engine on a CUDA device and writes docs/gpu.md with the card's name.

    python -m benchmarks.gpu                     # needs a card and nothing from the network
    python -m benchmarks.gpu --minutes 4 --parts prior sd15
    python -m benchmarks.gpu --rehearse          # tiny sizes on the processor; writes no page

It runs from a plain checkout, without an installation, with these packages:

    torch diffusers transformers accelerate safetensors numpy pillow
    pydantic pydantic-settings structlog tzlocal typer rich
    pytest pytest-timeout hypothesis scikit-image imagecodecs simplejpeg    (the part `tests` alone)

It has 14 GB of files in the folder for temporary files (`TMPDIR`) while it runs.
"""

import argparse
import importlib.util
import os
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

_ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(_ROOT))

from daemon.executors.process_env import tune_process  # noqa: E402

tune_process(None)  # as the worker does, before torch is imported

import torch  # noqa: E402

from benchmarks.gpu import stock  # noqa: E402
from benchmarks.gpu.checkpoints import save_sd15, save_xl  # noqa: E402
from benchmarks.gpu.engine_runs import (  # noqa: E402
    EngineBench,
    denoise_calls,
    in_memory_backend,
    latecomer,
)
from benchmarks.gpu.page import Result, as_json, page, table  # noqa: E402
from benchmarks.gpu.tracing import profile_table, trace_device  # noqa: E402
from daemon.config.recipe import Recipe  # noqa: E402
from daemon.config.steps import Denoise, Restyle, Step  # noqa: E402
from daemon.messages.tasks import Compute  # noqa: E402

PARTS = ("tests", "prior", "sd15", "sdxl")

_RUNS = 40
"""Runs among which the minutes are shared; there are about twenty, beside the loading."""

_STEPS = 20
"""Evaluations of a Stable Diffusion for each picture."""


@dataclass
class Session:
    """What is to be measured, and what has been.

    Attributes:
        tiny: Rehearse with tiny sizes.
        seconds: Seconds of one timed run, about.
        scratch: Folder of the checkpoints.
        results: The numbers so far.
        profiles: Profiles of one step, by what was run.
    """

    tiny: bool
    seconds: float
    scratch: Path
    results: list[Result] = field(default_factory=list)
    profiles: dict[str, str] = field(default_factory=dict)

    @property
    def device(self) -> torch.device:
        """The card; in a rehearsal without one the processor."""
        return torch.device("cuda:0" if torch.cuda.is_available() else "cpu")

    def tell(self, part: str, what: str, value: float | None, unit: str) -> None:
        """Keep a number, and print it at once: a run that is cut off has said something."""
        self.results.append(Result(part, what, value, unit))
        number = "" if value is None else f"{value:.3g} "
        print(f"{part}: {what}: {number}{unit}", flush=True)

    def count(self, seconds_each: float, least: int) -> int:
        """Pictures of a run that takes about its share of the time."""
        most = least if self.tiny else 64
        return max(least, min(most, int(self.seconds / seconds_each)))


def main(arguments: Sequence[str]) -> int:
    """Measure the chosen parts, print them and write the page; returns the exit code."""
    options = _parser().parse_args(arguments)
    if not torch.cuda.is_available() and not options.rehearse:
        print("no CUDA device is here; --rehearse runs tiny sizes on the processor")
        return 1
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="restored-gpu-", dir=options.scratch) as folder:
        session = Session(options.rehearse, 60 * options.minutes / _RUNS, Path(folder))
        for part in options.parts:
            if time.monotonic() - began > 60 * options.minutes * 0.8:
                session.tell(part, "left out", None, "the minutes were over")
                continue
            _MEASURES[part](session)
    session.tell("all", "took", time.monotonic() - began, "s")
    command = shlex.join(["python", "-m", "benchmarks.gpu", *arguments])
    text = as_json(session.results, session.profiles)
    print(table(session.results), text, sep="\n\n")
    if options.json:
        options.json.write_text(text, encoding="utf-8")
    out = options.out or (None if options.rehearse else _ROOT / "docs" / "gpu.md")
    if out:
        out.write_text(page(session.results, session.profiles, command), encoding="utf-8")
    return 0


def _measure_tests(session: Session) -> None:
    """Run the tests that need a CUDA device."""
    missing = [name for name in ("pytest", "hypothesis") if not importlib.util.find_spec(name)]
    if missing:
        session.tell("tests", "left out", None, f"not installed: {', '.join(missing)}")
        return
    command = [sys.executable, "-m", "pytest", "-q", "-m", "gpu", "tests/models"]
    plain = ["-o", "addopts=", "-o", "filterwarnings=default", "--import-mode=importlib"]
    environment = {**os.environ, "PYTHONPATH": str(_ROOT)}
    try:
        done = subprocess.run(
            [*command, *plain], cwd=_ROOT, env=environment, timeout=12 * session.seconds + 60,
            capture_output=True, text=True, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        session.tell("tests", "gpu tests", None, "were not through in time")
        return
    lines = done.stdout.strip().splitlines() or done.stderr.strip().splitlines() or [""]
    session.tell("tests", "gpu tests", None, lines[-1].strip("= "))
    if done.returncode:
        print(done.stdout[-4000:], done.stderr[-2000:], flush=True)


def _measure_prior(session: Session) -> None:
    """The shipped prior through the engine, against a plain loop."""
    recipe = _recipe(Denoise(mode="gaussian", sigma=25, realism=1, steps=10))
    for side_px in (32, 64) if session.tiny else (96, 512, 2048):
        part = f"prior, {side_px} px"
        with EngineBench(Compute()) as bench:
            one_s = _warm(bench, recipe, side_px)
            loop_s = min(bench.run(recipe, [side_px]).seconds for _ in range(2))
            count = session.count(one_s, 4 if side_px > 1000 or session.tiny else 32)
            _tell_engine(session, bench, part, recipe, [side_px] * count)
            session.tell(part, "one after the other", 1 / loop_s, "images/s")
        if side_px in (64, 512):
            _profile_step(session, part, recipe, side_px)


def _measure_sd15(session: Session) -> None:
    folder = save_sd15(session.scratch / "sd15", session.device, tiny=session.tiny)
    _measure_checkpoint(session, "SD 1.5", folder, 64 if session.tiny else 512, batch=8)


def _measure_sdxl(session: Session) -> None:
    folder = save_xl(session.scratch / "sdxl", session.device, tiny=session.tiny)
    _measure_checkpoint(session, "SDXL", folder, 64 if session.tiny else 1024, batch=4)


def _measure_checkpoint(
    session: Session, name: str, folder: Path, side_px: int, *, batch: int
) -> None:
    """A Stable Diffusion through the engine, against diffusers' own pipeline."""
    steps = 2 if session.tiny else _STEPS
    part, recipe = f"{name}, {side_px} px", _restyle(folder, steps)
    _free_device()
    with EngineBench(Compute()) as bench:
        one_s = _warm(bench, recipe, side_px)
        count = session.count(one_s, batch)
        _tell_engine(session, bench, part, recipe, [side_px] * count)
        long = _restyle(folder, 2 * steps)
        alone_s, late_s = latecomer(bench, long, recipe, side_px)
        session.tell(part, "a picture alone", alone_s, "s")
        session.tell(part, "the latecomer", late_s, "s")
    _profile_step(session, part, recipe, side_px)
    _free_device()
    kind = "StableDiffusionXL" if name == "SDXL" else "StableDiffusion"
    pipeline = stock.load(f"{kind}Img2ImgPipeline", folder, session.device)
    stock.run(pipeline, side_px, 1, steps)
    for size, what in ((1, "stock, one by one"), (batch, f"stock, batches of {batch}")):
        spent, done = 0.0, 0
        while not done or (spent < session.seconds and not session.tiny):
            spent += stock.run(pipeline, side_px, size, steps)
            done += size
        session.tell(part, what, done / spent, "images/s")
    _tell_peak(session, part, "stock, peak memory")
    del pipeline
    _free_device()


def _warm(bench: EngineBench, recipe: Recipe, side_px: int) -> float:
    """Load the models and choose the algorithms; returns the seconds of one picture after that."""
    bench.run(recipe, [side_px])
    bench.run(recipe, [side_px] * 8)
    return bench.run(recipe, [side_px]).seconds


def _tell_engine(
    session: Session, bench: EngineBench, part: str, recipe: Recipe, sizes: Sequence[int]
) -> None:
    """Run pictures through an engine, and tell how fast it was and what the device did."""
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    run = bench.run(recipe, sizes)
    session.tell(part, f"engine, {len(sizes)} pictures", len(sizes) / run.seconds, "images/s")
    session.tell(part, "engine, in passes", 100 * run.share, "% of the time")
    session.tell(part, "engine, calls in a pass", run.rows, "on average")
    _tell_peak(session, part, "engine, peak memory")
    few = sizes[: max(1, min(8, len(sizes)))]
    trace = trace_device(lambda: bench.run(recipe, few))
    if trace is None:
        session.tell(part, "engine, device busy", None, "not measured on a processor")
        return
    session.tell(part, "engine, device busy", 100 * trace.busy, "% of the time")
    session.tell(part, "engine, copies to the device", trace.uploads / len(few), "a picture")
    session.tell(part, "engine, copies from the device", trace.downloads / len(few), "a picture")


def _tell_peak(session: Session, part: str, what: str) -> None:
    if torch.cuda.is_available():
        session.tell(part, what, torch.cuda.max_memory_allocated() / 2**30, "GiB")


def _profile_step(session: Session, part: str, recipe: Recipe, side_px: int) -> None:
    """Profile one pass of the denoiser with a full batch."""
    backend = in_memory_backend(Compute())
    calls = denoise_calls(backend, recipe, side_px, str(session.device))
    key = calls[0].key
    model = backend.load_model(key.model, str(session.device), lambda: None, as_pipeline=False)
    batch = [calls[0]] * 4
    model.predict(batch)
    session.profiles[part] = profile_table(lambda: model.predict(batch))


def _free_device() -> None:
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def _restyle(folder: Path, steps: int) -> Recipe:
    return _recipe(
        Restyle(
            model=str(folder), strength=stock.STRENGTH, steps=steps, prompt=stock.PROMPT,
            guidance=stock.GUIDANCE,
        )
    )  # fmt: skip


def _recipe(step: Step) -> Recipe:
    return Recipe(name="gpu", steps=(step,))


_MEASURES: dict[str, Callable[[Session], None]] = {
    "tests": _measure_tests,
    "prior": _measure_prior,
    "sd15": _measure_sd15,
    "sdxl": _measure_sdxl,
}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gpu", description="Measure the engine on a CUDA device."
    )
    add = parser.add_argument
    add("--minutes", type=float, default=8, help="minutes that it may take, about")
    add("--parts", nargs="+", default=PARTS, choices=PARTS, help="what to measure")
    add("--rehearse", action="store_true", help="tiny sizes, also without a card; no page")
    add("--out", type=Path, help="the page; docs/gpu.md by default")
    add("--json", type=Path, help="file for the numbers as JSON; they are printed in any case")
    add("--scratch", type=Path, help="folder for checkpoints of random weights, 14 GB")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
