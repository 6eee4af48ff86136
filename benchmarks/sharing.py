"""Measures how well photographs share forward passes, and what that gains over a plain loop."""

import multiprocessing
import os
import threading
import time
from collections import Counter
from collections.abc import Sequence
from statistics import median

import torch

from benchmarks.measuring import RECIPES, Row, with_staging
from daemon.engine.backend import torch_backend
from daemon.engine.device import ForwardPass
from daemon.engine.engine import Engine
from daemon.engine.hardware import pick_device
from daemon.messages.reports import ModelLoaded, Report, Restored
from daemon.messages.tasks import Compute, RestoreTask
from daemon.models.calls import answer_of
from daemon.system.cgroups import core_count


def measure_sharing(
    tasks: Sequence[RestoreTask], size_px: int, threads: int | None, loop_share: float
) -> list[Row]:
    """Measure rows (a), (b) and (e) for photographs of one size.

    Args:
        tasks: Tasks whose results have this size.
        size_px: Side of the results.
        threads: CPU threads of the network; None means all cores.
        loop_share: Share of the tasks that the plain loop does.
    """
    seconds, passes, reports = _by_engine(with_staging(tasks, "engine"), threads)
    round_of = len(RECIPES)  # the loop does every recipe equally often, as the engine does
    first = tasks[: round_of * max(1, round(loop_share * len(tasks) / round_of))]
    untuned_s = _by_loop_untuned(with_staging(first, "untuned"), threads)
    tuned_s = _by_loop(with_staging(first, "tuned"), threads)
    device_s = sum(one.seconds for one in passes)
    photographs = f"{len(tasks)} photographs of {size_px} px"
    aims = ("0.9 at 8 evaluations and more", "1.0") if size_px == 512 else ("", "3")
    timing = [report.timing for report in reports]
    split = ", ".join(
        f"{what} {1e3 * sum(values) / len(timing):.0f} ms"
        for what, values in (
            ("read", [one.decode_s for one in timing]),
            ("network", [one.device_s for one in timing]),
            ("write", [one.encode_s for one in timing]),
        )
    )
    return [
        Row(
            f"(a) share of wall time in the network, {photographs}",
            f"{device_s / seconds:.2f}",
            aims[0],
        ),
        Row(f"(a) split of one photograph, {size_px} px", split),
        Row(
            f"(b) against a plain loop, {size_px} px",
            _ratio(len(tasks) / seconds, len(first) / untuned_s, len(first)),
            aims[1],
        ),
        Row(
            f"(b) against a plain loop in a process tuned like the worker's, {size_px} px",
            _ratio(len(tasks) / seconds, len(first) / tuned_s, len(first)),
        ),
        *_batch_rows(passes, size_px),
    ]


def _by_engine(
    tasks: Sequence[RestoreTask], threads: int | None
) -> tuple[float, list[ForwardPass], list[Restored]]:
    passes: list[ForwardPass] = []
    reports: list[Restored] = []
    done = threading.Event()

    def on_report(report: Report) -> None:
        if isinstance(report, ModelLoaded):
            return
        if not isinstance(report, Restored):
            raise RuntimeError(f"a photograph was not restored: {report}")
        reports.append(report)
        if len(reports) == len(tasks):
            done.set()

    engine = Engine(Compute(threads=threads), on_report, on_pass=passes.append)
    engine.load(("prior",))
    thread = threading.Thread(target=engine.run, name="engine")
    began = time.monotonic()
    thread.start()
    for task in tasks:
        engine.submit(task)
    while not done.wait(1.0):
        if not thread.is_alive():
            raise RuntimeError("the engine ended early")
    seconds = time.monotonic() - began
    engine.stop(0)
    thread.join()
    return seconds, passes, reports


def _ratio(engine: float, loop: float, count: int) -> str:
    rates = f"{engine:.2f} against {loop:.2f} a second; loop over {count}"
    return f"{engine / loop:.2f}x ({rates})"


def _by_loop_untuned(tasks: Sequence[RestoreTask], threads: int | None) -> float:
    """Time the plain loop in a process of its own, where OpenMP and malloc are not tuned."""
    tuned = {name: os.environ.pop(name, None) for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")}
    context = multiprocessing.get_context("spawn")
    try:
        with context.Pool(1) as pool:
            return pool.apply(_by_loop, (tasks, threads))
    finally:
        os.environ.update({name: value for name, value in tuned.items() if value is not None})


def _by_loop(tasks: Sequence[RestoreTask], threads: int | None) -> float:
    """Seconds that a plain loop takes: one photograph after the other, one tile at a time."""
    torch.set_num_threads(threads or core_count())
    backend = torch_backend()
    model = backend.load_model("prior", pick_device("auto"), lambda: None, as_pipeline=False)
    limits = Compute().limits
    began = time.monotonic()
    for task in tasks:
        job = task.job
        generator = backend.restore(job.recipe, (backend.read(job.photos[0], limits),), job.seed)
        try:
            calls = next(generator)
            while True:
                calls = generator.send([answer_of(model.predict([call])[0]) for call in calls])
        except StopIteration as end:
            backend.write(end.value.pictures, job, task.staging)
    return time.monotonic() - began


def _batch_rows(passes: Sequence[ForwardPass], size_px: int) -> list[Row]:
    sizes = [len(one.members) for one in passes]
    histogram = ", ".join(f"{size}: {count}" for size, count in sorted(Counter(sizes).items()))
    caps = sorted({one.cap for one in passes})
    photographs = [len({member.fence for member in one.members}) for one in passes]
    recipes = [len({member.name for member in one.members}) for one in passes]
    times = [len({round(member.t, 6) for member in one.members}) for one in passes]
    shared = (
        f"photographs {median(photographs):g} (most {max(photographs)}), "
        f"recipes {median(recipes):g} ({max(recipes)}), times {median(times):g} ({max(times)})"
    )
    return [
        Row(
            f"(e) calls in a pass, {size_px} px: passes of each size",
            f"{histogram}; median {median(sizes):g}, cap {', '.join(map(str, caps))}",
            "median at least half the cap" if size_px == 96 else "",
        ),
        Row(f"(e) sharing one pass, {size_px} px: median (most)", shared),
    ]
