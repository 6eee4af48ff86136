"""A device: the models loaded on it, and batches of calls put through them.

Only the thread of the engine's loop calls it.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from daemon.engine.backend import Backend
from daemon.engine.device_memory import MemoryMeter, meter_of
from daemon.engine.failures import is_device_lost, is_out_of_memory
from daemon.engine.model_cache import ModelCache, ModelKey, model_key
from daemon.engine.plausibility import check_answer
from daemon.messages.reports import ModelLoaded
from daemon.models.calls import BatchKey, ModelCall, Reply
from daemon.system.errors import CancelError, DeviceError, RestoredError, UnusableModelError

if TYPE_CHECKING:
    from daemon.models.registry import Model, Tick


class BatchMember(NamedTuple):
    """One call of a forward pass.

    Attributes:
        fence: Fence of the task that made it.
        name: Name of the task's run: its recipe's name, or "inspect".
        t: Diffusion time of the call; 0 if it is not a denoiser call.
    """

    fence: int
    name: str
    t: float


@dataclass(frozen=True)
class ForwardPass:
    """One forward pass, as tests and benchmarks see it.

    Attributes:
        key: What its calls have in common.
        cap: Largest batch of the key at that time, in rows.
        began_s: When it began, in seconds on the monotonic clock.
        seconds: How long it took.
        members: Its calls.
    """

    key: BatchKey
    cap: int
    began_s: float
    seconds: float
    members: tuple[BatchMember, ...]


class Device:
    """One device and the models on it.

    Args:
        name: "cpu", "mps" or "cuda:N".
        backend: Loads models and knows their sizes.
        model_bytes: Memory for loaded models.
        tick: Called between the steps of a long answer; may raise `CancelError`.
        tell: Called after every load of a model.
        meter: Measures the memory of passes; by default that of the device.

    Attributes:
        name: Its name.
        peak_bytes: Memory that the last pass took at its peak, the weights apart; None if unknown.
        model_cache: The models on it.
    """

    def __init__(
        self,
        name: str,
        backend: Backend,
        model_bytes: int,
        tick: "Tick",
        tell: Callable[[ModelLoaded], None],
        meter: MemoryMeter | None = None,
    ) -> None:
        self.name = name
        self.peak_bytes: int | None = None
        self._meter = meter or meter_of(name)

        def load(key: ModelKey) -> "Model":
            return backend.load_model(key.reference, name, tick, as_pipeline=key.as_pipeline)

        def size(key: ModelKey) -> int:
            return backend.model_bytes(key.reference, name, as_pipeline=key.as_pipeline)

        self.model_cache = ModelCache(model_bytes, load, size, self._free, tell)

    def predict(
        self, calls: Sequence[ModelCall], busy: Collection[ModelKey] = ()
    ) -> Sequence[Reply] | Exception:
        """Answer calls that share a key.

        Args:
            calls: A batch, at least one call.
            busy: Models that tasks in flight are using. They stay; others are evicted if memory
                is short.

        Returns:
            The answers in the calls' order, or the exception that prevented them.

        Raises:
            DeviceError: The device is lost for this process.
        """
        busy = {*busy, model_key(calls[0].key)}
        while True:
            answers = self._attempt(calls, busy)
            short = isinstance(answers, Exception) and is_out_of_memory(answers)
            if not short or not self.model_cache.evict_one(busy):
                return answers

    def _attempt(
        self, calls: Sequence[ModelCall], busy: Collection[ModelKey]
    ) -> Sequence[Reply] | Exception:
        try:
            model = self._model(model_key(calls[0].key), busy)
            self._meter.start()
            answers = model.predict(calls)
            self.peak_bytes = self._meter.peak_bytes()
            if len(answers) != len(calls):
                raise RuntimeError(f"{len(answers)} answers to {len(calls)} calls")
            for call, answer in zip(calls, answers, strict=True):
                check_answer(call, answer)
            return answers
        except Exception as error:
            if is_device_lost(error):
                raise DeviceError(f"{self.name} is lost: {error}") from error
            if not is_out_of_memory(error):
                return error
            # The frames of the traceback hold the tensors that did not fit.
            out_of_memory = error.with_traceback(None)
        self._free()
        return out_of_memory

    def _model(self, key: ModelKey, busy: Collection[ModelKey]) -> "Model":
        """Get a model.

        Raises:
            UnusableModelError: It cannot be loaded, for another reason than memory or the device.
        """
        try:
            return self.model_cache.get(key, busy)
        except Exception as error:
            passes = isinstance(error, CancelError) or is_out_of_memory(error)
            if passes or is_device_lost(error):
                raise
            known = isinstance(error, RestoredError)
            kind = "" if known else f"model {key.reference}: {type(error).__name__}: "
            raise UnusableModelError(key.reference, f"{kind}{error}") from error

    def _free(self) -> None:
        if self.name.startswith("cuda"):
            import torch

            torch.cuda.empty_cache()

    def room_bytes(self) -> int | None:
        """Memory that is free for a pass; None where it is not what limits one."""
        return self._meter.room_bytes()

    def too_large(self, key: BatchKey, error: Exception) -> DeviceError:
        """The error of a task with a call that does not fit into memory even by itself."""
        size = "x".join(str(side) for side in reversed(key.shape[-2:]))
        text = f"one {size} {key.operation} does not fit into the memory of {self.name}"
        return DeviceError(f"{text}: {error}", model=key.model)
