"""Metrics: what the daemon has done, counted and timed, in Prometheus' text form.

Comes in: what the loop and the worker tell. Goes out: one page of text, made when it is asked for,
in any thread. Labels are recipes, stages and models, never file names: their number is bounded.
"""

import time
from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Protocol

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)
from prometheus_client.core import GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.process_collector import ProcessCollector

from daemon import __version__
from daemon.jobs.ledger.entries import Waiting
from daemon.jobs.stages import JobEnded, StageDuration
from daemon.messages.reports import BATCH_SIZE_BOUNDS, BatchCounts, LoadedModel

CONTENT_TYPE = CONTENT_TYPE_LATEST

_SECONDS = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 7200)
_RATIO_S = 60.0
_OTHER = "(other)"
"""Stands for a recipe that is none now: its name may be anything a folder was called."""


class StationState(Protocol):
    """How things stand when the page is asked for; answers from any thread."""

    def queue(self) -> Sequence[Waiting]:
        """What is queued, by recipe."""

    def flags(self) -> dict[str, bool]:
        """What is so or not, by the rest of the metric's name."""


class Metrics:
    """Every metric of one daemon, in a registry of its own.

    Args:
        standing: Is asked at each scrape.
        clock: Monotonic seconds.
    """

    def __init__(self, standing: StationState, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._registry = registry = CollectorRegistry()
        self._recipes: frozenset[str] = frozenset()
        self._jobs = Counter(
            "restored_jobs", "Jobs that ended.", ["recipe", "outcome"], registry=registry
        )
        self._stages = Histogram(
            "restored_stage_seconds",
            "Time that photographs spent in each stage of their way.",
            ["stage", "recipe"],
            buckets=_SECONDS,
            registry=registry,
        )
        self._finds = Counter(
            "restored_rescan_finds",
            "Files that a scan found and no event had told of.",
            registry=registry,
        )
        self._deaths = Counter(
            "restored_worker_deaths", "Workers that ended unasked.", registry=registry
        )
        self._out_of_memory = Counter(
            "restored_out_of_memory",
            "Groups of calls that did not fit into memory and were halved.",
            registry=registry,
        )
        self._busy_s = Counter(
            "restored_device_busy_seconds",
            "Time the device was at work; its rate is the share of time.",
            registry=registry,
        )
        self._loads = Counter(
            "restored_model_loads", "Models that were loaded.", ["model"], registry=registry
        )
        self._in_flight = Gauge(
            "restored_in_flight_jobs", "Photographs that the worker holds.", registry=registry
        )
        Gauge("restored_build", "The version.", ["version"], registry=registry).labels(
            __version__
        ).set(1)
        self._worker = _Worker(self._clock)
        registry.register(self._worker)
        registry.register(_Now(standing, self._label, lambda: self._recipes))
        ProcessCollector(registry=registry)

    def page(self) -> bytes:
        """All of it as text, UTF-8; any thread."""
        return generate_latest(self._registry)

    def know(self, recipes: Collection[str]) -> None:
        """These are the recipes from now on."""
        self._recipes = frozenset(recipes)

    def ended(self, jobs: Sequence[JobEnded]) -> None:
        """Jobs have come to their end."""
        for job in jobs:
            self._jobs.labels(self._label(job.recipe), job.how).inc()

    def took(self, stages: Sequence[StageDuration]) -> None:
        """Photographs have passed through stages."""
        for one in stages:
            self._stages.labels(one.stage, self._label(one.recipe)).observe(one.seconds)

    def found(self, files: int) -> None:
        """A scan found so many files that events had missed."""
        self._finds.inc(files)

    def holds(self, tasks: int) -> None:
        """The worker holds so many."""
        self._in_flight.set(tasks)

    def worked(self, work: BatchCounts, loaded_models: Sequence[LoadedModel]) -> None:
        """The worker has told what it did."""
        self._out_of_memory.inc(work.out_of_memory)
        self._busy_s.inc(work.busy_s)
        self._worker.worked(work)
        self._worker.loaded_models = tuple(loaded_models)

    def loaded(self, model: str) -> None:
        """A model was loaded."""
        self._loads.labels(model).inc()

    def died(self) -> None:
        """A worker has ended unasked; its models went with it."""
        self._deaths.inc()
        self._worker.loaded_models = ()

    def _label(self, recipe: str) -> str:
        return recipe if recipe in self._recipes else _OTHER


class _Worker:
    """What the worker has counted itself."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.loaded_models: tuple[LoadedModel, ...] = ()
        self._clock = clock
        self._groups = [0] * (len(BATCH_SIZE_BOUNDS) + 1)
        self._calls = 0
        self._busy: deque[tuple[float, float]] = deque()

    def worked(self, work: BatchCounts) -> None:
        self._groups = [a + b for a, b in zip(self._groups, work.batches, strict=True)]
        self._calls += work.calls
        self._busy.append((self._clock(), work.busy_s))
        while self._busy[0][0] < self._clock() - _RATIO_S:
            self._busy.popleft()

    def collect(self) -> Iterator[Metric]:
        bounds = [*(f"{size:.1f}" for size in BATCH_SIZE_BOUNDS), "+Inf"]
        groups, below = self._groups, 0
        buckets = [
            (bound, float(below := below + n)) for bound, n in zip(bounds, groups, strict=True)
        ]
        yield HistogramMetricFamily(
            "restored_group_size",
            "Calls that shared one forward pass.",
            buckets=buckets,
            sum_value=self._calls,
        )
        since = self._clock() - _RATIO_S
        busy_s = sum(seconds for at, seconds in list(self._busy) if at >= since)
        yield GaugeMetricFamily(
            "restored_device_busy_ratio",
            f"Share of the last {_RATIO_S:g} s that the device was at work.",
            min(1.0, busy_s / _RATIO_S),
        )
        models = GaugeMetricFamily(
            "restored_model_bytes", "Memory of the models that are loaded.", labels=["model"]
        )
        for loaded_model in self.loaded_models:
            models.add_metric([loaded_model.model], loaded_model.bytes)
        yield models


class _Now:
    """What is asked for at each scrape."""

    def __init__(
        self,
        standing: StationState,
        label: Callable[[str], str],
        recipes: Callable[[], Collection[str]],
    ) -> None:
        self._standing = standing
        self._label = label
        self._recipes = recipes

    def describe(self) -> Iterator[Metric]:
        """Nothing: asking what there is would be asking how it stands."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        jobs = dict.fromkeys(self._recipes(), 0)
        oldest_s = dict.fromkeys(jobs, 0.0)
        for one in self._standing.queue():
            name = self._label(one.recipe)
            jobs[name] = jobs.get(name, 0) + one.jobs
            oldest_s[name] = max(oldest_s.get(name, 0.0), one.oldest_s)
        queued = GaugeMetricFamily("restored_queue_jobs", "Jobs that wait.", labels=["recipe"])
        oldest = GaugeMetricFamily(
            "restored_queue_oldest_seconds", "Age of the job that waits longest.", labels=["recipe"]
        )
        for name in jobs:
            queued.add_metric([name], jobs[name])
            oldest.add_metric([name], oldest_s[name])
        yield queued
        yield oldest
        for flag, holds in self._standing.flags().items():
            yield GaugeMetricFamily(f"restored_{flag}", _FLAGS[flag], float(holds))


_FLAGS = {
    "worker_ready": "1 while a worker takes orders.",
    "disk_full": "1 while the intake waits for space.",
    "paused": "1 while `restored pause` holds.",
}
