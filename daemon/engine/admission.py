"""Admission: which waiting task starts next, if any may."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from daemon.engine.model_cache import ModelCache, ModelKey
from daemon.engine.runs import AnyRun, RunState

LOOKAHEAD_PASSES = 6
"""Tasks start until their results hold the pixels of this many forward passes, to fill batches."""

LOOKAHEAD_TASKS = 6
"""Tasks that start whatever their pixels, so that the device has work while others are read."""


@dataclass(frozen=True)
class Admission:
    """Decides which waiting task starts next.

    Tasks start in the order of their arrival, except that models which do not fit into memory
    together share it by time slices, so that they are not loaded again for each photograph. In the
    time slice of the model that was loaded last, tasks whose models are loaded go first. After it,
    if a task in flight waits for a model that has no room beside those in use, no task starts that
    would keep those in use.

    Attributes:
        memory_bytes: Memory for all tasks in flight. A task that needs more runs by itself.
        pass_pixels: Pixels of one forward pass.
        model_cache: The models on the device.
    """

    memory_bytes: int
    pass_pixels: int
    model_cache: ModelCache

    def next_to_start(
        self, waiting: Sequence[AnyRun], in_flight: Collection[AnyRun], now: float
    ) -> int | None:
        """Which task starts now.

        Args:
            waiting: Tasks by arrival, at least one.
            in_flight: Tasks that have started.
            now: Seconds on the monotonic clock.

        Returns:
            Its index in `waiting`, or None if none should start now.
        """
        index = self._first_choice(waiting, models_in_use(in_flight), now)
        if index is None or not self._has_room(waiting[index], in_flight):
            return None
        return index

    def _first_choice(
        self, waiting: Sequence[AnyRun], in_use: Collection[ModelKey], now: float
    ) -> int | None:
        """The task whose turn it is, as far as models go."""
        cache = self.model_cache
        if cache.in_time_slice(now):
            ready = (
                index
                for index, run in enumerate(waiting)
                if all(cache.has_room_for(reference) for reference in run.models)
            )
            return next(ready, 0)
        if all(cache.can_load(key, in_use) for key in in_use):
            return 0
        loaded = {key.reference for key in in_use if cache.is_loaded(key)}
        others = (i for i, run in enumerate(waiting) if not loaded.intersection(run.models))
        return next(others, None)

    def _has_room(self, run: AnyRun, in_flight: Collection[AnyRun]) -> bool:
        """Whether a task may start beside those in flight; by itself, any may."""
        if not in_flight:
            return True
        if run.alone or any(other.alone for other in in_flight):
            return False
        if run.bytes + sum(other.bytes for other in in_flight) > self.memory_bytes:
            return False
        restoring = [other for other in in_flight if other.state is not RunState.WRITING]
        pixels = run.pixels + sum(other.pixels for other in restoring)
        return len(restoring) < LOOKAHEAD_TASKS or pixels <= LOOKAHEAD_PASSES * self.pass_pixels


def models_in_use(in_flight: Collection[AnyRun]) -> frozenset[ModelKey]:
    """Models that tasks in flight have called last, and so will probably call again."""
    return frozenset().union(*(run.models_in_use for run in in_flight))
