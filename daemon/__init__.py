"""restored: a daemon that restores photographs with diffusion models.

Two modules show the whole from the top: `service.daemon` is the loop of the parent process, and
`engine.engine` the event loop of the worker process that owns the device.
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_INTERFACE = ("restore", "restore_each", "RestoredPicture")


def __getattr__(name: str) -> Any:  # noqa: ANN401
    """The Python interface (`docs/python.md`), imported when it is asked for.

    Every package of this one imports this module, so it must import none of them.
    """
    if name not in _INTERFACE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module("daemon.service.interface"), name)
