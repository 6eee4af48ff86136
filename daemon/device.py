"""The device at work: models loaded onto it, groups of calls put through them.

Comes in: groups of calls with one key. Goes out: answers, or the reason why there are none. The
thread that answers is the only one that touches the device.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from daemon.call import Answer, Key, Question
from daemon.errors import DeviceError
from daemon.faults import is_device_lost, is_out_of_memory

if TYPE_CHECKING:
    from daemon.craft import LoadModel
    from daemon.models import Model, Tick


@dataclass(frozen=True)
class Pass:
    """One forward pass, for who watches the engine.

    Attributes:
        key: What its calls have in common.
        cap: How many would have fitted.
        began_s: When it began, on the monotonic clock.
        seconds: How long it took.
        members: Fence, recipe and time t of each call; 0 where it is no denoiser call.
    """

    key: Key
    cap: int
    began_s: float
    seconds: float
    members: tuple[tuple[int, str, float], ...]


class Device:
    """One device and the models on it.

    Args:
        name: "cpu", "mps" or "cuda:N".
        load_model: Loads a model of this reference onto a device.
        tick: Called between the steps of a long answer; may raise `CancelError`.
    """

    def __init__(self, name: str, load_model: "LoadModel", tick: "Tick") -> None:
        self.name = name
        self._load_model = load_model
        self._tick = tick
        self._models: dict[tuple[str, bool], Model] = {}

    def load(self, reference: str, *, whole: bool = False) -> "Model":
        """The model of that reference, loaded at its first use; `whole` as a whole pipeline."""
        if (reference, whole) not in self._models:
            model = self._load_model(reference, self.name, self._tick, whole=whole)
            self._models[reference, whole] = model
        return self._models[reference, whole]

    def predict(self, calls: Sequence[Question]) -> Sequence[Answer] | Exception:
        """Answers to calls that share a key, or what went wrong.

        Raises:
            DeviceError: The device is lost for this process.
        """
        try:
            model = self.load(calls[0].model, whole=calls[0].key.whole)
            answers = model.predict(calls)
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
        if self.name.startswith("cuda"):
            torch.cuda.empty_cache()
        return refusal

    def too_large(self, key: Key, error: Exception) -> DeviceError:
        """The fault of an order whose lone call does not fit."""
        size = "x".join(str(side) for side in reversed(key.shape[-2:]))
        text = f"one {size} {key.operation} does not fit into the memory of {self.name}"
        return DeviceError(f"{text}: {error}")
