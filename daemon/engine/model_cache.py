"""The models loaded on one device, within a budget of bytes.

The least recently used model is evicted first, and never one that tasks in flight are using.
"""

import gc
import time
from collections import OrderedDict
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from daemon.config.model_reference import split_adapted
from daemon.messages.reports import LoadedModel, ModelLoaded

if TYPE_CHECKING:
    from daemon.models.calls import BatchKey
    from daemon.models.registry import Model

SLICE_S = 30.0
"""Seconds of a time slice, at least; models that do not fit together share memory by these."""

LOADS_PER_SLICE = 10
"""Loads that a time slice is at least as long as, so that loading takes at most a tenth."""


class ModelKey(NamedTuple):
    """A model in one form of loading; its two forms are cached as two models.

    Attributes:
        reference: Reference of the model.
        as_pipeline: Loaded as a diffusers pipeline, rather than driven step by step.
    """

    reference: str
    as_pipeline: bool = False


def model_key(batch_key: "BatchKey") -> ModelKey:
    """Key of the model that answers calls of this batch key."""
    return ModelKey(split_adapted(batch_key.model)[0], batch_key.needs_pipeline)


@dataclass(frozen=True)
class _CachedModel:
    model: "Model"
    bytes: int


class ModelCache:
    """Loads models when they are wanted, and evicts idle ones to make room.

    Only the loop's thread calls it, except for `loaded_models`.

    Args:
        budget_bytes: Memory for all loaded models. A larger model is loaded by itself.
        load: Loads a model.
        size: Estimates the bytes that a model takes on the device.
        free: Called after an eviction, to give the memory back to the device.
        tell: Called after every load.

    Attributes:
        loaded_at: When a model was last loaded, in seconds on the monotonic clock.
        slice_s: Length of that model's time slice, in seconds.
    """

    def __init__(
        self,
        budget_bytes: int,
        load: "Callable[[ModelKey], Model]",
        size: Callable[[ModelKey], int],
        free: Callable[[], None] = lambda: None,
        tell: Callable[[ModelLoaded], None] = lambda loaded: None,
    ) -> None:
        self._budget_bytes = budget_bytes
        self._load = load
        self._size = size
        self._free = free
        self._tell = tell
        self._loaded_models: OrderedDict[ModelKey, _CachedModel] = OrderedDict()
        self._sizes: dict[ModelKey, int] = {}
        self.loaded_at = -SLICE_S
        self.slice_s = SLICE_S

    def is_loaded(self, key: ModelKey) -> bool:
        """Whether a model is loaded."""
        return key in self._loaded_models

    def loaded_models(self) -> tuple[LoadedModel, ...]:
        """The models that are loaded, with their sizes. Any thread."""
        loaded = list(self._loaded_models.items())
        return tuple(LoadedModel(key.reference, cached.bytes) for key, cached in loaded)

    def in_time_slice(self, now: float) -> bool:
        """Whether the model that was loaded last is in its time slice."""
        return now - self.loaded_at < self.slice_s

    def has_room_for(self, reference: str) -> bool:
        """Whether a model is loaded in any form, or fits beside all that are loaded."""
        if any(key.reference == reference for key in self._loaded_models):
            return True
        return self._fits(ModelKey(reference), self._loaded_models)

    def can_load(self, key: ModelKey, busy: Collection[ModelKey]) -> bool:
        """Whether a model is loaded, or can be without evicting one that is busy."""
        if key in self._loaded_models:
            return True
        staying = [other for other in self._loaded_models if other in busy]
        return not staying or self._fits(key, staying)

    def get(self, key: ModelKey, busy: Collection[ModelKey]) -> "Model":
        """Get a model; if it is not loaded, load it and evict idle ones as far as needed.

        Args:
            key: Which model.
            busy: Models that must stay.
        """
        if key not in self._loaded_models:
            self._load_evicting(key, busy)
        self._loaded_models.move_to_end(key)
        return self._loaded_models[key].model

    def evict_one(self, busy: Collection[ModelKey]) -> bool:
        """Evict the least recently used of the models not busy; False if there is none."""
        idle = next((key for key in self._loaded_models if key not in busy), None)
        if idle is None:
            return False
        del self._loaded_models[idle]
        gc.collect()
        self._free()
        return True

    def _load_evicting(self, key: ModelKey, busy: Collection[ModelKey]) -> None:
        needed = self._bytes(key)
        before = set(self._loaded_models)
        while needed > self._room(self._loaded_models) and self.evict_one(busy):
            pass
        began = time.monotonic()
        self._loaded_models[key] = _CachedModel(self._load(key), needed)
        self.loaded_at = time.monotonic()
        seconds = self.loaded_at - began
        self.slice_s = max(SLICE_S, LOADS_PER_SLICE * seconds)
        evicted = tuple(sorted(other.reference for other in before - set(self._loaded_models)))
        self._tell(ModelLoaded(key.reference, seconds, needed, evicted))

    def _fits(self, key: ModelKey, beside: Collection[ModelKey]) -> bool:
        """Whether a model fits beside others; True if it is damaged: loading it will say why."""
        try:
            return self._bytes(key) <= self._room(beside)
        except Exception:
            return True

    def _room(self, beside: Collection[ModelKey]) -> int:
        return self._budget_bytes - sum(self._loaded_models[key].bytes for key in beside)

    def _bytes(self, key: ModelKey) -> int:
        if key not in self._sizes:
            self._sizes[key] = self._size(key)
        return self._sizes[key]
