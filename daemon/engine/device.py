"""The device at work: models loaded onto it, groups of calls put through them.

Comes in: groups of calls with one key. Goes out: answers, or the reason why there are none. The
thread that answers is the only one that touches the device.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from daemon.engine.backend import Backend
from daemon.engine.failures import is_device_lost, is_out_of_memory
from daemon.engine.model_cache import ModelCache, Slot, slot_of
from daemon.messages.reports import ModelLoaded
from daemon.models.calls import BatchKey, ModelCall, Reply
from daemon.system.errors import DeviceError

if TYPE_CHECKING:
    from daemon.models.registry import Model, Tick


@dataclass(frozen=True)
class ForwardPass:
    """One forward pass, for who watches the engine.

    Attributes:
        key: What its calls have in common.
        cap: How many would have fitted.
        began_s: When it began, on the monotonic clock.
        seconds: How long it took.
        members: Fence, recipe and time t of each call; 0 where it is no denoiser call.
    """

    key: BatchKey
    cap: int
    began_s: float
    seconds: float
    members: tuple[tuple[int, str, float], ...]


class Device:
    """One device and the models on it.

    Args:
        name: "cpu", "mps" or "cuda:N".
        backend: Loads models and knows their sizes.
        model_bytes: For models that stay loaded.
        tick: Called between the steps of a long answer; may raise `CancelError`.
        tell: Is told of every model that is loaded.
    """

    def __init__(
        self,
        name: str,
        backend: Backend,
        model_bytes: int,
        tick: "Tick",
        tell: Callable[[ModelLoaded], None],
    ) -> None:
        self.name = name

        def load(slot: Slot) -> "Model":
            return backend.load_model(slot.reference, name, tick, as_pipeline=slot.as_pipeline)

        def size(slot: Slot) -> int:
            return backend.model_bytes(slot.reference, name, slot.as_pipeline)

        self.model_cache = ModelCache(model_bytes, load, size, self._free, tell)

    def predict(
        self, calls: Sequence[ModelCall], busy: Collection[Slot] = ()
    ) -> Sequence[Reply] | Exception:
        """Answers to calls that share a key, or what went wrong.

        Args:
            calls: What is asked.
            busy: Models with work in flight, which stay; the others go if memory is short.

        Raises:
            DeviceError: The device is lost for this process.
        """
        busy = {*busy, slot_of(calls[0].key)}
        while True:
            answers = self._attempt(calls, busy)
            short = isinstance(answers, Exception) and is_out_of_memory(answers)
            if not short or not self.model_cache.send_one_away(busy):
                return answers

    def _attempt(
        self, calls: Sequence[ModelCall], busy: Collection[Slot]
    ) -> Sequence[Reply] | Exception:
        try:
            answers = self.model_cache.get(slot_of(calls[0].key), busy).predict(calls)
            if len(answers) != len(calls):
                raise RuntimeError(f"{len(answers)} answers to {len(calls)} calls")
            return answers
        except Exception as error:
            if is_device_lost(error):
                raise DeviceError(f"{self.name} is lost: {error}") from error
            if not is_out_of_memory(error):
                return error
            # The frames of the traceback hold the tensors that did not fit.
            refusal = error.with_traceback(None)
        self._free()
        return refusal

    def _free(self) -> None:
        if self.name.startswith("cuda"):
            torch.cuda.empty_cache()

    def too_large(self, key: BatchKey, error: Exception) -> DeviceError:
        """The fault of an order whose lone call does not fit."""
        size = "x".join(str(side) for side in reversed(key.shape[-2:]))
        text = f"one {size} {key.operation} does not fit into the memory of {self.name}"
        return DeviceError(f"{text}: {error}")
