"""Restorers: each a generator of denoiser calls that reads like its source.

Comes in: decoded pictures, a step's parameters and the job's noise. Goes out: restored pictures
with what was measured. A restorer knows nothing of batches, devices or other photographs.
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from daemon.call import Asking
from daemon.photo import Picture


@dataclass(frozen=True)
class Restoration:
    """What a restorer returns.

    Attributes:
        pictures: The results: one, or the frames of an interpolation in order.
        measures: Names and numbers worth keeping in the record.
        notes: What a person should know, such as how sizes were fitted.
    """

    pictures: tuple[Picture, ...]
    measures: tuple[tuple[str, float], ...] = ()
    notes: tuple[str, ...] = ()


Restorer = Callable[..., Asking[Restoration]]
"""(pictures: tuple[Picture, ...], params: a class of daemon.steps, noise: Noise) -> Restoration."""

RESTORERS = {
    "colorize": "daemon.restorers.colorize:colorize",
    "denoise": "daemon.restorers.denoise:denoise",
    "interpolate": "daemon.restorers.interpolate:interpolate",
    "restyle": "daemon.restorers.restyle:restyle",
    "super-resolve": "daemon.restorers.super_resolve:super_resolve",
}


def restorer_for(kind: str) -> Restorer:
    """The restorer of a kind of step, importing its module only now."""
    module, name = RESTORERS[kind].split(":")
    restorer: Any = getattr(import_module(module), name)
    return restorer  # type: ignore[no-any-return]
