"""Failures: whether the photograph, the machine or the program is at fault for an exception.

It imports no torch, and so knows torch's exceptions by their names and messages.
"""

import errno
import traceback
from collections.abc import Sequence

from daemon.messages.reports import Failed, Outcome, Rejected
from daemon.photo import Photo
from daemon.system.errors import (
    DeviceError,
    ModelError,
    PassingError,
    PhotoError,
    RestoredError,
    TruncatedError,
    UnusableModelError,
)
from daemon.system.files import NO_SPACE, os_error_text

_MEMORY_WORDS = ("out of memory", "can't allocate memory", "cannot allocate memory")


def outcome_of(fence: int, error: BaseException, photos: Sequence[Photo] = ()) -> Outcome:
    """The outcome of a task whose code raised an exception.

    A photograph at fault is rejected. It is named here if the code that raised, such as a step or
    a model, knows only pixels. What the machine lacks (space, memory, a device, a file that cannot
    be read now) may pass. A wrong setting fails with its own message. Anything else is a bug and
    keeps its traceback.

    Args:
        fence: Fence of the task.
        error: What was raised.
        photos: The photographs of the task, which messages call by the names that people gave.
    """
    if isinstance(error, PhotoError):
        photo = error.photo or _name_of(photos)
        truncated = isinstance(error, TruncatedError)
        return Rejected(fence, photo, error.why, error.remedy, truncated=truncated)
    if is_out_of_memory(error):
        return Failed(fence, f"out of memory: {error}", passing=True)
    if isinstance(error, OSError):
        labels = {path: label for photo in photos for path, label in photo.labels.items()}
        no_space = error.errno in NO_SPACE
        return Failed(fence, os_error_text(error, labels), passing=True, no_space=no_space)
    if isinstance(error, DeviceError):
        return Failed(fence, str(error), passing=True, model=error.model)
    if isinstance(error, PassingError):
        return Failed(fence, str(error), passing=True)
    if isinstance(error, ModelError | UnusableModelError):
        unusable = isinstance(error, UnusableModelError)
        return Failed(fence, str(error), model=error.model, unusable=unusable)
    if isinstance(error, RestoredError):
        return Failed(fence, str(error))
    trace = "".join(traceback.format_exception(error))
    return Failed(fence, f"{type(error).__name__}: {error}", trace=trace)


def _name_of(photos: Sequence[Photo]) -> str:
    """Name of the first photograph in messages; "" if there is none."""
    return photos[0].labels[photos[0].path] if photos else ""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out, on the device or in the machine."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    return isinstance(error, RuntimeError) and any(
        words in str(error).lower() for words in _MEMORY_WORDS
    )


def is_device_lost(error: BaseException) -> bool:
    """Whether the device's context is broken for good, so that only a new process can use it."""
    if is_out_of_memory(error) or not isinstance(error, RuntimeError):
        return False
    return type(error).__name__ == "AcceleratorError" or "CUDA error" in str(error)
