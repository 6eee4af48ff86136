"""Refuses a network that answers one number to a picture: its weights are damaged, or zeros.

Sampling with it would publish noise, which is neither NaN nor of one colour.
"""

from torch import Tensor, nn

from daemon.system.errors import ModelError


def refuse_constant_output(network: nn.Module, model: str) -> None:
    """Let a network that predicts noise fail where it predicts the same for all of a noisy picture.

    On a device of its own the output is not looked at, which would stop it at every pass.

    Args:
        network: The network; its output is a tensor, or a tuple that begins with one.
        model: Reference of the model, for the error.

    Raises:
        ModelError: By the network's own calls, on a processor.
    """

    def check(_: nn.Module, given: tuple[Tensor, ...], output: Tensor | tuple[Tensor, ...]) -> None:
        first = output[0] if isinstance(output, tuple) else output
        if first.device.type == "cpu" and _is_even(first) and not _is_even(given[0]):
            raise ModelError(model, "its answer is the same number everywhere")

    network.register_forward_hook(check)


def _is_even(values: Tensor) -> bool:
    return bool(values.amin() == values.amax())
