"""Which models stay loaded on a device, within a number of bytes.

Comes in: which model is wanted, and which have work in flight. Goes out: the model. The least
recently used goes first, and never one with work in flight.
"""

import gc
import time
from collections import OrderedDict
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from daemon.messages.reports import LoadedModel, ModelLoaded

if TYPE_CHECKING:
    from daemon.models.calls import BatchKey
    from daemon.models.registry import Model

SLICE_S = 30.0
"""Models that exclude each other take turns of at least so long."""

LOADS_A_SLICE = 10
"""A turn is at least so many times what loading took: at most a tenth of the time goes into it."""


class Slot(NamedTuple):
    """A model as it is loaded: driven step by step, or as a diffusers pipeline."""

    reference: str
    as_pipeline: bool


def slot_of(key: "BatchKey") -> Slot:
    """The model that answers calls of this key."""
    return Slot(key.model, key.needs_pipeline)


@dataclass(frozen=True)
class _CachedModel:
    model: "Model"
    size: int


class ModelCache:
    """The models on one device.

    Args:
        budget_bytes: For all of them; one that is larger is loaded when it can be alone.
        load: Loads a model.
        size: Bytes that a model will take on the device.
        free: Is called when models have gone, to give their memory back.
        tell: Is told of every load.
    """

    def __init__(
        self,
        budget_bytes: int,
        load: "Callable[[Slot], Model]",
        size: Callable[[Slot], int],
        free: Callable[[], None] = lambda: None,
        tell: Callable[[ModelLoaded], None] = lambda loaded: None,
    ) -> None:
        self._budget_bytes = budget_bytes
        self._load = load
        self._size = size
        self._free = free
        self._tell = tell
        self._loaded_models: OrderedDict[Slot, _CachedModel] = OrderedDict()
        self._sizes: dict[Slot, int] = {}
        self.loaded_at = -SLICE_S
        self.slice_s = SLICE_S

    def is_resident(self, slot: Slot) -> bool:
        """Whether it is loaded."""
        return slot in self._loaded_models

    def loaded_models(self) -> tuple[LoadedModel, ...]:
        """The models that are loaded, with their sizes; any thread."""
        loaded = list(self._loaded_models.items())
        return tuple(
            LoadedModel(slot.reference, loaded_model.size) for slot, loaded_model in loaded
        )

    def welcomes(self, reference: str) -> bool:
        """Whether a model is loaded, or fits beside all that are."""
        if any(slot.reference == reference for slot in self._loaded_models):
            return True
        return self._fits(Slot(reference, False), self._loaded_models)

    def admits(self, slot: Slot, busy: Collection[Slot]) -> bool:
        """Whether a model is loaded, or can be without sending away any that is busy."""
        if slot in self._loaded_models:
            return True
        staying = [other for other in self._loaded_models if other in busy]
        return not staying or self._fits(slot, staying)

    def get(self, slot: Slot, busy: Collection[Slot]) -> "Model":
        """A model, loaded if it is not; idle ones go as far as that needs room."""
        if slot not in self._loaded_models:
            self._bring(slot, busy)
        self._loaded_models.move_to_end(slot)
        return self._loaded_models[slot].model

    def send_one_away(self, busy: Collection[Slot]) -> bool:
        """Give up the idle model that was used longest ago; says whether there was one."""
        idle = next((slot for slot in self._loaded_models if slot not in busy), None)
        if idle is None:
            return False
        del self._loaded_models[idle]
        gc.collect()
        self._free()
        return True

    def _bring(self, slot: Slot, busy: Collection[Slot]) -> None:
        size = self._bytes(slot)
        before = set(self._loaded_models)
        while size > self._room(self._loaded_models) and self.send_one_away(busy):
            pass
        began = time.monotonic()
        self._loaded_models[slot] = _CachedModel(self._load(slot), size)
        self.loaded_at = time.monotonic()
        seconds = self.loaded_at - began
        self.slice_s = max(SLICE_S, LOADS_A_SLICE * seconds)
        evicted = tuple(sorted(other.reference for other in before - set(self._loaded_models)))
        self._tell(ModelLoaded(slot.reference, seconds, size, evicted))

    def _fits(self, slot: Slot, beside: Collection[Slot]) -> bool:
        """Whether there is room; of a damaged model nobody waits for it: its load says why."""
        try:
            return self._bytes(slot) <= self._room(beside)
        except Exception:
            return True

    def _room(self, beside: Collection[Slot]) -> int:
        return self._budget_bytes - sum(self._loaded_models[slot].size for slot in beside)

    def _bytes(self, slot: Slot) -> int:
        if slot not in self._sizes:
            self._sizes[slot] = self._size(slot)
        return self._sizes[slot]
