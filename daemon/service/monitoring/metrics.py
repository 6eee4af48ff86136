"""Metrics of one daemon in the Prometheus text format.

The page is made when it is asked for, in any thread. Labels are recipes, stages, models and
workers, never file names, so their number is bounded.
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
from daemon.jobs.accounting import JobEnded, StageDuration
from daemon.jobs.ledger.entries import Waiting
from daemon.messages.reports import BATCH_SIZE_BOUNDS, ONLY_WORKER, BatchCounts, LoadedModel
from daemon.service.monitoring.station_sizes import SIZES
from daemon.system.text import printable

CONTENT_TYPE = CONTENT_TYPE_LATEST

_BUCKETS_S = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 7200)
_RATIO_S = 60.0
"""Seconds over which the busy share of the device is taken."""

_OTHER = "(other)"
"""Label of every recipe that is unknown now: its name may be that of any folder."""


class StationState(Protocol):
    """The state at the time of a scrape; answers in any thread."""

    def queue(self) -> Sequence[Waiting]:
        """Queued jobs by recipe."""

    def flags(self) -> dict[str, bool]:
        """Gauges that are 0 or 1, by metric name without `restored_`."""

    def workers_ready(self) -> dict[str, bool]:
        """Whether each worker accepts tasks, by name."""

    def sizes(self) -> dict[str, float]:
        """Gauges of `SIZES`, by metric name without `restored_`."""

    def held_recipes(self) -> Collection[str]:
        """Recipes that are held back, as their models are at fault."""


class Metrics:
    """Every metric of one daemon, in a registry of its own.

    Args:
        state: Asked at each scrape.
        clock: Monotonic seconds.
    """

    def __init__(self, state: StationState, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._registry = registry = CollectorRegistry()
        self._recipes: frozenset[str] = frozenset()
        self._jobs = Counter(
            "restored_jobs", "Jobs that ended.", ["recipe", "outcome"], registry=registry
        )
        self._stages = Histogram(
            "restored_stage_seconds",
            "Seconds that photographs spent in each stage.",
            ["stage", "recipe"],
            buckets=_BUCKETS_S,
            registry=registry,
        )
        self._finds = Counter(
            "restored_rescan_finds",
            "Files found by a rescan that no file system event had announced.",
            registry=registry,
        )
        self._deaths = Counter(
            "restored_worker_deaths", "Workers that died.", ["worker"], registry=registry
        )
        self._losses = Counter(
            "restored_worker_losses",
            "Workers on other machines that were lost.",
            ["worker"],
            registry=registry,
        )
        self._out_of_memory = Counter(
            "restored_out_of_memory",
            "Batches that did not fit into memory and were halved.",
            ["worker"],
            registry=registry,
        )
        self._busy_s = Counter(
            "restored_device_busy_seconds",
            "Seconds the worker's device was busy; its rate is the busy share.",
            ["worker"],
            registry=registry,
        )
        self._loads = Counter(
            "restored_model_loads", "Models loaded.", ["model", "worker"], registry=registry
        )
        self._in_flight = Gauge(
            "restored_in_flight_jobs", "Photographs the executor holds.", registry=registry
        )
        Gauge("restored_build", "Version of the program.", ["version"], registry=registry).labels(
            __version__
        ).set(1)
        self._workers = _WorkerCollector(self._clock)
        self._show_worker(ONLY_WORKER)
        registry.register(self._workers)
        registry.register(_ScrapedState(state, self._label, lambda: self._recipes))
        ProcessCollector(registry=registry)

    def page(self) -> bytes:
        """The page as UTF-8 text; any thread may call it."""
        return generate_latest(self._registry)

    def set_recipes(self, recipes: Collection[str]) -> None:
        """Set the names of the recipes, which become labels."""
        self._recipes = frozenset(recipes)

    def count_ended(self, jobs: Sequence[JobEnded]) -> None:
        """Count jobs that ended."""
        for job in jobs:
            self._jobs.labels(self._label(job.recipe), job.how).inc()

    def observe_durations(self, stages: Sequence[StageDuration]) -> None:
        """Record how long photographs spent in stages."""
        for one in stages:
            self._stages.labels(one.stage, self._label(one.recipe)).observe(one.seconds)

    def count_rescan_finds(self, files: int) -> None:
        """Count files that a rescan found and events had missed."""
        self._finds.inc(files)

    def set_in_flight(self, tasks: int) -> None:
        """Set how many tasks the executor holds."""
        self._in_flight.set(tasks)

    def record_batches(
        self,
        counts: BatchCounts,
        loaded_models: Sequence[LoadedModel],
        worker: str = ONLY_WORKER,
    ) -> None:
        """Record the batches that a worker ran since its last report, and its models."""
        self._show_worker(worker)
        self._out_of_memory.labels(worker).inc(counts.out_of_memory)
        self._busy_s.labels(worker).inc(counts.busy_s)
        self._workers.add(counts, worker)
        self._workers.loaded_models[worker] = tuple(loaded_models)

    def count_model_load(self, model: str, worker: str = ONLY_WORKER) -> None:
        """Count a model that was loaded."""
        self._loads.labels(printable(model), worker).inc()

    def count_worker_death(self, worker: str = ONLY_WORKER) -> None:
        """Count a worker that died; its models are gone."""
        self._deaths.labels(worker).inc()
        self._workers.loaded_models.pop(worker, None)

    def count_worker_loss(self, worker: str) -> None:
        """Count a worker on another machine that was lost; its models are gone."""
        self._losses.labels(worker).inc()
        self._workers.loaded_models.pop(worker, None)

    def _show_worker(self, worker: str) -> None:
        """Have the counters of a worker on the page from the start, at 0."""
        for counter in (self._deaths, self._losses, self._out_of_memory, self._busy_s):
            counter.labels(worker)
        self._workers.busy.setdefault(worker, deque())

    def _label(self, recipe: str) -> str:
        return recipe if recipe in self._recipes else _OTHER


class _WorkerCollector:
    """Collects what the workers have counted themselves.

    Attributes:
        loaded_models: Models that each worker has loaded, by its name.
        busy: When each worker reported how many busy seconds, by its name.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self.loaded_models: dict[str, tuple[LoadedModel, ...]] = {}
        self.busy: dict[str, deque[tuple[float, float]]] = {}
        self._clock = clock
        self._batches = [0] * (len(BATCH_SIZE_BOUNDS) + 1)
        self._calls = 0

    def add(self, counts: BatchCounts, worker: str) -> None:
        self._batches = [a + b for a, b in zip(self._batches, counts.batches, strict=True)]
        self._calls += counts.calls
        busy = self.busy[worker]
        busy.append((self._clock(), counts.busy_s))
        while busy[0][0] < self._clock() - _RATIO_S:
            busy.popleft()

    def collect(self) -> Iterator[Metric]:
        bounds = [*(f"{size:.1f}" for size in BATCH_SIZE_BOUNDS), "+Inf"]
        below = 0
        buckets = [
            (bound, float(below := below + n))
            for bound, n in zip(bounds, self._batches, strict=True)
        ]
        yield HistogramMetricFamily(
            "restored_group_size",
            "Calls in one forward pass (batch size).",
            buckets=buckets,
            sum_value=self._calls,
        )
        yield self._busy_share()
        models = GaugeMetricFamily(
            "restored_model_bytes",
            "Bytes of the models that are loaded.",
            labels=["model", "worker"],
        )
        for worker, loaded_models in list(self.loaded_models.items()):
            for loaded_model in loaded_models:
                models.add_metric([printable(loaded_model.model), worker], loaded_model.bytes)
        yield models

    def _busy_share(self) -> Metric:
        share = GaugeMetricFamily(
            "restored_device_busy_ratio",
            f"Share of the last {_RATIO_S:g} s that the worker's device was busy.",
            labels=["worker"],
        )
        since = self._clock() - _RATIO_S
        for worker, busy in list(self.busy.items()):
            busy_s = sum(seconds for at, seconds in list(busy) if at >= since)
            share.add_metric([worker], min(1.0, busy_s / _RATIO_S))
        return share


class _ScrapedState:
    """Collects the state that is read at each scrape."""

    def __init__(
        self,
        state: StationState,
        label: Callable[[str], str],
        recipes: Callable[[], Collection[str]],
    ) -> None:
        self._state = state
        self._label = label
        self._recipes = recipes

    def describe(self) -> Iterator[Metric]:
        """Describe nothing: registering must not read the state."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        jobs = dict.fromkeys(self._recipes(), 0)
        oldest_s = dict.fromkeys(jobs, 0.0)
        for one in self._state.queue():
            name = self._label(one.recipe)
            jobs[name] = jobs.get(name, 0) + one.jobs
            oldest_s[name] = max(oldest_s.get(name, 0.0), one.oldest_s)
        queued = GaugeMetricFamily("restored_queue_jobs", "Jobs queued.", labels=["recipe"])
        oldest = GaugeMetricFamily(
            "restored_queue_oldest_seconds",
            "Seconds the oldest queued job has waited.",
            labels=["recipe"],
        )
        for name in jobs:
            queued.add_metric([name], jobs[name])
            oldest.add_metric([name], oldest_s[name])
        yield queued
        yield oldest
        held = GaugeMetricFamily(
            "restored_recipe_held",
            "1 while a recipe is held back because its model is at fault.",
            labels=["recipe"],
        )
        names = {self._label(name) for name in self._state.held_recipes()}
        for name in {*jobs, *names}:
            held.add_metric([name], float(name in names))
        yield held
        ready = GaugeMetricFamily(
            "restored_worker_ready", "1 while a worker accepts tasks.", labels=["worker"]
        )
        for worker, holds in self._state.workers_ready().items():
            ready.add_metric([worker], float(holds))
        yield ready
        for flag, holds in self._state.flags().items():
            yield GaugeMetricFamily(f"restored_{flag}", _FLAGS[flag], float(holds))
        for name, size in self._state.sizes().items():
            yield GaugeMetricFamily(f"restored_{name}", SIZES[name], size)


_FLAGS = {
    "disk_full": "1 while nothing is claimed for lack of disk space.",
    "paused": "1 while the station is paused (`restored pause`).",
}
