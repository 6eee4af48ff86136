"""The device at work: models loaded onto it, groups of calls put through them.

Comes in: groups of calls with one key. Goes out: answers, or the reason why there are none. The
thread that answers is the only one that touches the device.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import nn

from daemon.call import Call, Key
from daemon.errors import DeviceError
from daemon.faults import is_device_lost, is_out_of_memory
from daemon.job import Resident

if TYPE_CHECKING:
    from torch import Tensor

    from daemon.models import Model


@dataclass(frozen=True)
class Pass:
    """One forward pass, for who watches the engine.

    Attributes:
        key: What its calls have in common.
        cap: How many would have fitted.
        began_s: When it began, on the monotonic clock.
        seconds: How long it took.
        members: Fence, recipe and time t of each call.
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
    """

    def __init__(self, name: str, load_model: "Callable[[str, str], Model]") -> None:
        self.name = name
        self._load_model = load_model
        self._models: dict[str, Model] = {}

    def load(self, reference: str) -> "Model":
        """The model of that reference, loaded at its first use."""
        if reference not in self._models:
            self._models[reference] = self._load_model(reference, self.name)
        return self._models[reference]

    @property
    def resident(self) -> tuple[Resident, ...]:
        """The models that are loaded; any thread."""
        return tuple(Resident(name, _weight_bytes(one)) for name, one in list(self._models.items()))

    def predict(self, calls: Sequence[Call]) -> "list[Tensor] | Exception":
        """Answers to calls that share a key, or what went wrong.

        Raises:
            DeviceError: The device is lost for this process.
        """
        try:
            answers = self.load(calls[0].model).predict(calls)
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
        """The fault of an order whose lone tile does not fit."""
        height, width = key.shape[-2:]
        text = f"one {width}x{height} tile does not fit into the memory of {self.name}"
        return DeviceError(f"{text}: {error}")


def _weight_bytes(model: "Model") -> int:
    """What the parameters and buffers of a model's networks take."""
    networks = [part for part in vars(model).values() if isinstance(part, nn.Module)]
    return sum(t.nbytes for one in networks for t in (*one.parameters(), *one.buffers()))
